"""What an audit can say of a run: every figure with its sample size and interval, or with the reason why there is none.

Only data: the modules that compute give these, `audits` keeps them as JSON, the report shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with its 95 % interval and what it was computed from; None where it cannot be computed, and why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    samples: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """One class on the test split.

    Attributes:
        name: of the class.
        rare: whether the class is rare.
        support: labelled test boxes.
        found: those that were found at the operating point.
        recall: found / support, with the Clopper-Pearson interval.
        precision: at the operating point, with the Clopper-Pearson interval; samples: detections.
        ap50_95: average precision, mean over IoU 0.50 to 0.95; bootstrap interval over images.
        ap50: average precision at IoU 0.50.
        training_boxes: boxes of the class in the run's training data.
    """

    name: str
    rare: bool
    support: int
    found: int
    recall: Figure
    precision: Figure
    ap50_95: Figure
    ap50: Figure
    training_boxes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeFigures:
    """Recall of the boxes of one range of sizes, the square root of the area in pixels; `low` <= size < `high`."""

    name: Literal["small", "medium", "large"]
    low: float
    high: float | None
    recall: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Detections of one range of confidence: mean confidence, and the share of them that found a box."""

    low: float
    high: float
    predicted: float
    observed: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """What test boxes were taken for, at the operating point.

    `counts[i][j]`: boxes of class i that a detection of class j took, the surest first; the last column counts boxes
    that none took, the last row detections that took none: on the background, or on a box that a surer one has.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionFigures:
    """How the detector errs.

    Attributes:
        sizes: recall by box size.
        reliability: predicted against observed precision, by confidence.
        calibration_error: expected calibration error, the mean distance of the two over detections.
        false_positives: detections an image that found no box, at the operating point.
        confusion: with other classes.
    """

    sizes: tuple[SizeFigures, ...]
    reliability: tuple[ReliabilityBin, ...]
    calibration_error: Figure
    false_positives: Figure
    confusion: Confusion


@dataclass(frozen=True, slots=True, kw_only=True)
class NearGroup:
    """Items that are near one another: `image_id`, or `image_id/box` of an object; and the largest similarity."""

    items: tuple[str, ...]
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPair:
    """A synthetic item and the real one nearest to it, with their cosine similarity and the split of the real one."""

    synthetic: str
    real: str
    split: str
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplication:
    """Duplication of the run's own synthetic images, or of the objects on them.

    Attributes:
        level: images, or crops of objects.
        items: synthetic ones.
        exact: items that repeat the pixels of an earlier one (SHA-256).
        reencoded: items within `hash_distance` bits of an earlier one's perceptual hash.
        near: items near an earlier one in the embedding: all of each group but its first; without a threshold none is.
        groups: number of groups of two or more near items.
        largest: items of the largest group.
        near_share: near / items.
        expected: the same share among as many real training items: what the threshold finds where nothing is wrong.
        threshold: cosine similarity from which on two items are near; None: too few real items to calibrate it.
        quantile: share of real validation items as near to a training item, which gave the threshold.
        copies: synthetic items near a real one, by the split of the real one (train, val, test).
        copy_share: share of synthetic items near a real training item.
        examples: the largest groups, at most a dozen.
        suspicious: the nearest synthetic and real pairs, at most a dozen.
        hash_distance: in bits.
    """

    level: Literal["image", "object"]
    items: int
    exact: int
    reencoded: int
    near: int
    groups: int
    largest: int
    near_share: Figure
    expected: Figure
    threshold: float | None
    quantile: float
    copies: Mapping[str, int]
    copy_share: Figure
    examples: tuple[NearGroup, ...]
    suspicious: tuple[NearPair, ...]
    hash_distance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """Synthetic objects beside real training objects at equal sample size, of one class or of all (`name` "all").

    Attributes:
        name: of the class, or "all".
        samples: objects of each kind that were compared.
        vendi_synthetic: Vendi score, in [1, samples].
        vendi_real: of the real ones.
        coverage: share of real objects with a synthetic one within their k-th neighbour's distance.
        density: mean number of such balls that a synthetic object lies in, over k.
        lost_tail: share of real objects with no synthetic neighbour nearer than real ones usually have.
    """

    name: str
    samples: int
    vendi_synthetic: Figure
    vendi_real: Figure
    coverage: Figure
    density: Figure
    lost_tail: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One quantity of the run's synthetic images beside that of the real training images.

    Attributes:
        quantity: such as "class shares", "box size", "sharpness".
        unit: of the medians; empty for class shares.
        real: median of the real ones; None for class shares.
        synthetic: median of the synthetic ones.
        effect: Cliff's delta in [-1, 1] (synthetic larger: positive), or Cramér's V in [0, 1] for class shares.
        effect_name: which of the two.
        test: name of the test, such as "Kolmogorov-Smirnov".
        p_value: of no difference.
        samples: real and synthetic items.
    """

    quantity: str
    unit: str
    real: float | None
    synthetic: float | None
    effect: float | None
    effect_name: str
    test: str
    p_value: float | None
    samples: tuple[int, int]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Human-verified images behind a run, and how deep its training data lies.

    Attributes:
        verified: human-verified images among the training images.
        share: of the training images.
        newest: when the newest one was verified, ISO 8601 in UTC; None without one.
        oldest: when the oldest one was verified.
        median: time at which half of them were verified.
        depths: training boxes by lineage depth (as text), by class name.
    """

    verified: int
    share: Figure
    newest: str | None
    oldest: str | None
    median: str | None
    depths: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When the synthetic boxes of a class will be too few, from their shares in the generations so far.

    Attributes:
        name: of the class.
        boxes: training boxes of each generation so far, the base first.
        shares: share of the class among all training boxes of each.
        half_life: generations in which the share halves; None where it does not shrink.
        need: training boxes under which the class is expected to be lost.
        generation: the one in which the boxes fall under `need`, with its 90 % interval; None with a reason.
        warning: whether that lies within the horizon.
    """

    name: str
    boxes: tuple[int, ...]
    shares: tuple[float, ...]
    half_life: Figure
    need: int
    generation: Figure
    warning: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well the last weights do on images that they were trained on, beside images that they never saw.

    Attributes:
        train_map50: on (a sample of) the run's own training images, against the labels it was trained with.
        val_map50: on val.
        test_map50: on test.
        val_map50_95: on val; chooses the best run so far without a look at test.
        losses: training loss (box, class, dfl) by step, thinned out; names as keys.
        train_ap50: AP50 of each class on the training images; None without boxes.
    """

    train_map50: Figure
    val_map50: Figure
    test_map50: Figure
    val_map50_95: float | None
    losses: Mapping[str, tuple[float, ...]]
    train_ap50: Mapping[str, float | None]
