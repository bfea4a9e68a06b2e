"""The verdict on a run as data, and how it is kept as JSON; `docs/schema/verdict.json` is its published schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pipeline.core import records
from pipeline.core.sections import Schedule

VERSION = 2  # of the JSON; raised with every change that an older reader would misread
Outcome = Literal["loss", "no loss", "open"]


class Verdict(StrEnum):
    """What the gate says of a run."""

    HEALTHY = "HEALTHY"
    COLLAPSING = "COLLAPSING"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One figure of the run against a baseline.

    Attributes:
        figure: ``mAP50-95``, or ``recall of NAME``.
        baseline: the run that it is held against: ``base``, or the best run so far.
        method: of the p value and the interval, in words.
        base: the baseline's value; None where there is none.
        run: the run's value; mean over its seeds.
        loss: base minus run.
        low: lower end of the loss's interval, one-sided at alpha.
        high: upper end of the loss's interval, one-sided at alpha.
        p_value: of no loss, one-sided, adjusted for the number of tests (Holm); of the first training.
        level: at which p_value is held on this night.
        confirmed: whether a second training lost it too; None where there was none.
        margin: the loss that matters.
        lost: boxes that only the baseline found; None for mAP.
        gained: boxes that only the run found; None for mAP.
        samples: test boxes, or test images for mAP.
        outcome: loss: shown, and at least the margin; no loss: a loss of the margin is ruled out; open: neither.
        settle: test boxes (or images) in all that would settle an open test with 80 % power at the present rates; None
            if it is not open, if the loss sits too near the margin for any number worth naming, or if the baseline
            finds too little.
    """

    figure: str
    baseline: str
    method: str
    base: float | None
    run: float | None
    loss: float | None
    low: float | None
    high: float | None
    p_value: float | None
    level: float
    confirmed: bool | None
    margin: float
    lost: int | None
    gained: int | None
    samples: int
    outcome: Outcome
    settle: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A figure over the generations of an arm, the base first.

    Attributes:
        figure: ``mAP50-95``, or ``recall of NAME``.
        values: one a generation.
        slope: change a generation (Theil-Sen median of the pairwise slopes).
        p_value: of no fall, one-sided (Mann-Kendall, exact), adjusted for the number of figures.
        level: at which it is held on this night.
        falling: shown to fall, by the margin or more until the end of the horizon.
    """

    figure: str
    values: tuple[float, ...]
    slope: float
    p_value: float
    level: float
    falling: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:  # noqa: A001 - the field's word
    """An early warning from the data: it changes the verdict only where `gate.fail_on` names it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Whether the evidence supports one of the things that people mix up.

    Attributes:
        name: of it.
        supported: by the evidence.
        evidence: the figures that say so, or that speak against it, each a sentence.
        advice: what to do about it.
    """

    name: Literal["collapse", "overfitting", "forgetting", "mode collapse"]
    supported: bool
    evidence: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one run, with its reason and evidence.

    Attributes:
        version: of this format.
        run: its name.
        arm: of the run.
        generation: of the run; it is also the night, counted from 1.
        verdict: what the gate says.
        reason: why, in a sentence or two.
        tests: the comparisons with the base run, then those with the best run so far.
        trends: over the generations of the arm.
        schedule: how alpha is shared between nights.
        horizon: nights that share it.
        seeds: trainings of the base and of the run that the verdict rests on, a confirming one included.
        notes: what a reader has to know of the method, such as that the variance between seeds is not in it.
        warnings: early warnings.
        diagnosis: what the evidence says it is.
        lost_boxes: test boxes of rare classes that the base found and the run did not, as ``image_id/box``, by class.
    """

    version: int = VERSION
    run: str
    arm: str
    generation: int
    verdict: Verdict
    reason: str
    tests: tuple[Test, ...]
    trends: tuple[Trend, ...]
    schedule: Schedule
    horizon: int
    seeds: tuple[int, int]
    notes: tuple[str, ...]
    warnings: tuple[Warning, ...]
    diagnosis: tuple[Finding, ...]
    lost_boxes: Mapping[str, tuple[str, ...]]


def write(path: Path, judgement: Judgement) -> None:
    """Write a judgement as JSON."""
    records.write(path, judgement)


def read(path: Path) -> Judgement:
    """Read a judgement.

    Raises:
        UserError: it is missing, of another version, or damaged.
    """
    return records.read(path, Judgement, VERSION)
