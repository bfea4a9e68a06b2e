"""Rates of classes and the futures that follow from them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from pipeline.core import futures
from pipeline.core.futures import Generation
from pipeline.core.manifest import to_table
from pipeline.core.sections import Policy
from tests.builders import row, synthetic_row

POLICIES: tuple[Policy, ...] = get_args(Policy)


def replaced(*boxes: tuple[int, ...], images: int = 100) -> list[Generation]:
    """Generations that replace one another: training boxes by class, the base first."""
    none = (0,) * len(boxes[0])
    return [
        Generation(
            run=f"recursive-{number}",
            generation=number,
            training=counts,
            real=none if number else counts,
            synthetic=counts if number else none,
            images=images,
            made=images if number else 0,
            used=images if number else 0,
        )
        for number, counts in enumerate(boxes)
    ]


def kept(real: tuple[int, ...], *synthetic: tuple[int, ...]) -> list[Generation]:
    """Generations that keep all real images and add as many synthetic ones."""
    found = [replaced(real)[0]]
    for number, counts in enumerate(synthetic, start=1):
        both = tuple(one + other for one, other in zip(real, counts, strict=True))
        found.append(
            Generation(
                run=f"guarded-{number}", generation=number, training=both, real=real, synthetic=counts, images=200,
                made=100, used=100,
            )
        )  # fmt: skip
    return found


def draw(history: list[Generation], seed: int = 0, *, number: int = 400) -> futures.Futures:
    """Futures of an arm that replaces."""
    return futures.draw(history, policy="replace", generations=1, rng=np.random.default_rng(seed), number=number)


def mean_rates(rates: futures.Rates) -> futures.Floats:
    """What rates are on average, by what is known of them."""
    rng = np.random.default_rng(0)
    return np.asarray(rates.draw(rates.spreads(4000, rng), rng).mean(axis=0))


HISTORY = replaced((400, 100, 60, 20), (420, 90, 40, 21), (430, 95, 30, 15), (450, 80, 22, 16))


def test_rates_against_statsmodels() -> None:
    """Without shrinkage, rates are those of statsmodels' Poisson regression, and its standard errors those here."""
    rates = futures.class_rates(HISTORY)
    for class_id in range(4):
        counts = np.array([one.synthetic[class_id] for one in HISTORY[1:]])
        expected = [
            sum(after.synthetic) * before.training[class_id] / sum(before.training)
            for before, after in itertools.pairwise(HISTORY)
        ]
        model = sm.GLM(counts, np.ones((3, 1)), family=sm.families.Poisson(), offset=np.log(expected))
        fitted = model.fit(scale=rates.dispersion)
        assert np.log(rates.seen / rates.expected)[class_id] == pytest.approx(float(fitted.params[0]))
        assert np.sqrt(rates.dispersion / rates.seen)[class_id] == pytest.approx(float(fitted.bse[0]))


def test_dispersion_against_statsmodels() -> None:
    """The overdispersion is Pearson's of one regression of all classes, and four observations at 1."""
    history = replaced((400, 200, 100), (300, 350, 50), (450, 100, 150), (200, 300, 200))
    counts = np.array([one.synthetic for one in history[1:]])
    before = np.array([np.array(one.training) / sum(one.training) for one in history[:-1]])
    offset = np.log(counts.sum(axis=1, keepdims=True) * before)
    design = np.tile(np.eye(3), (3, 1))
    fitted = sm.GLM(counts.ravel(), design, family=sm.families.Poisson(), offset=offset.ravel()).fit()
    wanted = (4 + fitted.pearson_chi2) / (4 + fitted.df_resid)
    assert wanted > 2
    assert futures.class_rates(history).dispersion == pytest.approx(wanted)


def test_weights_against_scipy() -> None:
    """A spread is weighed by the negative binomial probability of the counts, the rates summed out."""
    rates = futures.class_rates(HISTORY)
    assert rates.dispersion == 1
    prior = futures._SPREADS[:, None] ** -2.0
    log = np.asarray(nbinom.logpmf(rates.seen, prior, prior / (prior + rates.expected))).sum(axis=1)
    wanted = np.asarray(np.exp(log - log.max()))
    np.testing.assert_allclose(rates.weights, wanted / wanted.sum(), rtol=1e-6)


