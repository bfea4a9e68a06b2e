"""A source is counted as ingest will count it, and measured by the headers of its images."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core import surveys
from pipeline.core.sources import reading
from pipeline.core.surveys import Survey
from tests import dataset_builders as datasets


def look(root: Path, kind: str = "yolo", *, max_pixels: int = 10**8, most: int = 2000) -> Survey:
    """The survey of a dataset."""
    return surveys.survey(reading.read(kind, root), max_pixels=max_pixels, tolerance=0.01, most=most)


def test_counts_and_sizes(tmp_path: Path) -> None:
    """Images and boxes by split, and sizes as fractions of the longer side and in pixels."""
    found = look(datasets.yolo(tmp_path / "a", {"train": 4, "val": 2, "test": 3}))
    assert found.images == {"train": 4, "val": 2, "test": 3}
    cat, dog = found.classes
    assert dict(cat.boxes) == {"train": 4, "val": 2, "test": 3}
    assert cat.small == pytest.approx(0.25, abs=1e-3)
    assert dog.large == pytest.approx(0.5, abs=1e-3)
    assert dog.pixels == pytest.approx(32, abs=0.1)
    assert found.sides == (64, 64, 64)
    assert found.has_splits
    assert (found.share(cat), found.share(cat, "val")) == (0.5, 0.5)


def test_pixels_and_fractions_are_one(tmp_path: Path) -> None:
    """Boxes in pixels are measured like boxes in fractions, without a size in the annotation too."""
    found = look(datasets.voc(tmp_path / "a", 3), "voc")
    (cat,) = found.classes
    assert cat.pixels == pytest.approx((16 * 12) ** 0.5, abs=0.01)
    assert cat.large == pytest.approx(16 / 64, abs=1e-4)
    assert found.images == {"": 3}
    assert not found.has_splits


def test_what_cannot_be_used_is_counted_with_examples(tmp_path: Path) -> None:
    """Boxes outside the frame, labels without an image, images without a label, and broken headers."""
    root = datasets.yolo(tmp_path / "a", {"train": 6})
    (root / "train/labels/train000.txt").write_text("0 0.99 0.5 0.4 0.2\n1 0.5 0.5 0.2 0.2\n9 0.5 0.5 0.1 0.1\n")
    (root / "train/labels/train001.txt").unlink()
    (root / "train/images/train002.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (root / "train/labels/alone.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    found = look(root)
    assert (found.usable, found.refused_images, found.found_images) == (4, 2, 6)
    assert found.boxes == 1 + 3 * 2
    assert found.refused_boxes == 2 + 2 + 1  # outside and beyond the list; of the broken image; of none
    assert found.found_boxes == found.boxes + found.refused_boxes
    assert any("no label file" in one for one in found.examples)


def test_only_some_headers_are_read_of_many(tmp_path: Path) -> None:
    """All labels count, whatever is measured."""
    found = look(datasets.yolo(tmp_path / "a", {"train": 9}), most=3)
    assert (found.measured, found.usable, found.boxes) == (3, 9, 18)


def test_too_many_pixels(tmp_path: Path) -> None:
    """An image over the limit is told by its header; its boxes cannot be used either."""
    found = look(datasets.yolo(tmp_path / "a", {"train": 2}), max_pixels=100)
    assert (found.usable, found.refused_boxes, found.sides) == (0, 4, None)
    assert "wanted at most 100" in found.examples[0]
    assert [one.small for one in found.classes] == [None, None]
    assert found.share(found.classes[0]) is None
