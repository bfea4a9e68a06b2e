"""One image as a FiftyOne sample, its labels as FiftyOne's boxes, and boxes that people drew as labels again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.adapters.voxel_contents import TRUTH, Contents
from pipeline.core import labels
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import Row

_DIGITS = 3  # of a pixel, as the audit has them
_SAME = 0.002  # of a pixel: what rounding moves an edge, there and back
_OUTSIDE = 0.02  # of the image: how far over its edge a person may draw; what is outside is cut off


def make(fo: Any, row: Row, contents: Contents, *, outcome: str, reason: str) -> Any:
    """A sample of an image, with its labels."""
    boxes = labels.read(row.label_path)
    return fo.Sample(
        filepath=str(Path(row.path).absolute()),
        tags=[*([row.split] if row.split else []), row.origin, *([row.run] if row.run else [])],
        metadata=fo.ImageMetadata(width=row.width, height=row.height),
        image_id=row.image_id,
        source_name=row.name,
        split=row.split,
        outcome=outcome,
        outcome_reason=reason,
        origin=row.origin,
        generation=row.generation,
        run=row.run or None,
        parents=list(row.parents),
        lineage_depth=row.lineage_depth,
        human_verified=row.human_verified,
        used_digest=row.label_digest,
        label_digest=row.label_digest,
        label_text=labels.format_boxes(boxes),
        **{TRUTH: detections(fo, boxes, contents.classes, contents.rare, size=(row.width, row.height))},
    )


def detections(
    fo: Any, boxes: Sequence[Box], classes: Sequence[str], rare: Sequence[str], *, size: tuple[int, int]
) -> Any:
    """Labels as FiftyOne has them; ``box`` is the line of the label file, from 0."""
    return fo.Detections(
        detections=[
            fo.Detection(
                label=classes[box.class_id],
                bounding_box=_place(box, size),
                rare=classes[box.class_id] in rare,
                box=number,
            )
            for number, box in enumerate(boxes)
        ]
    )


def _place(box: Box, size: tuple[int, int]) -> list[float]:
    left, top, right, bottom = (round(one * size[number % 2], _DIGITS) for number, one in enumerate(box.corners()))
    return place(size, (left, top, right, bottom))


def place(size: tuple[int, int], corners: tuple[float, float, float, float]) -> list[float]:
    """FiftyOne's left, top, width and height in fractions of the image, from corners in pixels."""
    x, y = corners[0] / size[0], corners[1] / size[1]
    return [x, y, (corners[2] - corners[0]) / size[0], (corners[3] - corners[1]) / size[1]]


def parse(text: str) -> list[Box]:
    """The labels that a sample showed when it was made."""
    return [labels.parse_line(line) for line in text.splitlines()]


def drawn(
    found: Sequence[tuple[Any, Any]], shown: Sequence[Box], classes: Sequence[str], *, size: tuple[int, int]
) -> list[Box]:
    """The labels of a sample as they are in the database now; those that nobody touched are just those that were shown.

    Args:
        found: class name and FiftyOne's box (left, top, width and height in fractions of the image) of each label.
        shown: the labels that the sample showed when it was made.
        classes: class names by id.
        size: width and height of the image in pixels.

    Raises:
        UserError: a label has no known class, or is no possible box.
    """
    left = list(shown)
    boxes = []
    for number, (name, place) in enumerate(found, start=1):
        if name not in classes:
            raise UserError(f"box {number} has the class {name!r}, wanted one of {', '.join(classes)}. Choose one.")
        box = _box(number, classes.index(name), place)
        same = next((one for one in left if _same(one, box, size)), None)
        if same is not None:
            left.remove(same)
        boxes.append(same or box)
    return sorted(boxes)


def _box(number: int, class_id: int, place: Any) -> Box:
    try:
        x, y, width, height = (float(one) for one in place)
        return labels.from_corners(class_id, (x, y, x + width, y + height), tolerance=_OUTSIDE)
    except (TypeError, ValueError) as error:
        raise UserError(f"box {number} cannot be: {error}. Draw it again, or delete it.") from None


def _same(one: Box, other: Box, size: tuple[int, int]) -> bool:
    edges = zip(one.corners(), other.corners(), size * 2, strict=True)
    return one.class_id == other.class_id and all(abs(mine - its) * pixels <= _SAME for mine, its, pixels in edges)


def untouched(found: Sequence[tuple[Any, Any]], text: str, classes: Sequence[str], *, size: tuple[int, int]) -> bool:
    """Whether a sample's labels in the database are those that it showed when it was made."""
    shown = sorted(parse(text))
    try:
        return drawn(found, shown, classes, size=size) == shown
    except UserError:
        return False


def at_same_place(one: Any, other: Any, size: tuple[int, int]) -> bool:
    """Whether two of FiftyOne's boxes are one, but for rounding."""
    pairs = zip(one.bounding_box, other.bounding_box, size * 2, strict=True)
    return one.label == other.label and all(abs(mine - its) * pixels <= 2 * _SAME for mine, its, pixels in pairs)
