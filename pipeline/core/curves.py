"""Precision-recall curves from matches, in the form that FiftyOne keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.core import metrics
from pipeline.core.metrics import IOU_THRESHOLDS, Detections, FloatArray, Matches, Truth

LEVELS = 101  # of recall, from 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """Interpolated precision and confidence at 101 levels of recall; -1 for a class without truth boxes.

    Attributes:
        precision: shape (10, classes, 101).
        confidence: at which each precision is reached, shape (10, classes, 101).
        recall: the highest that is reached, shape (10, classes).
    """

    precision: FloatArray
    confidence: FloatArray
    recall: FloatArray


def curves(matches: Matches, detections: Detections) -> Curves:
    """Give the curves whose mean precision is :func:`metrics.average_precision`.

    Source: ``COCOeval.accumulate`` of pycocotools.
    """
    levels = np.linspace(0, 1, LEVELS)
    shape = (len(IOU_THRESHOLDS), matches.classes)
    precision, confidence = -np.ones((*shape, LEVELS)), -np.ones((*shape, LEVELS))
    reached = -np.ones(shape)
    sure = detections.confidence[matches.kept]
    for class_id in np.unique(matches.truth_class):
        support = int((matches.truth_class == class_id).sum())
        chosen = np.flatnonzero(matches.class_id == class_id)
        for index in range(shape[0]):
            hits = np.cumsum(matches.matched_truth[index, chosen] >= 0)
            recall = hits / support
            envelope = np.maximum.accumulate((hits / np.arange(1, len(chosen) + 1))[::-1])[::-1]
            at = np.searchsorted(recall, levels, side="left")
            inside = at < len(chosen)
            precision[index, class_id], confidence[index, class_id] = 0.0, 0.0
            precision[index, class_id, inside] = envelope[at[inside]]
            confidence[index, class_id, inside] = sure[chosen][at[inside]]
            reached[index, class_id] = recall[-1] if len(chosen) else 0.0
    return Curves(precision=precision, confidence=confidence, recall=reached)


def overlap(matches: Matches, detections: Detections, truth: Truth) -> FloatArray:
    """IoU of each kept detection with the truth box that it matches at IoU 0.50, shape (kept,); NaN without a match."""
    result = np.full(len(matches.kept), np.nan)
    hit = np.flatnonzero(matches.matched_truth[0] >= 0)
    result[hit] = metrics.iou(detections.box[matches.kept[hit]], truth.box[matches.matched_truth[0, hit]])
    return result
