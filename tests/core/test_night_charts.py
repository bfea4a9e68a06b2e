"""The chart of `tailwatch status` fits its terminal, and the budget is that of the schedule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core import night_budget, night_charts, params, trends
from pipeline.core.judgements import Verdict
from pipeline.core.night_charts import Mark
from pipeline.core.sections import Gate, Schedule
from tests.project import ROOT


def gate(schedule: Schedule) -> Gate:
    """The default gate with a schedule."""
    return replace(params.load(ROOT / "params.yaml").gate, schedule=schedule)


def test_a_mark_a_night() -> None:
    """Verdicts have a mark each, recalls a bar from 0 to 1; without a recall there is a blank."""
    marks = [
        Mark(verdict=Verdict.HEALTHY, recall=1.0),
        Mark(verdict=Verdict.INCONCLUSIVE, recall=0.5),
        Mark(verdict=Verdict.COLLAPSING, recall=0.0),
        Mark(verdict=None, recall=None),
    ]
    assert [line[14:] for line in night_charts.chart(marks, width=80)] == ["●○✕·", "█▅▁ "]
    assert night_charts.chart([], width=80) == []


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_newest_nights_fit(width: int) -> None:
    """A year of nights is cut at the left to the width of the terminal."""
    marks = [Mark(verdict=Verdict.HEALTHY, recall=0.5)] * 364 + [Mark(verdict=Verdict.COLLAPSING, recall=0.0)]
    lines = night_charts.chart(marks, width=width)
    assert [len(line) for line in lines] == [width, width]
    assert lines[0].endswith("●✕")


@pytest.mark.parametrize("schedule", ["uniform", "obrien-fleming"])
def test_a_horizon_spends_alpha(schedule: Schedule) -> None:
    """Nothing is spent before the first night, all of alpha with the last one, and never less than before."""
    one = gate(schedule)
    spent = [night_budget.spent(one, nights) for nights in range(one.horizon + 1)]
    assert spent[0] == 0
    assert spent[-1] == pytest.approx(one.alpha)
    assert spent == sorted(spent)


def test_confirmed_nights_spend_less_and_lone_ones_more() -> None:
    """Two trainings have to look bad by chance; without a schedule every night has alpha to itself."""
    one = gate("confirm")
    assert night_budget.spent(one, 10) == pytest.approx(10 * one.level**2 + one.alpha * one.trend_share * (1 / 3) ** 3)
    assert night_budget.spent(one, one.horizon) <= one.alpha
    assert night_budget.spent(gate("none"), 3) == pytest.approx(3 * one.alpha)
    assert night_budget._SHAPE == trends._SHAPE
