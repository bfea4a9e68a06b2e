"""How well a detector fits what it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core import fits, metrics
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure
from pipeline.core.metrics import Detections, Matches, Truth
from tests import builders


def matches(found: list[bool]) -> Matches:
    """One box an image, of class 0, found or not; class 1 has none."""
    count = len(found)
    image, zeros = np.arange(count), np.zeros(count, dtype=np.int64)
    box = np.tile([0.0, 0.0, 8.0, 8.0], (count, 1))
    hit = np.array(found, dtype=bool)
    truth = Truth(image=image, class_id=zeros, box=box)
    seen = Detections(image=image[hit], class_id=zeros[hit], confidence=np.full(hit.sum(), 0.9), box=box[hit])
    return metrics.match(seen, truth, images=count, classes=2)


def test_gap() -> None:
    """A detector that knows its training images by heart is seen to."""
    given = Figure(value=0.4, low=0.3, high=0.5)
    one = fits.fit(
        matches([True] * 20), matches([True] * 5 + [False] * 15), given,
        names=["cat", "lynx"], losses={"box": (1.0,)}, source=np.random.default_rng(0),
    )  # fmt: skip
    seen = one.train_map50
    assert (seen.value, seen.low, seen.high) == pytest.approx((1, 1, 1))
    assert seen.samples == 20
    assert one.val_map50.value == pytest.approx(26 / 101)  # 26 of COCO's 101 levels of recall are reached
    assert one.val_map50.low is not None
    assert one.val_map50.high is not None
    assert one.val_map50.low < 26 / 101 < one.val_map50.high
    assert one.test_map50 == given
    assert one.train_ap50 == {"cat": pytest.approx(1), "lynx": None}


def test_nothing_to_fit() -> None:
    """Training images without a box have no mAP: absent, with the reason."""
    none = metrics.match(
        Detections(image=np.zeros(0, int), class_id=np.zeros(0, int), confidence=np.zeros(0), box=np.zeros((0, 4))),
        Truth(image=np.zeros(0, int), class_id=np.zeros(0, int), box=np.zeros((0, 4))),
        images=3,
        classes=1,
    )
    one = fits.fit(none, none, Figure(value=None), names=["cat"], losses={}, source=np.random.default_rng(0))
    assert one.train_map50 == Figure(value=None, reason="no training image has a box")
    assert one.val_map50_95 is None


def test_sample() -> None:
    """A sample has each image once, in its order, and is the same for the same source."""
    rows = [builders.row(f"image {number}") for number in range(30)]
    some = fits.sample([*rows, *rows], most=10, source=np.random.default_rng(3))
    assert len(some) == len({row.path for row in some}) == 10
    assert some == [row for row in rows if row in some]
    assert some == fits.sample([*rows, *rows], most=10, source=np.random.default_rng(3))
    assert fits.sample(rows, most=30, source=np.random.default_rng(3)) == rows


def test_losses(tmp_path: Path) -> None:
    """The curve of a training gives its losses by round; another file is refused."""
    path = tmp_path / "curve.csv"
    with pytest.raises(UserError, match="is missing"):
        fits.read_losses(path)
    path.write_text("epoch,train/box_loss,train/cls_loss,train/dfl_loss\n1,3,2,1\n2,2.5,1.5,0.5\n")
    assert fits.read_losses(path) == {"box": (3.0, 2.5), "class": (2.0, 1.5), "dfl": (1.0, 0.5)}
    path.write_text("epoch,loss\n1,3\n")
    with pytest.raises(UserError, match="holds no training losses"):
        fits.read_losses(path)
