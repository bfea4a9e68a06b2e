"""Corrected labels are kept by their digest, and what is not what it was named by is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import corrections, labels
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from tests.builders import row

SIDES = st.floats(0.01, 1.0)
BOXES = st.builds(Box, class_id=st.integers(0, 5), x=SIDES, y=SIDES, width=SIDES, height=SIDES).map(labels.rounded)


@settings(max_examples=40)
@given(boxes=st.lists(BOXES, max_size=5))
def test_round_trip(boxes: list[Box], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Boxes come back sorted as they were written, under the digest of their label file."""
    folder = tmp_path_factory.mktemp("corrections")
    digest = corrections.write(folder, boxes)
    assert digest == labels.digest(boxes)
    assert corrections.read(folder, digest) == sorted(boxes)
    assert [path.name for path in folder.iterdir()] == [f"{digest}.txt"]


def test_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image has the source's labels, in its own label file, and those of people, by their digests."""
    box = Box(class_id=0, x=0.5, y=0.5, width=0.2, height=0.2)
    monkeypatch.chdir(tmp_path)
    own = row(path="images/a.png", label_digest=labels.digest([box]))
    own.label_path.parent.mkdir()
    own.label_path.write_text(labels.format_boxes([box]))
    digest = corrections.write(tmp_path, [])
    assert corrections.version(tmp_path, own, own.label_digest) == [box]
    assert corrections.version(tmp_path, own, digest) == []


def test_edited(tmp_path: Path) -> None:
    """An edited file is no longer the labels that a person gave: it is refused, and can be restored."""
    digest = corrections.write(tmp_path, [Box(class_id=0, x=0.5, y=0.5, width=0.2, height=0.2)])
    corrections.path(tmp_path, digest).write_text("1 0.5 0.5 0.2 0.2\n")
    with pytest.raises(UserError, match=r"was edited; the ledger names other labels\. .*git checkout"):
        corrections.read(tmp_path, digest)
    assert corrections.write(tmp_path, [Box(class_id=0, x=0.5, y=0.5, width=0.2, height=0.2)]) == digest
    assert len(corrections.read(tmp_path, digest)) == 1


def test_missing(tmp_path: Path) -> None:
    """A missing file is an error that names the command that brings it back."""
    with pytest.raises(UserError, match=r"is missing; the ledger names .*git checkout -- "):
        corrections.read(tmp_path, "0" * 64)
