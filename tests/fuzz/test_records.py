"""The project's own files, edited, cut off or merged badly, are refused with the file, the place and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core import acceptance_times, judgements, ledger, manifest, params, splits
from pipeline.core.errors import UserError
from tests.fuzz import records
from tests.fuzz.driving import put
from tests.fuzz.test_places import PLACES
from tests.fuzz.texts import Kinds, made

READERS: dict[str, tuple[Callable[[Path], object], str, Kinds]] = {
    "manifest": (manifest.read, "manifest.parquet", records.MANIFEST),
    "ledger": (ledger.read, "ledger.csv", records.LEDGER),
    "classes": (manifest.read_classes, "classes.json", records.CLASSES),
    "times": (acceptance_times.read, "times.csv", records.TIMES),
    "test split": (lambda path: splits.parse_lock(path.read_text(), str(path)), "test.lock", records.FROZEN),
    "verdict": (judgements.read, "verdict.json", records.RECORD),
    "params": (params.load, "params.yaml", records.PARAMS),
}


@pytest.mark.parametrize(
    ("reader", "kind"),
    [pytest.param(reader, kind, id=f"{reader}: {kind}") for reader, entry in READERS.items() for kind in entry[2]],
)
def test_record(tmp_path: Path, reader: str, kind: str) -> None:
    """A file is read, or refused by name with a reason of one short line."""
    read, name, kinds = READERS[reader]
    content, reason = kinds[kind]
    path = put(tmp_path / name, made(content))
    if reason is None:
        read(path)
        return
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert name in message
    assert reason in message
    assert len(message) < 1500
    assert message.isprintable()


@pytest.mark.parametrize("place", ["a pipe", "a folder", "a link to a device without end", "a terabyte of nothing"])
@pytest.mark.parametrize("reader", ["params", "manifest"])
def test_what_stands_in_a_records_place(tmp_path: Path, reader: str, place: str) -> None:
    """A pipe is not waited for, a device not read without end."""
    read, name, _ = READERS[reader]
    PLACES[place](tmp_path / name)
    with pytest.raises(UserError, match=name):
        read(tmp_path / name)


def test_a_class_that_there_is_not(tmp_path: Path) -> None:
    """A manifest that counts boxes of a class beyond the last names the image."""
    rows = manifest.read(put(tmp_path / "manifest.parquet", records.manifest(boxes=[(7, 1)])))
    with pytest.raises(UserError, match=r"a\.png has boxes of class 7, and there are 2"):
        manifest.class_counts(rows, 2)
    with pytest.raises(UserError, match=r"a\.png has boxes of class 7, and there are 2"):
        manifest.to_table(rows).class_counts(2)
