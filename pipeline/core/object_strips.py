"""Objects of one class side by side, one strip a run: what a generator makes of a class, generation by generation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.core import images, labels, manifest, pictures
from pipeline.core.errors import UserError
from pipeline.core.images import Pixels
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.pictures import Picture

SIDE = 48  # pixels of an object in the strip
_MARGIN = 0.15  # around the box, as a fraction of its longer side
_GAP = 2  # pixels between two objects
_PAPER = 255


def rarest(rows: Sequence[Row], *, classes: int) -> int | None:
    """The class with the fewest boxes among those that have any; of equals the first; None: there is no box."""
    counts = manifest.class_counts(rows, classes)
    return min(((count, number) for number, count in enumerate(counts) if count), default=(0, None))[1]


def strip(rows: Sequence[Row], class_id: int, *, most: int, alt: str) -> Picture | None:
    """The first objects of a class by image id, side by side; None where there is none on the disk.

    No more images are opened than are shown. An image that is not on the disk any more is passed over.

    Args:
        rows: of the images, whose paths are relative to the working directory.
        class_id: of the objects, as they are labelled.
        most: objects, at most.
        alt: what the picture shows, in words.
    """
    cuts: list[Pixels] = []
    tried = 0
    for row in sorted(rows, key=lambda row: row.image_id):
        if class_id not in dict(row.boxes):
            continue
        if len(cuts) >= most or tried >= most:  # where files are gone, most are: they are not all asked for
            break
        tried += 1
        cuts += _objects(row, class_id)
    if not cuts:
        return None
    gap = np.full((SIDE, _GAP, 3), _PAPER, dtype=np.uint8)
    parts = [part for one in cuts[:most] for part in (one, gap)][:-1]
    return pictures.encoded(np.concatenate(parts, axis=1), alt=alt)


def square(pixels: Pixels, box: Box) -> Pixels:
    """A square around a box; past the edge of the image, its outermost pixels go on."""
    height, width = pixels.shape[:2]
    side = max(round((1 + 2 * _MARGIN) * max(box.width * width, box.height * height)), 2)
    left, top = round(box.x * width - side / 2), round(box.y * height - side / 2)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    return np.asarray(pixels[np.ix_(rows, columns)], dtype=np.uint8)


def _objects(row: Row, class_id: int) -> list[Pixels]:
    try:
        boxes, pixels = labels.read(row.label_path), images.read(Path(row.path))
    except UserError:
        return []
    return [_cut(pixels, box) for box in boxes if box.class_id == class_id]


def _cut(pixels: Pixels, box: Box) -> Pixels:
    found = square(pixels, box)
    how = cv2.INTER_AREA if len(found) > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(found, (SIDE, SIDE), interpolation=how), dtype=np.uint8)
