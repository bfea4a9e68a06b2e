"""Detection metrics: match counts first, then recall, precision and mAP.

One matching (`match`) serves every figure: AP at ten IoU thresholds, its bootstrap replicates, and recall and precision
at an operating confidence. Internal arrays hold NaN where a class has no truth; public figures hold None.

Source: COCO's protocol as pycocotools 2.0 computes it (arXiv 1405.0312, `cocoeval.py`), without size ranges and without
crowds: YOLO labels, which this project keeps, have no crowd boxes; a crowd of a COCO data set is no truth box here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import UserError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Pairs = tuple[IntArray, IntArray, FloatArray]

# linspace, not arange: pycocotools' own floats, on which a box of exactly that IoU depends
IOU_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
CONFIDENCE_GRID: tuple[float, ...] = tuple((np.arange(1, 100) / 100).tolist())
_RECALLS = np.linspace(0.0, 1.0, 101)
_PAIR_ROWS = 4096  # detections whose pairs with truth boxes are held in memory at once
_REPLICATE_ROWS = 64  # replicates in work at once: 64 x 3000 float64 stay in a core's cache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """Predicted boxes: image number, class id and confidence (n,) in [0, 1], box (n, 4) x1 y1 x2 y2 in pixels."""

    image: IntArray
    class_id: IntArray
    confidence: FloatArray
    box: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays of unequal length, numbers that are not finite, and boxes that are inside out."""
        _check_boxes(self.box, self.image, self.class_id, self.confidence)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """Ground-truth boxes, none of them a crowd: image number and class id (m,), box (m, 4) x1 y1 x2 y2 in pixels."""

    image: IntArray
    class_id: IntArray
    box: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays of unequal length, numbers that are not finite, and boxes that are inside out."""
        _check_boxes(self.box, self.image, self.class_id)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matches:
    """Which detection found which truth box, at each of the ten IoU thresholds.

    `kept` (n,) are indices into the detections: by class id, then descending confidence, then image, then index.
    `matched_truth` (10, n) is the index of the truth box that each of them found, or -1. `image` and `class_id` (n,)
    belong to the kept detections, `truth_image` and `truth_class` (m,) to all truth boxes.
    """

    kept: IntArray
    matched_truth: IntArray
    image: IntArray
    class_id: IntArray
    truth_image: IntArray
    truth_class: IntArray
    images: int
    classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassAP:
    """Average precision of one class in [0, 1]; None where the class has no truth box. `by_iou`: ten thresholds."""

    class_id: int
    support: int
    ap50_95: float | None
    ap50: float | None
    by_iou: tuple[float, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAP:
    """AP averaged over the classes that have truth boxes; None when none has. `by_class` is indexed by class id."""

    map50_95: float | None
    map50: float | None
    by_class: tuple[ClassAP, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Share of the truth boxes (support) that were found; None without truth boxes."""

    value: float | None
    support: int
    found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Share of the detections at or over the confidence that found a truth box; None without such detections."""

    value: float | None
    detections: int
    found: int


def match(detections: Detections, truth: Truth, *, images: int, classes: int, max_detections: int = 100) -> Matches:
    """Match detections to truth boxes, greedily by descending confidence, per image and class.

    On equal confidence the earlier detection goes first; on equal IoU it takes the later truth box. Image numbers lie
    in [0, images), class ids in [0, classes). Per image and class the `max_detections` most confident are kept.

    Raises:
        ValueError: an image number or class id lies outside its range.

    Source: `COCOeval.evaluateImg` of pycocotools.
    """
    for boxes in (detections, truth):
        for name, values, count in (("image", boxes.image, images), ("class", boxes.class_id, classes)):
            if values.size and not 0 <= values.min() <= values.max() < count:
                raise ValueError(f"{name} numbers {values.min()} to {values.max()}, wanted 0 to {count - 1}")
    kept = _most_confident(detections, classes=classes, most=max_detections)
    rows, truths, ious = overlaps(detections, truth, kept=kept, classes=classes)
    return Matches(
        kept=kept,
        matched_truth=_greedy(rows, truths, ious, shape=(kept.size, truth.image.size)),
        image=detections.image[kept],
        class_id=detections.class_id[kept],
        truth_image=truth.image,
        truth_class=truth.class_id,
        images=images,
        classes=classes,
    )


def average_precision(matches: Matches, *, weights: IntArray | None = None) -> FloatArray:
    """Give the 101-point interpolated AP, (replicates, classes, 10); NaN where a replicate has no truth of the class.

    `weights` (replicates, images) say how often each image counts (multinomial bootstrap counts); None: each once, one
    replicate. The result is that of a data set whose images are repeated, copies side by side; only where detections of
    one class tie in confidence within an image would that one interleave the copies.

    Raises:
        ValueError: weights of another shape, or negative.

    Source: `COCOeval.accumulate` of pycocotools.
    """
    drawn = np.ones((1, matches.images), dtype=np.int64) if weights is None else weights
    if drawn.shape != (len(drawn), matches.images) or (drawn < 0).any():
        raise ValueError(f"weights of shape {drawn.shape}, wanted (replicates, {matches.images}), none negative")
    precision = np.full((len(drawn), matches.classes, len(IOU_THRESHOLDS)), np.nan)
    ends = np.searchsorted(matches.class_id, np.arange(matches.classes + 1))
    for start in range(0, len(drawn), _REPLICATE_ROWS):
        chunk = np.ascontiguousarray(drawn[start : start + _REPLICATE_ROWS].T, dtype=np.float64)
        for class_id in np.unique(matches.truth_class):
            ranked = slice(ends[class_id], ends[class_id + 1])
            precision[start : start + _REPLICATE_ROWS, class_id] = _class_precision(
                chunk[matches.image[ranked]],
                found=matches.matched_truth[:, ranked] >= 0,
                support=chunk[matches.truth_image[matches.truth_class == class_id]].sum(axis=0),
            )
    return precision


def mean_average_precision(matches: Matches) -> MeanAP:
    """Average AP over classes; a class without truth boxes is left out of the mean."""
    by_iou = average_precision(matches)[0]
    by_class = tuple(
        ClassAP(class_id=class_id, support=support, ap50_95=_mean(row), ap50=_mean(row[:1]), by_iou=tuple(row.tolist()))
        if support
        else ClassAP(class_id=class_id, support=0, ap50_95=None, ap50=None, by_iou=None)
        for class_id, (row, support) in enumerate(zip(by_iou, _counts(matches.truth_class, matches), strict=True))
    )
    present = by_iou[np.isfinite(by_iou[:, 0])]
    return MeanAP(map50_95=_mean(present), map50=_mean(present[:, 0]), by_class=by_class)


def found(matches: Matches, detections: Detections, *, confidence: float, iou: float = 0.5) -> BoolArray:
    """Tell which truth boxes, (m,), are found by the detections of at least this confidence at this IoU threshold.

    Raises:
        ValueError: the IoU is none of the ten thresholds.
    """
    # No second matching: detections choose in descending confidence, so the weaker ones choose after all that pass and
    # never change what those take. The same holds for the cap per image and class, which drops the weakest.
    passing = matches.matched_truth[threshold(iou), detections.confidence[matches.kept] >= confidence]
    return np.isin(np.arange(matches.truth_image.size), passing)


def recall_by_class(
    matches: Matches, detections: Detections, *, confidence: float, iou: float = 0.5
) -> tuple[Recall, ...]:
    """Recall of each class, by class id, at a confidence and an IoU threshold."""
    hit = found(matches, detections, confidence=confidence, iou=iou)
    counts = zip(_counts(matches.truth_class[hit], matches), _counts(matches.truth_class, matches), strict=True)
    return tuple(Recall(value=hits / size if size else None, support=size, found=hits) for hits, size in counts)


def precision_by_class(
    matches: Matches, detections: Detections, *, confidence: float, iou: float = 0.5
) -> tuple[Precision, ...]:
    """Precision of each class, by class id, at a confidence and an IoU threshold."""
    passing = detections.confidence[matches.kept] >= confidence
    hit = passing & (matches.matched_truth[threshold(iou)] >= 0)
    counts = zip(_counts(matches.class_id[hit], matches), _counts(matches.class_id[passing], matches), strict=True)
    return tuple(Precision(value=hits / size if size else None, detections=size, found=hits) for hits, size in counts)


def operating_confidence(matches: Matches, detections: Detections, truth: Truth, *, classes: int) -> float:
    """Choose the confidence at which F1 at IoU 0.5, averaged over the classes with truth boxes, is best.

    Candidates are 0.01 to 0.99 by 0.01, a grid that does not move from run to run; of equally good ones the highest is
    taken. Choose it on val, never on test.

    Raises:
        UserError: there is no truth box, hence no F1.
    """
    support = np.bincount(truth.class_id, minlength=classes)
    if not support.any():
        raise UserError(
            "No image of val has a labelled box, wanted at least one to choose the operating confidence by. Add images "
            "with objects to val, then run `uv run dvc repro`."
        )
    passing = detections.confidence[matches.kept] >= np.array(CONFIDENCE_GRID)[:, np.newaxis]
    hit = matches.matched_truth[0] >= 0
    scores = []
    for class_id in np.flatnonzero(support):
        of_class = matches.class_id == class_id
        predicted, hits = passing[:, of_class].sum(axis=1), passing[:, of_class & hit].sum(axis=1)
        scores.append(2 * hits / (predicted + support[class_id]))
    mean = np.mean(scores, axis=0)
    return CONFIDENCE_GRID[int(np.flatnonzero(mean == mean.max())[-1])]


def _check_boxes(box: FloatArray, *columns: IntArray | FloatArray) -> None:
    shapes = [column.shape for column in columns]
    if box.shape != (len(box), 4) or any(shape != (len(box),) for shape in shapes):
        raise ValueError(f"boxes of shape {box.shape} beside columns of {shapes}, wanted (n, 4) beside (n,)")
    if not all(np.isfinite(numbers).all() for numbers in (box, *columns)) or (box[:, 2:] < box[:, :2]).any():
        raise ValueError("a number is not finite or a box ends before it begins, wanted x1 <= x2 and y1 <= y2")


def threshold(iou: float) -> int:
    """Place of an IoU among the ten thresholds.

    Raises:
        ValueError: the IoU is none of them.
    """
    near = np.flatnonzero(np.isclose(IOU_THRESHOLDS, iou, rtol=0, atol=1e-9))
    if near.size == 0:
        raise ValueError(f"IoU {iou:g}, wanted one of 0.50 to 0.95 by 0.05")
    return int(near[0])


def _counts(class_ids: IntArray, matches: Matches) -> list[int]:
    counts: list[int] = np.bincount(class_ids, minlength=matches.classes).tolist()
    return counts


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if values.size else None


def _most_confident(detections: Detections, *, classes: int, most: int) -> IntArray:
    """Indices of the kept detections by class, descending confidence, image, index: pycocotools' ranking."""
    group = detections.image * classes + detections.class_id
    order = np.lexsort((-detections.confidence, group))  # stable: on equal confidence the earlier one goes first
    sizes = np.unique(group, return_counts=True)[1]
    rank = np.arange(order.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = order[rank < most]
    # kept is grouped by image and in order within it, so a stable sort leaves equals by image, then index
    ranking = np.lexsort((-detections.confidence[kept], detections.class_id[kept]))
    return np.asarray(kept[ranking], dtype=np.int64)


def overlaps(detections: Detections, truth: Truth, *, kept: IntArray, classes: int) -> Pairs:
    """Pairs of one image and class whose IoU is 0.50 or more: row of `kept` (indices of detections), truth, IoU."""
    group = detections.image[kept] * classes + detections.class_id[kept]
    truth_group = truth.image * classes + truth.class_id
    by_group = np.argsort(truth_group, kind="stable")
    first = np.searchsorted(truth_group[by_group], group, side="left")
    count = np.searchsorted(truth_group[by_group], group, side="right") - first
    pairs = []
    for start in range(0, max(kept.size, 1), _PAIR_ROWS):
        number = count[start : start + _PAIR_ROWS]
        rows = np.repeat(np.arange(start, start + number.size), number)
        step = np.arange(rows.size) - np.repeat(np.cumsum(number) - number, number)
        truths = by_group[first[rows] + step]
        ious = iou(detections.box[kept[rows]], truth.box[truths])
        near = ious >= IOU_THRESHOLDS[0]
        pairs.append((rows[near], truths[near], ious[near]))
    rows, truths, ious = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return rows, truths, ious


def iou(one: FloatArray, other: FloatArray) -> FloatArray:
    """IoU of box pairs, (n,); pycocotools' order of operations, so that equal IoUs stay equal."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    area = np.prod(one[:, 2:] - one[:, :2], axis=1) + np.prod(other[:, 2:] - other[:, :2], axis=1)
    return np.asarray(shared / np.where(shared > 0, area - shared, 1.0))


def _greedy(rows: IntArray, truths: IntArray, ious: FloatArray, *, shape: tuple[int, int]) -> IntArray:
    """Let each row take, at each threshold, the free truth box of highest IoU; (10, rows), -1 for none."""
    matched = np.full((len(IOU_THRESHOLDS), shape[0]), -1, dtype=np.int64)
    for taker, threshold in zip(matched, IOU_THRESHOLDS, strict=True):
        least = min(threshold, 1 - 1e-10)
        near = ious >= least
        taken = bytearray(shape[1])
        last, best, choice = -1, least, -1
        # within an image and class the rows come in pycocotools' order; between them the order is of no account
        pairs = zip(rows[near].tolist(), truths[near].tolist(), ious[near].tolist(), strict=True)
        for row, candidate, iou in pairs:
            if row != last:
                last, best, choice = row, least, -1
            if taken[candidate] or iou < best:
                continue
            if choice >= 0:
                taken[choice] = 0
            taken[candidate] = 1
            best, choice = iou, candidate
            taker[row] = candidate
    return matched


def _class_precision(weight: FloatArray, *, found: BoolArray, support: FloatArray) -> FloatArray:
    """AP of one class, (replicates, 10), of weight (n, replicates) by descending confidence and found (10, n)."""
    ranked = np.maximum(np.cumsum(weight, axis=0), 1.0)  # 0 only where nothing was drawn yet: no hits either
    result = np.zeros((support.size, len(found)))
    for index, hit in enumerate(found):
        # Precision rises at hits only, so the envelope at a hit is the maximum over the hits from there on, and recall
        # reaches a level first at a hit: the false positives matter through `ranked` alone.
        at = np.flatnonzero(hit)
        hits = np.cumsum(weight[at], axis=0)
        envelope = np.maximum.accumulate((hits / ranked[at])[::-1], axis=0)[::-1]
        recall = hits / np.maximum(support, 1.0)
        nearest = (recall * 100 + 0.5).astype(np.intp)
        reached = nearest + (_RECALLS[nearest] <= recall)  # recall levels at or under this recall, as floats compare
        result[:, index] = (np.diff(reached, axis=0, prepend=0) * envelope).sum(axis=0) / _RECALLS.size
    return np.where(support[:, np.newaxis] > 0, result, np.nan)
