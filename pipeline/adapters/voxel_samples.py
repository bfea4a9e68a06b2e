"""One image as a FiftyOne sample, its labels as FiftyOne's boxes, and boxes that people drew as labels again.

FiftyOne makes, checks and reads back an object of every sample and every box, and saves the schema with every field,
which took more than twice as long as all the rest. So samples and boxes are plain documents here, just as FiftyOne 1.22
writes them, and fields are declared together. What of its inner workings this module, :mod:`voxel_labels` and
:mod:`voxel_decisions` rely on for that:

- of documents: ``_cls`` of boxes, lists of boxes and metadata, ``attributes`` and ``tags`` of a box, and of a sample
  ``_media_type``, ``_rand``, ``_dataset_id`` and its times; what is None is left out of a new sample;
- of a dataset: ``_sample_collection``, ``_bulk_write``, ``_merge_sample_field_schema`` and ``_doc.id``; and
  ``odm.create_field``.

``tests/test_review_documents.py`` compares all of it with what FiftyOne's public calls write, and turns red with a
version that writes something else.
"""

from __future__ import annotations

import datetime as dt
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bson import ObjectId

from pipeline.adapters.voxel_contents import TRUTH, Contents
from pipeline.core import labels
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import Row

_DIGITS = 3  # of a pixel, as the audit has them
_SAME = 0.002  # of a pixel: what rounding moves an edge, there and back
_OUTSIDE = 0.02  # of the image: how far over its edge a person may draw; what is outside is cut off


def declare(fo: Any, dataset: Any, fields: Mapping[str, str]) -> None:
    """Add fields to the schema; those that are there already stay.

    Args:
        fo: FiftyOne.
        dataset: the project's.
        fields: what each holds, by its path: text, texts, flag, whole, number, numbers or boxes.
    """
    kinds = {
        "text": {"ftype": fo.StringField},
        "texts": {"ftype": fo.ListField, "subfield": fo.StringField},
        "flag": {"ftype": fo.BooleanField},
        "whole": {"ftype": fo.IntField},
        "number": {"ftype": fo.FloatField},
        "numbers": {"ftype": fo.ListField, "subfield": fo.FloatField},
        "boxes": {"ftype": fo.EmbeddedDocumentField, "embedded_doc_type": fo.Detections},
    }
    for inner in (False, True):  # a field must be known before what is in it
        schema = {path: fo.core.odm.create_field(path.rsplit(".", 1)[-1], **kinds[kind])
                  for path, kind in fields.items() if ("." in path) == inner}  # fmt: skip
        dataset._merge_sample_field_schema(schema)  # noqa: SLF001 - add_sample_field saves and reads all, field by field


def insert(dataset: Any, samples: Sequence[dict[str, Any]]) -> list[str]:
    """Add samples as :func:`make` gives them; gives their ids."""
    if not samples:
        return []
    now = dt.datetime.now(tz=dt.UTC).replace(tzinfo=None)  # as FiftyOne has it
    of_fiftyone = {"_media_type": "image", "_dataset_id": dataset._doc.id, "created_at": now, "last_modified_at": now}  # noqa: SLF001
    documents = [
        {name: value for name, value in sample.items() if value is not None}
        | of_fiftyone
        | {"_rand": 0.999 + 0.001 * random.random()}  # noqa: S311 - FiftyOne's key for its own shuffles, drawn as it does
        for sample in samples
    ]
    return [str(one) for one in dataset._sample_collection.insert_many(documents).inserted_ids]  # noqa: SLF001


def make(row: Row, contents: Contents, *, outcome: str, reason: str) -> dict[str, Any]:
    """A sample of an image, with its labels."""
    boxes = labels.read(row.label_path)
    return {
        "filepath": os.path.normpath(Path(row.path).absolute()),
        "tags": [*([row.split] if row.split else []), row.origin, *([row.run] if row.run else [])],
        "metadata": {"_cls": "ImageMetadata", "width": row.width, "height": row.height},
        "image_id": row.image_id,
        "source_name": row.name,
        "split": row.split,
        "outcome": outcome,
        "outcome_reason": reason,
        "origin": row.origin,
        "generation": row.generation,
        "run": row.run or None,
        "parents": list(row.parents),
        "lineage_depth": row.lineage_depth,
        "human_verified": row.human_verified,
        "used_digest": row.label_digest,
        "label_digest": row.label_digest,
        "label_text": labels.format_boxes(boxes),
        TRUTH: labelled(boxes, contents.classes, contents.rare, size=(row.width, row.height)),
    }


def labelled(
    boxes: Sequence[Box], classes: Sequence[str], rare: Sequence[str], *, size: tuple[int, int]
) -> dict[str, Any]:
    """Labels as FiftyOne has them; ``box`` is the line of the label file, from 0."""
    names = [classes[box.class_id] for box in boxes]
    return detections(
        detection(name, _place(box, size), rare=name in rare, box=number)
        for number, (name, box) in enumerate(zip(names, boxes, strict=True))
    )


def detections(boxes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """All boxes of one field of a sample."""
    return {"_cls": "Detections", "detections": list(boxes)}


def detection(name: str, place: list[float], **known: Any) -> dict[str, Any]:
    """A box as FiftyOne has it: its class, left, top, width and height in fractions, and what else is known of it."""
    return {
        "_id": ObjectId(), "_cls": "Detection", "attributes": {}, "tags": [], "label": name, "bounding_box": place,
        **known,
    }  # fmt: skip


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


def at_same_place(one: Mapping[str, Any], other: Mapping[str, Any], size: tuple[int, int]) -> bool:
    """Whether two of FiftyOne's boxes are one, but for rounding."""
    pairs = zip(one["bounding_box"], other["bounding_box"], size * 2, strict=True)
    return one.get("label") == other.get("label") and all(
        abs(mine - its) * pixels <= 2 * _SAME for mine, its, pixels in pairs
    )
