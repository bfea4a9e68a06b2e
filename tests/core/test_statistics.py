"""Intervals and tests against SciPy, statsmodels, published figures and exact enumeration, and by their laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests

from pipeline.core import statistics
from pipeline.core.statistics import Interval

CONFIDENCES = st.sampled_from([0.5, 0.8, 0.95, 0.999])
LEAST_DISCREPANCY = 1e-9  # of a bound that equals the estimate


@st.composite
def tables(draw: st.DrawFn, *, most: int = 200) -> tuple[int, int, int]:
    """Draw boxes lost, gained and in all."""
    total = draw(st.integers(1, most))
    lost = draw(st.integers(0, total))
    return lost, draw(st.integers(0, total - lost)), total


@settings(max_examples=80)
@given(trials=st.integers(1, 500), share=st.floats(0, 1), confidence=CONFIDENCES)
def test_clopper_pearson_is_scipys(trials: int, share: float, confidence: float) -> None:
    """The interval is SciPy's exact one and contains the estimate."""
    successes = round(share * trials)
    interval = statistics.clopper_pearson(successes, trials, confidence=confidence)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert interval.low <= successes / trials <= interval.high


def test_no_trials_have_no_interval() -> None:
    """Without trials there is no proportion to bound."""
    assert statistics.clopper_pearson(0, 0) is None


@pytest.mark.parametrize(
    ("successes", "trials", "confidence", "message"),
    [
        (3, 2, 0.95, "3 successes in 2 trials"),
        (-1, 2, 0.95, "-1 successes in 2 trials"),
        (0, -1, 0.95, "0 successes in -1 trials"),
        (1, 2, 1.0, r"confidence 1\.0"),
        (1, 2, 0.0, r"confidence 0\.0"),
        (1, 2, math.nan, "confidence nan"),
    ],
    ids=["too_many", "negative", "negative_trials", "certain", "no_confidence", "not_a_number"],
)
def test_clopper_pearson_refuses(successes: int, trials: int, confidence: float, message: str) -> None:
    """Counts and confidences that cannot be raise."""
    with pytest.raises(ValueError, match=message):
        statistics.clopper_pearson(successes, trials, confidence=confidence)


@settings(max_examples=80)
@given(lost=st.integers(0, 300), gained=st.integers(0, 300))
def test_mcnemar_is_the_binomial_test(lost: int, gained: int) -> None:
    """The p value is SciPy's exact binomial one; one more loss lowers it, one more gain raises it."""
    p_value = statistics.mcnemar_loss(lost, gained)
    if lost + gained:
        expected = stats.binomtest(lost, lost + gained, 0.5, alternative="greater").pvalue
        assert p_value == pytest.approx(expected, rel=1e-9)
    assert statistics.mcnemar_loss(lost + 1, gained) <= p_value <= statistics.mcnemar_loss(lost, gained + 1)


@pytest.mark.parametrize(
    ("lost", "gained", "p_value"),
    [(0, 0, 1.0), (0, 5, 1.0), (5, 0, 1 / 32), (9, 1, 11 / 1024)],
    ids=["no_discordant_box", "only_gains", "only_losses", "nine_to_one"],
)
def test_mcnemar_by_hand(lost: int, gained: int, p_value: float) -> None:
    """Small tables are sums of binomial coefficients."""
    assert statistics.mcnemar_loss(lost, gained) == pytest.approx(p_value, rel=1e-12)


