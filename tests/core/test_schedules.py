"""How nights share alpha: against the published functions, and no schedule spends more than it has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.core import schedules
from pipeline.core.errors import UserError
from pipeline.core.sections import Schedule
from tests.night_builders import GATE


@settings(max_examples=30)
@given(alpha=st.floats(0.001, 0.2), horizon=st.integers(1, 60))
def test_obrien_fleming_spends_alpha(alpha: float, horizon: int) -> None:
    """The nights' levels grow, and what is spent by each night is Lan and DeMets' function."""
    levels = schedules.obrien_fleming(alpha, horizon)
    assert len(levels) == horizon
    assert all(level >= 0 for level in levels)
    for night in range(1, horizon + 1):
        share = stats.norm.ppf(1 - alpha / 2) / (night / horizon) ** 0.5
        assert sum(levels[:night]) == pytest.approx(2 * stats.norm.sf(share), abs=1e-12)
    assert sum(levels) == pytest.approx(alpha)


@pytest.mark.parametrize("schedule", ["uniform", "obrien-fleming"])
def test_a_month_spends_its_share(schedule: Schedule) -> None:
    """Over the horizon the levels add up to alpha, less the part of the trends."""
    gate = replace(GATE, schedule=schedule)
    assert sum(schedules.level(gate, night) for night in range(1, 31)) == pytest.approx(0.04)


def test_other_schedules() -> None:
    """`confirm` holds each training at its level, `none` every night at all of alpha but the trends' part."""
    assert schedules.level(replace(GATE, schedule="confirm"), 7) == 0.02
    assert schedules.level(replace(GATE, schedule="none"), 7) == pytest.approx(0.04)


def test_confirmation_may_not_spend_more_than_alpha() -> None:
    """Two trainings at the level, every night: at most alpha, or an error that says which level would do."""
    gate = replace(GATE, schedule="confirm")
    schedules.require_budget(replace(gate, level=(0.04 / 30) ** 0.5))
    with pytest.raises(UserError, match=r"gate\.level 0\.05.*spends 0\.075.*at most 0\.0365"):
        schedules.require_budget(replace(gate, level=0.05))
    schedules.require_budget(replace(gate, level=0.05, schedule="uniform"))


@pytest.mark.parametrize(("generation", "night"), [(1, 1), (30, 30), (31, 1), (75, 15)], ids=str)
def test_nights_begin_anew_after_the_horizon(generation: int, night: int) -> None:
    """The night after the last one of the horizon is the first of the next."""
    assert schedules.night_of(generation, GATE) == night


def test_the_base_has_no_night() -> None:
    """Generation 0 is the base: it is not held against itself."""
    with pytest.raises(ValueError, match="generation 0, wanted 1 or more"):
        schedules.night_of(0, GATE)
