"""What people decided on synthetic images, as a table that mix reads: it changes with no decision on a real image."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from pipeline.core import files
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.standing import State

_COLUMNS = ("image_id", "label_digest", "state")
States = Mapping[tuple[str, str], State]  # by image id and label digest


def write(path: Path, states: States) -> None:
    """Write the table, sorted by image id and label digest."""
    lines = [files.csv_line((*item, states[item])) for item in sorted(states)]
    files.write_text(path, "".join([files.csv_line(_COLUMNS), *lines]))


def read(path: Path) -> dict[tuple[str, str], State]:
    """Read the table.

    Raises:
        UserError: it is missing, or is no such table.
    """
    try:
        with path.open(newline="") as file:
            head, *lines = csv.reader(file)
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    except (ValueError, csv.Error):
        head, lines = [], []
    wrong = tuple(head) != _COLUMNS or any(
        len(line) != len(_COLUMNS) or line[2] not in get_args(State) for line in lines
    )
    if wrong:
        raise UserError(
            f"{path} is no table of {', '.join(_COLUMNS)}. Run `uv run dvc repro -f verify` to make it anew."
        )
    return {(image_id, digest): state for image_id, digest, state in lines}  # type: ignore[misc]  # checked just above


def marked(rows: Sequence[Row], states: States) -> list[Row]:
    """The rows, human-verified where people accepted just these labels; their origin stays synthetic."""
    return [replace(row, human_verified=True) if _state(row, states) == "verified" else row for row in rows]


def refused(rows: Sequence[Row], states: States) -> set[str]:
    """Ids of the images that people rejected with these labels, or disagree on."""
    return {row.image_id for row in rows if _state(row, states) in ("rejected", "conflict")}


def _state(row: Row, states: States) -> State | None:
    return states.get((row.image_id, row.label_digest)) if row.origin == "synthetic" else None
