"""Detections matched to labels by faster-coco-eval: COCO's protocol in C++, with crowds, at one IoU and over many.

A second matcher beside :mod:`pipeline.core.metrics`, which shares no code with it: the one writes what people see in
FiftyOne, the other gives the audit's figures, and the two are held against one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from pipeline.core.metrics import BoolArray, Detections, FloatArray, IntArray, Truth

LEVELS = 101  # of recall, from 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Which detection matches which label at one IoU threshold.

    Attributes:
        truth: index of the label that each detection matches, or -1; shape (n,). A crowd is matched by any number.
        finder: index of the most confident detection that matches each label, or -1; shape (m,).
        iou: of each detection with its label, in [0, 1]; NaN without one; shape (n,).
    """

    truth: IntArray
    finder: IntArray
    iou: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Interpolated precision at 101 levels of recall; -1 throughout for a class without labels, as COCO has it.

    Attributes:
        precision: shape (thresholds, classes, 101).
        confidence: at which each precision is reached, of the same shape.
        recall: the highest that is reached, shape (thresholds, classes).
    """

    precision: FloatArray
    confidence: FloatArray
    recall: FloatArray


class Matcher:
    """One set of detections and labels, to be matched at any IoU threshold; overlaps are computed once."""

    def __init__(
        self, found: Detections, truth: Truth, *, crowd: BoolArray, images: int, classes: int, classwise: bool = True
    ) -> None:
        """Take detections and labels.

        Args:
            found: the detections, with image numbers in [0, images) and class ids in [0, classes). Of equal confidence
                the earlier one goes first.
            truth: the labels.
            crowd: which labels are crowds, shape (m,). A crowd takes any number of detections of its class, an overlap
                with it counts from the detection's area alone, and neither counts for or against precision and recall.
            images: number of images.
            classes: number of classes.
            classwise: whether detections match labels of their own class only.

        Raises:
            ValueError: ``crowd`` has another length than the labels.
        """
        if crowd.shape != truth.image.shape:
            raise ValueError(f"crowd of shape {crowd.shape}, wanted {truth.image.shape}")
        self._found, self._truth, self._crowd, self._classes = found, truth, crowd, classes
        self._classwise = classwise
        labels = _dataset(truth, images, classes, classwise=classwise, crowd=crowd)
        predictions = _dataset(found, images, classes, classwise=classwise)
        self._evaluator = _Evaluator(labels, predictions, classwise=classwise)
        per_image = np.bincount(found.image, minlength=1)
        self._all = max(int(per_image.max()), 1)

    def pairs(self, iou: float) -> Pairs:
        """Match every detection, however many an image has, at one IoU threshold in (0, 1].

        Greedily by descending confidence, each to the free label of highest IoU; of equal IoUs to the later label.

        Source: ``COCOeval.evaluateImg`` of pycocotools.
        """
        matched = self._run([iou], [self._all])["matched"]
        count, labels = self._found.image.size, self._truth.image.size
        truth, finder = np.full(count, -1, dtype=np.int64), np.full(labels, -1, dtype=np.int64)
        shared = np.full(count, np.nan)
        if matched:
            ids = np.array([key.split("_") for key in matched], dtype=np.int64) - 1
            truth[ids[:, 0]], shared[ids[:, 0]] = ids[:, 1], list(matched.values())
            # the most confident is written last; a crowd keeps it
            ranked = ids[np.lexsort((ids[:, 0], -self._found.confidence[ids[:, 0]]))[::-1]]
            finder[ranked[:, 1]] = ranked[:, 0]
        return Pairs(truth=truth, finder=finder, iou=shared)

    def curves(self, ious: Sequence[float], *, most: int = 100) -> Curves:
        """Precision by recall, a class and IoU threshold.

        Args:
            ious: thresholds in (0, 1].
            most: how many detections count, the most confident of each image (and class, if matched by class).

        Source: ``COCOeval.accumulate`` of pycocotools. Without matching by class there is no such thing there; as in
        FiftyOne, a detection that matches a label of another class then counts against the class of the label.
        """
        if self._classwise:
            made = self._run(ious, sorted({min(most, self._all), self._all}))
            precision, confidence = (made[name][:, :, :, 0, 0].transpose(0, 2, 1) for name in ("precision", "scores"))
            return Curves(precision=precision, confidence=confidence, recall=made["recall"][:, :, 0, 0])
        counted = self._most_confident(most)
        each = [self._mixed_curves(self.pairs(iou), counted) for iou in ious]
        precision, confidence, recall = (np.stack(part) for part in zip(*each, strict=True))
        return Curves(precision=precision, confidence=confidence, recall=recall)

    def _run(self, ious: Sequence[float], most: list[int]) -> dict[str, Any]:
        parameters = self._evaluator.params
        parameters.iouThrs, parameters.maxDets = np.asarray(ious, dtype=np.float64), most
        self._evaluator.evaluate()
        made: dict[str, Any] = self._evaluator.eval
        return made

    def _most_confident(self, most: int) -> BoolArray:
        order = np.lexsort((-self._found.confidence, self._found.image))
        sizes = np.bincount(self._found.image)
        rank = np.arange(order.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        counted = np.zeros(order.size, dtype=np.bool_)
        counted[order[rank < most]] = True
        return counted

    def _mixed_curves(self, pairs: Pairs, counted: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Precision, confidence and recall of each class, where labels of one class may be matched by another."""
        sure, matched = self._found.confidence, np.flatnonzero(pairs.truth >= 0)
        label = pairs.truth[matched]
        held_against, counted = self._found.class_id.copy(), counted.copy()
        held_against[matched] = self._truth.class_id[label]
        counted[matched[self._crowd[label]]] = False
        hits = (pairs.truth >= 0) & (held_against == self._found.class_id)
        precision, confidence = (-np.ones((self._classes, LEVELS)) for _ in range(2))
        recall = -np.ones(self._classes)
        for class_id in np.unique(self._truth.class_id[~self._crowd]):
            chosen = np.flatnonzero(counted & (held_against == class_id))
            chosen = chosen[np.lexsort((chosen, self._found.image[chosen], -sure[chosen]))]
            support = int(((self._truth.class_id == class_id) & ~self._crowd).sum())
            precision[class_id], confidence[class_id], recall[class_id] = _curve(hits[chosen], sure[chosen], support)
        return precision, confidence, recall


