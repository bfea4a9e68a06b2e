"""What each image adds to average precision: the first-order form that the simulation draws test splits with."""

from __future__ import annotations

import numpy as np

from pipeline.core.metrics import Matches
from studies.calibration.matches import Bools, Floats


def of_images(found: Matches) -> Floats:
    """What each image adds to each class's AP50-95 times its boxes, shape (images, classes).

    AP is taken as the area under the precision envelope. Times the number of boxes it is a function of the images'
    weights that doubles when all of them do, so it is the sum of its derivatives by them: these are the shares, exact
    at the whole pool, and to first order for a split of it.

    Source: Hampel 1974, J. Am. Stat. Assoc. 69:383-393 (the influence curve); the sum of the derivatives: Euler's
    theorem on homogeneous functions.
    """
    result = np.zeros((found.images, found.classes))
    for class_id in range(found.classes):
        ranked = found.class_id == class_id
        each = np.mean([_of_detections(hits) for hits in found.matched_truth[:, ranked] >= 0], axis=0)
        np.add.at(result[:, class_id], found.image[ranked], each)
    return result


def _of_detections(hits: Bools) -> Floats:
    """What each detection adds to the sum of the envelope over the hits, by descending confidence, shape (n,).

    A hit adds its own precision; it lifts the precision of every hit further down, and any detection lowers it. Only
    the places where the envelope is taken count.
    """
    if not hits.any():
        return np.zeros(hits.size)
    rank = np.arange(1, hits.size + 1)
    precision = np.cumsum(hits) / rank
    # the place further down with the highest precision gives the envelope at a hit
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    is_peak = precision == envelope
    peak = np.minimum.accumulate(np.where(is_peak, np.arange(hits.size), hits.size)[::-1])[::-1]
    taken = np.bincount(peak[hits], minlength=hits.size)  # by how many hits each place is taken
    lifted = np.cumsum((taken / rank)[::-1])[::-1]
    lowered = np.cumsum((taken * precision / rank)[::-1])[::-1]
    return np.where(hits, envelope + lifted, 0.0) - lowered
