"""What a source of labelled images is like: how many of what, how large, in which splits, and what cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.core import bounded, images
from pipeline.core.manifest import SPLITS
from pipeline.core.sources.found import Source, SourceBox, SourceImage, to_box

_HEADER = 1 << 20  # bytes in which nearly every image says its size
_EXAMPLES = 3
_SMALL, _LARGE = 0.25, 0.95  # quantiles of object sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSurvey:
    """One class.

    Attributes:
        name: of the class.
        boxes: usable ones, by split; those of images without a split are under "".
        images: that hold one.
        small: side of an object (root of its area) as a fraction of the longer side of its image, 25 % quantile; None
            where no object was measured.
        median: the same, 50 % quantile.
        large: the same of the longer side of an object, 95 % quantile.
        pixels: median side in pixels of the image as it is.
    """

    name: str
    boxes: Mapping[str, int]
    images: int
    small: float | None
    median: float | None
    large: float | None
    pixels: float | None

    @property
    def total(self) -> int:
        """Usable boxes."""
        return sum(self.boxes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A source as far as its labels and the headers of its images tell; ingest decodes every image.

    Attributes:
        classes: in the order of their ids.
        images: usable ones, by split; those without one are under "".
        sides: shortest, median and longest of the longer sides of the images, in pixels; None where none was measured.
        measured: images whose header was read.
        refused_images: images that cannot be used.
        refused_boxes: boxes and labels that cannot be used.
        found_images: all of them.
        found_boxes: all of them.
        examples: some of what cannot be used, with reasons.
    """

    classes: tuple[ClassSurvey, ...]
    images: Mapping[str, int]
    sides: tuple[int, int, int] | None
    measured: int
    refused_images: int
    refused_boxes: int
    found_images: int
    found_boxes: int
    examples: tuple[str, ...]

    @property
    def usable(self) -> int:
        """Images that can be used."""
        return sum(self.images.values())

    @property
    def boxes(self) -> int:
        """Boxes that can be used."""
        return sum(one.total for one in self.classes)

    @property
    def has_splits(self) -> bool:
        """Whether every usable image has a split, and each split has images and boxes."""
        filled = all(sum(one.boxes.get(split, 0) for one in self.classes) for split in SPLITS)
        return filled and not self.images.get("", 0)

    def share(self, one: ClassSurvey, *splits: str) -> float | None:
        """Share of a class among the boxes of some splits, by default of all; None where there is no box."""
        chosen = splits or tuple({split for each in self.classes for split in each.boxes})
        total = sum(each.boxes.get(split, 0) for each in self.classes for split in chosen)
        return sum(one.boxes.get(split, 0) for split in chosen) / total if total else None


@dataclass(slots=True)
class _Tally:
    images: Counter[str] = field(default_factory=Counter)
    boxes: dict[str, Counter[str]] = field(default_factory=dict)  # by class, then by split
    holders: Counter[str] = field(default_factory=Counter)  # images by class
    sides: list[int] = field(default_factory=list)
    objects: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)
    refused_images: int = 0
    refused_boxes: int = 0
    examples: list[str] = field(default_factory=list)

    def refuse(self, name: str, reason: str, *, image: bool, boxes: int = 0) -> None:
        """Count something that cannot be used."""
        self.refused_images += image
        self.refused_boxes += boxes
        if len(self.examples) < _EXAMPLES or (image and self.refused_images <= 1):
            self.examples.append(f"{name}: {reason}")


