"""What the study measured, as it is kept, and as tables for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core import records
from studies import markdown
from studies.impostors.measuring import Measured, Rate

VERSION = 1
RESULT = Path(__file__).parent / "result.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the study found, by dataset."""

    version: int = VERSION
    datasets: tuple[Measured, ...]


def read(path: Path = RESULT) -> Result:
    """Read a result.

    Raises:
        UserError: it is missing, of another version, or damaged.
    """
    return records.read(path, Result, VERSION)


def text(result: Result) -> str:
    """Three tables, as Markdown: copies that are caught, real images that are flagged, and how near those come."""
    names = [one.name for one in result.datasets]
    caught = [
        [rates[0].what, *(_share(rate) for rate in rates)]
        for rates in zip(*(one.copies for one in result.datasets), strict=True)
    ]
    flagged = [
        [rates[0].what, *(f"{rate.found} of {rate.images} (at most {rate.high:.1%})" for rate in rates)]
        for rates in zip(*(one.flags for one in result.datasets), strict=True)
    ]
    near = [
        [f"{one.name}: {near.what}", str(near.images), *(f"{value:.3f}" for value in
         (near.median, near.hundredth, near.thousandth, near.most)), str(near.called_copies)]
        for one in result.datasets
        for near in one.nearness
    ]  # fmt: skip
    tables = (
        markdown.table(["synthetic image", *names], caught),
        markdown.table(["flagged", *names], flagged),
        markdown.table(["", "images", "median", "99 %", "99.9 %", "highest", "called copies"], near),
    )
    return "\n".join(tables)


def _share(rate: Rate) -> str:
    wrong = f", {rate.found - rate.right} as another one's" if rate.found > rate.right else ""
    return f"{rate.found / rate.images:.1%} (at least {rate.low:.1%}){wrong}"
