"""What people decided on synthetic images, as a table that mix reads: it changes with no decision on a real image."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np

from pipeline.core import files
from pipeline.core.errors import UserError
from pipeline.core.manifest_table import Table
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


def marked(table: Table, states: States) -> Table:
    """The rows, human-verified where people accepted just these labels; their origin stays synthetic."""
    accepted = [place for place, state in _standing(table, states).items() if state == "verified"]
    return table.verified(accepted) if accepted else table


def refused(table: Table, states: States) -> list[str]:
    """Ids of the images that people rejected with these labels, or disagree on."""
    places = [place for place, state in _standing(table, states).items() if state in ("rejected", "conflict")]
    return table.take(places).texts("image_id")


def _standing(table: Table, states: States) -> dict[int, State]:
    """What people decided on synthetic rows, by position."""
    decided = table.among("image_id", [image_id for image_id, _ in states]) & table.equal("origin", "synthetic")
    places = np.flatnonzero(decided)
    there = table.take(places)
    items = zip(places.tolist(), there.texts("image_id"), there.texts("label_digest"), strict=True)
    return {place: states[item] for place, *pair in items if (item := (pair[0], pair[1])) in states}
