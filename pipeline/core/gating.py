"""The gate's arithmetic: evidence on each figure, the night's screen, and the decision.

Pure and quick, so that a simulation can ask it hundreds of thousands of times; `verdicts` puts words around it. One
`Evidence` is one figure of one run against one baseline. All of a night's evidence is one family, in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.core import clustered, schedules, statistics
from pipeline.core.judgements import Outcome, Verdict
from pipeline.core.sections import Gate

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one comparison says of a loss.

    Attributes:
        loss: baseline minus run; None where there is nothing to measure (no test box of the class).
        p_value: of no loss, one-sided, not adjusted; None where there is nothing to measure.
        excluded: whether a loss of the margin is ruled out at ``gate.alpha``, one-sided. Never where there is nothing
            to measure, or where the baseline finds so little that no such loss could show.
        margin: the loss that matters.
    """

    loss: float | None
    p_value: float | None
    excluded: bool
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A night's first look, in the order of the evidence.

    Attributes:
        adjusted: p values, by Holm over all of the night's evidence.
        level: at which they are held.
        bad: which figures look bad: p is at most the level, and the loss at least the margin.
    """

    adjusted: tuple[float | None, ...]
    level: float
    bad: tuple[bool, ...]

    @property
    def suspicious(self) -> bool:
        """Whether any figure looks bad: with schedule ``confirm``, the run is then trained once more."""
        return any(self.bad)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A night's verdict on the figures; outcomes and confirmations in the order of the evidence.

    `confirmed`: whether a figure that looked bad was lost by the second training too; None where none was to confirm.
    """

    verdict: Verdict
    screen: Screen
    outcomes: tuple[Outcome, ...]
    confirmed: tuple[bool | None, ...]


def recall(base: BoolArray, run: BoolArray, image: IntArray, *, margin: float, alpha: float) -> Evidence:
    """Evidence on the recall of one class.

    With one training each, p is the larger of exact McNemar over boxes and exact sign-flip over images, and the upper
    bound the larger of Tango's over boxes and Student's over images. With more, the variance between trainings is in
    both. Of one image nothing can be excluded.

    Args:
        base: which boxes each training of the baseline found, shape (boxes, trainings).
        run: the same of the run, shape (boxes, trainings).
        image: number of each box's image, 0 or more, shape (boxes,).
        margin: in (0, 1).
        alpha: of the upper bound, in (0, 0.5).
    """
    boxes = image.size
    if boxes == 0:
        return Evidence(loss=None, p_value=None, excluded=False, margin=margin)
    found = int(base.sum())
    blind = found < margin * base.size
    if base.shape[1] == run.shape[1] == 1:
        return _one_training(base[:, 0], run[:, 0], image, margin=margin, alpha=alpha, blind=blind)
    # one division, so that a loss of exactly the margin is that
    loss = (found * run.shape[1] - int(run.sum()) * base.shape[1]) / (base.size * run.shape[1])
    error = error_of_recall(base, run, image)
    p_value = max(clustered.sign_flip(_image_sums(base, run, image)), clustered.p_value(loss, error))
    bound = clustered.upper(loss, error, alpha)
    return Evidence(loss=loss, p_value=p_value, excluded=bound < margin and not blind, margin=margin)


def error_of_recall(base: BoolArray, run: BoolArray, image: IntArray) -> clustered.Error:
    """Standard error of the loss of recall, over images and, with several trainings, between trainings.

    Arguments as for :func:`recall`; at least one box.
    """
    difference = base.mean(axis=1) - run.mean(axis=1)
    error = clustered.error_of_mean(_sums(image, np.abs(difference)), images=_images(image), boxes=image.size)
    between = clustered.between_trainings(base.mean(axis=0), run.mean(axis=0))
    return error if between is None else clustered.add(error, between)


def mean_figure(
    base: Sequence[float], run: Sequence[float], *, error: float, images: int, margin: float, alpha: float
) -> Evidence:
    """Evidence on a figure of the whole test split, such as mAP50-95.

    Args:
        base: of each training of the baseline; empty where there is none.
        run: of each training of the run.
        error: standard deviation of the loss over paired bootstrap replicates.
        images: test images.
        margin: in (0, 1).
        alpha: of the upper bound, in (0, 0.5).
    """
    if not base or not run:
        return Evidence(loss=None, p_value=None, excluded=False, margin=margin)
    loss = math.fsum(base) / len(base) - math.fsum(run) / len(run)
    whole = error_of_mean_figure(base, run, error=error, images=images)
    excluded = clustered.upper(loss, whole, alpha) < margin and math.fsum(base) / len(base) >= margin
    return Evidence(loss=loss, p_value=clustered.p_value(loss, whole), excluded=excluded, margin=margin)


def error_of_mean_figure(base: Sequence[float], run: Sequence[float], *, error: float, images: int) -> clustered.Error:
    """Standard error of the loss, over images and, with several trainings, between trainings; as for `mean_figure`."""
    over_images = clustered.Error(value=error, freedom=images - 1.0)
    between = clustered.between_trainings(np.asarray(base, dtype=np.float64), np.asarray(run, dtype=np.float64))
    return over_images if between is None else clustered.add(over_images, between)