@pytest.mark.parametrize(
    ("lost", "gained", "total", "low", "high"),
    [
        # golden test of the R package contingencytables on Cavo et al. 2012
        pytest.param(6, 16, 161, -0.1240, -0.0054, id="cavo_2012"),
        # T squared is n d / (1 - d) without discordant boxes and n (1 - d) / (1 + d) when all are lost; z^2 = 3.8415
        pytest.param(0, 0, 10, -3.8415 / 13.8415, 3.8415 / 13.8415, id="no_discordant_box"),
        pytest.param(10, 0, 10, 6.1585 / 13.8415, 1.0, id="all_lost"),
        pytest.param(0, 10, 10, -1.0, -6.1585 / 13.8415, id="all_gained"),
        pytest.param(1, 0, 1, -2.8415 / 4.8415, 1.0, id="one_box_lost"),
    ],
)
def test_tango_published_and_closed_forms(lost: int, gained: int, total: int, low: float, high: float) -> None:
    """The 95 % interval has the published ends, and at the extremes those of its closed form."""
    interval = statistics.paired_loss_interval(lost, gained, total, confidence=0.95)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def score_by_likelihood(loss: float, lost: int, gained: int, total: int) -> float:
    """Tango's statistic with the constrained likelihood maximised numerically, instead of by his formula."""

    def unlikelihood(smaller: float) -> float:
        cells = [(lost, smaller + loss), (gained, smaller), (total - lost - gained, 1 - 2 * smaller - loss)]
        return -sum(count * math.log(max(share, 1e-300)) for count, share in cells if count)

    found = optimize.minimize_scalar(
        unlikelihood, bounds=(max(0.0, -loss), (1 - loss) / 2), method="bounded", options={"xatol": 1e-12}
    )
    return (lost - gained - total * loss) / math.sqrt(total * (2 * found.x + loss * (1 - loss)))


@settings(max_examples=60)
@given(table=tables(), confidence=CONFIDENCES)
def test_tango_solves_its_equation(table: tuple[int, int, int], confidence: float) -> None:
    """At each end within (-1, 1) the score statistic is the normal quantile."""
    interval = statistics.paired_loss_interval(*table, confidence=confidence)
    deviate = stats.norm.ppf((1 + confidence) / 2)
    if interval.low > -1 + 1e-6:
        assert score_by_likelihood(interval.low, *table) == pytest.approx(deviate, abs=2e-3)
    if interval.high < 1 - 1e-6:
        assert score_by_likelihood(interval.high, *table) == pytest.approx(-deviate, abs=2e-3)


@settings(max_examples=80)
@given(table=tables(), confidence=CONFIDENCES)
def test_tango_laws(table: tuple[int, int, int], confidence: float) -> None:
    """The interval contains the estimate, lies in [-1, 1], mirrors with the table and widens with the confidence."""
    lost, gained, total = table
    interval = statistics.paired_loss_interval(lost, gained, total, confidence=confidence)
    estimate = (lost - gained) / total
    assert -1 <= interval.low <= estimate + LEAST_DISCREPANCY
    assert estimate - LEAST_DISCREPANCY <= interval.high <= 1
    mirrored = statistics.paired_loss_interval(gained, lost, total, confidence=confidence)
    assert mirrored == Interval(low=-interval.high, high=-interval.low)
    wider = statistics.paired_loss_interval(lost, gained, total, confidence=0.9999)
    assert wider.low <= interval.low
    assert interval.high <= wider.high


@settings(max_examples=80)
@given(table=tables(), margin=st.sampled_from([0.01, 0.05, 0.1, 0.3]), alpha=st.sampled_from([0.01, 0.05, 0.2]))
def test_ruling_out_is_the_bound_under_the_margin(table: tuple[int, int, int], margin: float, alpha: float) -> None:
    """A loss of the margin is ruled out exactly where Tango's upper bound lies under it."""
    bound = statistics.paired_loss_interval(*table, confidence=1 - 2 * alpha).high
    if abs(bound - margin) > LEAST_DISCREPANCY:
        assert statistics.rules_out(*table, margin=margin, alpha=alpha) == (bound < margin)


@pytest.mark.parametrize("total", [12, 30], ids=["twelve_boxes", "thirty_boxes"])
def test_tango_covers(total: int) -> None:
    """By enumeration of all tables, the one-sided 95 % upper bound covers at least 91 % of the time."""
    counts = [(lost, gained) for lost in range(total + 1) for gained in range(total + 1 - lost)]
    bounds = np.array(
        [statistics.paired_loss_interval(lost, gained, total, confidence=0.9).high for lost, gained in counts]
    )
    # the worst of a grid by 0.04 is 0.914, at a loss of 0.02 and a gain of 0.12 in thirty boxes
    for loss_rate, gain_rate in itertools.product([0.02, 0.1, 0.2, 0.35, 0.5], [0.0, 0.02, 0.12, 0.25, 0.45]):
        law = stats.multinomial(total, [loss_rate, gain_rate, 1 - loss_rate - gain_rate])
        chances = law.pmf([(lost, gained, total - lost - gained) for lost, gained in counts])
        covered = chances[bounds >= loss_rate - gain_rate - LEAST_DISCREPANCY].sum()
        assert covered >= 0.91, (loss_rate, gain_rate)


