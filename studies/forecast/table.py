"""The score of the forecasts as it is kept, and as a table for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core import records
from studies import markdown
from studies.forecast.scoring import Span, Warnings

VERSION = 1
RESULT = Path(__file__).parent / "result.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the study found.

    Attributes:
        version: of this format.
        seeds: recursions of each scenario.
        generations: of each recursion, without the base.
        pages: of each generation.
        classes: of the pages.
        need: boxes under which a class counts as lost.
        spans: forecasts by scenario and by generations so far.
        warnings: by scenario and by generations ahead.
    """

    version: int = VERSION
    seeds: int
    generations: int
    pages: int
    classes: int
    need: int
    spans: tuple[Span, ...]
    warnings: tuple[Warnings, ...]


def read(path: Path = RESULT) -> Result:
    """Read a result.

    Raises:
        UserError: it is missing, of another version, or damaged.
    """
    return records.read(path, Result, VERSION)


def text(result: Result) -> str:
    """Both tables, as Markdown."""
    spans = markdown.table(
        [
            "recursion", "generations so far", "classes", "of them fell", "90 % interval held (95 % interval)",
            "foretold", "median error", "straight line's",
        ],
        [_span(one) for one in result.spans],
    )  # fmt: skip
    warnings = markdown.table(
        [
            "recursion", "within", "cases", "of them fell", "hits / false alarms", "by the near end", "by the line",
            "Brier score", "of persistence", "of the line",
        ],
        [_warnings(one) for one in result.warnings],
    )  # fmt: skip
    return f"{spans}\n{warnings}"


def _span(one: Span) -> list[str]:
    held = f"{_percent(one.coverage.value)} ({_percent(one.coverage.low)} to {_percent(one.coverage.high)})"
    counts = [str(one.cases), str(one.fell), held, str(one.foretold)]
    return [one.scenario, str(one.seen), *counts, _number(one.error), _number(one.line_error)]


def _warnings(one: Warnings) -> list[str]:
    rates = [
        f"{_percent(hits)} / {_percent(false_alarms)}"
        for hits, false_alarms in (
            (one.hits, one.false_alarms),
            (one.near_hits, one.near_false_alarms),
            (one.line_hits, one.line_false_alarms),
        )
    ]
    briers = [f"{value:.3f}" for value in (one.brier, one.persistence_brier, one.line_brier)]
    return [one.scenario, str(one.lead), str(one.cases), str(one.fell), *rates, *briers]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"  # noqa: RUF001 - a dash stands for what is not there


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"  # noqa: RUF001 - a dash stands for what is not there
