"""The study of the forecasts: its score is what the docs show, and its scoring counts right."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from studies.forecast import recursion, scoring, table
from studies.forecast.recursion import Scenario
from studies.forecast.scoring import Case
from tests.core.test_futures import replaced
from tests.project import ROOT

CASE = Case(
    scenario="a", seen=3, ahead=4, fell=2, said=3, low=1, high=5, chance=(0.1, 0.4, 0.8, 1.0), line=math.inf
)  # fmt: skip


def test_docs_show_the_result() -> None:
    """The tables in the docs are those of the committed result, to the digit."""
    shown = (ROOT / "docs" / "forecasts.md").read_text()
    for one in table.text(table.read()).split("\n\n"):
        assert one.strip() in shown


def test_docs_state_the_size() -> None:
    """The docs say how much the score rests on, as in the committed result."""
    result = table.read()
    shown = (ROOT / "docs" / "forecasts.md").read_text()
    said = (
        f"{result.seeds} seeds, {result.generations} generations, {result.pages} pages, {result.classes} classes, "
        f"under {result.need} boxes"
    )
    assert said in shown


def test_futures_beat_simpler_forecasts() -> None:
    """In the committed result, the probabilities are nearer to what happened than "shares stay", and than a line."""
    result = table.read()
    assert len(result.warnings) == 16
    assert [one for one in result.warnings if one.brier >= min(one.persistence_brier, one.line_brier)] == []


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        pytest.param({}, True, id="inside"),
        pytest.param({"fell": 1}, True, id="at the near end"),
        pytest.param({"fell": None}, True, id="may still come"),
        pytest.param({"low": 3}, False, id="too early"),
        pytest.param({"high": 1}, False, id="too late"),
        pytest.param({"fell": None, "high": 4}, False, id="should have come"),
        pytest.param({"low": math.inf, "high": math.inf}, False, id="said never"),
    ],
)
def test_covered(changes: dict[str, float | None], covered: bool) -> None:  # noqa: FBT001 - a parameter
    """An interval holds what happened, or may yet hold what has not."""
    assert replace(CASE, **changes).covered is covered  # type: ignore[arg-type]


def test_span_counts() -> None:
    """Coverage is of all cases, errors of those that fell and were foretold; other spans are left out."""
    cases = [
        CASE,
        replace(CASE, fell=1, said=4, low=2, line=3.0),
        replace(CASE, fell=None),
        replace(CASE, said=math.inf, high=math.inf),
        replace(CASE, seen=4),
        replace(CASE, scenario="b"),
    ]
    found = scoring.span("a", 3, cases)
    assert (found.cases, found.fell, found.foretold) == (4, 3, 2)
    assert found.coverage.value == 0.75
    assert found.error == 2
    assert found.line_error == 2


def test_warning_counts() -> None:
    """Hits are of what fell within the lead, false alarms of the rest; cases whose end is not known are left out."""
    cases = [
        CASE,  # fell in 2, foretold for 3
        replace(CASE, said=2),
        replace(CASE, fell=None, line=2.0, low=3),
        replace(CASE, ahead=1, fell=None),
    ]
    found = scoring.warnings("a", 2, cases)
    assert found is not None
    assert (found.cases, found.fell) == (3, 2)
    assert (found.hits, found.false_alarms) == (0.5, 0.0)
    assert (found.near_hits, found.near_false_alarms) == (1.0, 0.0)
    assert (found.line_hits, found.line_false_alarms) == (0.0, 1.0)
    assert found.brier == pytest.approx((0.6**2 + 0.6**2 + 0.4**2) / 3)
    assert found.persistence_brier == pytest.approx(2 / 3)
    assert found.line_brier == pytest.approx(1.0)


def test_no_history_goes_so_far() -> None:
    """A lead beyond the end of every history has no score."""
    assert scoring.warnings("a", 8, [CASE]) is None


def test_cases_of_a_history() -> None:
    """A case is a class with boxes enough, after each generation but the last; what became of it is in the rest."""
    history = replaced((500, 90, 9), (500, 45, 9), (500, 22, 9), (500, 10, 9))
    found = [one for one in scoring.cases("a", 1, history) if one.fell is not None]
    assert [(one.seen, one.ahead, one.fell) for one in found] == [(2, 2, 2), (3, 1, 1)]
    assert [one.line for one in found] == [2, 1]
    assert all(one.covered for one in found)
    assert found[0].chance[0] < found[0].chance[1] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["layout", "classifier"])
@pytest.mark.parametrize("generator", ["mixture", "copy_paste"])
def test_recursion(tmp_path: Path, generator: str, labels: str) -> None:
    """A recursion has a base of real boxes and generations of synthetic ones, and is the same again."""
    scenario = Scenario(generator=generator, labels=labels)  # type: ignore[arg-type]
    found = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        found.append(recursion.history(scenario, 1, tmp_path / name, generations=2))
    assert found[0] == found[1]
    base, first, second = found[0]
    assert base.real == base.training
    assert first.synthetic == first.training != second.training
    assert all(len(one.training) == recursion.CLASSES for one in found[0])
