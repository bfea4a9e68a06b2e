"""A month of nights before the gate: its own code judges each night, and two simpler rules judge beside it.

What the gate's functions say of figures depends on few counts, which come again and again; so they are asked once for
each and remembered. No rule of the gate is written here a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.core import gating, statistics, trends
from pipeline.core.gating import Evidence
from pipeline.core.judgements import Verdict
from pipeline.core.sections import Gate
from studies.calibration import draws
from studies.calibration.draws import NIGHTS, Cast, Seen, Split
from studies.calibration.matches import Bools, Floats, Ints

CODES = (Verdict.HEALTHY, Verdict.INCONCLUSIVE, Verdict.COLLAPSING)  # as verdicts are counted: 0, 1, 2
MAP_DROP = 0.02  # of the fixed margin, in mAP50-95: two points, what a CI check with a fixed margin usually allows
UNCORRECTED = 0.05  # level of the uncorrected nightly test
_MOST = 16  # differences on one image that the memory takes, counted in halves; more are computed each time

Codes = npt.NDArray[np.int8]
AgainstBest = Literal["confirmed", "unconfirmed", "never"]


@dataclass(slots=True)
class Memory:
    """What was computed before and comes again; of one gate's margins, alpha and horizon, in one process."""

    recalls: dict[bytes, Evidence] = field(default_factory=dict)
    falls: dict[tuple[int, int, int, int, bool], bool] = field(default_factory=dict)
    hardness: dict[tuple[int, float, float], Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Month:
    """A schedule: what all its trainings see of its split, the losses laid over.

    `seen` has the base's trainings first, then its second one, then the nights' (night by night), then their second
    ones. The methods say where in it a run's trainings are; nights count from 0.
    """

    split: Split
    cast: Cast
    seen: Seen

    @property
    def seeds(self) -> int:
        """Trainings a run."""
        return self.cast.base.size

    def base(self) -> Ints:
        """The base's trainings."""
        return np.arange(self.seeds)

    def again(self) -> Ints:
        """The base's second training."""
        return np.array([self.seeds])

    def run(self, night: int) -> Ints:
        """The trainings of a night."""
        return self.seeds + 1 + night * self.seeds + np.arange(self.seeds)

    def confirming(self, night: int) -> Ints:
        """The second training of a night."""
        return np.array([self.seeds + 1 + NIGHTS * self.seeds + night])


def order(cast: Cast) -> Ints:
    """The trainings in the order of `Month.seen`."""
    return np.concatenate([cast.base, [cast.again], cast.nights.ravel(), cast.confirming])


def judge(
    month: Month, gates: Sequence[Gate], memory: Memory, *, against_best: AgainstBest = "confirmed"
) -> list[Codes]:
    """Let each gate judge each night.

    Args:
        month: what is judged.
        gates: of the same alpha, margins and horizon; they differ in schedule and level.
        memory: of this alpha, these margins and this horizon.
        against_best: how the best run so far, which was never trained again, is confirmed against: with the base's
            second training in the place of its own, with its first one again, or not held against at all.

    Returns:
        For each gate the verdict of each night, as its number in `CODES`, shape (nights,).
    """
    best = _best(month) if against_best != "never" else [-1] * NIGHTS
    first = _first(month, best, gates[0], memory)
    # What looks bad at one level does so at any looser one.
    loosest = max((gate for gate in gates if gate.schedule == "confirm"), key=lambda gate: gate.level, default=None)
    looking_bad = [
        night
        for night, evidence in enumerate(first)
        if loosest and gating.screen(evidence, loosest, night=night + 1).suspicious
    ]
    stand_in = {
        night: month.again() if against_best == "confirmed" else month.run(best[night])
        for night in looking_bad
        if best[night] >= 0
    }
    second = _second(month, best, looking_bad, stand_in, gates[0], memory)
    falling = {
        alone: _falling(month, gates[0], memory, alone=alone) for alone in {gate.schedule == "none" for gate in gates}
    }
    result = []
    for gate in gates:
        codes = np.empty(NIGHTS, dtype=np.int8)
        for night in range(NIGHTS):
            again = second.get(night) if gate.schedule == "confirm" else None
            if again and not gating.screen(first[night], gate, night=night + 1).suspicious:
                again = None  # at this gate's level there was no second training
            decision = gating.decide(
                first[night],
                gate,
                night=night + 1,
                second=again and again[0],
                both=again and again[1],
                falling=bool(falling[gate.schedule == "none"][night]),
            )
            codes[night] = CODES.index(decision.verdict)
        result.append(codes)
    return result


def fixed_margin(month: Month) -> Codes:
    """What people have in CI: a night fails when mAP50-95 is more than `MAP_DROP` under the base's."""
    base = month.seen.mean[month.base()].mean()
    runs = np.array([month.seen.mean[month.run(night)].mean() for night in range(NIGHTS)])
    return np.where(base - runs > MAP_DROP, 2, 0).astype(np.int8)


def uncorrected(month: Month) -> Codes:
    """McNemar's test of each rare class on each night, at `UNCORRECTED`, and nothing for their number."""
    codes = np.zeros(NIGHTS, dtype=np.int8)
    base = month.seen.found[0]
    for night in range(NIGHTS):
        run = month.seen.found[month.run(night)[0]]
        lost, gained = base & ~run, run & ~base
        for kind in range(month.split.boxes.shape[1]):
            of_kind = month.split.kind == kind
            if statistics.mcnemar_loss(int(lost[of_kind].sum()), int(gained[of_kind].sum())) <= UNCORRECTED:
                codes[night] = 2
    return codes


def _best(month: Month) -> list[int]:
    """Of each night, the best run so far by mAP on val of its first training: -1 for the base, else a night before."""
    line = [month.seen.val[0], *(month.seen.val[month.run(night)[0]] for night in range(NIGHTS))]
    return [int(np.argmax(line[: night + 1])) - 1 for night in range(NIGHTS)]


def _first(month: Month, best: Sequence[int], gate: Gate, memory: Memory) -> list[list[Evidence]]:
    """The evidence of each night's run against the base, then, if that is another, against the best run so far."""
    found = _families(month, [(month.base(), month.run(night)) for night in range(NIGHTS)], gate, memory)
    other = [night for night in range(NIGHTS) if best[night] >= 0]
    pairs = [(month.run(best[night]), month.run(night)) for night in other]
    for night, evidence in zip(other, _families(month, pairs, gate, memory), strict=True):
        found[night] += evidence
    return found


def _second(
    month: Month,
    best: Sequence[int],
    chosen: Sequence[int],
    best_again: Mapping[int, Ints],
    gate: Gate,
    memory: Memory,
) -> dict[int, tuple[list[Evidence], list[Evidence]]]:
    """The evidence of second trainings, and that of both together, of the chosen nights, in the order of `_first`."""
    both = {night: np.concatenate([month.run(night), month.confirming(night)]) for night in chosen}
    base = np.concatenate([month.base(), month.again()])
    pairs = [(month.again(), month.confirming(night)) for night in chosen]
    second = dict(zip(chosen, _families(month, pairs, gate, memory), strict=True))
    whole = dict(zip(chosen, _families(month, [(base, both[night]) for night in chosen], gate, memory), strict=True))
    other = list(best_again)
    pairs = [(best_again[night], month.confirming(night)) for night in other]
    for night, evidence in zip(other, _families(month, pairs, gate, memory), strict=True):
        second[night] += evidence
    joined = {night: np.union1d(month.run(best[night]), best_again[night]) for night in other}
    pairs = [(joined[night], both[night]) for night in other]
    for night, evidence in zip(other, _families(month, pairs, gate, memory), strict=True):
        whole[night] += evidence
    return {night: (second[night], whole[night]) for night in chosen}


def _families(month: Month, pairs: Sequence[tuple[Ints, Ints]], gate: Gate, memory: Memory) -> list[list[Evidence]]:
    """mAP, then recall of each rare class, of pairs of a baseline's trainings and a run's; all pairs of one shape."""
    if not pairs:
        return []
    base, run = (np.stack(side) for side in zip(*pairs, strict=True))
    result = [[one] for one in _means(month, base, run, gate)]
    for kind in range(month.split.boxes.shape[1]):
        of_kind = np.flatnonzero(month.split.kind == kind)
        image = np.unique(month.split.image[of_kind], return_inverse=True)[1]
        found = month.seen.found[:, of_kind]
        for evidence, one in zip(result, _recalls(found[base], found[run], image, gate, memory), strict=True):
            evidence.append(one)
    return result


def _means(month: Month, base: Ints, run: Ints, gate: Gate) -> list[Evidence]:
    seen = month.seen
    errors = draws.error_of_mean(
        seen.influence[base].mean(axis=1), seen.influence[run].mean(axis=1), month.split.strata
    )
    return [
        gating.mean_figure(
            one.tolist(),
            other.tolist(),
            error=float(error),
            images=month.split.draws.size,
            margin=gate.map_margin,
            alpha=gate.alpha,
        )
        for one, other, error in zip(seen.mean[base], seen.mean[run], errors, strict=True)
    ]


def _recalls(base: Bools, run: Bools, image: Ints, gate: Gate, memory: Memory) -> list[Evidence]:
    """Evidence on one class of each pair, (pairs, trainings, boxes); remembered by the counts that it depends on."""
    result = []
    for key, one, other in zip(_keys(base, run, image), base, run, strict=True):
        known = memory.recalls.get(key) if key else None
        if known is None:
            known = gating.recall(one.T, other.T, image, margin=gate.recall_margin, alpha=gate.alpha)
            if key:
                memory.recalls[key] = known
        result.append(known)
    return result


def _keys(base: Bools, run: Bools, image: Ints) -> Sequence[bytes | None]:
    """What `gating.recall` depends on: boxes that each training found, and images by the differences on them.

    None where that cannot be told in few counts: with three trainings or more, whose means are not exact in binary, and
    where an image has too many differences.
    """
    sides = (base.shape[1], run.shape[1])
    if max(sides) > 2 or image.size == 0:  # noqa: PLR2004
        return [None] * len(base)
    halves = (base.sum(axis=1) * (2 // sides[0]) - run.sum(axis=1) * (2 // sides[1])).astype(np.float32)
    member = np.zeros((image.size, int(image.max()) + 1), dtype=np.float32)
    member[np.arange(image.size), image] = 1.0
    sums, absolute = (halves @ member).astype(np.int64), (np.abs(halves) @ member).astype(np.int64)
    fits = absolute.max(axis=1) <= _MOST
    counts = [_histogram(np.clip(some, -_MOST, _MOST) + _MOST) for some in (sums, absolute)]
    facts = np.tile([*sides, image.size], (len(base), 1))
    table = np.hstack([facts, base.sum(axis=2), run.sum(axis=2), *counts]).astype(np.int32)
    return [row.tobytes() if fit else None for row, fit in zip(table, fits, strict=True)]


def _histogram(values: Ints) -> Ints:
    """How often each row, (n, images), has each value of 0 to twice the most."""
    width = 2 * _MOST + 1
    flat = values + width * np.arange(len(values))[:, None]
    return np.bincount(flat.ravel(), minlength=width * len(values)).reshape(len(values), width)


def _falling(month: Month, gate: Gate, memory: Memory, *, alone: bool) -> Bools:
    """Whether a figure falls steadily, on each night, shape (nights,); `alone`: with the level of schedule none."""
    gate = replace(gate, schedule="none" if alone else "uniform")
    trained = np.array([0, *(month.run(night)[0] for night in range(NIGHTS))])  # first trainings: what a line keeps
    lines: Mapping[float, list[Floats]] = {
        gate.map_margin: [month.seen.mean[trained]],
        gate.recall_margin: list(month.seen.recall[trained].T),
    }
    figures = sum(len(some) for some in lines.values())
    result = np.zeros(NIGHTS, dtype=np.bool_)
    for margin, some in lines.items():
        for values in some:
            result |= _falls(values, gate, memory, figures=figures, margin=margin, alone=alone)
    return result


def _falls(values: Floats, gate: Gate, memory: Memory, *, figures: int, margin: float, alone: bool) -> Bools:
    """Ask for the trend of a figure on each night; where its p value is known to be too large, not again."""
    earlier = np.triu(np.ones((values.size, values.size), dtype=np.bool_), k=1)
    later, sooner = values[None, :], values[:, None]
    falling = np.cumsum((earlier & (later < sooner)).sum(axis=0))
    tied = np.cumsum((earlier & (later == sooner)).sum(axis=0))
    result = np.zeros(NIGHTS, dtype=np.bool_)
    for night in range(NIGHTS):
        key = (night, int(falling[night + 1]), int(tied[night + 1]), figures, alone)
        if memory.falls.get(key, True):
            trend = trends.fall(values[: night + 2].tolist(), gate, figures=figures, margin=margin)
            memory.falls[key] = trend.p_value <= trend.level
            result[night] = trend.falling
    return result
