"""How a detector does on a split and how it errs: figures with their sample sizes and intervals.

Shares of boxes have Clopper-Pearson intervals, which take boxes as independent. Boxes of one image are not quite: over
the seven runs of the default project the variance of a class's recall is 0.9 to 1.2 times that of independent boxes
(bootstrap over images; four boxes an image), so its interval is up to a tenth too narrow. It may be more where objects
crowd; the gate's own tests do not rest on it.

Figures of whole images have bootstrap intervals, images being what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtr, ndtri

from pipeline.core import confusion, evaluation, metrics, statistics
from pipeline.core.figures import ClassFigures, DetectionFigures, Figure, ReliabilityBin, SizeFigures
from pipeline.core.metrics import Detections, Matches, Truth
from pipeline.core.statistics import Interval

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

BINS = 10  # of confidence
_REPLICATES = 500  # of the bootstrap over images; these intervals are read, not tested
_TAILS = (0.025, 0.975)
_DEVIATES = (float(ndtri(_TAILS[0])), float(ndtri(_TAILS[1])))
_NO_BOX = "no test box"
_ALL_THE_SAME = "too few images for an interval: every resample gives the same"


def size_bounds(box: FloatArray) -> tuple[float, float]:
    """Edges between small, medium and large: the terciles of the square root of the area, in pixels.

    COCO's edges (32 and 96 pixels) would call every box of small images small, and of large ones large. A box belongs
    to the upper of two ranges that meet at its size: where many boxes have one size, the edges may be the same and
    nothing lies between them; of boxes of one size, all are large.

    Args:
        box: training boxes, (n, 4) x1 y1 x2 y2 in pixels; 0 and 0 without one.
    """
    if not len(box):
        return 0.0, 0.0
    low, high = np.quantile(_size(box), [1 / 3, 2 / 3])
    # rounded down, so that the boxes whose size gave the edge stay above it
    return math.floor(low * 1000) / 1000, math.floor(high * 1000) / 1000


def mean_figures(matches: Matches, precision: FloatArray) -> tuple[Figure, Figure]:
    """mAP50-95 and mAP50, with intervals from the replicates of AP, (replicates, classes, 10); samples: images.

    The intervals are those of :func:`class_figures`.
    """
    mean = metrics.mean_average_precision(matches)
    both = evaluation.mean_precision(precision)
    boxes = matches.truth_image.size
    return (
        _average(mean.map50_95, both[:, 0], matches.images, boxes=boxes, coarse=False),
        _average(mean.map50, both[:, 1], matches.images, boxes=boxes, coarse=True),
    )


def class_figures(
    matches: Matches,
    found: Detections,
    precision: FloatArray,
    *,
    names: Sequence[str],
    rare: Sequence[str],
    training_boxes: Sequence[int],
    confidence: float,
    iou: float,
) -> tuple[ClassFigures, ...]:
    """Recall, precision and AP of each class, by class id.

    AP has the bias-corrected percentile interval of its replicates: the interpolated precision is too high in a small
    sample and higher still in a resample of it, so plain percentiles lie too high. AP50 is nearly a share of boxes, and
    where it is near 1 a sample may hold none of the rare errors that a resample could show: its interval is widened to
    that of such a share, by Clopper & Pearson with AP50 times the boxes as successes. The same is done for AP50-95
    where all resamples are alike. In samples of 40 to 320 images, drawn from real runs whose figures were so known,
    nominal 95 % intervals of a class held AP50-95 in 89 to 95 % of cases (plain percentiles in 86 to 93 %) and AP50 in
    96 to 99 % (56 to 93 %); those of the mean over classes held mAP50-95 in 90 to 94 % (80 to 85 %) and mAP50 in 92 to
    97 % (92 to 93 %).

    Args:
        matches: of the split.
        found: the predictions that were matched.
        precision: replicates of AP, (replicates, classes, 10).
        names: of the classes, by id.
        rare: names of the rare ones.
        training_boxes: of the run, by class id.
        confidence: the operating point.
        iou: at which a box counts as found.

    Source: bias-corrected percentiles: Efron 1987, J. Am. Stat. Assoc. 82:171-185, with no acceleration; AP as a share
    of the positives: Boyd, Eng & Page 2013, Area under the Precision-Recall Curve, ECML PKDD, section 4.
    """
    recalls = metrics.recall_by_class(matches, found, confidence=confidence, iou=iou)
    precisions = metrics.precision_by_class(matches, found, confidence=confidence, iou=iou)
    points = metrics.mean_average_precision(matches).by_class
    return tuple(
        ClassFigures(
            name=name,
            rare=name in rare,
            support=recalls[number].support,
            found=recalls[number].found,
            recall=share(recalls[number].found, recalls[number].support, _NO_BOX),
            precision=share(
                precisions[number].found, precisions[number].detections, "no detection at the operating point"
            ),
            ap50_95=_average(
                points[number].ap50_95, precision[:, number].mean(axis=1), points[number].support, coarse=False
            ),
            ap50=_average(points[number].ap50, precision[:, number, 0], points[number].support, coarse=True),
            training_boxes=training_boxes[number],
        )
        for number, name in enumerate(names)
    )


def share(part: int, whole: int, absent: str) -> Figure:
    """A share with its Clopper-Pearson interval; absent, and why, where there is no whole."""
    interval = statistics.clopper_pearson(part, whole)
    if interval is None:
        return Figure(value=None, samples=0, reason=absent)
    return Figure(value=part / whole, low=interval.low, high=interval.high, samples=whole)


def figures(
    matches: Matches,
    found: Detections,
    truth: Truth,
    *,
    names: Sequence[str],
    confidence: float,
    iou: float,
    bounds: tuple[float, float],
    source: np.random.Generator,
) -> DetectionFigures:
    """Say how the detector errs on a split.

    Reliability and calibration error are about all detections that were kept, from the low floor on; there are none
    below it. All else is at the operating point.

    Args:
        matches: of the split.
        found: the predictions that were matched.
        truth: the labelled boxes.
        names: of the classes, by id.
        confidence: the operating point.
        iou: at which a box counts as found.
        bounds: edges between small, medium and large boxes, in pixels; see :func:`size_bounds`.
        source: of the bootstrap over images, and of the hits of a calibrated detector.
    """
    images = matches.images
    weights = source.multinomial(images, np.full(images, 1 / images), size=_REPLICATES) if images else None
    hit = matches.matched_truth[metrics.threshold(iou)] >= 0
    sure = found.confidence[matches.kept]
    return DetectionFigures(
        sizes=_sizes(metrics.found(matches, found, confidence=confidence, iou=iou), truth, bounds),
        reliability=_reliability(sure, hit),
        calibration_error=_calibration_error(sure, hit, matches.image, weights, source),
        false_positives=_false_positives(matches.image[(sure >= confidence) & ~hit], images, weights),
        confusion=confusion.confusion(found, truth, names=names, confidence=confidence, iou=iou),
    )


def _size(box: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.prod(box[:, 2:] - box[:, :2], axis=1)))


def _sizes(hit: BoolArray, truth: Truth, bounds: tuple[float, float]) -> tuple[SizeFigures, ...]:
    size, (low, high) = _size(truth.box), bounds
    between = f"no test box from {low:g} to {high:g} pixels"
    if low == high:
        between = f"both edges are {low:g} pixels: as many training boxes have one size"
    small, medium, large = size < low, (size >= low) & (size < high), size >= high
    return (
        SizeFigures(name="small", low=0.0, high=low, recall=_recall(hit, small, f"no test box under {low:g} pixels")),
        SizeFigures(name="medium", low=low, high=high, recall=_recall(hit, medium, between)),
        SizeFigures(
            name="large", low=high, high=None, recall=_recall(hit, large, f"no test box of {high:g} pixels or more")
        ),
    )


def _recall(hit: BoolArray, chosen: BoolArray, absent: str) -> Figure:
    return share(int(hit[chosen].sum()), int(chosen.sum()), absent)


def _bin_of(sure: FloatArray) -> IntArray:
    return np.minimum((sure * BINS).astype(np.int64), BINS - 1)


def _reliability(sure: FloatArray, hit: BoolArray) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width, low <= confidence < high, those without a detection left out.

    Equal width, not equal counts: most detections lie near 0 or near 1, so bins of equal counts would say little of the
    range where the operating point lies, and would differ from run to run. What a bin of few detections is worth, its
    interval says.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 2; precision for accuracy: Küppers et al.
    2020, Multivariate Confidence Calibration for Object Detection, section 3.
    """
    number = _bin_of(sure)
    return tuple(
        ReliabilityBin(
            low=one / BINS,
            high=(one + 1) / BINS,
            predicted=float(sure[number == one].mean()),
            observed=share(int(hit[number == one].sum()), int((number == one).sum()), ""),
        )
        for one in np.unique(number).tolist()
    )


