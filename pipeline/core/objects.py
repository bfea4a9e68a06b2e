"""Images and the objects on them as one collection: embedded, hashed, and named, every file read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

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
WHOLE = -1  # stands for the image itself where objects have the number of their box, or of their class
_IMAGES_A_BLOCK = 64  # decoded at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Images and the objects on them, as they were seen; the arrays have one entry each, in no order.

    Attributes:
        rows: number of the row of the image that each is (on), shape (n,).
        boxes: number of the box in the label file, from 0; :data:`WHOLE` for an image.
        classes: class id; :data:`WHOLE` for an image.
        vectors: from :func:`pipeline.core.embedding.embed`, shape (n, d); zeros for an object that is left out.
        digests: SHA-256 of the pixels with their shape; empty for an object that is left out.
        hashes: perceptual hashes, shape (n,).
    """

    rows: Positions
    boxes: Positions
    classes: Positions
    vectors: Vectors
    digests: tuple[str, ...]
    hashes: Hashes


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
    return gather(rows, look(rows, range(len(rows))))


def look(rows: Sequence[Row], numbers: Iterable[int]) -> list[Seen]:
    """Embed and hash some of the images and the objects on them.

    Args:
        rows: of a manifest.
        numbers: of the rows whose images are looked at.

    Returns:
        What was seen, in blocks.

    Raises:
        UserError: an image or label file is missing or damaged.
    """
    left = iter(numbers)
    return [_look(rows, block) for block in iter(lambda: list(islice(left, _IMAGES_A_BLOCK)), [])]


def gather(rows: Sequence[Row], blocks: Sequence[Seen]) -> Collection:
    """Put what was seen of images into the order of their rows; each image has to be in one of the blocks."""
    numbers, boxes, classes, hashes = (
        np.concatenate([np.zeros(0, dtype=kind), *(getattr(one, name) for one in blocks)])
        for name, kind in (("rows", np.int64), ("boxes", np.int64), ("classes", np.int64), ("hashes", np.uint64))
    )
    digests = np.array([digest for one in blocks for digest in one.digests], dtype=object)
    order = np.lexsort((boxes, numbers))
    whole, narrow = boxes[order] == WHOLE, digests[order] == ""

    def items(positions: Positions) -> Items:
        found = [rows[number] for number in numbers[positions]]
        return Items(
            ids=tuple(_name(row, box) for row, box in zip(found, boxes[positions].tolist(), strict=True)),
            images=numbers[positions],
            splits=tuple(row.split for row in found),
            vectors=_vectors(blocks, positions),
            digests=tuple(digests[positions]),
            hashes=hashes[positions],
        )

    objects = order[~whole & ~narrow]
    left_out = order[narrow]
    return Collection(
        images=items(order[whole]),
        objects=items(objects),
        classes=classes[objects],
        left_out=tuple(_name(rows[numbers[one]], int(boxes[one])) for one in left_out),
    )


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


def _look(rows: Sequence[Row], block: Sequence[int]) -> Seen:
    """Look at the images of a block, and keep none of their pixels."""
    items = [(number, *item) for number in block for item in _items(rows[number])]
    shown = [
        position for position, item in enumerate(items) if min(item[-1].shape[:2]) >= LEAST_SIDE or item[1] == WHOLE
    ]
    vectors = np.zeros((len(items), embedding.DIMENSIONS), dtype=np.float32)
    vectors[shown] = embedding.embed(items[position][-1] for position in shown)
    digests, hashes = [""] * len(items), np.zeros(len(items), dtype=np.uint64)
    for position in shown:
        digests[position] = _digest(items[position][-1])
        hashes[position] = duplicates.perceptual_hash(items[position][-1])
    numbers, boxes, classes = np.array([item[:3] for item in items], dtype=np.int64).reshape(-1, 3).T
    return Seen(rows=numbers, boxes=boxes, classes=classes, vectors=vectors, digests=tuple(digests), hashes=hashes)


def _items(row: Row) -> list[tuple[int, int, Pixels]]:
    """An image and the objects on it: box, class id and pixels of each."""
    pixels = images.read(row.path)
    boxes = enumerate(labels.read(row.label_path))
    return [(WHOLE, WHOLE, pixels), *((number, box.class_id, crop(pixels, box)) for number, box in boxes)]


def _vectors(blocks: Sequence[Seen], positions: Positions) -> Vectors:
    """The vectors at these positions of all blocks, one after the other; a block at a time is held twice."""
    targets = np.full(sum(len(one.boxes) for one in blocks), -1)
    targets[positions] = np.arange(len(positions))
    vectors: Vectors = np.empty((len(positions), embedding.DIMENSIONS), dtype=np.float32)
    start = 0
    for one in blocks:
        target = targets[start : start + len(one.boxes)]
        vectors[target[target >= 0]] = one.vectors[target >= 0]
        start += len(target)
    return vectors


def _name(row: Row, box: int) -> str:
    return row.image_id if box == WHOLE else f"{row.image_id}/{box}"


def _digest(pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    return hashlib.sha256(f"{height} {width}\n".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
