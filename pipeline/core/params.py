"""Frozen, typed sections of params.yaml; an unknown key is an error that says what was meant."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from pipeline.core import paths
from pipeline.core.errors import UserError
from pipeline.core.schema import UniqueKeys, require, section, suggestion

_MIN_DIGIT = 8  # pixels: the size of the source
Policy = Literal["replace", "accumulate", "accumulate-subsample"]


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
class Mixture:
    """The generator that learns: per class, PCA and a Gaussian mixture over crops."""

    crop: int
    components: int
    clusters: int

    def __post_init__(self) -> None:
        """Refuse a model of nothing."""
        require(self.crop >= 4, f"crop {self.crop}, wanted at least 4 pixels")  # noqa: PLR2004
        require(min(self.components, self.clusters) >= 1, "components and clusters: wanted at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPaste:
    """The generator that cuts objects out and pastes them elsewhere."""

    scale: tuple[float, float]
    rotate: float
    brightness: float
    colour: float
    blend: Literal["soft", "poisson"]
    max_occlusion: float

    def __post_init__(self) -> None:
        """Refuse impossible changes."""
        require(0 < self.scale[0] <= self.scale[1], f"scale {self.scale}, wanted 0 < low <= high")
        require(0 <= self.max_occlusion <= 1, f"max_occlusion {self.max_occlusion:g}, wanted a share in [0, 1]")
        require(0 <= self.brightness < 1 and 0 <= self.colour < 1, "brightness and colour: wanted fractions in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """How synthetic images are made and labelled."""

    generator: Literal["mixture", "copy_paste"]
    labels: Literal["detector", "layout"]
    confidence: float
    images: int
    mixture: Mixture
    copy_paste: CopyPaste

    def __post_init__(self) -> None:
        """Refuse an empty generation."""
        require(self.images > 0, f"images {self.images}, wanted at least 1")
        require(0 < self.confidence < 1, f"confidence {self.confidence:g}, wanted a number in (0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How many images a run trains on."""

    total: Literal["all-real"] | int
    min_real_a_class: int

    def __post_init__(self) -> None:
        """Refuse a negative number of images."""
        require(self.total == "all-real" or self.total > 0, f"total {self.total}, wanted all-real or a number over 0")
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
    workers: int
    augment: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a training of nothing."""
        require(min(self.steps, self.batch) > 0, "steps and batch: wanted at least 1")
        multiple = self.image_size > 0 and self.image_size % 32 == 0
        require(multiple, f"image_size {self.image_size}, wanted a multiple of 32")
        require(self.learning_rate > 0, f"learning_rate {self.learning_rate:g}, wanted more than 0")
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

    def __post_init__(self) -> None:
        """Refuse thresholds outside [0, 1]."""
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

    def __post_init__(self) -> None:
        """Refuse thresholds out of range; an alpha of one half would alarm as often as a coin."""
        require(0 < self.alpha < 0.5, f"alpha {self.alpha:g}, wanted a number in (0, 0.5)")  # noqa: PLR2004
        for name in ("recall_margin", "map_margin"):
            value = getattr(self, name)
            require(0 < value < 1, f"{name} {value:g}, wanted a number in (0, 1)")
        require(0 <= self.max_duplicates <= 1, f"max_duplicates {self.max_duplicates:g}, wanted a share in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The dataset that people see in the FiftyOne App."""

    dataset: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How much the page shows."""

    examples: int
    lost_boxes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A policy at a ratio, the synthetic share of the training images."""

    policy: Policy
    ratio: float

    def __post_init__(self) -> None:
        """The ratio is a share."""
        require(0 <= self.ratio <= 1, f"ratio {self.ratio:g}, wanted a share in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One arm, one seed, one generation."""

    arm: str
    generation: int
    previous: str
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """All of params.yaml."""

    seed: int
    ingest: Ingest
    verify: Verify
    generate: Generate
    mix: Mix
    train: Train
    audit: Audit
    gate: Gate
    review: Review
    report: Report
    arms: Mapping[str, Arm]
    runs: Mapping[str, Run]

    def run(self, name: str) -> Run:
        """One run by name.

        Raises:
            UserError: there is no such run.
        """
        if name not in self.runs:
            known = ", ".join([paths.BASE, *self.runs])
            raise UserError(f"no run {name!r} in params.yaml{suggestion(name, self.runs)}; there are: {known}.")
        return self.runs[name]


def _problem(params: Params, name: str, run: Run) -> str:
    """What is wrong with a run; nothing if it descends from the base, generation by generation in one arm."""
    if name == paths.BASE or not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", name):
        return f"a run's name has letters, digits, - and _, begins with a letter or digit, and is not {paths.BASE!r}"
    if run.arm not in params.arms:
        return f"there is no arm {run.arm!r}{suggestion(run.arm, params.arms)}; there are: {', '.join(params.arms)}"
    if run.previous != paths.BASE and run.previous not in params.runs:
        return f"there is no previous run {run.previous!r}{suggestion(run.previous, params.runs)}"
    chain = ancestry(params, name)
    if len(chain) != run.generation:
        return f"generation is {run.generation}, wanted {len(chain)}, one more than the previous"
    other = next((one for one in chain if params.runs[one].arm != run.arm), None)
    return f"previous run {other!r} is of arm {params.runs[other].arm!r}, wanted {run.arm!r}" if other else ""


def ancestry(params: Params, name: str) -> list[str]:
    """The run and those that it descends from, newest first, without the base.

    Raises:
        UserError: the runs form a cycle.
    """
    chain: list[str] = []
    while name != paths.BASE:
        if name in chain:
            circle = " -> ".join([*chain[chain.index(name) :], name])
            raise UserError(f"params.yaml: runs: {circle} is a cycle; a first generation has `previous: base`.")
        chain.append(name)
        name = params.run(name).previous
    return chain


def parse(text: str) -> Params:
    """Parse the text of a params.yaml.

    Raises:
        UserError: the text is not YAML, or holds something unknown, missing or out of range.
    """
    try:
        value = yaml.load(text, UniqueKeys)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        raise UserError(f"params.yaml is not valid YAML: {error}") from None
    params = section(Params, value)
    for name, run in params.runs.items():
        if problem := _problem(params, name, run):
            raise UserError(f"params.yaml: runs.{name}: {problem}.")
    return params


def load(path: Path = paths.PARAMS) -> Params:
    """Read params.yaml.

    Raises:
        UserError: the file is missing or refused by :func:`parse`.
    """
    try:
        return parse(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is not in {Path.cwd()}; run this in the project's folder.") from None