def survey(source: Source, *, max_pixels: int, tolerance: float, most: int = 2000) -> Survey:
    """Look at a source.

    Args:
        source: as its reader gives it.
        max_pixels: ``ingest.max_pixels``; a larger image cannot be used.
        tolerance: ``ingest.tolerance``.
        most: images whose headers are read, evenly spaced; all labels count.
    """
    tally = _Tally()
    good = [one for one in source.images if one.problem is None]
    measured = {one.name for one in good[:: -(-len(good) // most) or 1]}
    for image in source.images:
        problem = image.problem
        size = None
        if problem is None and image.name in measured:
            try:
                size = _size(image, max_pixels)
            except ValueError as error:
                problem = str(error)
        if problem is not None:
            tally.refuse(image.name, problem, image=True, boxes=len(image.boxes) + len(image.rejected))
            continue
        _count(tally, image, size, tolerance)
    for reject in source.unused:
        tally.refuse(reject.name, reject.reason, image=False, boxes=1)
    return _finished(source, tally)


def _size(image: SourceImage, max_pixels: int) -> tuple[int, int]:
    """Width and height by the file's header; ValueError with the reason where the image cannot be used."""
    start = bounded.start(image.path, size=_HEADER)
    try:
        header = images.probe(start)
    except ValueError:
        header = images.probe(bounded.read(image.path, most=1 << 30))  # its header is behind much else
    if header.width * header.height > max_pixels:
        raise ValueError(f"{header.width} x {header.height} pixels, wanted at most {max_pixels:,} (ingest.max_pixels)")
    if image.size is not None and set(image.size) != {header.width, header.height}:  # an EXIF turn swaps them
        stated = " x ".join(map(str, image.size))
        raise ValueError(f"its annotation is for {stated} pixels, the image has {header.width} x {header.height}")
    return image.size or (header.width, header.height)


def _count(tally: _Tally, image: SourceImage, size: tuple[int, int] | None, tolerance: float) -> None:
    split = image.split or ""
    tally.images[split] += 1
    if size:
        tally.sides.append(max(size))
    for reject in image.rejected:
        tally.refuse(reject.name, reject.reason, image=False, boxes=1)
    present = set()
    for box in image.boxes:
        try:
            _measure(tally, box, size, tolerance)
        except ValueError as error:
            tally.refuse(box.where, str(error), image=False, boxes=1)
            continue
        tally.boxes.setdefault(box.class_name, Counter())[split] += 1
        present.add(box.class_name)
    tally.holders.update(present)


def _measure(tally: _Tally, box: SourceBox, size: tuple[int, int] | None, tolerance: float) -> None:
    """Note how large an object is; ValueError where its box cannot be used."""
    if size is None:
        return
    label = to_box(box, class_id=0, width=size[0], height=size[1], tolerance=tolerance)
    width, height = label.width * size[0], label.height * size[1]
    side, longer = (width * height) ** 0.5, max(size)
    tally.objects.setdefault(box.class_name, []).append((side / longer, max(width, height) / longer, side))


def _finished(source: Source, tally: _Tally) -> Survey:
    sides = sorted(tally.sides)
    return Survey(
        classes=tuple(_class(name, tally) for name in source.classes),
        images=dict(tally.images),
        sides=(sides[0], sides[len(sides) // 2], sides[-1]) if sides else None,
        measured=len(sides),
        refused_images=tally.refused_images,
        refused_boxes=tally.refused_boxes,
        found_images=len(source.images),
        found_boxes=sum(one.total() for one in tally.boxes.values()) + tally.refused_boxes,
        examples=tuple(tally.examples[: _EXAMPLES + 1]),
    )


def _class(name: str, tally: _Tally) -> ClassSurvey:
    found = np.array(tally.objects.get(name, []), dtype=np.float64).reshape(-1, 3)
    return ClassSurvey(
        name=name,
        boxes=dict(tally.boxes.get(name, {})),
        images=tally.holders[name],
        small=_quantile(found[:, 0], _SMALL),
        median=_quantile(found[:, 0], 0.5),
        large=_quantile(found[:, 1], _LARGE),
        pixels=_quantile(found[:, 2], 0.5),
    )


def _quantile(values: npt.NDArray[np.float64], share: float) -> float | None:
    return float(np.quantile(values, share)) if len(values) else None
