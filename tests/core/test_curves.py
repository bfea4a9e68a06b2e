"""Precision-recall curves against average precision."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core import curves, metrics
from pipeline.core.metrics import Detections, Truth


def some(seed: int) -> tuple[Detections, Truth]:
    """Random boxes on 6 images and 4 classes, the last without truth, the third without detections."""
    rng = np.random.default_rng(seed)

    def boxes(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        low = rng.integers(0, 6, size=(count, 2)).astype(float)
        return np.concatenate([low, low + rng.integers(4, 8, size=(count, 2))], axis=1)

    truth = Truth(image=np.sort(rng.integers(0, 6, 40)), class_id=rng.integers(0, 3, 40), box=boxes(40))
    classes = rng.choice([0, 1, 3], 90)
    found = Detections(
        image=np.sort(rng.integers(0, 6, 90)), class_id=classes, confidence=rng.random(90), box=boxes(90)
    )
    return found, truth


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_of_a_curve_is_average_precision(seed: int) -> None:
    """Averaged over recall, the curves give the AP of metrics; a class without truth has -1 throughout."""
    found, truth = some(seed)
    matches = metrics.match(found, truth, images=6, classes=4)
    drawn = curves.curves(matches, found)
    expected = metrics.average_precision(matches)[0]
    np.testing.assert_allclose(drawn.precision[:, :3].mean(axis=2).T, expected[:3], atol=1e-12)
    assert (drawn.precision[:, 3] == -1).all()
    assert (drawn.recall[:, 2] == 0).all()


def test_overlap_is_that_of_the_match() -> None:
    """A match has its IoU, at least 0.5; a false positive has none."""
    found, truth = some(1)
    matches = metrics.match(found, truth, images=6, classes=4)
    shared = curves.overlap(matches, found, truth)
    hit = matches.matched_truth[0] >= 0
    assert hit.any()
    assert (shared[hit] >= 0.5).all()
    assert np.isnan(shared[~hit]).all()
