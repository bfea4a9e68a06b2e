"""Cut-out objects of one class, side by side: the picture that shows what a generator makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import images, labels, manifest
from pipeline.core.manifest import Row

SIDE = 32  # pixels of a crop
_MARGIN = 0.15  # around the box, as a fraction of its longer side
_EMPTY = 255


def rarest(rows: Sequence[Row], *, classes: int) -> int:
    """The class with the fewest boxes among those that have any; of equals the first.

    Raises:
        ValueError: no box at all.
    """
    counts = manifest.class_counts(rows, classes)
    return min((count, number) for number, count in enumerate(counts) if count)[1]


def strip(rows: Sequence[Row], folder: Path, class_id: int, *, number: int) -> npt.NDArray[np.uint8]:
    """The first objects of a class, side by side; white where there are fewer.

    Args:
        rows: of the images, whose paths are relative to the folder.
        folder: of the run.
        class_id: of the objects, as they are labelled.
        number: of crops.

    Returns:
        BGR, shape (SIDE, number * SIDE, 3).
    """
    result = np.full((SIDE, number * SIDE, 3), _EMPTY, dtype=np.uint8)
    position = 0
    for row in rows:
        if class_id not in dict(row.boxes):
            continue
        path = folder / row.path
        pixels = images.read(path)
        for box in labels.read(manifest.label_path(path)):
            if box.class_id == class_id and position < number:
                result[:, position * SIDE : (position + 1) * SIDE] = _cut(pixels, box)
                position += 1
        if position == number:
            break
    return result


def _cut(pixels: npt.NDArray[np.uint8], box: labels.Box) -> npt.NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    side = max(round((1 + 2 * _MARGIN) * max(box.width * width, box.height * height)), 2)
    left, top = round(box.x * width - side / 2), round(box.y * height - side / 2)
    padded = cv2.copyMakeBorder(pixels, side, side, side, side, cv2.BORDER_REPLICATE)
    cut = padded[top + side : top + 2 * side, left + side : left + 2 * side]
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