def _calibration_error(
    sure: FloatArray, hit: BoolArray, image: IntArray, weights: IntArray | None, source: np.random.Generator
) -> Figure:
    """Expected calibration error, mean over detections of |observed - predicted| of their bin; samples: detections.

    Chance alone moves it away from 0, in a resample twice: the lower end is that of the basic bootstrap, which takes
    this off, and 0 where a calibrated detector would err as much by chance in more than 2.5 % of cases. The upper end
    is the higher of the basic and the percentile bootstrap's.

    Source: Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning; Guo et al. 2017, eq. 3;
    for detection: Küppers et al. 2020, eq. 4. Basic bootstrap: Davison & Hinkley 1997, eq. 5.6; hits drawn by the
    confidences: Bröcker & Smith 2007, Weather and Forecasting 22:651-661.
    """
    if not sure.size or weights is None:
        return Figure(value=None, samples=0, reason="no detection")
    number = _bin_of(sure)
    # sums of confidence less hits by image and bin: a resample adds those of its images
    shape = (weights.shape[1], BINS)
    gaps = np.bincount(image * BINS + number, sure - hit, minlength=shape[0] * BINS).reshape(shape)
    counts = np.bincount(image, minlength=shape[0])
    value = float(np.abs(gaps.sum(axis=0)).sum() / sure.size)
    drawn = weights @ counts
    replicates = np.abs(weights @ gaps).sum(axis=1)[drawn > 0] / drawn[drawn > 0]
    if shape[0] == 1:
        return Figure(value=value, samples=sure.size, reason=_ALL_THE_SAME)
    low, high = np.quantile(replicates, _TAILS)
    by_chance = np.quantile([_gap(sure, source.random(sure.size) < sure, number) for _ in weights], _TAILS[1])
    return Figure(
        value=value,
        low=min(value, max(0.0, float(2 * value - high))) if value > by_chance else 0.0,
        high=min(1.0, max(value, float(high), float(2 * value - low))),
        samples=sure.size,
    )


