"""Tests over images against SciPy and enumeration, and by their laws."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.core import clustered, statistics
from pipeline.core.clustered import Error

SUMS = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


@settings(max_examples=80)
@given(SUMS)
def test_sign_flip_is_enumeration(sums: list[int]) -> None:
    """The p value is the share of all sign assignments whose total is as large."""
    flips = np.array(list(itertools.product([-1, 1], repeat=len(sums)))) @ np.abs(sums)
    assert clustered.sign_flip(np.array(sums)) == pytest.approx((flips >= sum(sums)).mean(), rel=1e-12)


def test_sign_flip_is_scipys() -> None:
    """SciPy's permutation test of one sample flips the same signs."""
    sums = np.array([3, -1, 2, 0, 1, 1, -2, 4])
    found = stats.permutation_test(
        (sums.astype(float),), np.sum, permutation_type="samples", alternative="greater", vectorized=True
    )
    assert clustered.sign_flip(sums) == pytest.approx(found.pvalue, rel=1e-12)


@settings(max_examples=60)
@given(lost=st.integers(0, 60), gained=st.integers(0, 60))
def test_sign_flip_of_single_boxes_is_mcnemar(lost: int, gained: int) -> None:
    """Where no image has two discordant boxes it is McNemar's exact test."""
    sums = np.array([1] * lost + [-1] * gained + [0])
    assert clustered.sign_flip(sums) == pytest.approx(statistics.mcnemar_loss(lost, gained), rel=1e-12)


@settings(max_examples=80)
@given(sums=SUMS, where=st.integers(0, 8), order=st.randoms(use_true_random=False))
def test_sign_flip_laws(sums: list[int], where: int, order: random.Random) -> None:
    """One more lost box never raises the p value, and the order of the images is of no account."""
    p_value = clustered.sign_flip(np.array(sums))
    worse = sums.copy()
    worse[where % len(sums)] += 1
    assert clustered.sign_flip(np.array(worse)) <= p_value * (1 + 1e-12)
    shuffled = sums.copy()
    order.shuffle(shuffled)
    assert clustered.sign_flip(np.array(shuffled)) == p_value
    assert 0 < p_value <= 1


def test_error_of_independent_boxes() -> None:
    """One box an image, none of them lost nor gained twice: the error is McNemar's, with Student's correction."""
    found = clustered.error_of_mean(np.array([1.0, 1.0, 1.0, 0.0, 0.0]), images=50, boxes=50)
    assert found.value == pytest.approx(math.sqrt(3 * 50 / 49) / 50)
    assert found.freedom == 49


def test_error_sees_clusters() -> None:
    """Four discordant boxes on one image count four times as much as on four."""
    apart = clustered.error_of_mean(np.ones(4), images=50, boxes=100)
    together = clustered.error_of_mean(np.array([4.0]), images=50, boxes=100)
    assert together.value == pytest.approx(2 * apart.value)


def test_error_is_that_of_clusters_drawn_again() -> None:
    """Over many drawn test splits without a loss, the error is the deviation of the mean difference."""
    rng = np.random.default_rng(8)
    spread, told = [], []
    for _ in range(400):
        sums = rng.choice([-3, 0, 3], size=80, p=[0.1, 0.8, 0.1])  # three boxes an image, found and lost together
        spread.append(sums.sum() / 240)
        told.append(clustered.error_of_mean(np.abs(sums).astype(float), images=80, boxes=240).value)
    assert np.mean(told) == pytest.approx(np.std(spread), rel=0.08)


@pytest.mark.parametrize("images", [0, 1], ids=["no-image", "one-image"])
def test_one_image_tells_nothing(images: int) -> None:
    """From one image there is no error, hence no small p value and no bound."""
    found = clustered.error_of_mean(np.ones(images), images=images, boxes=3)
    assert found.freedom == 0
    assert clustered.p_value(0.5, found) == 1.0
    assert clustered.upper(0.0, found, 0.05) == math.inf


def test_between_trainings_is_the_pooled_t_test() -> None:
    """The error and its degrees of freedom are those of SciPy's two-sample test."""
    base, run = np.array([0.81, 0.85, 0.80]), np.array([0.70, 0.76])
    found = clustered.between_trainings(base, run)
    assert found is not None
    expected = stats.ttest_ind(base, run, alternative="greater")
    assert found.freedom == expected.df
    assert clustered.p_value(base.mean() - run.mean(), found) == pytest.approx(expected.pvalue)
    ends = stats.ttest_ind(base, run).confidence_interval(0.9)
    assert clustered.upper(base.mean() - run.mean(), found, 0.05) == pytest.approx(ends.high)


def test_one_training_each_has_no_variance_between_them() -> None:
    """With one training on either side the variance between trainings is not known, and not nought."""
    assert clustered.between_trainings(np.array([0.8]), np.array([0.7])) is None


def test_sum_of_errors_is_welchs() -> None:
    """Two errors of means add up as in Welch's test, with its degrees of freedom."""
    rng = np.random.default_rng(4)
    one, other = rng.normal(0, 1, 8), rng.normal(0, 3, 13)
    found = clustered.add(
        *(Error(value=float(part.std(ddof=1) / math.sqrt(part.size)), freedom=part.size - 1.0) for part in (one, other))
    )
    expected = stats.ttest_ind(one, other, equal_var=False, alternative="greater")
    assert found.freedom == pytest.approx(expected.df)
    assert clustered.p_value(one.mean() - other.mean(), found) == pytest.approx(expected.pvalue)


def test_sum_with_an_unknown_error_is_unknown() -> None:
    """An error without degrees of freedom makes the sum say nothing either."""
    assert clustered.add(Error(value=0.1, freedom=5.0), Error(value=0.0, freedom=0.0)).freedom == 0


def test_a_loss_without_error_is_not_certain() -> None:
    """An error of 0 beside a loss comes of too few images: neither shown nor ruled out; without a loss it rules out."""
    nothing = Error(value=0.0, freedom=9.0)
    assert clustered.p_value(0.2, nothing) == 1.0
    assert clustered.upper(0.2, nothing, 0.05) == math.inf
    assert clustered.upper(0.0, nothing, 0.05) == 0.0