def test_steady_classes_are_drawn_to_one() -> None:
    """Counts that move by chance alone leave rates nearer to 1 than their own ratio; counts that halve do not."""
    steady = futures.class_rates(replaced((400, 60, 30), (395, 60, 35)))
    ratio = np.asarray(steady.seen / steady.expected)
    drawn = mean_rates(steady)
    assert (np.abs(drawn - 1) < 0.8 * np.abs(ratio - 1) + 0.01).all()
    halving = futures.class_rates(replaced((95_000, 4000, 1000), (97_500, 2000, 500), (98_750, 1000, 250)))
    np.testing.assert_allclose(mean_rates(halving), halving.seen / halving.expected, rtol=0.02)


def test_growth_of_boxes_an_image() -> None:
    """Growth is of boxes an image, so that a generation of twice the images has not grown."""
    history = replaced((300, 100), (240, 80))
    found = futures.growth(history)
    assert (found.seen.tolist(), found.expected.tolist()) == ([320], [400])
    double = [history[0], replaced((0, 0), (600, 200), images=200)[1]]
    again = futures.growth(double)
    assert (again.seen.tolist(), again.expected.tolist()) == ([800], [800])


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_lost_stays_lost(policy: Policy) -> None:
    """A class without a box on any image that there is to train on is never drawn again, whatever the policy."""
    history = replaced((300, 30), (330, 0), (334, 0))
    drawn = futures.draw(history, policy=policy, generations=100, rng=np.random.default_rng(0), number=50)
    falls = drawn.falls(need=1, steps=10, rng=np.random.default_rng(0))
    assert (falls[:, 1] == 2).all()
    assert np.isinf(drawn.halvings()[:, 1]).all()


def test_real_images_are_a_floor() -> None:
    """A class that real images hold over the need never falls under it, though no synthetic box of it is made."""
    history = kept((300, 25), (320, 4), (322, 1))
    rng = np.random.default_rng(0)
    for policy in POLICIES:
        drawn = futures.draw(history, policy=policy, generations=100, rng=rng, number=100)
        assert np.isinf(drawn.falls(need=25, steps=20, rng=rng)[:, 1]).all()
        assert np.isinf(drawn.halvings()[:, 1]).all()


def test_the_pool_holds_longer_than_the_newest() -> None:
    """With all synthetic images so far to draw from, a shrinking class lasts longer than with the newest only."""
    history = kept((300, 10), (280, 80), (320, 40), (340, 20))
    falls = []
    for policy in POLICIES[:2]:
        rng = np.random.default_rng(0)
        drawn = futures.draw(history, policy=policy, generations=100, rng=rng, number=200)
        falls.append(float(np.median(drawn.falls(need=26, steps=40, rng=rng)[:, 1])))
    assert falls[0] < falls[1]


def test_a_bounded_pool_holds_less_long() -> None:
    """With the newest generations alone to draw from, a shrinking class is lost sooner than with all of them."""
    history = kept((300, 10), (240, 160), (280, 120), (320, 80), (340, 50))
    falls = []
    for generations in (100, 3, 2, 1):
        rng = np.random.default_rng(0)
        drawn = futures.draw(history, policy="accumulate", generations=generations, rng=rng, number=200)
        falls.append(float(np.median(drawn.falls(need=26, steps=40, rng=rng)[:, 1])))
    assert falls[0] > falls[1] > falls[2] > falls[3]
    rng = np.random.default_rng(0)
    newest = futures.draw(history, policy="replace", generations=1, rng=rng, number=200)
    assert falls[3] == float(np.median(newest.falls(need=26, steps=40, rng=rng)[:, 1]))


