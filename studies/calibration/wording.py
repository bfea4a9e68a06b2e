"""Shares, tables and paragraphs as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from studies.calibration import simulation
from studies.calibration.summary import NightShare, Row, Share

_WIDTH = 120


def wrapped(block: str) -> str:
    """A paragraph in lines of the usual width; headings and tables as they are."""
    if block.startswith(("#", "|")):
        return block
    return textwrap.fill(" ".join(block.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def share(one: Share | NightShare | None) -> str:
    """A share in per cent with its interval; a dash for none."""
    return "-" if one is None else f"{100 * one.value:.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def value(one: Share | NightShare | None) -> float:
    """A share as a fraction; 0 for none."""
    return one.value if one else 0.0


def named(rule: str) -> str:
    """A rule's name; as code where it is a setting of the gate."""
    return rule if rule in (simulation.FIXED, simulation.UNCORRECTED) else f"`{rule}`"


def window(row: Row, nights: int) -> Share | None:
    """Schedules with COLLAPSING within so many nights; None where that is not counted."""
    return row.within[nights] if row.within else None