def screen(first: Sequence[Evidence], gate: Gate, *, night: int) -> Screen:
    """Hold a night's evidence at its level.

    Args:
        first: of the first training.
        gate: its schedule, alpha, level, horizon and trend_share are used.
        night: within the horizon, from 1.
    """
    adjusted = _holm([one.p_value for one in first])
    level = schedules.level(gate, night)
    bad = tuple(
        one.loss is not None and p is not None and p <= level and one.loss >= one.margin
        for one, p in zip(first, adjusted, strict=True)
    )
    return Screen(adjusted=adjusted, level=level, bad=bad)


def decide(
    first: Sequence[Evidence],
    gate: Gate,
    *,
    night: int,
    second: Sequence[Evidence] | None = None,
    both: Sequence[Evidence] | None = None,
    collapsed: bool = False,
    falling: bool = False,
) -> Decision:
    """Give a night's verdict on its figures.

    COLLAPSING: a loss is shown at the night's level and its estimate reaches the margin; with schedule ``confirm`` it
    is shown again by a second training, and the estimate of both together reaches the margin too, unless the run
    descends from one of which that was shown: the first false alarm of a line spends its error, not the next. HEALTHY:
    every figure excludes a loss of the margin; by the best evidence there is, that of both trainings. INCONCLUSIVE
    otherwise.

    Args:
        first: of the first training.
        gate: as for `screen`.
        night: within the horizon, from 1.
        second: of a second training against the second one of the base (or the best run's one), in the same order.
        both: of the two together: with the trainings of either side side by side.
        collapsed: whether the run descends from one whose loss two trainings showed.
        falling: whether a trend over the generations was shown: that makes COLLAPSING by itself.

    Raises:
        ValueError: evidence of other lengths, or only one of `second` and `both`.
    """
    if (second is None) != (both is None) or any(other and len(other) != len(first) for other in (second, both)):
        raise ValueError("second and both, wanted neither, or each with one evidence a figure")
    looked = screen(first, gate, night=night)
    confirming = gate.schedule == "confirm"
    outcomes: list[Outcome] = []
    confirmed: list[bool | None] = []
    for number, (one, bad) in enumerate(zip(first, looked.bad, strict=True)):
        best = both[number] if both else one
        again = _confirms(second[number], gate) if confirming and bad and second else None
        shown = bad and (again is True or collapsed or not confirming)
        reaches = best.loss is not None and best.loss >= best.margin
        outcomes.append("loss" if shown and reaches else "no loss" if best.excluded else "open")
        confirmed.append(again)
    return Decision(
        verdict=_verdict(outcomes, falling=falling), screen=looked, outcomes=tuple(outcomes), confirmed=tuple(confirmed)
    )


def _one_training(
    base: BoolArray, run: BoolArray, image: IntArray, *, margin: float, alpha: float, blind: bool
) -> Evidence:
    lost, gained = int((base & ~run).sum()), int((~base & run).sum())
    boxes = image.size
    loss = (lost - gained) / boxes
    absolute = _sums(image, base ^ run)
    p_value = statistics.mcnemar_loss(lost, gained)
    if absolute.max() > 1:  # else McNemar over boxes is the sign-flip test over images
        p_value = max(p_value, clustered.sign_flip(_image_sums(base[:, None], run[:, None], image)))
    excluded = (
        not blind
        and clustered.upper(loss, clustered.error_of_mean(absolute, images=_images(image), boxes=boxes), alpha) < margin
        and statistics.rules_out(lost, gained, boxes, margin=margin, alpha=alpha)
    )
    return Evidence(loss=loss, p_value=p_value, excluded=excluded, margin=margin)


def _image_sums(base: BoolArray, run: BoolArray, image: IntArray) -> IntArray:
    """Differences of each image in whole numbers: of the mean over trainings, times their least common multiple."""
    whole = math.lcm(base.shape[1], run.shape[1])
    difference = base.sum(axis=1) * (whole // base.shape[1]) - run.sum(axis=1) * (whole // run.shape[1])
    return np.bincount(image, weights=difference).astype(np.int64)  # sums of small whole numbers are exact


def _sums(image: IntArray, values: FloatArray | BoolArray) -> FloatArray:
    return np.asarray(np.bincount(image, weights=values), dtype=np.float64)


def _images(image: IntArray) -> int:
    return int(np.count_nonzero(np.bincount(image)))


def _holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    adjusted = statistics.holm({number: p for number, p in enumerate(p_values) if p is not None})
    return tuple(adjusted.get(number) for number in range(len(p_values)))


def _confirms(second: Evidence, gate: Gate) -> bool:
    return second.p_value is not None and second.p_value <= gate.level


def _verdict(outcomes: Sequence[Outcome], *, falling: bool) -> Verdict:
    if falling or "loss" in outcomes:
        return Verdict.COLLAPSING
    return Verdict.HEALTHY if outcomes and set(outcomes) == {"no loss"} else Verdict.INCONCLUSIVE
