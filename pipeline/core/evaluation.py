"""From a table of predictions to matches and bootstrap replicates: what `audit` and `confirm` do alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import detections, metrics, rng
from pipeline.core.manifest import Row
from pipeline.core.metrics import Detections, Matches, Truth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """Predictions on one split against its labels; image numbers are positions in the split's rows.

    Attributes:
        found: the predictions.
        truth: the labelled boxes.
        boxes: the same as a table, one row a box, with the columns of :data:`detections.BOX_COLUMNS` but ``found``.
        matches: which prediction found which box.
    """

    found: Detections
    truth: Truth
    boxes: pd.DataFrame
    matches: Matches


def evaluate(predictions: pd.DataFrame, rows: Sequence[Row], *, classes: int) -> Evaluated:
    """Match the predictions for these images to their labels."""
    found = detections.to_detections(predictions, rows)
    boxes = detections.labelled_boxes(rows)
    truth = detections.to_truth(boxes, rows)
    matches = metrics.match(found, truth, images=len(rows), classes=classes)
    return Evaluated(found=found, truth=truth, boxes=boxes, matches=matches)


def split_digest(rows: Sequence[Row]) -> str:
    """SHA-256 over the ids and label digests of images: runs are compared where it is equal."""
    return hashlib.sha256("\n".join(f"{row.image_id} {row.label_digest}" for row in rows).encode()).hexdigest()


def strata(truth_image: npt.NDArray[np.int64], truth_class: npt.NDArray[np.int64], images: int) -> list[list[int]]:
    """Images by the scarcest class on them, then those without a box: what a stratified bootstrap draws from.

    A class that is scarce in the split is then there in every resample, in about the same number of images.
    """
    support = np.bincount(truth_class) if truth_class.size else np.zeros(0, dtype=np.int64)
    order = np.argsort(support, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    scarcest = np.full(images, len(order), dtype=np.int64)
    np.minimum.at(scarcest, truth_image, rank[truth_class])
    return [np.flatnonzero(scarcest == one).tolist() for one in np.unique(scarcest)]


def resamples(evaluated: Evaluated, rows: Sequence[Row], *, seed: int, replicates: int) -> npt.NDArray[np.int64]:
    """How often each image is in each resample, shape (replicates, images).

    Each stratum (see :func:`strata`) gives as many images as it has. The same test images give the same resamples, so
    the replicates of two runs are paired.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 8; Davison & Hinkley 1997, chapter 3.2.
    """
    source = rng.generator(seed, "bootstrap", split_digest(rows))
    drawn = np.zeros((replicates, len(rows)), dtype=np.int64)
    for members in strata(evaluated.truth.image, evaluated.truth.class_id, len(rows)):
        count = len(members)
        drawn[:, members] = source.multinomial(count, np.full(count, 1 / count), size=replicates)
    return drawn


def mean_precision(precision: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """mAP50-95 and mAP50 of AP by class and threshold, (replicates, classes, 10); shape (replicates, 2).

    NaN where no class is present.
    """
    present = np.isfinite(precision[:, :, 0]).sum(axis=1)
    both = [np.nansum(part, axis=1) / np.maximum(present, 1) for part in (precision.mean(axis=2), precision[:, :, 0])]
    return np.where((present > 0)[:, None], np.stack(both, axis=1), np.nan)
