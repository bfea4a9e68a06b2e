"""Labels that were broken on purpose, to see whether reviewers notice: what they are, and where they are kept.

They are shown in the review queue as any other item is. They are kept outside the data, and no version of an image's
labels: the answer to them says something about the reviewer, and nothing about the image.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from pipeline.core import files, labels, metrics
from pipeline.core.errors import UserError
from pipeline.core.labels import Box

Breakage = Literal["left out", "other class", "shifted", "invented"]
_BREAKAGES: tuple[Breakage, ...] = ("left out", "other class", "shifted", "invented")
_APART = 0.1  # largest IoU of an invented box with a true one
_DRAWS = 50
_SIDE = 0.2  # of an invented box where there is no other to take the size of, as a fraction of the image


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """An image with labels that are known to be wrong.

    Attributes:
        image_id: the image, whose true labels are verified.
        label_digest: of the broken labels.
        breakage: what was done to them.
        boxes: the broken labels.
    """

    image_id: str
    label_digest: str
    breakage: Breakage
    boxes: tuple[Box, ...]


def make(
    image_id: str, boxes: Sequence[Box], *, classes: int, known: Collection[str], rng: np.random.Generator
) -> Plant | None:
    """Break the labels of an image: one box left out, of another class, shifted by half its size, or invented.

    Args:
        image_id: the image.
        boxes: its true labels.
        classes: number of classes.
        known: digests of all versions of the image's labels; the broken ones are none of them.
        rng: chooses what is broken, and how.

    Returns:
        None where no way of breaking them gives other labels.
    """
    for chosen in rng.permutation(len(_BREAKAGES)):
        breakage = _BREAKAGES[int(chosen)]
        broken = _broken(breakage, boxes, classes, rng)
        if broken is not None:
            digest = labels.digest(broken)
            if digest not in known and digest != labels.digest(boxes):
                return Plant(image_id=image_id, label_digest=digest, breakage=breakage, boxes=tuple(sorted(broken)))
    return None


def _broken(breakage: Breakage, boxes: Sequence[Box], classes: int, rng: np.random.Generator) -> list[Box] | None:
    ordered = sorted(boxes)
    if breakage == "invented":
        invented = _invented(ordered, classes, rng)
        return [*ordered, invented] if invented else None
    if not ordered:
        return None
    chosen = int(rng.integers(len(ordered)))
    rest, box = ordered[:chosen] + ordered[chosen + 1 :], ordered[chosen]
    if breakage == "left out":
        return rest
    if breakage == "shifted":
        return [*rest, _shifted(box, rng)]
    if classes == 1:
        return None
    return [*rest, replace(box, class_id=(box.class_id + int(rng.integers(1, classes))) % classes)]


def _shifted(box: Box, rng: np.random.Generator) -> Box:
    """The box moved by half its size along one axis, to the side where there is more room."""
    left, top, right, bottom = box.corners()
    if rng.integers(2):
        step = box.width / 2 if box.x < 0.5 else -box.width / 2  # noqa: PLR2004 - the middle
        left, right = left + step, right + step
    else:
        step = box.height / 2 if box.y < 0.5 else -box.height / 2  # noqa: PLR2004 - the middle
        top, bottom = top + step, bottom + step
    return labels.from_corners(box.class_id, [left, top, right, bottom], tolerance=1.0)


def _invented(boxes: Sequence[Box], classes: int, rng: np.random.Generator) -> Box | None:
    """A box of any class where no other is; None where no such place was found."""
    model = boxes[int(rng.integers(len(boxes)))] if boxes else None
    width, height = (model.width, model.height) if model else (_SIDE, _SIDE)
    taken = np.array([box.corners() for box in boxes]).reshape(-1, 4)
    for _ in range(_DRAWS):
        left, top = float(rng.uniform(0, 1 - width)), float(rng.uniform(0, 1 - height))
        corners = np.array([left, top, left + width, top + height])
        if not taken.size or metrics.iou(np.tile(corners, (len(taken), 1)), taken).max() < _APART:
            return labels.from_corners(int(rng.integers(classes)), corners.tolist(), tolerance=1e-6)
    return None


def keep(path: Path, plants: Sequence[Plant]) -> None:
    """Keep plants beside those that are kept, so that an answer to one is known for what it is."""
    kept = read(path) | {(plant.image_id, plant.label_digest): plant for plant in plants}
    ordered = [kept[key] for key in sorted(kept)]
    files.write_bytes(path, msgspec.json.format(msgspec.json.encode(ordered), indent=1))


def read(path: Path) -> dict[tuple[str, str], Plant]:
    """The kept plants, by image id and digest of the broken labels; none where nothing is kept.

    Raises:
        UserError: the file is damaged.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[Plant])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}. Remove it and run `uv run tailwatch review` again.") from None
    return {(plant.image_id, plant.label_digest): plant for plant in found}
