"""Cut objects out of training images and paste them onto other backgrounds.

Source of the idea: Dwibedi, Misra & Hebert 2017, "Cut, Paste and Learn".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import blending, cutting, placing, synthesis
from pipeline.core.cutting import Cutout
from pipeline.core.generate_settings import CopyPaste, Generate
from pipeline.core.placing import Page, Places, Rules
from pipeline.core.synthesis import Drawn, Example, Floats, PixelBox, Pixels

VERSION = "2"
_BLENDS = {"soft": blending.soft, "poisson": blending.poisson, "multiband": blending.multiband}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patch:
    """An object as it will be pasted.

    Attributes:
        pixels: BGR, the object with its surroundings.
        opacity: in [0, 1], of the same height and width.
        left, top: where the object's box begins in it, in pixels.
        size: width and height of the object's box.
    """

    pixels: Pixels
    opacity: Floats
    left: int
    top: int
    size: tuple[int, int]


class _Backgrounds:
    """Images with their objects filled in, each made once and kept while there is memory."""

    def __init__(self, examples: Sequence[Example], budget: int, seed: int) -> None:
        """Start with none; the budget is in bytes."""
        self._examples, self._left, self._seed = examples, budget, seed
        self._kept: dict[int, Pixels] = {}

    def copy_of(self, number: int) -> Pixels:
        """A background that may be painted on; the same whether it was kept or not."""
        kept = self._kept.get(number)
        if kept is not None:
            return kept.copy()
        made = synthesis.background(self._examples[number], np.random.default_rng([self._seed, number]))
        if made.nbytes <= self._left:
            self._left -= made.nbytes
            self._kept[number] = made.copy()
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Class:
    """The objects of one class, and how often each was pasted."""

    cutouts: list[Cutout]
    lengths: npt.NDArray[np.float64]  # root of the area of each as it was, in pixels
    used: npt.NDArray[np.int64]

    def choose(self, rng: np.random.Generator, wanted: float, settings: CopyPaste) -> tuple[int, float]:
        """An object that can be made so large, and the scale for that; the nearest in size where there is none.

        Args:
            rng: of the draw.
            wanted: root of the area, in pixels.
            settings: the scales that are allowed, and how often an object may be used.
        """
        left = self.used < settings.max_repeats
        scales = wanted / self.lengths
        low, high = settings.scale
        fitting = np.flatnonzero(left & (scales >= low) & (scales <= high))
        if len(fitting):
            index = int(fitting[rng.integers(len(fitting))])
        else:
            allowed = np.flatnonzero(left)
            index = int(allowed[np.argmin(np.abs(np.log(scales[allowed])))])
        return index, float(np.clip(scales[index], low, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """All that pages are drawn from."""

    examples: Sequence[Example]
    settings: CopyPaste
    backgrounds: _Backgrounds
    classes: dict[int, _Class]
    places: dict[int, Places]
    rules: Rules
    counts: npt.NDArray[np.int64]
    weights: dict[int, float] = field(default_factory=dict)

    def page(self, rng: np.random.Generator) -> Drawn:
        """Draw one page: first all places, then the objects from back to front."""
        number = int(rng.integers(len(self.examples)))
        pixels = self.backgrounds.copy_of(number)
        height, width = pixels.shape[:2]
        page = Page(width, height, self.rules)
        objects: list[tuple[PixelBox, _Patch, int, str]] = []
        for _ in range(int(rng.choice(self.counts))):
            class_id = self._class(rng)
            if class_id is None:
                break
            across, down, size = self.places[class_id].draw(rng, number)
            members = self.classes[class_id]
            index, scale = members.choose(rng, size * float(np.sqrt(width * height)), self.settings)
            cutout = members.cutouts[index]
            patch = _changed(cutout, scale, self.settings, rng)
            box = page.place(rng, patch.size, (across, down), cutout.edges, jitter=self.places[class_id].kernel)
            if box is not None:
                members.used[index] += 1
                # In the light of the page as it is before anything is pasted.
                fitting = _lit(pixels, box, patch, cutout) if self.settings.light == "match" else patch
                objects.append((box, fitting, class_id, cutout.image_id))
        # What stands lower stands nearer.
        for box, patch, _, _ in sorted(objects, key=lambda one: one[0].y + one[0].height):
            _paste(pixels, box, patch, self.settings.blend)
        return Drawn(
            pixels=pixels,
            boxes=tuple(synthesis.to_label(page.visible(box), class_id, pixels) for box, _, class_id, _ in objects),
            parents=tuple(sorted({self.examples[number].image_id, *(image_id for _, _, _, image_id in objects)})),
        )

    def _class(self, rng: np.random.Generator) -> int | None:
        """A class, by its weight among those that have an object left; None where all are used up."""
        left = [one for one in self.weights if self.classes[one].used.min() < self.settings.max_repeats]
        if not left:
            return None
        total = np.cumsum([self.weights[one] for one in left])
        return left[int(np.searchsorted(total, rng.random() * total[-1], side="right"))]


def _changed(cutout: Cutout, scale: float, settings: CopyPaste, rng: np.random.Generator) -> _Patch:
    """An object with its surroundings, scaled, rotated and coloured anew; one that an edge cuts off stays upright."""
    angle = 0.0 if any(cutout.edges) else rng.uniform(-settings.rotate, settings.rotate)
    tint = 1 + rng.uniform(-settings.colour, settings.colour, size=3)
    light = ((1 + rng.uniform(-settings.brightness, settings.brightness)) * tint).astype(np.float32)
    scale /= cutout.shrunk
    width, height = _turned(*cutout.shape, angle, scale)
    margin = synthesis.context(width, height)
    size = (width + 2 * margin, height + 2 * margin)
    before = cutout.pixels.shape
    turn = cv2.getRotationMatrix2D((before[1] / 2, before[0] / 2), angle, scale)
    turn[:, 2] += ((size[0] - before[1]) / 2, (size[1] - before[0]) / 2)
    turned = cv2.warpAffine(cutout.pixels, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lit = cv2.multiply(turned, (*light.tolist(), 0.0), dtype=cv2.CV_8U)
    if cutout.mask is None:
        opacity = synthesis.soft_mask(width, height, margin)
    else:
        opacity = cv2.warpAffine(cutout.mask, turn, size, flags=cv2.INTER_LINEAR).astype(np.float32) / np.float32(255)
    return _Patch(
        pixels=np.asarray(lit, dtype=np.uint8), opacity=opacity, left=margin, top=margin, size=(width, height)
    )


def _turned(width: int, height: int, angle: float, scale: float) -> tuple[int, int]:
    """Width and height of a turned object, taken for an ellipse: the box of its turned box would be too large."""
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return (
        max(round(float(scale * np.hypot(width * cosine, height * sine))), 2),
        max(round(float(scale * np.hypot(width * sine, height * cosine))), 2),
    )


def _on_page(page: Pixels, box: PixelBox, patch: _Patch) -> tuple[Pixels, tuple[slice, slice]]:
    """The part of the page that a patch goes to, and the part of the patch that lies on the page."""
    height, width = patch.opacity.shape
    x, y = box.x - patch.left, box.y - patch.top
    left, top = max(-x, 0), max(-y, 0)
    right, bottom = min(width, page.shape[1] - x), min(height, page.shape[0] - y)
    return page[y + top : y + bottom, x + left : x + right], (slice(top, bottom), slice(left, right))


def _lit(page: Pixels, box: PixelBox, patch: _Patch, cutout: Cutout) -> _Patch:
    """The patch in the light of its place."""
    under, _ = _on_page(page, box, patch)
    light = None if cutout.mask is None else cutout.light
    return replace(patch, pixels=blending.matched(patch.pixels, under, light))


def _paste(page: Pixels, box: PixelBox, patch: _Patch, blend: str) -> None:
    """Paint the object onto the page, as far as it lies on it."""
    under, part = _on_page(page, box, patch)
    opacity = patch.opacity[part]
    # At the page's edge there is nothing around the object for gradients or bands to go over into.
    _BLENDS[blend if opacity.shape == patch.opacity.shape else "soft"](under, patch.pixels[part], opacity)


def fit(examples: Sequence[Example], params: Generate, rng: np.random.Generator) -> synthesis.Draw:
    """Cut the objects out, and learn where they stand and how often; backgrounds are made when they are drawn."""
    settings = params.copy_paste
    cutouts = cutting.collect(examples, settings, rng)
    classes = {
        class_id: _Class(
            cutouts=members,
            lengths=np.array([np.sqrt(one.shape[0] * one.shape[1]) / one.shrunk for one in members]),
            used=np.zeros(len(members), dtype=np.int64),
        )
        for class_id, members in cutouts.items()
    }
    counts = np.array([len(example.boxes) for example in examples], dtype=np.int64)
    places = placing.learn(examples)
    occlusion = settings.max_occlusion
    if occlusion is None:
        occlusion = placing.occlusion_of(synthesis.fit_layout(examples).occlusion)
    model = _Model(
        examples=examples,
        settings=settings,
        backgrounds=_Backgrounds(examples, settings.memory << 19, int(rng.integers(2**31))),
        classes=classes,
        places=places,
        rules=Rules(occlusion=occlusion, truncated=settings.truncated, most_truncated=settings.max_truncation),
        counts=counts,
        weights={class_id: len(places[class_id].feet) ** (1 - settings.rare_boost) for class_id in classes},
    )
    return model.page