def _gap(sure: FloatArray, hit: BoolArray, number: IntArray) -> float:
    return float(np.abs(np.bincount(number, sure - hit, minlength=BINS)).sum() / sure.size)


def _false_positives(image: IntArray, images: int, weights: IntArray | None) -> Figure:
    """Detections an image that found no box; where no image has one, up to the share of images that might have."""
    if weights is None:
        return Figure(value=None, samples=0, reason="no test image")
    of_image = np.bincount(image, minlength=images)
    value = float(of_image.mean())
    if not image.size:
        return share(0, images, "")
    if images == 1:
        return Figure(value=value, samples=images, reason=_ALL_THE_SAME)
    interval = _bias_corrected(value, weights @ of_image / images)
    return Figure(value=value, low=interval.low, high=interval.high, samples=images)


def _average(
    value: float | None, replicates: FloatArray, samples: int, *, boxes: int | None = None, coarse: bool
) -> Figure:
    """An average precision with its interval; `coarse`: at one threshold of IoU, so nearly a share of the boxes."""
    if value is None:
        return Figure(value=None, samples=samples, reason=_NO_BOX)
    defined = replicates[np.isfinite(replicates)]
    same = not defined.size or bool(np.ptp(defined) == 0)
    ends = [] if same else [_bias_corrected(value, defined)]
    if coarse or same:
        ends.append(_as_share(value, samples if boxes is None else boxes))
    return Figure(value=value, low=min(one.low for one in ends), high=max(one.high for one in ends), samples=samples)


def _bias_corrected(value: float, replicates: FloatArray) -> Interval:
    least = 0.5 / replicates.size
    under = float((replicates < value).mean() + (replicates == value).mean() / 2)
    shift = 2 * float(ndtri(min(max(under, least), 1 - least)))
    low, high = np.quantile(replicates, ndtr([shift + _DEVIATES[0], shift + _DEVIATES[1]]))
    return Interval(low=min(value, float(low)), high=max(value, float(high)))


def _as_share(value: float, boxes: int) -> Interval:
    """Clopper & Pearson's interval with a number of successes that need not be whole."""
    successes, failures = value * boxes, (1 - value) * boxes
    low = float(betaincinv(successes, failures + 1, _TAILS[0])) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, _TAILS[1])) if failures else 1.0
    return Interval(low=min(value, low), high=max(value, high))
