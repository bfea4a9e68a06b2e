"""Boxes out of a FiftyOne collection in one query, their matches, and these into the collection in one bulk write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bson import ObjectId
from pymongo import UpdateOne

from pipeline.adapters.coco_matching import Curves, Matcher, Pairs
from pipeline.core.errors import UserError
from pipeline.core.metrics import BoolArray, Detections, FloatArray, IntArray, Truth

_DIGITS = 6  # of a pixel: fractions times the size of an image then give back what they were made from


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objects:
    """The labels of one field, sample after sample.

    Attributes:
        ends: those of sample i are from ``ends[i]`` to ``ends[i + 1]``.
        ids: FiftyOne's.
        texts: the same as text.
        names: of their classes.
        box: corners in pixels, or in fractions of the image, shape (n, 4).
        rest: confidence of a prediction, whether a label is a crowd.
    """

    ends: list[int]
    ids: list[ObjectId]
    texts: list[str]
    names: list[str]
    box: FloatArray
    rest: list[Any]

    def of(self, sample: int) -> range:
        """Numbers of the labels of one sample."""
        return range(self.ends[sample], self.ends[sample + 1])

    @property
    def sample(self) -> IntArray:
        """Number of the sample of each label, shape (n,)."""
        return np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """What an evaluation found.

    Attributes:
        sample_ids: FiftyOne's ids of the samples.
        predicted: the predictions.
        labelled: the labels.
        classes: names that occur, sorted.
        pairs: which prediction matches which label.
        curves: of these classes, over the thresholds of the settings; None where mAP is not asked for.
    """

    sample_ids: list[ObjectId]
    predicted: Objects
    labelled: Objects
    classes: list[str]
    pairs: Pairs
    curves: Curves | None

    def matches_of(self, sample: int) -> list[tuple[Any, ...]]:
        """The matches of a sample as FiftyOne has them: label, predicted label, IoU, confidence, both ids."""
        predicted, labelled, truth = self.predicted, self.labelled, self.pairs.truth
        made: list[tuple[Any, ...]] = []
        for one in predicted.of(sample):
            name, sure, own, label = predicted.names[one], predicted.rest[one], predicted.texts[one], truth[one]
            if label >= 0:
                shared = float(self.pairs.iou[one])
                made.append((labelled.names[label], name, shared, sure, labelled.texts[label], own))
            else:
                made.append((None, name, None, sure, None, own))
        unmatched = (one for one in labelled.of(sample) if self.pairs.finder[one] < 0)
        return made + [(labelled.names[one], None, None, None, labelled.texts[one], None) for one in unmatched]


def evaluate(samples: Any, config: Any) -> Evaluated:
    """Read the boxes of a collection and match them.

    Args:
        samples: a FiftyOne dataset or view.
        config: settings of FiftyOne's COCO evaluation.

    Raises:
        UserError: a label has no class, no proper box, or no confidence where mAP is asked for.
    """
    sample_ids, predicted, labelled = _read(samples, config)
    if config.compute_mAP and None in predicted.rest:
        raise UserError(f"a prediction in {config.pred_field!r} has no confidence, which mAP and its curves need")
    classes = sorted({*predicted.names, *labelled.names})
    number = {name: place for place, name in enumerate(classes)}
    found = Detections(
        image=predicted.sample,
        class_id=np.array([number[name] for name in predicted.names], dtype=np.int64),
        confidence=np.array([sure or 0.0 for sure in predicted.rest], dtype=np.float64),
        box=predicted.box,
    )
    truth = Truth(
        image=labelled.sample,
        class_id=np.array([number[name] for name in labelled.names], dtype=np.int64),
        box=labelled.box,
    )
    matcher = Matcher(
        found, truth, crowd=np.array(labelled.rest, dtype=np.bool_), images=len(sample_ids), classes=len(classes),
        classwise=config.classwise,
    )  # fmt: skip
    curves = matcher.curves(config.iou_threshs, most=config.max_preds) if config.compute_mAP else None
    return Evaluated(
        sample_ids=sample_ids, predicted=predicted, labelled=labelled, classes=classes,
        pairs=matcher.pairs(config.iou), curves=curves,
    )  # fmt: skip


def _read(samples: Any, config: Any) -> tuple[list[ObjectId], Objects, Objects]:
    crowd: Any = False
    if config.iscrowd:
        crowd = {"$ifNull": [f"$$one.{config.iscrowd}", f"$$one.attributes.{config.iscrowd}.value", False]}
    columns = {
        "predicted": _rows(config.pred_field, "$$one.confidence"),
        "labelled": _rows(config.gt_field, crowd),
        "size": ["$metadata.width", "$metadata.height"],
    }
    documents = list(samples._aggregate(post_pipeline=[{"$project": columns}]))  # noqa: SLF001 - what `values` calls, once a field
    sizes: FloatArray | None = None
    if documents and all(all(document["size"]) for document in documents):
        sizes = np.array([document["size"] for document in documents], dtype=np.float64)
    predicted = _objects([document["predicted"] for document in documents], config.pred_field, sizes)
    labelled = _objects([document["labelled"] for document in documents], config.gt_field, sizes)
    return [document["_id"] for document in documents], predicted, labelled


def _rows(field: str, rest: Any) -> dict[str, Any]:
    """Query for the labels of a field as rows: ids, classes, boxes and one more column."""
    row = ["$$one._id", "$$one.label", "$$one.bounding_box", rest]
    return {"$map": {"input": {"$ifNull": [f"${field}.detections", []]}, "as": "one", "in": row}}


def _objects(rows: Sequence[Sequence[Any]], field: str, sizes: FloatArray | None) -> Objects:
    counts = [len(one) for one in rows]
    flat = [row for one in rows for row in one]
    ids, names, boxes, rest = (list(column) for column in zip(*flat, strict=True)) if flat else ([], [], [], [])
    if not all(isinstance(name, str) for name in names):
        raise UserError(f"a label in {field!r} has no class, wanted a name in its field `label`")
    return Objects(
        ends=[0, *np.cumsum(counts, dtype=np.int64).tolist()],
        ids=ids,
        texts=[str(one) for one in ids],
        names=names,
        box=_corners(boxes, field, None if sizes is None else np.repeat(sizes, counts, axis=0)),
        rest=rest,
    )


def _corners(boxes: list[Any], field: str, sizes: FloatArray | None) -> FloatArray:
    """Corners of boxes that are given as left, top, width and height in fractions of the image."""
    if not all(isinstance(box, list) and len(box) == 4 for box in boxes):  # noqa: PLR2004 - left, top, width, height
        raise UserError(f"a label in {field!r} has no box, wanted `bounding_box` as [left, top, width, height]")
    box = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(box).all() or (box[:, 2:] < 0).any():
        raise UserError(f"a label in {field!r} has a box with a number that is not finite, or of negative size")
    corners = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)
    return corners if sizes is None else np.round(corners * np.tile(sizes, 2), _DIGITS)


def write(samples: Any, evaluated: Evaluated, eval_key: str, *, fields: tuple[str, str]) -> None:
    """Write TP, FP or FN, IoU and id of the match into every label, and their counts into every sample.

    Labels are found by their ids, so a view that shows some of them changes these alone, in whatever order they stand.

    Args:
        samples: the collection that was evaluated.
        evaluated: its matches.
        eval_key: name of the evaluation, and of what is written.
        fields: of the predictions and of the labels.
    """
    dataset = samples._dataset  # noqa: SLF001 - views have no other word for it
    operations = list(_operations(evaluated, eval_key, fields))
    if operations:
        # FiftyOne's own bulk write: in portions, and samples that are in memory are read anew
        dataset._bulk_write(operations, ids=evaluated.sample_ids)  # noqa: SLF001


def write_fields(dataset: Any, sample_ids: Sequence[ObjectId], columns: Mapping[str, Sequence[Any]]) -> None:
    """Write fields of samples, as they are to stand in the database, in one bulk write.

    Args:
        dataset: a FiftyOne dataset, whose fields are declared.
        sample_ids: the samples.
        columns: a value of each sample, by name of the field.
    """
    now = _now()
    operations = [
        UpdateOne({"_id": one}, {"$set": dict(zip(columns, values, strict=True)) | {"last_modified_at": now}})
        for one, *values in zip(sample_ids, *columns.values(), strict=True)
    ]
    if operations:
        dataset._bulk_write(operations, ids=sample_ids)  # noqa: SLF001 - as in `write`


def write_attributes(
    dataset: Any,
    path: str,
    sample_ids: Sequence[ObjectId],
    ids: Sequence[Sequence[ObjectId]],
    columns: Sequence[dict[str, list[Any]]],
) -> None:
    """Write attributes of labels, found by their ids, in one bulk write.

    Args:
        dataset: a FiftyOne dataset.
        path: of the list of labels, such as ``ground_truth.detections``.
        sample_ids: the samples.
        ids: of the labels of each.
        columns: values of each sample's labels, by name of the attribute.
    """
    rows = zip(sample_ids, ids, columns, strict=True)
    operations = [UpdateOne({"_id": one}, [{"$set": {path: _merged(f"${path}", list(those), values)}}])
                  for one, those, values in rows if those]  # fmt: skip
    if operations:
        dataset._bulk_write(operations, ids=sample_ids)  # noqa: SLF001 - as in `write`


def _operations(evaluated: Evaluated, eval_key: str, fields: tuple[str, str]) -> Iterator[UpdateOne]:
    predicted, labelled, pairs = evaluated.predicted, evaluated.labelled, evaluated.pairs
    right = _same(predicted, labelled, pairs.truth)
    named = _same(labelled, predicted, pairs.finder)
    shared = np.where(pairs.finder >= 0, pairs.iou[pairs.finder] if pairs.iou.size else np.nan, np.nan)
    columns = (
        _columns(right, pairs.truth, pairs.iou, others=labelled.texts, missed="fp"),
        _columns(named, pairs.finder, shared, others=predicted.texts, missed="fn"),
    )
    wrong_or_unseen = np.concatenate([(pairs.truth >= 0) & ~right, pairs.finder < 0])
    names = tuple(f"{eval_key}{part}" for part in ("", "_id", "_iou"))
    now = _now()
    for number, sample_id in enumerate(evaluated.sample_ids):
        own, true = predicted.of(number), labelled.of(number)
        hits = int(right[own.start : own.stop].sum())
        mixed = int(wrong_or_unseen[own.start : own.stop].sum())
        unseen = int(wrong_or_unseen[len(predicted.ids) :][true.start : true.stop].sum())
        changes: dict[str, Any] = {
            f"{eval_key}_tp": hits, f"{eval_key}_fp": len(own) - hits, f"{eval_key}_fn": mixed + unseen,
            "last_modified_at": now,
        }  # fmt: skip
        for field, objects, which, values in zip(fields, (predicted, labelled), (own, true), columns, strict=True):
            if which:
                part = slice(which.start, which.stop)
                changed = dict(zip(names, (column[part] for column in values), strict=True))
                changes[f"{field}.detections"] = _merged(f"${field}.detections", objects.ids[part], changed)
        yield UpdateOne({"_id": sample_id}, [{"$set": changes}])


def _now() -> dt.datetime:
    return dt.datetime.now(tz=dt.UTC).replace(tzinfo=None)  # as FiftyOne has it


def _same(one: Objects, other: Objects, match: IntArray) -> BoolArray:
    """Which labels of the one field match a label of their own class in the other."""
    pairs = zip(one.names, match.tolist(), strict=True)
    return np.array([place >= 0 and name == other.names[place] for name, place in pairs], dtype=np.bool_)


def _columns(
    right: BoolArray, match: IntArray, shared: FloatArray, *, others: list[str], missed: str
) -> tuple[list[str], list[str], list[float | None]]:
    """Word, id of the match and IoU of every label of a field."""
    places = match.tolist()
    return (
        ["tp" if one else missed for one in right.tolist()],
        [others[place] if place >= 0 else "" for place in places],
        [one if place >= 0 else None for one, place in zip(shared.tolist(), places, strict=True)],
    )


def _merged(path: str, ids: list[ObjectId], values: dict[str, list[Any]]) -> dict[str, Any]:
    """Expression for a list of labels in which those of these ids have new values."""
    place = {"$indexOfArray": [{"$literal": ids}, "$$one._id"]}
    new = {name: {"$arrayElemAt": [{"$literal": column}, "$$place"]} for name, column in values.items()}
    merged = {"$cond": [{"$lt": ["$$place", 0]}, "$$one", {"$mergeObjects": ["$$one", new]}]}
    return {"$map": {"input": path, "as": "one", "in": {"$let": {"vars": {"place": place}, "in": merged}}}}