@pytest.mark.parametrize("factor", [2, 4], ids=["halves", "quarters"])
def test_half_life_of_a_share_that_shrinks_evenly(factor: int) -> None:
    """A share that halves each generation has a half-life of one generation; one that quarters, of half of one."""
    rare = [4096 // factor**step for step in range(4)]
    history = replaced(*[(100_000 - number, number) for number in rare])
    wanted = 1.0 if factor == 2 else 0.5
    assert np.median(draw(history).halvings()[:, 1]) == pytest.approx(wanted, abs=0.03)


def test_constant_shares_do_not_halve() -> None:
    """Large counts that stay as they are have no half-life within any time of interest."""
    halves = draw(replaced(*[(60_000, 30_000, 10_000)] * 4)).halvings()
    assert np.median(halves) > 50


@settings(max_examples=20)
@given(
    counts=st.lists(st.tuples(*[st.integers(0, 300)] * 3), min_size=2, max_size=5),
    need=st.integers(1, 60),
    seed=st.integers(0, 100),
)
def test_falls_of_any_history(counts: list[tuple[int, int, int]], need: int, seed: int) -> None:
    """Any counts have futures: whole generations from now on, earlier the more boxes are needed, the same again."""
    history = replaced(*counts)
    now = len(counts) - 1

    def falls(need: int) -> futures.Floats:
        rng = np.random.default_rng(seed)
        return futures.draw(history, policy="replace", generations=1, rng=rng, number=20).falls(
            need=need, steps=6, rng=rng
        )

    found = falls(need)
    ended = found[np.isfinite(found)]
    assert ((ended >= now) & (ended <= now + 6) & (ended == np.round(ended))).all()
    np.testing.assert_array_equal(found, falls(need))
    assert (falls(need + 20) <= found).all()
    few = np.array(counts[-1]) < need
    assert (found[:, few] == now).all()
    assert (found[:, ~few] > now).all()


@settings(max_examples=15)
@given(order=st.permutations(range(4)))
def test_classes_have_no_order(order: list[int]) -> None:
    """Rates are those of the classes, whatever their ids."""
    turned = replaced(*[tuple(one.training[number] for number in order) for one in HISTORY])
    plain, found = futures.class_rates(HISTORY), futures.class_rates(turned)
    np.testing.assert_allclose(found.seen, plain.seen[order])
    np.testing.assert_allclose(found.expected, plain.expected[order])
    np.testing.assert_allclose(found.weights, plain.weights)


def test_wandering_rates_widen_futures() -> None:
    """With rates that stay as they are, futures lie nearer together than with rates that wander."""
    drawn = draw(replaced((95_000, 4000, 1000), (97_000, 2000, 800), (98_000, 1000, 640)))
    widths = []
    for spreads in (drawn.spreads, np.zeros_like(drawn.spreads)):
        falls = replace(drawn, spreads=spreads).falls(need=50, steps=60, rng=np.random.default_rng(0))[:, 2]
        low, high = np.quantile(falls, [0.05, 0.95], method="inverted_cdf")
        widths.append(high - low)
    assert widths[0] > widths[1] + 2


def test_overdispersed_counts() -> None:
    """Counts have the mean and the variance that are asked for."""
    mean = np.full((40_000, 1), 30.0)
    for dispersion in (1.0, 4.0):
        drawn = futures._overdispersed(mean, dispersion, np.random.default_rng(1))
        assert drawn.mean() == pytest.approx(30, rel=0.01)
        assert drawn.var() == pytest.approx(30 * dispersion, rel=0.04)


def test_one_generation_has_no_rates() -> None:
    """A rate is of one generation to the next."""
    with pytest.raises(ValueError, match="1 generations, wanted two or more"):
        draw(HISTORY[:1])


def test_counting_a_generation() -> None:
    """Boxes are counted on all, real and newly made images, whether the newly made are trained on or not."""
    newest = [synthetic_row("s", boxes=((0, 2), (1, 1))), synthetic_row("t", boxes=((1, 5),))]
    older = synthetic_row("o", boxes=((0, 1),))
    rows = to_table([row(boxes=((0, 3),)), older, newest[0]])
    found = futures.count("guarded-2", 2, rows, to_table(newest), classes=3)
    assert found == Generation(
        run="guarded-2", generation=2, training=(6, 1, 0), real=(3, 0, 0), synthetic=(2, 6, 0), images=3, made=2, used=2
    )
