"""Images and the objects on them as one collection: embedded, hashed, and named, every file read once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.core import duplicates, embedding, images, labels
from pipeline.core.duplicates import Hashes
from pipeline.core.embedding import Vectors
from pipeline.core.images import Pixels
from pipeline.core.labels import Box
from pipeline.core.manifest import Row

Positions = npt.NDArray[np.int64]

LEAST_SIDE = 2  # pixels: a narrower object shows nothing that could repeat
_IMAGES_A_BLOCK = 64  # decoded at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """Images, or objects on them; the arrays and tuples have one entry each.

    Attributes:
        ids: ``image_id``, or ``image_id/box``, the box counted from 0 in its label file.
        images: number of the image that each is (on), shape (n,).
        splits: of the image.
        vectors: from :func:`pipeline.core.embedding.embed`, shape (n, d).
        digests: SHA-256 of the pixels with their shape.
        hashes: perceptual hashes, shape (n,).
    """

    ids: tuple[str, ...]
    images: Positions
    splits: tuple[str, ...]
    vectors: Vectors
    digests: tuple[str, ...]
    hashes: Hashes

    def __len__(self) -> int:
        """Number of items."""
        return len(self.ids)

    def take(self, positions: Positions) -> Items:
        """The items at these positions, in this order."""
        return Items(
            ids=tuple(self.ids[position] for position in positions),
            images=self.images[positions],
            splits=tuple(self.splits[position] for position in positions),
            vectors=self.vectors[positions],
            digests=tuple(self.digests[position] for position in positions),
            hashes=self.hashes[positions],
        )

    def of_split(self, split: str) -> Positions:
        """Positions of the items of one split."""
        return np.flatnonzero(np.array(self.splits, dtype=object) == split)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collection:
    """A set of images and of the objects on them.

    Attributes:
        images: in the order of the rows.
        objects: by image, then in the order of the label file.
        classes: class id of each object, shape (objects,).
        left_out: ids of the objects that are less than two pixels wide or high.
    """

    images: Items
    objects: Items
    classes: Positions
    left_out: tuple[str, ...]

    def of_split(self, split: str) -> Collection:
        """The images of one split and their objects."""
        kept = self.objects.of_split(split)
        named = set(np.array(self.images.ids, dtype=object)[self.images.of_split(split)])
        return Collection(
            images=self.images.take(self.images.of_split(split)),
            objects=self.objects.take(kept),
            classes=self.classes[kept],
            left_out=tuple(one for one in self.left_out if one.partition("/")[0] in named),
        )


def collect(rows: Sequence[Row]) -> Collection:
    """Read images with their labels, embed and hash them and the objects on them.

    Args:
        rows: of a manifest; paths are relative to the working directory.

    Raises:
        UserError: an image or label file is missing or damaged.
    """
    gathered = _Gathered()
    for start in range(0, len(rows), _IMAGES_A_BLOCK):
        for number, row in enumerate(rows[start : start + _IMAGES_A_BLOCK], start=start):
            gathered.add(number, row, images.read(row.path), labels.read(row.label_path))
        gathered.embed()
    return gathered.collection()


def crop(pixels: Pixels, box: Box) -> Pixels:
    """The object in a box, in whole pixels, without its surroundings: a copy on another page has other ones.

    Args:
        pixels: BGR, shape (height, width, 3).
        box: as fractions of the image.

    Returns:
        A view, at least one pixel high and wide.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = box.corners()
    x, y = min(max(round(left * width), 0), width - 1), min(max(round(top * height), 0), height - 1)
    return pixels[y : max(round(bottom * height), y + 1), x : max(round(right * width), x + 1)]


@dataclass(slots=True, kw_only=True)
class _Columns:
    """What will be `Items`, as it grows."""

    ids: list[str] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    waiting: list[Pixels] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)

    def add(self, name: str, number: int, split: str, pixels: Pixels) -> None:
        self.ids.append(name)
        self.images.append(number)
        self.splits.append(split)
        self.digests.append(_digest(pixels))
        self.hashes.append(duplicates.perceptual_hash(pixels))
        self.waiting.append(pixels)

    def embed(self) -> None:
        self.vectors.append(embedding.embed(self.waiting))
        self.waiting.clear()

    def items(self) -> Items:
        return Items(
            ids=tuple(self.ids),
            images=np.array(self.images, dtype=np.int64),
            splits=tuple(self.splits),
            vectors=np.concatenate([embedding.embed([]), *self.vectors]),
            digests=tuple(self.digests),
            hashes=np.array(self.hashes, dtype=np.uint64),
        )


@dataclass(slots=True, kw_only=True)
class _Gathered:
    """What will be a `Collection`, as it grows."""

    images: _Columns = field(default_factory=_Columns)
    objects: _Columns = field(default_factory=_Columns)
    classes: list[int] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, number: int, row: Row, pixels: Pixels, boxes: Sequence[Box]) -> None:
        self.images.add(row.image_id, number, row.split, pixels)
        for position, box in enumerate(boxes):
            name, found = f"{row.image_id}/{position}", crop(pixels, box)
            if min(found.shape[:2]) < LEAST_SIDE:
                self.left_out.append(name)
                continue
            self.objects.add(name, number, row.split, found)
            self.classes.append(box.class_id)

    def embed(self) -> None:
        self.images.embed()
        self.objects.embed()

    def collection(self) -> Collection:
        return Collection(
            images=self.images.items(),
            objects=self.objects.items(),
            classes=np.array(self.classes, dtype=np.int64),
            left_out=tuple(self.left_out),
        )


def _digest(pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    return hashlib.sha256(f"{height} {width}\n".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
