"""Cut-out objects of one class, side by side: the picture that shows what a generator makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import images, labels, manifest, object_strips
from pipeline.core.manifest import Row

SIDE = 32  # pixels of a crop
_EMPTY = 255


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
                result[:, position * SIDE : (position + 1) * SIDE] = cv2.resize(
                    object_strips.square(pixels, box), (SIDE, SIDE), interpolation=cv2.INTER_AREA
                )
                position += 1
        if position == number:
            break
    return result
