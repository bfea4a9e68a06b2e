"""Small pictures for the report: pages with their label boxes, and crops of boxes that a run lost."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipeline.core import colours
from pipeline.core.images import Pixels
from pipeline.core.labels import Box

LONGEST = 160  # pixels: the longer side of a page in the report
_CROP = 120  # pixels: the side of a crop in the report
_CONTEXT = 2.2  # side of a crop, in longer sides of its box
_LEAST = 24  # pixels: least side of a crop in the image
_QUALITY = 80
_GREY = 128
_GAP = 6  # pixels between two pictures side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture within a page: a data URI, its size in pixels, and what it shows in words."""

    uri: str
    width: int
    height: int
    alt: str
    caption: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Pictures of one run, under a title.

    Attributes:
        arm: of the run; empty for the base.
        title: of the row.
        note: what is beside the title.
        newest: whether it is the arm's newest run.
        generation: of the run.
        pictures: may be none; ``missing`` then says why.
        missing: why there are no pictures.
    """

    arm: str
    title: str
    note: str
    newest: bool
    generation: int
    pictures: tuple[Picture, ...]
    missing: str = ""

    @property
    def size(self) -> int:
        """Characters of the pictures."""
        return sum(len(picture.uri) for picture in self.pictures)


def within(galleries: Sequence[Gallery], limit: int) -> list[Gallery]:
    """The galleries in their order, those of the oldest generations emptied where all together pass the limit.

    Args:
        galleries: generation 0 is kept longest, then the newest.
        limit: characters of all pictures together.
    """
    order = sorted(galleries, key=lambda one: (one.generation != 0, not one.newest, -one.generation))
    room, kept = limit, set()
    for one in order:
        room -= one.size
        if room >= 0:
            kept.add(id(one))
    reason = "left out to keep this page small"
    return [one if id(one) in kept else replace(one, pictures=(), missing=reason) for one in galleries]


def page(pixels: Pixels, boxes: Sequence[Box], *, alt: str, caption: tuple[str, ...] = ()) -> Picture:
    """A whole image with its boxes in the colours of their classes.

    A small image is scaled up by a whole number, so that its pixels stay crisp; a large one is scaled down.

    Args:
        pixels: BGR, shape (height, width, 3).
        boxes: fractions of the image.
        alt: what the picture shows, in words.
        caption: lines under it.
    """
    height, width = pixels.shape[:2]
    longer = max(height, width)
    scale = LONGEST // longer if longer <= LONGEST else LONGEST / longer
    canvas = _resized(pixels, round(width * scale), round(height * scale))
    for box in sorted(boxes, key=lambda box: -box.width * box.height):
        _outline(canvas, box.corners(), colours.class_colour(box.class_id))
    return encoded(canvas, alt=alt, caption=caption)


def crop(
    pixels: Pixels, corners: Sequence[float], class_id: int, *, alt: str, caption: tuple[str, ...] = ()
) -> Picture:
    """One box of an image with what is around it; where the image is too small for that, the rest is grey.

    Args:
        pixels: BGR, shape (height, width, 3).
        corners: left, top, right and bottom in pixels.
        class_id: gives the colour.
        alt: what the picture shows, in words.
        caption: lines under it.
    """
    left, top, right, bottom = corners
    side = max(round(_CONTEXT * max(right - left, bottom - top)), _LEAST)
    height, width = pixels.shape[:2]
    start_x, start_y = _start(left, right, side, width), _start(top, bottom, side, height)
    frame = np.full((side, side, 3), _GREY, dtype=np.uint8)
    from_x, to_x = max(start_x, 0), min(start_x + side, width)
    from_y, to_y = max(start_y, 0), min(start_y + side, height)
    if to_x > from_x and to_y > from_y:
        part = pixels[from_y:to_y, from_x:to_x]
        frame[from_y - start_y : to_y - start_y, from_x - start_x : to_x - start_x] = part
    canvas = _resized(frame, _CROP, _CROP)
    around = ((left - start_x) / side, (top - start_y) / side, (right - start_x) / side, (bottom - start_y) / side)
    _outline(canvas, around, colours.class_colour(class_id))
    return encoded(canvas, alt=alt, caption=caption)


def beside(left: Picture, right: Picture, *, alt: str, caption: tuple[str, ...] = ()) -> Picture:
    """Two pictures as one, side by side with a gap; both are brought to the lower one's height.

    Args:
        left: a picture.
        right: another one.
        alt: what both show, in words.
        caption: lines under them.
    """
    both = [_decoded(one) for one in (left, right)]
    height = min(len(pixels) for pixels in both)
    scaled = [_resized(pixels, round(pixels.shape[1] * height / len(pixels)), height) for pixels in both]
    gap = np.full((height, _GAP, 3), 255, dtype=np.uint8)
    return encoded(np.concatenate([scaled[0], gap, scaled[1]], axis=1), alt=alt, caption=caption)


def _decoded(picture: Picture) -> Pixels:
    data = np.frombuffer(base64.b64decode(picture.uri.partition(",")[2]), dtype=np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def _start(low: float, high: float, side: int, length: int) -> int:
    """Where a window of that side starts that has the span in its middle, or as near to it as the image allows."""
    start = round((low + high - side) / 2)
    return min(max(start, 0), length - side) if side <= length else start


def _resized(pixels: Pixels, width: int, height: int) -> Pixels:
    how = cv2.INTER_NEAREST if width >= pixels.shape[1] else cv2.INTER_AREA
    resized = cv2.resize(pixels, (max(width, 1), max(height, 1)), interpolation=how)
    return np.ascontiguousarray(resized, dtype=np.uint8)


def _outline(canvas: Pixels, corners: Sequence[float], colour: str) -> None:
    """Draw a box, given by fractions of the canvas, into it."""
    height, width = canvas.shape[:2]
    left, right = (min(max(round(corner * width), 0), width - 1) for corner in (corners[0], corners[2]))
    top, bottom = (min(max(round(corner * height), 0), height - 1) for corner in (corners[1], corners[3]))
    cv2.rectangle(canvas, (left, top), (right, bottom), colours.bgr(colour), thickness=2)


def encoded(canvas: Pixels, *, alt: str, caption: tuple[str, ...] = ()) -> Picture:
    """Pixels as they are, as PNG or JPEG, whichever is smaller.

    Args:
        canvas: BGR, shape (height, width, 3).
        alt: what the picture shows, in words.
        caption: lines under it.
    """
    png = cv2.imencode(".png", canvas, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    jpeg = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    kind, data = ("png", png) if len(png) <= len(jpeg) else ("jpeg", jpeg)
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Picture(uri=uri, width=canvas.shape[1], height=canvas.shape[0], alt=alt, caption=caption)
