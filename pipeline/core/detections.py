"""Tables of predicted and labelled boxes, and their form for the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core import files, labels
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.metrics import Detections, Truth

PREDICTION_COLUMNS = ("split", "image_id", "class_id", "confidence", "left", "top", "right", "bottom")
BOX_COLUMNS = ("image_id", "box", "class_id", "left", "top", "right", "bottom", "found")


def round_predictions(frame: pd.DataFrame) -> pd.DataFrame:
    """Predictions as they are written: confidence to 1e-9, corners to a thousandth of a pixel.

    Figures are computed from these, so that anyone who reads the table gets the same ones.
    """
    digits = {"confidence": 9, "left": 3, "top": 3, "right": 3, "bottom": 3}
    # In single precision, 0.7 would be a little less than the 0.7 that is read from the file.
    return frame.astype(dict.fromkeys(digits, np.float64)).round(digits)[list(PREDICTION_COLUMNS)]


def write(path: Path, frame: pd.DataFrame) -> None:
    """Write a table of predictions or boxes."""
    files.write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def read(path: Path) -> pd.DataFrame:
    """Read a table of predictions or boxes.

    Raises:
        UserError: it is missing.
    """
    try:
        return pd.read_csv(path, dtype={"split": str, "image_id": str})
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None


def to_detections(frame: pd.DataFrame, rows: Sequence[Row]) -> Detections:
    """The predictions for these images; an image's number is its position in ``rows``."""
    numbers = {row.image_id: number for number, row in enumerate(rows)}
    chosen = frame[frame["image_id"].isin(numbers)]
    return Detections(
        image=np.array([numbers[image_id] for image_id in chosen["image_id"]], dtype=np.int64),
        class_id=chosen["class_id"].to_numpy(dtype=np.int64),
        confidence=chosen["confidence"].to_numpy(dtype=np.float64),
        box=chosen[["left", "top", "right", "bottom"]].to_numpy(dtype=np.float64),
    )


def labelled_boxes(rows: Sequence[Row]) -> pd.DataFrame:
    """The labelled boxes of these images, corners in pixels; ``box`` is the line of the label file, from 0."""
    records = []
    for row in rows:
        for number, box in enumerate(labels.read(row.label_path)):
            left, top, right, bottom = box.corners()
            corners = (left * row.width, top * row.height, right * row.width, bottom * row.height)
            records.append((row.image_id, number, box.class_id, *(round(corner, 3) for corner in corners)))
    return pd.DataFrame(records, columns=list(BOX_COLUMNS[:-1]))


def to_truth(frame: pd.DataFrame, rows: Sequence[Row]) -> Truth:
    """The labelled boxes as truth; an image's number is its position in ``rows``."""
    numbers = {row.image_id: number for number, row in enumerate(rows)}
    return Truth(
        image=np.array([numbers[image_id] for image_id in frame["image_id"]], dtype=np.int64),
        class_id=frame["class_id"].to_numpy(dtype=np.int64),
        box=frame[["left", "top", "right", "bottom"]].to_numpy(dtype=np.float64).reshape(-1, 4),
    )
