"""What every generator shares: the data it is fitted to, the layout of objects, backgrounds and blending.

A generator is a function that is fitted to examples and returns a function that draws; see :data:`Fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import images, labels
from pipeline.core.generate_settings import Generate

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
_FILL_SIDE = 160  # objects are filled in at this size: backgrounds are smooth, and inpainting is slow
_TRIES = 30  # places tried for an object before the page goes without it
_JITTER = 0.05  # of positions, as a fraction of the image
_CONTEXT = 0.15  # surroundings cut out with an object, as a fraction of its longer side


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training image that a generator is fitted to."""

    image_id: str
    path: Path
    boxes: tuple[labels.Box, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One synthetic image.

    Attributes:
        pixels: BGR, shape (height, width, 3).
        boxes: what was drawn where.
        parents: ids of the images that it was made from, sorted, each once.
        details: what else its provenance is to say, as plain text.
    """

    pixels: Pixels
    boxes: tuple[labels.Box, ...]
    parents: tuple[str, ...]
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a generator may want to know beside its examples; a fit that has a parameter ``task`` is given it.

    Attributes:
        run: that the images are for, as params.yaml names it.
        arm: of the run.
        generation: of the run, from 1.
        classes: names, by class id.
        depth: lineage depth of the deepest example.
        device: as ``train.device`` has it.
        scratch: a folder for what is kept when a fit is cut off. It is the same when the run goes on and nothing that
            goes in has changed, and is removed when all images are there.
    """

    run: str
    arm: str
    generation: int
    classes: tuple[str, ...]
    depth: int
    device: str | int
    scratch: Path


Draw = Callable[[np.random.Generator], Drawn]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batched:
    """What a fit returns in the place of a :data:`Draw` when it draws many images at once.

    Each image has a generator of random numbers of its own, seeded by the image's number: a batch that was cut off can
    be drawn again, and gives the same.

    Attributes:
        size: images a batch, at least 1; the last one may have fewer.
        draw: takes a generator of random numbers an image, gives as many images, in their order.
    """

    size: int
    draw: Callable[[Sequence[np.random.Generator]], list[Drawn]]


Fit = Callable[[Sequence[Example], Generate, np.random.Generator], Draw]  # what most are
AnyFit = Callable[..., Draw | Batched]  # some also take `task`, a Task, by that name


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelBox:
    """Whole pixels: left and top inclusive."""

    x: int
    y: int
    width: int
    height: int

    def cut(self, pixels: Pixels) -> Pixels:
        """The part of the image inside the box."""
        return pixels[self.y : self.y + self.height, self.x : self.x + self.width]

    def covered_by(self, other: PixelBox) -> float:
        """Share of this box that the other covers."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0) * max(height, 0) / (self.width * self.height)


def to_pixels(box: labels.Box, pixels: Pixels) -> PixelBox:
    """The box in whole pixels of the image, at least one pixel in size."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = box.corners()
    x, y = min(max(round(left * width), 0), width - 1), min(max(round(top * height), 0), height - 1)
    return PixelBox(x=x, y=y, width=max(round(right * width) - x, 1), height=max(round(bottom * height) - y, 1))


def to_label(box: PixelBox, class_id: int, pixels: Pixels) -> labels.Box:
    """The label of an object drawn at this place."""
    height, width = pixels.shape[:2]
    corners = (box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height)
    return labels.from_corners(class_id, corners)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How objects are laid out, as fitted: each array has one entry an image, or one an object.

    Attributes:
        counts: objects an image.
        classes: class id of each object.
        centres: centre of each object as fractions, shape (objects, 2).
        occlusion: largest share of an object that another may cover.
    """

    counts: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    centres: npt.NDArray[np.float64]
    occlusion: float

    def classes_of_a_page(self, rng: np.random.Generator) -> list[int]:
        """Class ids of the objects of one page: as many, and as often, as in the data."""
        if len(self.classes) == 0:
            return []
        return [int(self.classes[index]) for index in rng.integers(len(self.classes), size=rng.choice(self.counts))]

    def place(
        self, rng: np.random.Generator, size: tuple[int, int], page: Pixels, taken: Sequence[PixelBox]
    ) -> PixelBox | None:
        """A place for an object of ``size`` (width, height) pixels; None when the page is too crowded."""
        height, width = page.shape[:2]
        if size[0] > width or size[1] > height:
            return None
        for _ in range(_TRIES):
            centre = self.centres[rng.integers(len(self.centres))] + rng.normal(0, _JITTER, size=2)
            x = int(np.clip(round(centre[0] * width - size[0] / 2), 0, width - size[0]))
            y = int(np.clip(round(centre[1] * height - size[1] / 2), 0, height - size[1]))
            box = PixelBox(x=x, y=y, width=size[0], height=size[1])
            if all(max(old.covered_by(box), box.covered_by(old)) <= self.occlusion for old in taken):
                return box
        return None


def fit_layout(examples: Sequence[Example], *, occlusion: float | None = None) -> Layout:
    """Fit the layout to the examples.

    Args:
        examples: at least one image.
        occlusion: largest share of an object that another may cover; by default the 95 % quantile of the data.
    """
    boxes = [box for example in examples for box in example.boxes]
    if occlusion is None:
        covered = [_most_covered(example.boxes) for example in examples if len(example.boxes) > 1]
        occlusion = float(np.quantile(np.concatenate(covered), 0.95)) if covered else 0.0
    return Layout(
        counts=np.array([len(example.boxes) for example in examples], dtype=np.int64),
        classes=np.array([box.class_id for box in boxes], dtype=np.int64),
        centres=np.array([(box.x, box.y) for box in boxes], dtype=np.float64).reshape(-1, 2),
        occlusion=occlusion,
    )


def _most_covered(boxes: Sequence[labels.Box]) -> npt.NDArray[np.float64]:
    """For each box, the largest share of it that another box covers."""
    corners = np.array([box.corners() for box in boxes])
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    np.fill_diagonal(shared, 0)
    area = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    covered: npt.NDArray[np.float64] = (shared / area[:, None]).max(axis=1)
    return covered


def background(example: Example, rng: np.random.Generator) -> Pixels:
    """An example's image with its objects filled in from their surroundings, and with the image's own noise."""
    pixels = images.read(example.path)
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), dtype=np.uint8)
    for box in example.boxes:
        place = to_pixels(box, pixels)
        margin = 1 + round(0.05 * max(place.width, place.height))
        mask[max(place.y - margin, 0) : place.y + place.height + margin,
             max(place.x - margin, 0) : place.x + place.width + margin] = 255  # fmt: skip
    if not mask.any():
        return pixels
    scale = min(1.0, _FILL_SIDE / max(height, width))
    small = (max(round(width * scale), 1), max(round(height * scale), 1))
    small_mask = cv2.resize(mask, small, interpolation=cv2.INTER_NEAREST)
    if small_mask.all():  # no surroundings to fill from: flat, of what little there is, else of the object's own mean
        mean = pixels[mask == (255 if mask.all() else 0)].mean(axis=0)
        return np.broadcast_to(mean.astype(np.uint8), pixels.shape).copy()
    filled = cv2.inpaint(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), small_mask, 3, cv2.INPAINT_TELEA)
    fill = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    inside, outside = np.flatnonzero(mask), np.flatnonzero(mask == 0)
    blurred = cv2.GaussianBlur(pixels, (5, 5), 0)
    grain = _at(pixels, outside).astype(np.float32) - _at(blurred, outside)
    noise = rng.normal(0, float(grain.std()), size=mask.size)
    result = pixels.copy()
    result.reshape(-1, 3)[inside] = np.clip(_at(fill, inside) + noise[inside, None], 0, 255)
    return result


def _at(planes: npt.NDArray[Any], places: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Colours at flat places of an image, shape (places, 3)."""
    return planes.reshape(-1, 3).take(places, axis=0)


def context(width: int, height: int) -> int:
    """Pixels of surroundings that are cut out, and blended in, on each side of an object."""
    return max(1, round(_CONTEXT * max(width, height)))


def cut_with_context(pixels: Pixels, place: PixelBox) -> Pixels:
    """An object with its surroundings; beyond the image's edge, the edge is repeated."""
    margin = context(place.width, place.height)
    padded = cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    wide = PixelBox(x=place.x, y=place.y, width=place.width + 2 * margin, height=place.height + 2 * margin)
    return wide.cut(np.asarray(padded, dtype=np.uint8))


def rim_level(patch: Floats) -> Floats:
    """Median colour of a patch's outermost pixels: the light that the object stands in. Shape (3,)."""
    rim = np.concatenate([patch[0], patch[-1], patch[:, 0], patch[:, -1]])
    level: Floats = np.median(rim, axis=0).astype(np.float32)
    return level


def soft_mask(width: int, height: int, margin: int) -> Floats:
    """Opacity of an object with its surroundings: 1 on the object, falling to near 0 across the margin.

    Args:
        width: of the object, in pixels.
        height: of the object, in pixels.
        margin: surroundings on each side, in pixels.

    Returns:
        Shape (height + 2 * margin, width + 2 * margin).
    """

    def ramp(length: int) -> Floats:
        edge = np.minimum(np.arange(length), np.arange(length)[::-1]).astype(np.float32)
        return np.clip((edge + 1) / (margin + 1), 0, 1).astype(np.float32)

    mask: Floats = np.minimum(ramp(height + 2 * margin)[:, None], ramp(width + 2 * margin)[None, :])
    return mask


def blend(page: Pixels, patch: Floats, place: PixelBox, mask: Floats) -> Pixels:
    """A copy of the page with an object on it; what would lie outside the page is cut off.

    Args:
        page: BGR, shape (height, width, 3).
        patch: the object with its surroundings, as difference to the light that it stands in (see :func:`rim_level`).
        place: of the object alone; the patch is centred on it.
        mask: opacity in [0, 1], of the patch's height and width.
    """
    height, width = patch.shape[:2]
    x, y = place.x - (width - place.width) // 2, place.y - (height - place.height) // 2
    left, top = max(-x, 0), max(-y, 0)
    right, bottom = min(width, page.shape[1] - x), min(height, page.shape[0] - y)
    result = page.copy()
    under = result[y + top : y + bottom, x + left : x + right].astype(np.float32)
    light = np.median(under.reshape(-1, 3), axis=0)
    opacity = mask[top:bottom, left:right, None]
    mixed = under + opacity * (light + patch[top:bottom, left:right] - under)
    result[y + top : y + bottom, x + left : x + right] = np.clip(mixed, 0, 255).astype(np.uint8)
    return result
