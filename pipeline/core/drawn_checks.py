"""What holds of every synthetic image, whoever drew it; and what is said where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core import bounded
from pipeline.core.labels import Box
from pipeline.core.synthesis import Drawn

_TIMES = 8  # an image may be so many times as large, or as small, as any that it was learned from
_EDGE = 1e-6  # of the image: as exactly as boxes are written
_LEAST = 0.5  # pixels of a box's sides
_NAMED = 100  # characters of what is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the images of one run are held against.

    Attributes:
        classes: number of classes.
        parents: ids of the examples.
        sides: shortest and longest side of an example, in pixels.
        knows_parents: whether each image has to name a parent.
    """

    classes: int
    parents: frozenset[str]
    sides: tuple[int, int]
    knows_parents: bool


def checked(page: object, limits: Limits) -> Drawn:
    """The image in plain types, which share nothing with what its generator keeps.

    Raises:
        ValueError: it is not as it should be; the message says what was got and what was wanted.
    """
    if not isinstance(page, Drawn):
        raise ValueError(f"it gave {_kind(page)}, wanted a Drawn (pipeline.core.synthesis)")  # noqa: TRY004 - one kind
    pixels = _pixels(page.pixels, limits.sides)
    return Drawn(
        pixels=pixels,
        boxes=_boxes(page.boxes, limits.classes, (pixels.shape[1], pixels.shape[0])),
        parents=_parents(page.parents, limits),
        details=_details(page.details),
    )


def _kind(value: object) -> str:
    return f"{bounded.shown(value, most=_NAMED)} ({type(value).__name__})"


def _pixels(pixels: object, sides: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if not isinstance(pixels, np.ndarray):
        raise ValueError(f"pixels are {type(pixels).__name__}, wanted a NumPy array")  # noqa: TRY004 - one kind
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels are of type {pixels.dtype}, wanted uint8 from 0 to 255")
    if pixels.ndim != 3 or pixels.shape[2] != 3:  # noqa: PLR2004 - height, width, and three channels
        raise ValueError(f"pixels have the shape {pixels.shape}, wanted (height, width, 3) in BGR")
    low, high = max(sides[0] // _TIMES, 1), sides[1] * _TIMES
    if not low <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= high:
        raise ValueError(
            f"the image has {pixels.shape[1]} x {pixels.shape[0]} pixels, wanted sides from {low} to {high}: "
            f"the examples' are from {sides[0]} to {sides[1]}"
        )
    return np.array(pixels, dtype=np.uint8, order="C", subok=False)


def _boxes(boxes: object, classes: int, size: tuple[int, int]) -> tuple[Box, ...]:
    if not isinstance(boxes, Sequence) or isinstance(boxes, str):
        raise ValueError(f"boxes are {_kind(boxes)}, wanted a tuple of Box (pipeline.core.labels)")  # noqa: TRY004
    for number, box in enumerate(boxes):
        if not isinstance(box, Box):
            raise ValueError(f"box {number} is {_kind(box)}, wanted a Box (pipeline.core.labels)")  # noqa: TRY004
        if type(box.class_id) is not int or box.class_id >= classes:
            raise ValueError(f"box {number} is of class {box.class_id!r}, wanted 0 to {classes - 1}")
        outside = max(max(0 - one, one - 1) for one in box.corners())
        if outside > _EDGE:
            raise ValueError(
                f"box {number} lies outside the image by {outside:.3g} of its side, wanted all of it inside"
            )
        width, height = box.width * size[0], box.height * size[1]
        if min(width, height) < _LEAST:
            raise ValueError(f"box {number} is empty: {width:.3g} x {height:.3g} pixels, wanted a pixel each way")
    return tuple(
        Box(class_id=one.class_id, x=float(one.x), y=float(one.y), width=float(one.width), height=float(one.height))
        for one in boxes
    )


def _parents(parents: object, limits: Limits) -> tuple[str, ...]:
    if not isinstance(parents, Sequence) or isinstance(parents, str) or not all(type(one) is str for one in parents):
        raise ValueError(f"parents are {_kind(parents)}, wanted a tuple of the image_id of examples")
    if limits.knows_parents and not parents:
        raise ValueError("it has no parents, wanted the image_id of each example that it was made from, or most like")
    stranger = next((one for one in parents if one not in limits.parents), None)
    if stranger is not None:
        raise ValueError(f"its parent {bounded.shown(stranger, most=_NAMED)} is no example, wanted the image_id of one")
    return tuple(sorted(set(parents)))


def _details(details: object) -> dict[str, str]:
    if not isinstance(details, Mapping):
        raise ValueError(f"details are {_kind(details)}, wanted a mapping of text")  # noqa: TRY004 - one kind of error
    return {str(key): str(value) for key, value in details.items()}
