"""Evaluations of the project's own matching, kept as FiftyOne keeps those of its COCO evaluation.

FiftyOne's ``evaluate_detections`` makes a document of every sample and matches in Python, which takes seconds where
tenths would do. Here the matches of :mod:`pipeline.core.metrics` are written in bulk, into the same fields and the same
results object, so the App's panels, ``load_evaluation_results`` and ``delete_evaluation`` work alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core import curves, metrics
from pipeline.core.metrics import Detections, Matches, Truth

IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labels:
    """FiftyOne's ids of the labels of one field, image after image, and how many each image has."""

    ids: list[str]
    counts: list[int]

    def by_image(self, values: Sequence[Any]) -> list[list[Any]]:
        """One value a label, as one list an image."""
        ends = np.cumsum([0, *self.counts])
        return [list(values[start:end]) for start, end in itertools.pairwise(ends)]


def _labels(view: Any, field: str) -> _Labels:
    ids = view.values(f"{field}.detections.id")
    return _Labels(ids=[one for image in ids for one in image], counts=[len(image) for image in ids])


def evaluate(
    view: Any, *, pred_field: str, gt_field: str, eval_key: str, found: Detections, truth: Truth, classes: Sequence[str]
) -> float:
    """Write one evaluation; gives mAP50-95 as FiftyOne computes it from what was written.

    Args:
        view: the samples; image numbers in ``found`` and ``truth`` are positions in it.
        pred_field: field of the predictions, in the order of ``found`` within each image.
        gt_field: field of the labels, in the order of ``truth`` within each image.
        eval_key: name of the evaluation.
        found: predictions, sorted by image.
        truth: labels, sorted by image.
        classes: class names by id.
    """
    from fiftyone.utils.eval.coco import COCODetectionResults, COCOEvaluationConfig

    matches = metrics.match(found, truth, images=len(view), classes=len(classes))
    config = COCOEvaluationConfig(pred_field, gt_field, iou=IOU, classwise=True, compute_mAP=True)
    method = config.build()
    method.register_run(view, eval_key)
    method.register_samples(view, eval_key, dynamic=True)
    predicted, labelled = _labels(view, pred_field), _labels(view, gt_field)
    pairs = _write_matches(view, method, eval_key, (predicted, labelled), matches, found, truth, classes)
    curve = curves.curves(matches, found)
    results = COCODetectionResults(
        view, config, eval_key, pairs, curve.precision, np.linspace(0, 1, curves.LEVELS), config.iou_threshs,
        np.array(classes), recall_sweep=curve.recall, thresholds=curve.confidence, backend=method,
    )  # fmt: skip
    method.save_run_results(view, eval_key, results)
    method.add_fields_to_sidebar_group(view, eval_key, omit_fields=(pred_field, gt_field))
    return float(results.mAP())


def _write_matches(
    view: Any,
    method: Any,
    eval_key: str,
    fields: tuple[_Labels, _Labels],
    matches: Matches,
    found: Detections,
    truth: Truth,
    classes: Sequence[str],
) -> list[tuple[Any, ...]]:
    """Write TP, FP, FN, matched id and IoU; gives FiftyOne's list of matches."""
    predicted, labelled = fields
    partner = np.full(len(predicted.ids), -1)
    partner[matches.kept] = matches.matched_truth[0]
    shared = np.full(len(predicted.ids), np.nan)
    shared[matches.kept] = curves.overlap(matches, found, truth)
    finder = np.full(len(labelled.ids), -1)
    finder[partner[partner >= 0]] = np.flatnonzero(partner >= 0)
    columns = {
        method.pred_field: (predicted, partner, labelled.ids, "fp"),
        method.gt_field: (labelled, finder, predicted.ids, "fn"),
    }
    for field, (own, others, ids, missed) in columns.items():
        path = f"{field}.detections.{eval_key}"
        view.set_values(path, own.by_image(["tp" if other >= 0 else missed for other in others]))
        view.set_values(f"{path}_id", own.by_image([ids[other] if other >= 0 else "" for other in others]))
        which = np.arange(len(others)) if own is predicted else others  # the prediction whose IoU it is
        ious = [float(shared[one]) if other >= 0 else None for one, other in zip(which, others, strict=True)]
        view.set_values(f"{path}_iou", own.by_image(ious))
    for name, own, hits in (
        ("tp", predicted, partner >= 0),
        ("fp", predicted, partner < 0),
        ("fn", labelled, finder < 0),
    ):
        view.set_values(f"{eval_key}_{name}", [int(sum(image)) for image in own.by_image(hits.tolist())])
    names = [classes[class_id] for class_id in found.class_id]
    pairs: list[tuple[Any, ...]] = [
        (name, name, iou, sure, labelled.ids[other], own) if other >= 0 else (None, name, None, sure, None, own)
        for name, iou, sure, other, own in zip(
            names, shared.tolist(), found.confidence.tolist(), partner, predicted.ids, strict=True
        )
    ]
    unseen = np.flatnonzero(finder < 0)
    return pairs + [(classes[truth.class_id[one]], None, None, None, labelled.ids[one], None) for one in unseen]