class _Evaluator(COCOeval_faster):  # type: ignore[misc]  # the package has no types
    """faster-coco-eval over one range of sizes, which remembers overlaps from one threshold to the next."""

    def __init__(self, labels: COCO, predictions: COCO, *, classwise: bool) -> None:
        super().__init__(labels, predictions, "bbox")
        self.params.areaRng, self.params.areaRngLbl = [[0.0, float("inf")]], ["all"]
        self._classwise = classwise
        self._known: dict[tuple[int, int], npt.NDArray[np.float64]] = {}

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803 - COCO's names
        """Overlaps of all detections of an image and class, by descending confidence, with its labels."""
        key = (int(imgId), int(catId))
        if key not in self._known:
            overlaps = super().computeIoU(imgId, catId)
            self._known[key] = overlaps if self._classwise else self._without_foreign_crowds(key, overlaps)
        return self._known[key]

    def _without_foreign_crowds(self, key: tuple[int, int], overlaps: Any) -> Any:
        """A detection matches a crowd of its own class only, also where classes are mixed otherwise."""
        labels, predictions = self.gt_dataset.get(*key), self.dt_dataset.get(*key)
        if not any(label["iscrowd"] for label in labels):
            return overlaps
        predictions.sort(key=lambda one: -one["score"])  # stable, as the rows of the overlaps are
        foreign = [[label["iscrowd"] and label["class"] != one["class"] for label in labels] for one in predictions]
        return np.where(foreign, 0.0, overlaps)


def _dataset(
    boxes: Detections | Truth, images: int, classes: int, *, classwise: bool, crowd: BoolArray | None = None
) -> COCO:
    """Boxes in the package's form; where classes are mixed, all are of one category."""
    made = COCO()
    made.dataset = {
        "images": [{"id": number} for number in range(images)],
        "categories": [{"id": number, "name": str(number)} for number in range(classes if classwise else 1)],
        "annotations": list(_annotations(boxes, classwise, crowd)),
    }
    made.createIndex()
    return made


def _annotations(boxes: Detections | Truth, classwise: bool, crowd: BoolArray | None) -> Iterator[dict[str, Any]]:  # noqa: FBT001 - private
    sizes = boxes.box[:, 2:] - boxes.box[:, :2]
    corner_and_size = np.concatenate([boxes.box[:, :2], sizes], axis=1).tolist()
    scores = boxes.confidence.tolist() if isinstance(boxes, Detections) else [0.0] * len(corner_and_size)
    crowds = crowd.astype(int).tolist() if crowd is not None else [0] * len(corner_and_size)
    columns = (boxes.image.tolist(), boxes.class_id.tolist(), corner_and_size, sizes.prod(axis=1).tolist())
    for number, (image, class_id, box, area, score, many) in enumerate(zip(*columns, scores, crowds, strict=True)):
        yield {
            "id": number + 1,  # 0 is the package's word for "no match"
            "image_id": image, "category_id": class_id if classwise else 0, "class": class_id,
            "bbox": box, "area": area, "score": score, "iscrowd": many,
        }  # fmt: skip


def _curve(hits: BoolArray, confidence: FloatArray, support: int) -> tuple[FloatArray, FloatArray, float]:
    """Interpolated precision and its confidence at 101 levels of recall, and the highest recall."""
    found = np.cumsum(hits)
    envelope = np.maximum.accumulate((found / np.arange(1, len(hits) + 1))[::-1])[::-1]
    at = np.searchsorted(found / support, np.linspace(0, 1, LEVELS), side="left")
    inside = at < len(hits)
    precision, reached = np.zeros(LEVELS), np.zeros(LEVELS)
    precision[inside], reached[inside] = envelope[at[inside]], confidence[at[inside]]
    return precision, reached, float(found[-1] / support) if len(hits) else 0.0
