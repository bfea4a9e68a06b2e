"""Means over the seeds, with intervals; everything else that is said of the study is computed from its tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.core import files
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure

CONFIDENCE = 0.95
BASE = "base"  # the arm of generation 0
FIGURES = (  # of the table of means
    "map50_95", "map50", "rare_recall", "vendi", "coverage", "lost_tail", "near_images", "near_objects",
    "copied_objects", "depth", "real_images", "synthetic_images",
)  # fmt: skip
_UNBOUNDED = frozenset({"vendi", "depth", "real_images", "synthetic_images"})  # the others are shares


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRow:
    """One generation of a cell: a line of generations.csv; None where a figure cannot be computed."""

    cell: str
    arm: str
    policy: str
    ratio: str
    labels: str
    generator: str
    seed: int
    generation: int
    map50_95: float | None
    map50_95_low: float | None
    map50_95_high: float | None
    map50: float | None
    map50_low: float | None
    map50_high: float | None
    rare_recall: float | None
    real_images: int
    synthetic_images: int
    depth: float
    exact: int | None
    near_images: float | None
    near_objects: float | None
    copied_objects: float | None
    vendi: float | None
    coverage: float | None
    lost_tail: float | None
    seconds: float
    processor: float
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class in one generation of a cell: a line of classes.csv."""

    cell: str
    arm: str
    seed: int
    generation: int
    name: str
    rare: bool
    support: int
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    ap50_95: float | None
    training_boxes: int
    share: float | None  # of all training boxes


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """A figure of an arm in one generation, over the seeds: a line of summary.csv."""

    arm: str
    policy: str
    ratio: str
    labels: str
    generator: str
    generation: int
    figure: str
    mean: float | None
    low: float | None
    high: float | None
    seeds: int


def mean(values: Iterable[float | None]) -> Figure:
    """Mean with its interval by Student's t; without an interval for fewer than two values.

    >>> mean([1.0, 2.0, None]).value
    1.5
    """
    known = [value for value in values if value is not None]
    if not known:
        return Figure(value=None, reason="no seed has a value", samples=0)
    middle = math.fsum(known) / len(known)
    if len(known) == 1:
        return Figure(value=middle, samples=1, reason="one seed has no interval")
    error = float(np.std(known, ddof=1)) / math.sqrt(len(known))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1)) * error
    return Figure(value=middle, low=middle - reach, high=middle + reach, samples=len(known))


def summarise(rows: Sequence[GenerationRow]) -> list[SummaryRow]:
    """Means over the seeds of each arm, generation and figure, in the order of the rows."""
    groups: dict[tuple[str, int], list[GenerationRow]] = {}
    for row in rows:
        groups.setdefault((row.arm, row.generation), []).append(row)
    found = []
    for (arm, generation), some in groups.items():
        first = some[0]
        for name in FIGURES:
            one = mean(getattr(row, name) for row in some)
            found.append(
                SummaryRow(
                    arm=arm, policy=first.policy, ratio=first.ratio, labels=first.labels, generator=first.generator,
                    generation=generation, figure=name, mean=one.value, low=_possible(one.low, name),
                    high=_possible(one.high, name), seeds=one.samples or 0,
                )
            )  # fmt: skip
    return found


def _possible(end: float | None, figure: str) -> float | None:
    """An end of an interval, held to what the figure can be: Student's t does not know that a share has bounds."""
    if end is None:
        return None
    return max(end, 0.0) if figure in _UNBOUNDED else min(max(end, 0.0), 1.0)


def write(path: Path, rows: Sequence[Any], kind: type[Any]) -> None:
    """Write rows as CSV; what is absent is an empty field."""
    names = [one.name for one in fields(kind)]
    lines = [files.csv_line(names)]
    lines += [files.csv_line([_shown(getattr(row, name)) for name in names]) for row in rows]
    files.write_text(path, "".join(lines))


def read(path: Path, kind: type[Any]) -> list[Any]:
    """Read rows.

    Raises:
        UserError: the table is missing, or is another one.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Run `uv run python -m studies.collapse run`.") from None
    names = [one.name for one in fields(kind)]
    if list(frame.columns) != names:
        raise UserError(f"{path} has other columns than wanted. Run `uv run python -m studies.collapse table`.")
    parsers = {one.name: _PARSERS[str(one.type)] for one in fields(kind)}
    try:
        return [
            kind(**{name: parsers[name](value) for name, value in zip(names, line, strict=True)})
            for line in frame.itertuples(index=False)
        ]
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}). Run `uv run python -m studies.collapse table`.") from None


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_PARSERS: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: text == "True",
    "int | None": lambda text: int(text) if text else None,
    "float | None": lambda text: float(text) if text else None,
}
