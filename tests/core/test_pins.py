"""Which rows of the ledger a pin stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.core import files, ledger, pins
from pipeline.core.errors import UserError
from pipeline.core.ledger import Entry
from tests.builders import sha
from tests.ledger_builders import entry, timed


def chained(rows: Sequence[Entry]) -> list[Entry]:
    """The rows with their hashes, as the ledger has them."""
    before, found = ledger.GENESIS, []
    for row in rows:
        whole = dataclasses.replace(row, previous=before)
        found.append(dataclasses.replace(whole, hash=whole.digest()))
        before = found[-1].hash
    return found


def test_pins_come_in_the_order_of_the_ledger() -> None:
    """The oldest pin comes first, however params.yaml has them; runs of one row share it."""
    rows = chained(timed([entry("accept"), entry("reject"), entry("accept", "Bob")]))
    given_pins = {"guarded-2": rows[2].hash[:12], "base": rows[0].hash, "guarded-1": rows[0].hash[:20]}
    assert list(pins.rows(given_pins, rows).items()) == [(rows[0].hash, 1), (rows[2].hash, 3)]
    assert pins.rows({}, rows) == {}


def test_a_row_that_the_ledger_does_not_have() -> None:
    """The run, the row and both ways on are named."""
    with pytest.raises(UserError, match=r"pins\.guarded-1: data/ledger\.csv has no row .* abcdefabcdef.*git log.*"
                       "take the line out"):  # fmt: skip
        pins.rows({"guarded-1": "abcdefabcdef"}, chained([entry("accept")]))


def test_the_row_of_a_version(tmp_path: Path) -> None:
    """It is read as it was written; a missing or damaged file is named with what to do."""
    path = tmp_path / "row.json"
    with pytest.raises(UserError, match="is missing"):
        pins.read_row(path)
    files.write_json(path, {"row": sha("row")})
    assert pins.read_row(path) == sha("row")
    path.write_text("{}")
    with pytest.raises(UserError, match=r"names no row.*dvc repro"):
        pins.read_row(path)
