"""Many months of nights, healthy and with true losses, judged by the gate: the counts behind the calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.core import rng
from pipeline.core.sections import Gate, Schedule
from studies.calibration import draws, judging
from studies.calibration.draws import LAST_ONSET, Loss
from studies.calibration.judging import AgainstBest, Codes, Memory, Month
from studies.calibration.matches import Floats, Ints, MatchTable

BOXES = (20, 60, 200)
LOSSES = tuple(Loss(points=points, pace=pace) for pace in ("sudden", "slow") for points in (0.05, 0.1, 0.2))
LEVELS = (0.01, 0.02, 0.035, 0.05, 0.1)
PLAIN: tuple[Schedule, ...] = ("obrien-fleming", "uniform", "none")
FIXED, UNCORRECTED = "fixed margin on mAP", "uncorrected nightly test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A gate under a name."""

    name: str
    gate: Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Some schedules of one size, for one process.

    Attributes:
        boxes: of the class in question.
        losses: that are laid over each schedule; a healthy one is always there.
        seeds: trainings a run.
        rules: that judge.
        simple: whether the two simpler rules judge too.
        against_best: how the best run so far is confirmed against; see `judging.judge`.
        iou: at which a box counts as found.
        start: number of the first schedule.
        count: of schedules.
        seed: of all draws.
    """

    boxes: int
    losses: tuple[Loss, ...]
    seeds: int
    rules: tuple[Rule, ...]
    simple: bool
    against_best: AgainstBest
    iou: float
    start: int
    count: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One schedule as one rule judged it.

    Attributes:
        rule: its name.
        loss: that was laid over it; None: healthy.
        onset: night of a sudden loss, from 1.
        codes: verdict of each night, as numbers in `judging.CODES`.
    """

    rule: str
    loss: Loss | None
    onset: int
    codes: Codes


def run(job: Job, table: MatchTable, memory: Memory) -> Iterator[Judged]:
    """Simulate schedules. The same schedule has the same split, trainings and onset whatever is laid over it."""
    for number in range(job.start, job.start + job.count):
        yield from one_schedule(job, number, table, memory)


def one_schedule(job: Job, number: int, table: MatchTable, memory: Memory) -> Iterator[Judged]:
    """Simulate one schedule, healthy and with each loss; the rare classes take turns in being lost."""
    source = rng.generator(job.seed, "calibration", str(job.boxes), str(number))
    kind = number % len(table.rare)
    split = draws.draw_split(table, kind, boxes=job.boxes, rng=source)
    onset = int(source.integers(1, LAST_ONSET + 1))
    shared = source.random(split.box.size) < draws.SHARED
    fate = source.random(split.box.size)
    cast = draws.draw_cast(table.trainings, seeds=job.seeds, rng=source)
    trainings = judging.order(cast)
    chance = np.where(shared, fate, source.random((trainings.size, split.box.size)))
    seen = draws.see(table, split, trainings, iou=job.iou)
    healthy = Month(split=split, cast=cast, seen=seen)
    yield from _judged(job, healthy, None, onset, memory)
    for loss in job.losses:
        expected = _expected(loss.at(onset), seeds=job.seeds)
        of_class = split.kind == kind
        lost = np.zeros(chance.shape, dtype=np.bool_)
        lost[:, of_class] = chance[:, of_class] < _chances(job, table, split.box[of_class], kind, expected, memory)
        struck = draws.lose(seen, split, lost, kind=kind, table=table, trainings=trainings, expected=expected)
        yield from _judged(job, Month(split=split, cast=cast, seen=struck), loss, onset, memory)


def _judged(job: Job, month: Month, loss: Loss | None, onset: int, memory: Memory) -> Iterator[Judged]:
    judged = judging.judge(month, [one.gate for one in job.rules], memory, against_best=job.against_best)
    for rule, codes in zip(job.rules, judged, strict=True):
        yield Judged(rule=rule.name, loss=loss, onset=onset, codes=codes)
    if job.simple:
        for name, codes in ((FIXED, judging.fixed_margin(month)), (UNCORRECTED, judging.uncorrected(month))):
            yield Judged(rule=name, loss=loss, onset=onset, codes=codes)


def _expected(by_night: Floats, *, seeds: int) -> Floats:
    """True loss of each training, in the order of `judging.order`; none of the base's."""
    return np.concatenate([np.zeros(seeds + 1), np.repeat(by_night, seeds), by_night])


def _chances(job: Job, table: MatchTable, box: Ints, kind: int, expected: Floats, memory: Memory) -> Floats:
    """Chance of each training and box that the box is lost where it was found, shape (trainings, boxes)."""
    found = table.found[job.iou]
    chances = np.zeros((expected.size, box.size))
    for loss in np.unique(expected[expected > 0]).tolist():
        key = (kind, loss, job.iou)
        if key not in memory.hardness:
            of_class = table.class_id == table.rare[kind]
            whole = np.zeros(of_class.size)
            whole[of_class] = draws.hardness(1 - found[:, of_class].mean(axis=0), loss=loss)
            memory.hardness[key] = whole
        chances[expected == loss] = memory.hardness[key][box]
    return chances


def levels(own: float) -> tuple[float, ...]:
    """Levels of confirmation to study, the project's own among them."""
    return tuple(sorted({*LEVELS, own}))


def confirm_at(level: float) -> str:
    """Name of the rule that confirms at a level."""
    return f"confirm at {level:g}"


def confirming(gate: Gate, level: float) -> Gate:
    """The gate with confirmation at a level."""
    return replace(gate, schedule="confirm", level=level)


def rules(gate: Gate, levels: Sequence[float]) -> tuple[Rule, ...]:
    """The gate's schedules, and its confirmation at several levels."""
    found = [Rule(name=confirm_at(level), gate=confirming(gate, level)) for level in levels]
    found += [Rule(name=name, gate=replace(gate, schedule=name)) for name in PLAIN]
    return tuple(found)


def bad_from(loss: Loss, onset: int, *, margin: float) -> int | None:
    """The first night, from 1, whose true loss reaches the margin; None if none does."""
    reached = np.flatnonzero(loss.at(onset) >= margin - 1e-12)
    return int(reached[0]) + 1 if reached.size else None
