"""Falls over the generations: against SciPy, by enumeration, and over whole months of healthy nights."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.core import trends
from tests.night_builders import GATE


@settings(max_examples=40)
@given(st.permutations(range(9)))
def test_mann_kendall_is_kendalls_exact_test(order: list[int]) -> None:
    """Without ties the p value is SciPy's exact one of Kendall's tau against the generation."""
    expected = stats.kendalltau(range(9), order, method="exact", alternative="less").pvalue
    assert trends.mann_kendall(order) == pytest.approx(expected, rel=1e-9)


def test_mann_kendall_of_a_perfect_fall() -> None:
    """Of all orders of five values, one falls all the way."""
    assert trends.mann_kendall([5, 4, 3, 2, 1]) == pytest.approx(1 / math.factorial(5))
    assert trends.mann_kendall([1, 2, 3]) == pytest.approx(1.0)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=6))
def test_ties_are_on_the_safe_side(values: list[int]) -> None:
    """With ties, the p value is no smaller than the share of orders of these values that fall as much."""

    def falls(line: tuple[int, ...]) -> int:
        return sum(later < first for first, later in itertools.combinations(line, 2))

    seen = [falls(order) >= falls(tuple(values)) for order in itertools.permutations(values)]
    assert trends.mann_kendall(values) >= np.mean(seen) - 1e-12


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_slope_is_theil_sens(values: list[float]) -> None:
    """The slope is SciPy's median of pairwise slopes."""
    assert trends.slope(values) == pytest.approx(stats.theilslopes(values).slope, abs=1e-12)


def test_levels_by_enumeration() -> None:
    """Over all orders of six values, the share that is ever called is at most alpha, and near it."""
    levels = trends.levels(0.2, 5)
    called = [
        any(trends.mann_kendall(order[: night + 1]) <= levels[night - 1] for night in range(1, 6))
        for order in itertools.permutations(range(6))
    ]
    assert 0.15 < np.mean(called) <= 0.2


@pytest.mark.parametrize(("alpha", "horizon"), [(0.01, 30), (0.0014, 30), (0.05, 5)], ids=str)
def test_levels_of_early_nights_are_nought(alpha: float, horizon: int) -> None:
    """A night has a level only where a perfect fall of its values is rarer than what may be spent by then."""
    levels = trends.levels(alpha, horizon)
    for night, level in enumerate(levels, start=1):
        if level == 0:
            assert 1 / math.factorial(night + 1) > alpha * (night / horizon) ** 3 * 0.5
        else:
            assert level >= 1 / math.factorial(night + 1) * (1 - 1e-9)
    assert levels[-1] > 0


def test_a_steady_fall_is_called() -> None:
    """Nights that each lose a third of the margin are called once there are enough of them, by slope and p value."""
    line = [0.9 - 0.03 * night for night in range(31)]
    found = [trends.fall(line[: night + 1], GATE, figures=4, margin=0.1).falling for night in range(1, 31)]
    assert not any(found[:6])
    assert all(found[8:])
    assert trends.fall(line, GATE, figures=4, margin=0.1).slope == pytest.approx(-0.03)


def test_a_slow_fall_is_not_called() -> None:
    """A fall that never ends within the horizon at the margin is none that matters, however certain it is."""
    line = [0.9 - 0.003 * night for night in range(31)]
    found = trends.fall(line, GATE, figures=4, margin=0.1)
    assert found.p_value <= found.level
    assert not found.falling


def test_without_a_schedule_a_night_has_the_level_alone() -> None:
    """With `none`, five values in a perfect fall (p = 1/120) are enough where alpha's share is a hundredth."""
    line = [0.9, 0.8, 0.7, 0.6, 0.5]
    assert trends.fall(line, replace(GATE, schedule="none"), figures=1, margin=0.1).falling
    assert not trends.fall(line, GATE, figures=1, margin=0.1).falling


def test_false_alarms_over_a_month() -> None:
    """Of healthy months, with one lucky test split for all of their nights, at most alpha are ever called."""
    gate = replace(GATE, alpha=0.25)  # the trends' part is a fifth of it: 0.05
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(300):
        line = 0.8 + rng.normal(0, 0.05) + rng.normal(0, 0.03, size=31)
        values = line.tolist()
        alarms += any(trends.fall(values[: n + 1], gate, figures=1, margin=0.001).falling for n in range(1, 31))
    assert 0 < alarms <= stats.binom.ppf(0.9999, 300, 0.05)


@pytest.mark.parametrize("values", [[0.9], [0.9] * 32], ids=["the-base-alone", "more-than-the-horizon"])
def test_a_line_of_another_length_is_refused(values: list[float]) -> None:
    """A trend needs two values, and no more nights than share alpha."""
    with pytest.raises(ValueError, match="wanted 2 to 31"):
        trends.fall(values, GATE, figures=1, margin=0.1)


def test_a_year_of_nights_is_quick_and_exact() -> None:
    """With 365 nights that share alpha, the levels are there at once; tiny chances keep their digits."""
    started = time.process_time()
    found = trends.levels(0.0025, 365)
    assert time.process_time() - started < 10
    assert (len(found), found[0]) == (365, 0.0)
    assert found[-1] > found[29] > 0
    assert trends.mann_kendall([1 - 0.01 * number for number in range(40)]) == pytest.approx(1 / math.factorial(40))


def test_a_fall_too_unlikely_for_a_number_is_a_fall() -> None:
    """Over so many nights that the chance of a perfect fall is no more than 0 as a number, it is still called one."""
    values = [1 - 0.001 * number for number in range(200)]
    fall = trends.fall(values, replace(GATE, horizon=200), figures=1, margin=0.05)
    assert (fall.p_value, fall.falling) == (0.0, True)
