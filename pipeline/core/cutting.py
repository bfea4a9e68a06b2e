"""Objects cut out of training images: each with its surroundings, its mask, and where it stood.

Where no mask exists, one is found inside the box by GrabCut (Rother, Kolmogorov & Blake 2004, "GrabCut"); an object for
which that gives too little or too much is used as it stands in its box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import images, synthesis
from pipeline.core.generate_settings import CopyPaste
from pipeline.core.synthesis import Example, PixelBox, Pixels

Mask = npt.NDArray[np.uint8]
_MOST = 2000  # objects a class; more add memory and hardly variety
_LONGEST = 512  # pixels of an object that is kept; a larger one is kept smaller
_GRAB_SIDE = 72  # pixels: masks are found at this size, for GrabCut takes time by the pixel
_GRAB_ROUNDS = 3
_LEAST, _LARGEST = 0.2, 0.97  # share of the box that a mask may fill
_REACH = 0.88  # of the box's width and height: people draw boxes about all of an object, so a mask ends near its sides
_TOUCHES = 0.004  # of the image's side: nearer to its edge, an object is taken for cut off by it
_LEAST_GRAB = 8  # pixels of a box's sides, under which there is no shape to be found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cutout:
    """One object.

    Attributes:
        pixels: BGR, with ``margin`` pixels of surroundings on each side; beyond the image's edge, the edge is repeated.
        mask: opacity of the object, 0 to 255, of the same height and width; None: its box is all that is known.
        margin: pixels on each side.
        shrunk: how much smaller it is kept than it was, in (0, 1].
        centre: as fractions of its image.
        bottom: lower edge, as a fraction of its image.
        size: root of its share of the image's area.
        light: median and spread of L (of CIE Lab) around it, in grey values, where no other object stands.
        edges: whether the image's left, top, right and bottom edge cut it off.
        image_id: of its image.
    """

    pixels: Pixels
    mask: Mask | None
    margin: int
    shrunk: float
    centre: tuple[float, float]
    bottom: float
    size: float
    light: tuple[float, float]
    edges: tuple[bool, bool, bool, bool]
    image_id: str

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height of the object alone, as it is kept."""
        return self.pixels.shape[1] - 2 * self.margin, self.pixels.shape[0] - 2 * self.margin


def collect(examples: Sequence[Example], settings: CopyPaste, rng: np.random.Generator) -> dict[int, list[Cutout]]:
    """Objects by class, in an order of chance; of common classes as many as the memory takes, of rare ones all.

    Raises:
        UserError: an image is missing or damaged.
    """
    wanted: dict[int, list[int]] = {}
    for number, index in _chosen(examples, settings.memory << 19, rng):
        wanted.setdefault(number, []).append(index)
    found: dict[int, list[Cutout]] = {}
    with ThreadPoolExecutor() as pool:  # decoding and GrabCut leave Python's lock
        cut = pool.map(lambda item: _of_image(examples[item[0]], item[1], settings), wanted.items())
        for (number, indices), cutouts in zip(wanted.items(), cut, strict=True):
            for index, cutout in zip(indices, cutouts, strict=True):
                found.setdefault(examples[number].boxes[index].class_id, []).append(cutout)
    return {class_id: found[class_id] for class_id in sorted(found)}


