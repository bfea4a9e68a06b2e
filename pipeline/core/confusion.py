"""What boxes are taken for: matching of detections to boxes of any class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.core import metrics
from pipeline.core.figures import Confusion
from pipeline.core.metrics import Detections, IntArray, Truth


def confusion(found: Detections, truth: Truth, *, names: Sequence[str], confidence: float, iou: float) -> Confusion:
    """Count what test boxes are taken for, at the operating point.

    Detections at or over the confidence take, in descending order of it, the free box of highest IoU in their image,
    whatever its class; on equal IoU one of their own class. Rows sum to a class's boxes, columns to its detections.

    Args:
        found: the predictions.
        truth: the labelled boxes.
        names: of the classes, by id.
        confidence: the operating point.
        iou: least overlap, in [0.5, 1].

    Source: the greedy matching of COCO (arXiv 1405.0312, `COCOeval.evaluateImg`), over all classes at once.
    """
    count = len(names)
    passing = np.flatnonzero(found.confidence >= confidence)
    order = passing[np.argsort(-found.confidence[passing], kind="stable")]
    taken = _take(found, truth, order=order, iou=iou)
    counts = np.zeros((count + 1, count + 1), dtype=np.int64)
    true = np.append(truth.class_id, count)  # the last stands for no box, taken -1
    np.add.at(counts, (true[taken], found.class_id[order]), 1)
    counts[:count, count] = np.bincount(np.delete(truth.class_id, taken[taken >= 0]), minlength=count)
    return Confusion(classes=tuple(names), counts=tuple(tuple(row) for row in counts.tolist()))


def _take(found: Detections, truth: Truth, *, order: IntArray, iou: float) -> IntArray:
    """The truth box that each detection takes, the first of them first, or -1; shape of `order`."""
    one_class = (
        replace(found, class_id=np.zeros_like(found.class_id)),
        replace(truth, class_id=np.zeros_like(truth.class_id)),
    )
    rows, boxes, overlap = metrics.overlaps(*one_class, kept=order, classes=1)
    near = overlap >= min(iou, 1 - 1e-10)  # as pycocotools compares
    rows, boxes, overlap = rows[near], boxes[near], overlap[near]
    same = found.class_id[order[rows]] == truth.class_id[boxes]
    ranked = np.lexsort((-boxes, ~same, -overlap, rows))
    taken, free = np.full(order.size, -1, dtype=np.int64), np.ones(truth.image.size, dtype=bool)
    for row, box in zip(rows[ranked].tolist(), boxes[ranked].tolist(), strict=True):
        if taken[row] < 0 and free[box]:
            taken[row], free[box] = box, False
    return taken
