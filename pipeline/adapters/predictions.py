"""Predictions as the table that is kept; apart from training, which does not depend on how a table looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.adapters import yolo
from pipeline.core import detections
from pipeline.core.manifest import Row


def predict(weights: Path, rows: Sequence[Row], *, image_size: int, device: str | int, floor: float) -> pd.DataFrame:
    """Predict on images once, at a low floor; everything else is derived from this table.

    Args:
        weights: of the detector.
        rows: the images.
        image_size: side in pixels to which images are scaled.
        device: as in params.yaml.
        floor: lowest confidence that is kept, in (0, 1).

    Returns:
        The columns of :data:`detections.PREDICTION_COLUMNS`, in the order of the images.

    Raises:
        UserError: the weights cannot be loaded, or an image is missing.
    """
    listed = [Path(row.path) for row in rows]
    found = yolo.predict(weights, listed, image_size=image_size, confidence=floor, device=device)
    records = [
        (row.split, row.image_id, class_id, confidence, *box)
        for row, one in zip(rows, found, strict=True)
        for class_id, confidence, box in zip(one.classes, one.confidences, one.boxes, strict=True)
    ]
    return detections.round_predictions(pd.DataFrame(records, columns=list(detections.PREDICTION_COLUMNS)))
