"""Objects that a diffusion model draws, laid out on pages; no model is known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import images, synthesis
from pipeline.core.synthesis import Batched, Drawn, Example, Floats, PixelBox, Pixels

_MOST_CROPS = 4000  # a class


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crops:
    """Objects with their surroundings; each array has one entry an object.

    Attributes:
        appearance: BGR as grey levels above the light that each stands in, shape (n, side, side, 3).
        log_size: log of width and height in pixels, shape (n, 2).
        classes: class ids, shape (n,).
        image_ids: of the image that each is from.
    """

    appearance: Floats
    log_size: Floats
    classes: npt.NDArray[np.int64]
    image_ids: tuple[str, ...]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.classes)

    def take(self, positions: npt.NDArray[np.int64]) -> Crops:
        """The objects at these positions, in this order."""
        return Crops(
            appearance=self.appearance[positions],
            log_size=self.log_size[positions],
            classes=self.classes[positions],
            image_ids=tuple(self.image_ids[position] for position in positions),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Painted:
    """One object to be put on a page.

    Attributes:
        patch: BGR with surroundings, as grey levels above the light that it stands in, of any size.
        size: its own width and height on the page, in pixels.
        parents: ids of the images that it was made from.
    """

    patch: Floats
    size: tuple[int, int]
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An object that a page asks for: its class, the page's height and width, and the page's random numbers."""

    class_id: int
    page: tuple[int, int]
    rng: np.random.Generator


Paint = Callable[[Sequence[Wanted]], list[Painted]]


def collect(examples: Sequence[Example], *, side: int, rng: np.random.Generator) -> Crops:
    """Cut out the objects of the examples, of each class at most some thousand.

    Args:
        examples: training images.
        side: of the crops, in pixels.
        rng: chooses where there are more.
    """
    places = [(number, index) for number, example in enumerate(examples) for index in range(len(example.boxes))]
    left: dict[int, int] = {}
    chosen: dict[int, list[int]] = {}
    for position in rng.permutation(len(places)):
        number, index = places[position]
        class_id = examples[number].boxes[index].class_id
        left[class_id] = left.get(class_id, _MOST_CROPS) - 1
        if left[class_id] >= 0:
            chosen.setdefault(number, []).append(index)
    patches, sizes, classes, ids = [], [], [], []
    for number, indices in sorted(chosen.items()):  # each image is decoded once
        example = examples[number]
        pixels = images.read(example.path)
        for index in sorted(indices):
            place = synthesis.to_pixels(example.boxes[index], pixels)
            patches.append(_squared(synthesis.cut_with_context(pixels, place).astype(np.float32), side))
            sizes.append((np.log(place.width), np.log(place.height)))
            classes.append(example.boxes[index].class_id)
            ids.append(example.image_id)
    return Crops(
        appearance=np.array(patches, dtype=np.float32).reshape(-1, side, side, 3),
        log_size=np.array(sizes, dtype=np.float32).reshape(-1, 2),
        classes=np.array(classes, dtype=np.int64),
        image_ids=tuple(ids),
    )


def _squared(crop: Floats, side: int) -> Floats:
    relative = crop - synthesis.rim_level(crop)
    shrinks = crop.shape[0] * crop.shape[1] > side * side
    scaled = cv2.resize(relative, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, dtype=np.float32)


def compose(examples: Sequence[Example], paint: Paint, *, pages: int, details: Mapping[str, str]) -> Batched:
    """Pages as the data have them: backgrounds of examples, as many objects, where such objects stand.

    Args:
        examples: training images.
        paint: draws all objects of a batch of pages at once.
        pages: a batch.
        details: go into each page's provenance.
    """
    layout = synthesis.fit_layout(examples)

    def draw(sources: Sequence[np.random.Generator]) -> list[Drawn]:
        scenes = [examples[int(rng.integers(len(examples)))] for rng in sources]
        grounds = [synthesis.background(scene, rng) for scene, rng in zip(scenes, sources, strict=True)]
        wanted = [
            [
                Wanted(class_id=one, page=(ground.shape[0], ground.shape[1]), rng=rng)
                for one in layout.classes_of_a_page(rng)
            ]
            for ground, rng in zip(grounds, sources, strict=True)
        ]
        painted = iter(paint([one for page in wanted for one in page]))
        drawn = []
        for scene, ground, page in zip(scenes, grounds, wanted, strict=True):
            objects = [(one, next(painted)) for one in page]
            drawn.append(_page(scene.image_id, ground, layout, objects, details))
        return drawn

    return Batched(size=pages, draw=draw)


def _page(
    scene: str,
    page: Pixels,
    layout: synthesis.Layout,
    objects: Sequence[tuple[Wanted, Painted]],
    details: Mapping[str, str],
) -> Drawn:
    parents = {scene}
    taken: list[PixelBox] = []
    boxes = []
    for wanted, painted in objects:
        place = layout.place(wanted.rng, painted.size, page, taken)
        if place is None:
            continue
        margin = synthesis.context(*painted.size)
        size = (painted.size[0] + 2 * margin, painted.size[1] + 2 * margin)
        shrinks = size[0] * size[1] < painted.patch.shape[0] * painted.patch.shape[1]
        scaled = cv2.resize(painted.patch, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        patch = np.asarray(scaled, dtype=np.float32)
        page = synthesis.blend(page, patch, place, synthesis.soft_mask(*painted.size, margin))
        taken.append(place)
        parents.update(painted.parents)
        boxes.append(synthesis.to_label(place, wanted.class_id, page))
    return Drawn(pixels=page, boxes=tuple(boxes), parents=tuple(sorted(parents)), details=details)
