"""Matches and resamples are the same for every run on the same images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import evaluation, metrics
from pipeline.core.evaluation import Evaluated
from pipeline.core.manifest import Row
from pipeline.core.metrics import Detections, Truth
from tests import builders

BOXES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), max_size=30)  # image, class


def split(count: int) -> list[Row]:
    """So many test images."""
    return [builders.row(f"test {number}", split="test") for number in range(count)]


def evaluated(boxes: list[tuple[int, int]], images: int = 8) -> Evaluated:
    """Boxes of which every one is found."""
    image = np.array([one for one, _ in boxes], dtype=np.int64)
    class_id = np.array([one for _, one in boxes], dtype=np.int64)
    place = np.array([[10 * n, 0, 10 * n + 8, 8] for n in range(len(boxes))], dtype=np.float64).reshape(-1, 4)
    truth = Truth(image=image, class_id=class_id, box=place)
    found = Detections(image=image, class_id=class_id, confidence=np.full(len(boxes), 0.9), box=place)
    matches = metrics.match(found, truth, images=images, classes=3)
    return Evaluated(found=found, truth=truth, boxes=None, matches=matches)  # type: ignore[arg-type]  # not looked at


@given(BOXES)
def test_strata_hold_every_image_once(boxes: list[tuple[int, int]]) -> None:
    """Strata divide the images: each is in one of them."""
    image, class_id = (np.array(column, dtype=np.int64) for column in zip(*boxes, strict=True)) if boxes else (
        np.zeros(0, np.int64), np.zeros(0, np.int64)
    )  # fmt: skip
    strata = evaluation.strata(image, class_id, 8)
    assert sorted(one for members in strata for one in members) == list(range(8))


def test_strata_go_by_the_scarcest_class() -> None:
    """An image with a common and a scarce class belongs to the scarce one; one without a box to none."""
    image, class_id = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 0, 0, 2])
    # supports: class 0 three, classes 1 and 2 one each
    assert evaluation.strata(image, class_id, 4) == [[0], [2], [1], [3]]


@given(BOXES, st.integers(0, 5))
def test_scarce_classes_stay(boxes: list[tuple[int, int]], seed: int) -> None:
    """Every resample has as many images as the split, and as many of them as hold the scarcest class."""
    one = evaluated(boxes)
    drawn = evaluation.resamples(one, split(8), seed=seed, replicates=20)
    assert drawn.shape == (20, 8)
    assert (drawn.sum(axis=1) == 8).all()
    if boxes:
        scarce = int(np.argmin([sum(c == k for _, c in boxes) or 99 for k in range(3)]))
        holding = sorted({image for image, c in boxes if c == scarce})
        assert (drawn[:, holding].sum(axis=1) == len(holding)).all()


def test_resamples_are_those_of_the_split() -> None:
    """The same images give the same resamples whatever the run found; other images or labels give others."""
    rows = split(8)
    one = evaluated([(0, 0), (1, 1), (2, 1), (3, 0), (4, 0), (5, 0)])
    first = evaluation.resamples(one, rows, seed=1, replicates=50)
    assert (first == evaluation.resamples(one, rows, seed=1, replicates=50)).all()
    relabelled = [builders.row("other", split="test"), *rows[1:]]
    assert (first != evaluation.resamples(one, relabelled, seed=1, replicates=50)).any()
    assert evaluation.split_digest(rows) != evaluation.split_digest(relabelled)


def test_mean_precision() -> None:
    """Classes without truth are left out of the mean; where there is none, there is no figure."""
    precision = np.full((2, 3, 10), np.nan)
    precision[0, 0], precision[0, 2] = 1.0, np.linspace(0.9, 0.0, 10)
    both = evaluation.mean_precision(precision)
    assert both[0] == pytest.approx([(1 + 0.45) / 2, 0.95])
    assert np.isnan(both[1]).all()
