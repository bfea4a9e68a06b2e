"""The parts of the study, shared out between processes."""

from __future__ import annotations

import functools
import multiprocessing
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version

from pipeline.core import stage
from pipeline.core.sections import Gate
from studies.calibration import facts, matches, simulation, summary
from studies.calibration.draws import Loss
from studies.calibration.judging import Memory
from studies.calibration.matches import MatchTable
from studies.calibration.simulation import Job, Judged
from studies.calibration.summary import Result, Row

SEED = 20250
SOME = (Loss(points=0.1, pace="sudden"), Loss(points=0.2, pace="sudden"), Loss(points=0.2, pace="slow"))
_CHUNK = 25  # schedules a job
_REPORTED = 10  # jobs from one line of progress to the next
_ELSEWHERE = ("fail_on", "max_duplicates")  # settings of the gate that no figure of a detector depends on
_PACKAGES = ("numpy", "scipy")


def calibrate(table: MatchTable, gate: Gate, *, schedules: int, fewer: int, processes: int) -> Result:
    """Run the whole study.

    Args:
        table: the match table, as it is on disk: the processes read it there.
        gate: the project's settings.
        schedules: of each kind in the main part.
        fewer: of each kind in the other parts.
        processes: side by side; the figures do not depend on their number.
    """
    jobs = [job for part in plan(gate, schedules=schedules, fewer=fewer, ious=tuple(table.found)) for job in part]
    judged: dict[Job, list[Judged]] = {}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, some in pool.imap_unordered(_work, list(enumerate(jobs))):
            judged[jobs[number]] = some
            if len(judged) % _REPORTED == 0 or len(judged) == len(jobs):
                stage.report(f"calibration: {len(judged)} of {len(jobs)} parts are through")
    rows: list[Row] = []
    for part in plan(gate, schedules=schedules, fewer=fewer, ious=tuple(table.found)):
        rows += summary.tally((one for job in part for one in judged[job]), part[0])
    return Result(
        command="uv run python -m studies.calibration",
        schedules=schedules,
        fewer=fewer,
        seed=SEED,
        gate={name: value for name, value in asdict(gate).items() if name not in _ELSEWHERE},
        table=facts.of_table(table),
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        rows=tuple(rows),
    )


def plan(gate: Gate, *, schedules: int, fewer: int, ious: Sequence[float]) -> list[list[Job]]:
    """The parts of the study, each a list of jobs for one number of boxes.

    The gate's settings; then, of the rule in use alone, more trainings a run, a weaker detector, and other ways to hold
    a run against the best one so far.
    """
    confirm = (simulation.Rule(name=simulation.confirm_at(gate.level), gate=simulation.confirming(gate, gate.level)),)
    every = Job(
        boxes=0,
        losses=simulation.LOSSES,
        seeds=1,
        rules=simulation.rules(gate, simulation.levels(gate.level)),
        simple=True,
        against_best="confirmed",
        iou=ious[0],
        start=0,
        count=schedules,
        seed=SEED,
    )
    few = replace(every, losses=SOME, rules=confirm, simple=False, count=fewer)
    parts = [every, replace(few, seeds=2), replace(few, seeds=3)]
    parts += [replace(few, iou=ious[1]), replace(few, iou=ious[1], seeds=3)]
    parts += [replace(few, against_best="unconfirmed"), replace(few, against_best="never")]
    return [_shared_out(replace(part, boxes=boxes)) for part in parts for boxes in simulation.BOXES]


def _shared_out(part: Job) -> list[Job]:
    return [replace(part, start=start, count=min(_CHUNK, part.count - start)) for start in range(0, part.count, _CHUNK)]


def _work(numbered: tuple[int, Job]) -> tuple[int, list[Judged]]:
    number, job = numbered
    table, memory = _of_process()
    return number, list(simulation.run(job, table, memory))


@functools.cache
def _of_process() -> tuple[MatchTable, Memory]:
    return matches.read(), Memory()
