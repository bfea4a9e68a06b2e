"""The sections of params.yaml: frozen, typed, and in range from the moment that they exist."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.schema import require

_MIN_DIGIT = 8  # pixels: the size of the source
Policy = Literal["replace", "accumulate", "accumulate-subsample"]
Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["confirm", "obrien-fleming", "uniform", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCounts:
    """One whole number a split."""

    train: int
    val: int
    test: int

    def __post_init__(self) -> None:
        """Every split needs something."""
        require(min(self.train, self.val, self.test) > 0, f"{self}: wanted at least 1 in train, val and test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNumbers:
    """One number of 0 or more a split."""

    train: float
    val: float
    test: float

    def __post_init__(self) -> None:
        """Refuse a negative number."""
        require(min(self.train, self.val, self.test) >= 0, f"{self}: wanted 0 or more in train, val and test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """The composed pages of the default source; sizes in pixels."""

    classes: tuple[str, ...]
    page: int
    digit: tuple[int, int]
    digits_a_page: tuple[int, int]
    pages: SplitCounts
    tail: SplitNumbers
    identities: SplitCounts

    def __post_init__(self) -> None:
        """Refuse pages that cannot be composed."""
        names, (low, high) = list(self.classes), self.digit
        require(len(set(names)) == len(names) > 0, f"classes {names}: wanted names, each once")
        require(_MIN_DIGIT <= low <= high <= self.page, f"digit {self.digit}: wanted 8 <= low <= high <= page")
        require(1 <= self.digits_a_page[0] <= self.digits_a_page[1], f"digits_a_page {self.digits_a_page}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """Where real images come from, and what is accepted of them."""

    source: Literal["digits", "yolo", "coco", "voc"]
    path: str
    max_rejected: float
    max_pixels: int
    tolerance: float
    digits: Digits

    def __post_init__(self) -> None:
        """Refuse shares and limits out of range."""
        require(bool(self.path), "path is empty, wanted the folder of the source")
        require(0 <= self.max_rejected <= 1, f"max_rejected {self.max_rejected:g}, wanted a share in [0, 1]")
        require(0 <= self.tolerance < 0.5, f"tolerance {self.tolerance:g}, wanted a fraction in [0, 0.5)")  # noqa: PLR2004
        require(self.max_pixels > 0, f"max_pixels {self.max_pixels}, wanted more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """How verified images are divided."""

    splits: Literal["source", "identity"]
    shares: SplitNumbers
    near_duplicate: int

    def __post_init__(self) -> None:
        """Shares add up to one."""
        total = self.shares.train + self.shares.val + self.shares.test
        require(math.isclose(total, 1, abs_tol=1e-6), f"shares add up to {total:g}, wanted 1")
        require(0 <= self.near_duplicate <= 64, f"near_duplicate {self.near_duplicate}, wanted 0 to 64 bits")  # noqa: PLR2004


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How many images a run trains on."""

    total: Literal["all-real"] | int
    min_real_a_class: int
    min_support: int
    generations: int = 5

    def __post_init__(self) -> None:
        """Refuse a negative number of images."""
        require(self.total == "all-real" or self.total > 0, f"total {self.total}, wanted all-real or a number over 0")
        require(self.min_support >= 1, f"min_support {self.min_support}, wanted at least 1 box")
        require(self.generations >= 1, f"generations {self.generations}, wanted at least 1")
        require(self.min_real_a_class >= 0, f"min_real_a_class {self.min_real_a_class}, wanted 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """How a detector is trained."""

    model: str
    image_size: int
    steps: int
    batch: int
    learning_rate: float
    class_gain: float
    device: str | int
    precision: Precision = "auto"
    workers: int
    seeds: int
    augment: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a training of nothing."""
        require(min(self.steps, self.batch) > 0, "steps and batch: wanted at least 1")
        multiple = self.image_size > 0 and self.image_size % 32 == 0
        require(multiple, f"image_size {self.image_size}, wanted a multiple of 32")
        require(self.learning_rate > 0, f"learning_rate {self.learning_rate:g}, wanted more than 0")
        require(self.seeds >= 1, f"seeds {self.seeds}, wanted at least 1 training a run")
        require(self.workers >= 0, f"workers {self.workers}, wanted 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What is measured, and how."""

    confidence: float
    iou: float
    rare_share: float
    rare_classes: tuple[str, ...]
    replicates: int
    near_duplicate: int
    copy_quantile: float
    neighbours: int
    objects: int

    def __post_init__(self) -> None:
        """Refuse thresholds outside [0, 1]."""
        require(0 < self.copy_quantile < 1, f"copy_quantile {self.copy_quantile:g}, wanted a share in (0, 1)")
        require(self.neighbours >= 1, f"neighbours {self.neighbours}, wanted at least 1")
        require(self.objects >= 10, f"objects {self.objects}, wanted at least 10")  # noqa: PLR2004
        require(0 < self.confidence < 1, f"confidence {self.confidence:g}, wanted a number in (0, 1)")
        steps = [0.5 + 0.05 * step for step in range(10)]
        require(any(math.isclose(self.iou, one) for one in steps), f"iou {self.iou:g}, wanted one of 0.5, 0.55 … 0.95")
        require(0 <= self.rare_share <= 1, f"rare_share {self.rare_share:g}, wanted a share in [0, 1]")
        require(self.replicates >= 100, f"replicates {self.replicates}, wanted at least 100")  # noqa: PLR2004
        require(0 <= self.near_duplicate <= 64, f"near_duplicate {self.near_duplicate}, wanted 0 to 64 bits")  # noqa: PLR2004


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """When a loss counts."""

    alpha: float
    recall_margin: float
    map_margin: float
    max_duplicates: float
    horizon: int
    schedule: Schedule
    level: float
    trend_share: float
    fail_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse thresholds out of range; an alpha of one half would alarm as often as a coin."""
        require(self.horizon >= 1, f"horizon {self.horizon}, wanted at least 1 night")
        require(0 < self.level < 0.5, f"level {self.level:g}, wanted a number in (0, 0.5)")  # noqa: PLR2004
        require(0 <= self.trend_share < 1, f"trend_share {self.trend_share:g}, wanted a share in [0, 1)")
        require(0 < self.alpha < 0.5, f"alpha {self.alpha:g}, wanted a number in (0, 0.5)")  # noqa: PLR2004
        for name in ("recall_margin", "map_margin"):
            value = getattr(self, name)
            require(0 < value < 1, f"{name} {value:g}, wanted a number in (0, 1)")
        require(0 <= self.max_duplicates <= 1, f"max_duplicates {self.max_duplicates:g}, wanted a share in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """The loss from which on a run is trained a second time; the gate's margins may change without a new training."""

    recall_loss: float
    map_loss: float

    def __post_init__(self) -> None:
        """Losses are shares."""
        for name in ("recall_loss", "map_loss"):
            value = getattr(self, name)
            require(0 < value < 1, f"{name} {value:g}, wanted a number in (0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The dataset that people see in the FiftyOne App, and how their decisions are watched."""

    dataset: str
    port: int
    planted: float
    min_agreement: float

    def __post_init__(self) -> None:
        """Refuse a queue of plants, and an agreement that is no share."""
        require(0 <= self.planted <= 0.5, f"planted {self.planted:g}, wanted a share in [0, 0.5]")  # noqa: PLR2004
        require(0 <= self.min_agreement <= 1, f"min_agreement {self.min_agreement:g}, wanted a share in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How much the page shows."""

    examples: int
    lost_boxes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A policy at a ratio, the synthetic share of the training images.

    At the ratio ``pool`` no share is kept to: every real image and every synthetic one of the arm's pool counts alike,
    so the share of real ones falls with each generation. That is how the literature has the accumulating policies.
    """

    policy: Policy
    ratio: float | Literal["pool"]

    def __post_init__(self) -> None:
        """The ratio is a share, or `pool` where the policy has one."""
        if self.ratio == "pool":
            require(self.policy != "replace", "ratio pool: a `replace` arm has no pool, wanted a share in [0, 1]")
        else:
            require(0 <= self.ratio <= 1, f"ratio {self.ratio:g}, wanted a share in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One arm, one seed, one generation."""

    arm: str
    generation: int
    previous: str
    seed: int = 0
