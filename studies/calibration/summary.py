"""The calibration's counts as shares with intervals, and how they are kept as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core import records, statistics
from studies.calibration import simulation
from studies.calibration.draws import NIGHTS, Loss
from studies.calibration.judging import AgainstBest, Codes
from studies.calibration.simulation import Job, Judged

PATH = Path(__file__).parent / "result.json"
VERSION = 1
WITHIN = (1, 3, 7)  # nights in which a loss is to be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of schedules, with its 95 % Clopper-Pearson interval."""

    count: int
    of: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NightShare:
    """A share of nights; its 95 % interval is of the mean over schedules, whose nights depend on one another."""

    nights: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one rule did in the schedules of one kind.

    Attributes:
        rule: that judged.
        seeds: trainings a run.
        iou: at which a box counted as found.
        against_best: how the best run so far was confirmed against; see `judging.judge`.
        boxes: test boxes of the class.
        points: true loss of its recall, as a fraction; 0: healthy.
        pace: sudden or slow; empty where healthy.
        alarm: schedules with COLLAPSING on any of the 30 nights (healthy: false alarms; else: once the loss began).
        within: schedules with COLLAPSING within so many nights. A sudden loss counts from the night of its onset, and
            alarms before it do not count. A slow one counts from the night on which it reaches the margin, and an
            alarm on the way there counts; None where it never does.
        healthy: nights said HEALTHY; where there is a loss, of those on which it was there.
        inconclusive: nights said INCONCLUSIVE, of the same ones.
        false_healthy: nights said HEALTHY of those whose true loss was the margin or more; None where there are none.
        false_healthy_soon: schedules with HEALTHY on one of the first three of those nights.
    """

    rule: str
    seeds: int
    iou: float
    against_best: AgainstBest
    boxes: int
    points: float
    pace: str
    alarm: Share
    within: Mapping[int, Share] | None
    healthy: NightShare
    inconclusive: NightShare
    false_healthy: NightShare | None
    false_healthy_soon: Share | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The calibration.

    Attributes:
        version: of this format.
        command: that made it.
        schedules: of each kind in the main part.
        fewer: of each kind in the parts on several trainings and on a weaker detector.
        seed: of all draws.
        gate: the settings of the gate, as in params.yaml.
        table: what the trainings are, from the match table.
        versions: of the packages that matter.
        rows: the figures.
    """

    version: int = VERSION
    command: str
    schedules: int
    fewer: int
    seed: int
    gate: Mapping[str, float | str]
    table: Mapping[str, float | str]
    versions: Mapping[str, str]
    rows: tuple[Row, ...]

    def find(
        self,
        rule: str,
        boxes: int,
        points: float = 0.0,
        pace: str = "",
        *,
        seeds: int = 1,
        iou: float = 0.5,
        against_best: AgainstBest = "confirmed",
    ) -> Row:
        """The row of one rule and kind of schedule.

        Raises:
            KeyError: there is none.
        """
        wanted = (rule, boxes, points, pace, seeds, iou, against_best)
        for row in self.rows:
            if (row.rule, row.boxes, row.points, row.pace, row.seeds, row.iou, row.against_best) == wanted:
                return row
        raise KeyError(wanted)


def read(path: Path = PATH) -> Result:
    """Read the committed result.

    Raises:
        UserError: it is missing or damaged.
    """
    return records.read(path, Result, VERSION)


def write(path: Path, result: Result) -> None:
    """Write a result."""
    records.write(path, result)


def share(count: int, of: int) -> Share:
    """A share with its interval.

    Raises:
        ValueError: it is a share of nothing.
    """
    interval = statistics.clopper_pearson(count, of)
    if interval is None:
        raise ValueError("a share of no schedule, wanted one or more")
    return Share(count=count, of=of, value=_round(count / of), low=_round(interval.low), high=_round(interval.high))


def night_share(hits: Sequence[int], nights: Sequence[int]) -> NightShare:
    """The share of nights, from each schedule's hits and nights: a ratio of means.

    Source: Cochran 1977, Sampling Techniques, eq. 6.13.
    """
    hit, size = np.asarray(hits, dtype=np.float64), np.asarray(nights, dtype=np.float64)
    value = float(hit.sum() / size.sum())
    rest = hit - value * size
    error = float(np.sqrt((rest**2).sum() * hit.size / max(hit.size - 1, 1)) / size.sum())
    low, high = max(value - 1.96 * error, 0.0), min(value + 1.96 * error, 1.0)
    return NightShare(nights=int(size.sum()), value=_round(value), low=_round(low), high=_round(high))


def tally(judged: Iterable[Judged], job: Job) -> list[Row]:
    """Count what each rule did, by loss, in the order of the rules; all schedules are of one kind of job."""
    groups: dict[tuple[str, Loss | None], list[Judged]] = defaultdict(list)
    for one in judged:
        groups[one.rule, one.loss].append(one)
    return [_row(some, job, rule=rule, loss=loss) for (rule, loss), some in groups.items()]


def _row(some: Sequence[Judged], job: Job, *, rule: str, loss: Loss | None) -> Row:
    margin = job.rules[0].gate.recall_margin
    begins = [one.onset if loss and loss.pace == "sudden" else 1 for one in some]
    bad = [None if loss is None else simulation.bad_from(loss, one.onset, margin=margin) for one in some]
    judged = [one.codes[begin - 1 :] for one, begin in zip(some, begins, strict=True)]
    reached = [one.codes[start - 1 :] for one, start in zip(some, bad, strict=True) if start is not None]
    return Row(
        rule=rule,
        seeds=job.seeds,
        iou=job.iou,
        against_best=job.against_best,
        boxes=job.boxes,
        points=loss.points if loss else 0.0,
        pace=loss.pace if loss else "",
        alarm=_any(judged, code=2),
        within=None if loss is None else _within(some, loss, begins, bad),
        healthy=_of_nights(judged, code=0),
        inconclusive=_of_nights(judged, code=1),
        false_healthy=_of_nights(reached, code=0) if reached else None,
        false_healthy_soon=_any([codes[:3] for codes in reached], code=0) if reached else None,
    )


def _of_nights(judged: Sequence[Codes], *, code: int) -> NightShare:
    return night_share([int((codes == code).sum()) for codes in judged], [codes.size for codes in judged])


def _within(
    some: Sequence[Judged], loss: Loss, begins: Sequence[int], bad: Sequence[int | None]
) -> dict[int, Share] | None:
    starts = begins if loss.pace == "sudden" else bad
    found: dict[int, Share] = {}
    for nights in WITHIN:
        windows = []
        for one, begin, start in zip(some, begins, starts, strict=True):
            if start is None:
                return None
            windows.append(one.codes[begin - 1 : min(start - 1 + nights, NIGHTS)])
        found[nights] = _any(windows, code=2)
    return found


def _any(codes: Sequence[Codes], *, code: int) -> Share:
    return share(sum(bool((one == code).any()) for one in codes), len(codes))


def _round(value: float) -> float:
    return round(value, 5)