@pytest.mark.parametrize(
    ("lost", "gained", "total", "message"),
    [
        (-1, 0, 5, "-1 lost"),
        (0, -1, 5, "-1 gained"),
        (3, 3, 5, "together at most all"),
        (0, 0, 0, "0 boxes, wanted 1 or more"),
    ],
    ids=["negative_losses", "negative_gains", "more_than_all", "no_boxes"],
)
def test_impossible_pairs_are_refused(lost: int, gained: int, total: int, message: str) -> None:
    """Counts of boxes that cannot be raise, in the interval and in the decision on the margin."""
    with pytest.raises(ValueError, match=message):
        statistics.paired_loss_interval(lost, gained, total, confidence=0.95)
    with pytest.raises(ValueError, match=message):
        statistics.rules_out(lost, gained, total, margin=0.1, alpha=0.05)


@settings(max_examples=8)  # statsmodels takes a tenth of a second each
@given(values=st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.04, 1.0])), min_size=1, max_size=8))
def test_holm_is_that_of_statsmodels(values: list[float]) -> None:
    """Adjusted p values are statsmodels'; they are no smaller than the raw ones and keep their order."""
    p_values = {f"class {index}": value for index, value in enumerate(values)}
    adjusted = statistics.holm(p_values)
    assert list(adjusted) == list(p_values)
    np.testing.assert_allclose(list(adjusted.values()), multipletests(values, method="holm")[1], rtol=1e-12)
    for one, other in itertools.pairwise(sorted(p_values, key=lambda name: p_values[name])):
        assert adjusted[one] <= adjusted[other]
    assert all(p_values[name] <= value <= 1 for name, value in adjusted.items())


def test_holm_by_hand() -> None:
    """0.01 is trebled, 0.02 doubled, and 0.03 may not fall below it."""
    assert statistics.holm({"c": 0.03, "a": 0.01, "b": 0.02}) == pytest.approx({"c": 0.04, "a": 0.03, "b": 0.04})
    assert statistics.holm({}) == {}


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan], ids=["negative", "over_one", "not_a_number"])
def test_holm_refuses(value: float) -> None:
    """A p value outside [0, 1] raises, by name."""
    with pytest.raises(ValueError, match="of bus, wanted 0 to 1"):
        statistics.holm({"car": 0.5, "bus": value})


def test_bootstrap_error_by_hand() -> None:
    """The error is the standard deviation of the losses, over one less than their number."""
    base, run = np.array([0.5, 0.6, 0.7, 0.8]), np.array([0.5, 0.5, 0.5, 0.5])
    found = statistics.bootstrap_error(base, run, least=4)
    assert found.value == pytest.approx(np.std([0.0, 0.1, 0.2, 0.3], ddof=1))
    assert (found.replicates, found.undefined) == (4, 0)


def test_bootstrap_error_counts_what_it_leaves_out() -> None:
    """Replicates in which a figure does not exist are left out and counted; too few of them give no error."""
    base = np.append(np.linspace(0.5, 0.6, 30), np.nan)
    found = statistics.bootstrap_error(base, np.full(31, 0.5))
    assert (found.replicates, found.undefined) == (30, 1)
    assert found.value == pytest.approx(np.std(base[:30], ddof=1))
    few = statistics.bootstrap_error(base[1:], np.full(30, 0.5))
    assert (few.value, few.replicates, few.undefined) == (None, 29, 1)


def test_bootstrap_error_of_a_mean_is_that_of_the_formula() -> None:
    """Bootstrapped over its items, a mean difference has the error of its formula, the deviation over the root of n."""
    rng = np.random.default_rng(3)
    base, run = rng.random(200), rng.random(200)
    drawn = rng.multinomial(200, np.full(200, 1 / 200), size=4000) / 200
    found = statistics.bootstrap_error(drawn @ base, drawn @ run)
    assert found.value == pytest.approx(np.std(base - run) / math.sqrt(200), rel=0.05)


def test_bootstrap_refuses_unpaired_replicates() -> None:
    """Replicates are pairs, of one shape."""
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\), wanted \(replicates,\) twice"):
        statistics.bootstrap_error(np.zeros(2), np.zeros(3))
