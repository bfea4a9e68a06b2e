"""Small portraits of images, by which copies are recognised: enough to find one, too little to train on.

A portrait outlives its image: 4 KiB of grey values, and the digest of the pixels. Borders of one colour, as a
screenshot has them, are seen at full size and cut off: an image inside borders has a second sketch without them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import ahead, images
from pipeline.core.images import Pixels
from pipeline.core.manifest import Row

Sketch = npt.NDArray[np.uint8]
_Grey = npt.NDArray[np.uint8]

SIDE = 64  # pixels of a sketch, each way, whatever the shape of the image
_TOLERANCE = 6  # grey values by which a border's pixels may differ: JPEG leaves that much
_SHARE = 0.9  # of a line's pixels that have the border's colour
_CLEAR = 24.0  # grey values from the border's colour to a line that is no part of it for sure
_STEP = 4.0  # grey values between the means of two lines: less is no edge of a border
_RINGING = 16  # a border may end up to this part of the image later than where its colour is clean
_LEAST = 0.35  # of each side that has to be left; with less inside it, it is no border


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portrait:
    """What an image looks like.

    Attributes:
        image_id: of the image.
        name: what to call it in a message.
        pixels: SHA-256 of its width and its BGR pixels: the identity of an image that this project made.
        sketches: grey, shape (64, 64) each; of the whole, then without borders where there are some; none where the
            image is gone.
    """

    image_id: str
    name: str
    pixels: str
    sketches: tuple[Sketch, ...]


def portrait(pixels: Pixels, *, image_id: str, name: str) -> Portrait:
    """Take an image's portrait.

    Args:
        pixels: BGR, shape (height, width, 3).
        image_id: of the image.
        name: what to call it in a message.
    """
    return Portrait(image_id=image_id, name=name, pixels=pixel_digest(pixels), sketches=sketches(pixels))


def of_rows(rows: Iterable[Row]) -> Iterator[Portrait]:
    """Portraits of images on the disk, in their order.

    Raises:
        UserError: an image is missing or damaged.
    """
    return ahead.mapped(_of_row, rows)


def _of_row(row: Row) -> Portrait:
    return portrait(images.read(row.path), image_id=row.image_id, name=row.name)


def pixel_digest(pixels: Pixels) -> str:
    """SHA-256 of an image's width and BGR pixels, by which a synthetic image is named."""
    return hashlib.sha256(f"{pixels.shape[1]}\n".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def sketches(pixels: Pixels) -> tuple[Sketch, ...]:
    """An image in grey at 64 x 64 pixels; and once more without its borders of one colour, where it has some."""
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    inner = without_border(grey)
    return (_sketch(grey),) if inner.shape == grey.shape else (_sketch(grey), _sketch(inner))


def _sketch(grey: _Grey) -> Sketch:
    # OpenCV's mean over an area is one only where the image shrinks.
    shrinks = min(grey.shape) >= SIDE
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=way), dtype=np.uint8)


def without_border(grey: _Grey) -> _Grey:
    """The image inside its borders of one colour; the image itself where too little would be left.

    Brightness alone is looked at: JPEG spreads colour over 16 pixels, brightness over 8.

    Args:
        grey: shape (height, width).
    """
    height, width = grey.shape
    top, bottom = _lines(grey), _lines(grey[::-1])
    if height - top - bottom < max(_LEAST * height, 1):
        return grey
    rows = grey[top : height - bottom]
    columns = rows.T
    left, right = _lines(columns), _lines(columns[::-1])
    if width - left - right < max(_LEAST * width, 1):
        return grey
    return rows[:, left : width - right]


def _lines(grey: _Grey) -> int:
    """Number of rows at the top that have one colour, the colour of the first."""
    colour = int(np.median(grey[0]))
    count = 0
    while count < len(grey) and np.mean(np.abs(grey[count].astype(np.int16) - colour) <= _TOLERANCE) >= _SHARE:
        count += 1
    if count == 0 or count == len(grey):
        return 0
    if np.abs(grey[count].astype(np.int16) - colour).mean() > _CLEAR:
        return count
    # Compression blurred the border's end; the largest step from line to line is where it was.
    end = min(count + max(4, len(grey) // _RINGING), len(grey) - 1)
    steps = np.abs(np.diff(grey[count - 1 : end + 1].mean(axis=1)))
    return count + int(steps.argmax()) if steps.max() > _STEP else count