def _chosen(examples: Sequence[Example], budget: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Objects as number of the example and index of the box: one of each class in turn, until the memory is full."""
    places = [(number, index) for number, example in enumerate(examples) for index in range(len(example.boxes))]
    by_class: dict[int, list[tuple[int, int]]] = {}
    for position in rng.permutation(len(places)):
        number, index = places[position]
        members = by_class.setdefault(examples[number].boxes[index].class_id, [])
        if len(members) < _MOST:
            members.append((number, index))
    sizes: dict[int, tuple[int, int]] = {}
    for each in zip_longest(*(by_class[class_id] for class_id in sorted(by_class))):
        for place in each:
            if place is None:
                continue
            number, index = place
            if number not in sizes:
                sizes[number] = images.stored_size(examples[number].path)
            box = examples[number].boxes[index]
            width, height = box.width * sizes[number][0], box.height * sizes[number][1]
            margin = 2 * synthesis.context(round(width), round(height))
            scale = min(_LONGEST / max(width, height), 1)
            budget -= round((width + margin) * (height + margin) * scale**2) * 4
            yield place
        if budget < 0:
            return


def _of_image(example: Example, indices: Sequence[int], settings: CopyPaste) -> list[Cutout]:
    pixels = images.read(example.path)
    places = [synthesis.to_pixels(box, pixels) for box in example.boxes]
    return [_cutout(example, pixels, places, index, settings) for index in indices]


def _cutout(example: Example, pixels: Pixels, places: Sequence[PixelBox], index: int, settings: CopyPaste) -> Cutout:
    place, box = places[index], example.boxes[index]
    left, top, right, bottom = box.corners()
    crop = synthesis.cut_with_context(pixels, place)
    around = _surroundings(pixels, places, index)
    margin = synthesis.context(place.width, place.height)
    mask = _mask(around, margin) if settings.masks == "grabcut" else None
    scale = min(_LONGEST / max(place.width, place.height), 1.0)
    if scale < 1:
        size = (max(round(place.width * scale), 1), max(round(place.height * scale), 1))
        margin = round(margin * scale)
        whole = (size[0] + 2 * margin, size[1] + 2 * margin)
        crop = np.asarray(cv2.resize(crop, whole, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        mask = None if mask is None else np.asarray(cv2.resize(mask, whole, interpolation=cv2.INTER_AREA), np.uint8)
    return Cutout(
        pixels=np.ascontiguousarray(crop),
        mask=mask,
        margin=margin,
        shrunk=scale,
        centre=(box.x, box.y),
        bottom=bottom,
        size=float(np.sqrt(box.width * box.height)),
        light=_light(around.view.cut(pixels), around.free),
        edges=(left <= _TOUCHES, top <= _TOUCHES, right >= 1 - _TOUCHES, bottom >= 1 - _TOUCHES),
        image_id=example.image_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Surroundings:
    """An object where it stands.

    Attributes:
        view: the part of the image about it, in the image's pixels.
        inside: the object, in the view's pixels.
        look: the view with other objects painted over; None where nothing else is left beside the object.
        free: which pixels of the view no object takes.
    """

    view: PixelBox
    inside: PixelBox
    look: Pixels | None
    free: npt.NDArray[np.bool_]


def _surroundings(pixels: Pixels, places: Sequence[PixelBox], index: int) -> _Surroundings:
    """The object and what is about it: as much as is cut out, as far as the image goes.

    GrabCut takes all outside the box for background: a neighbour of the class would teach it that such objects are. So
    others are painted over where they stand beside this one.
    """
    place = places[index]
    margin = synthesis.context(place.width, place.height)
    height, width = pixels.shape[:2]
    x, y = max(place.x - margin, 0), max(place.y - margin, 0)
    right, bottom = min(place.x + place.width + margin, width), min(place.y + place.height + margin, height)
    view = PixelBox(x=x, y=y, width=right - x, height=bottom - y)
    inside = PixelBox(x=place.x - x, y=place.y - y, width=place.width, height=place.height)
    look = view.cut(pixels).copy()
    taken = np.zeros(look.shape[:2], dtype=bool)
    for one in places:
        if one is not place:
            taken[
                max(one.y - y, 0) : max(one.y - y + one.height, 0), max(one.x - x, 0) : max(one.x - x + one.width, 0)
            ] = True
    beside = np.ones(look.shape[:2], dtype=bool)
    beside[inside.y : inside.y + inside.height, inside.x : inside.x + inside.width] = False
    free = beside & ~taken
    if np.count_nonzero(free) < max(look.shape[:2]):
        return _Surroundings(view=view, inside=inside, look=None, free=free)
    look[beside & taken] = np.median(look[free], axis=0).astype(np.uint8)
    return _Surroundings(view=view, inside=inside, look=look, free=free)


def _light(view: Pixels, free: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Median and spread of L where no object stands; of all of the view where one stands everywhere."""
    level = cv2.cvtColor(view, cv2.COLOR_BGR2LAB)[:, :, 0]
    seen = level[free] if free.any() else level.ravel()
    return float(np.median(seen)), float(seen.std())


def _mask(around: _Surroundings, margin: int) -> Mask | None:
    """The object's mask, with surroundings as :func:`synthesis.cut_with_context` cuts them; None where none fits."""
    view, inside = around.view, around.inside
    if around.look is None or min(inside.width, inside.height) < _LEAST_GRAB:
        return None
    mask = _grabbed(around.look, inside)
    if mask is None:
        return None
    # What is repeated beyond the image's edge was no background to learn from; now it is added.
    beyond = (
        margin - inside.y,
        margin - (view.height - inside.y - inside.height),
        margin - inside.x,
        margin - (view.width - inside.x - inside.width),
    )
    return np.asarray(cv2.copyMakeBorder(mask, *beyond, cv2.BORDER_REPLICATE), dtype=np.uint8)


def _grabbed(look: Pixels, inside: PixelBox) -> Mask | None:
    """Opacity by GrabCut, 0 to 255; None where it finds too little, or that all of the box is the object."""
    scale = min(_GRAB_SIDE / max(look.shape[:2]), 1.0)
    small = cv2.resize(look, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else look
    x, y = round(inside.x * scale), round(inside.y * scale)
    right, bottom = round((inside.x + inside.width) * scale), round((inside.y + inside.height) * scale)
    rect = (x, y, min(right, small.shape[1]) - x, min(bottom, small.shape[0]) - y)
    if rect[2] < 1 or rect[3] < 1 or rect[2] * rect[3] == small.shape[0] * small.shape[1]:
        return None
    classes = np.zeros(small.shape[:2], dtype=np.uint8)
    models = np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)  # of this thread: GrabCut starts with k-means from random centres
    try:
        cv2.grabCut(small, classes, rect, models[0], models[1], _GRAB_ROUNDS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # too few pixels on one side for its mixtures of colours
        return None
    found = (classes & 1).astype(np.uint8)
    found = _largest(np.asarray(cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), dtype=np.uint8))
    share = np.count_nonzero(found) / (rect[2] * rect[3])
    _, _, across, down = cv2.boundingRect(found)
    if not _LEAST <= share <= _LARGEST or across < _REACH * rect[2] or down < _REACH * rect[3]:
        return None
    size = (look.shape[1], look.shape[0])
    grown = cv2.resize(found * np.uint8(255), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(grown, (3, 3), 0), dtype=np.uint8)


def _largest(found: Mask) -> Mask:
    """The largest part that hangs together, without holes."""
    outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros_like(found)
    if outlines:
        cv2.drawContours(whole, [max(outlines, key=cv2.contourArea)], -1, 1, thickness=cv2.FILLED)
    return whole
