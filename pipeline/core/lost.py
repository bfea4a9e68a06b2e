"""Boxes that the base run found and a run lost: which of them to show, and what the run saw instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class LostBox:
    """A test box that the base run found and the run did not.

    Attributes:
        image_id: of the test image.
        box: line of its label file, from 0.
        class_id: of the label.
        corners: left, top, right and bottom in pixels.
        instead: class id and confidence of what the run sees there; None if it sees nothing.
    """

    image_id: str
    box: int
    class_id: int
    corners: tuple[float, float, float, float]
    instead: tuple[int, float] | None


def choose(lost: Mapping[str, Sequence[str]], most: int) -> list[str]:
    """At most so many lost boxes, one of each class in turn; ``IMAGE_ID/BOX``, as the gate lists them.

    >>> choose({"four": ["a/0", "b/1", "c/0"], "six": ["d/0"]}, 3)
    ['a/0', 'd/0', 'b/1']
    """
    turns = zip_longest(*(sorted(boxes) for boxes in lost.values()))
    return [key for turn in turns for key in turn if key is not None][:most]


def look_up(
    keys: Sequence[str], boxes: pd.DataFrame, predictions: pd.DataFrame, *, confidence: float, iou: float
) -> list[LostBox]:
    """The lost boxes with what the run sees instead.

    Args:
        keys: ``IMAGE_ID/BOX``.
        boxes: labelled test boxes, as the audit writes them.
        predictions: of the run, as the audit writes them.
        confidence: the run's operating point.
        iou: overlap from which a prediction counts as being there.

    Raises:
        UserError: a box is not among the labelled ones.
    """
    images = [key.rpartition("/")[0] for key in keys]
    known = _by_key(boxes[boxes["image_id"].isin(images)])
    seen = predictions[(predictions["confidence"] >= confidence) & predictions["image_id"].isin(images)]
    found = []
    for key, image_id in zip(keys, images, strict=True):
        if key not in known:
            raise UserError(f"lost box {key} is not among the test boxes of the base run. Run `uv run dvc repro`.")
        one = known[key]
        instead = _instead(seen[seen["image_id"] == image_id], one.corners, one.class_id, iou)
        found.append(replace(one, instead=instead))
    return found


def _by_key(boxes: pd.DataFrame) -> dict[str, LostBox]:
    """Labelled boxes by ``IMAGE_ID/BOX``, as if nothing were seen in their place."""
    columns = (boxes[name].to_numpy(dtype=np.int64).tolist() for name in ("box", "class_id"))
    corners = boxes[["left", "top", "right", "bottom"]].to_numpy(dtype=np.float64).tolist()
    return {
        f"{image_id}/{box}": LostBox(
            image_id=image_id, box=box, class_id=class_id, corners=(left, top, right, bottom), instead=None
        )
        for image_id, box, class_id, (left, top, right, bottom) in zip(
            boxes["image_id"].astype(str), *columns, corners, strict=True
        )
    }


def _instead(
    seen: pd.DataFrame, corners: tuple[float, float, float, float], class_id: int, iou: float
) -> tuple[int, float] | None:
    """The most confident prediction of another class that overlaps the box enough."""
    others = seen[seen["class_id"] != class_id]
    boxes = others[["left", "top", "right", "bottom"]].to_numpy(dtype=float)
    low, high = np.maximum(boxes[:, :2], corners[:2]), np.minimum(boxes[:, 2:], corners[2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    own = (corners[2] - corners[0]) * (corners[3] - corners[1])
    overlap = common / ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + own - common)
    near = others[overlap >= iou].sort_values("confidence", ascending=False, kind="stable")
    return (int(near["class_id"].iloc[0]), float(near["confidence"].iloc[0])) if len(near) else None
