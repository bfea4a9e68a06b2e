"""The strip of one class: which objects it shows, and what it leaves out."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.core import files, images, labels, object_strips
from pipeline.core.images import Pixels
from pipeline.core.manifest import Row
from pipeline.core.object_strips import SIDE
from pipeline.core.pictures import Picture
from tests import builders

GREYS = {0: 40, 1: 120, 2: 220}  # of the objects of each class


def stored(name: str, *classes: int) -> Row:
    """An image with one square object of each of some classes, each of its own grey, on the disk."""
    row = builders.row(name, boxes=tuple((number, classes.count(number)) for number in sorted(set(classes))))
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    boxes = [builders.box(number, x=0.2 + 0.3 * place, y=0.5) for place, number in enumerate(classes)]
    for box in boxes:
        left, top, right, bottom = (round(64 * corner) for corner in box.corners())
        pixels[top:bottom, left:right] = GREYS[box.class_id]
    files.write_bytes(Path(row.path), images.encode_png(pixels))
    files.write_text(row.label_path, labels.format_boxes(boxes))
    return row


def decoded(picture: Picture | None) -> Pixels:
    """The pixels of a picture."""
    assert picture is not None
    data = np.frombuffer(base64.b64decode(picture.uri.partition(",")[2]), dtype=np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_objects_of_the_class_alone() -> None:
    """Objects of the class stand side by side, those of one image too; other classes and images are passed over."""
    rows = [stored("a", 0, 1), stored("b", 0), stored("c", 1, 1)]
    shown = decoded(object_strips.strip(rows, 1, most=9, alt="ones"))
    assert shown.shape[0] == SIDE
    assert shown.shape[1] // SIDE == 3
    middles = [shown[SIDE // 2, SIDE // 2 + place * (SIDE + 2), 0] for place in range(3)]
    assert np.allclose(middles, GREYS[1], atol=6)


def test_no_more_than_asked_for_and_in_a_fixed_order() -> None:
    """So many objects are shown, and which ones does not depend on the order of the rows."""
    rows = [stored(name, 2) for name in "abcde"]
    first = object_strips.strip(rows, 2, most=2, alt="")
    assert decoded(first).shape[1] == 2 * SIDE + 2
    assert object_strips.strip(rows[::-1], 2, most=2, alt="") == first


def test_what_is_gone_is_passed_over() -> None:
    """An image that is not on the disk is left out; where none is there, there is no strip."""
    rows = [stored(name, 0) for name in "ab"]
    Path(rows[0].path).unlink()
    assert decoded(object_strips.strip(rows, 0, most=4, alt="")).shape[1] == SIDE
    Path(rows[1].path).unlink()
    assert object_strips.strip(rows, 0, most=4, alt="") is None
    assert object_strips.strip(rows, 1, most=4, alt="") is None


def test_images_that_are_gone_are_not_all_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a run's files are gone, no more images are tried than objects are shown."""
    tried: list[Path] = []

    def read(path: Path) -> list[labels.Box]:
        tried.append(path)
        return []

    monkeypatch.setattr(labels, "read", read)
    monkeypatch.setattr(images, "read", lambda _: np.zeros((8, 8, 3), dtype=np.uint8))
    assert object_strips.strip([builders.row(f"{name}") for name in range(50)], 0, most=3, alt="") is None
    assert len(tried) == 3


def test_rarest() -> None:
    """The class with the fewest boxes among those that have any; none where there is no box."""
    rows = [builders.row("a", boxes=((0, 5), (2, 1))), builders.row("b", boxes=((3, 1),))]
    assert object_strips.rarest(rows, classes=5) == 2
    assert object_strips.rarest([builders.row("c", boxes=())], classes=5) is None
