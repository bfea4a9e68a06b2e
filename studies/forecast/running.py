"""The whole study: recursions side by side in processes, forecasts along each, one score."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from studies.forecast import recursion, scoring
from studies.forecast.recursion import Scenario
from studies.forecast.scoring import Case
from studies.forecast.table import Result

SEEDS = range(101, 111)  # other ones than those on which the model was chosen
SEEN = (2, 3, 4, 6, 8)  # generations after which the forecasts are scored
SCENARIOS = (
    Scenario(generator="mixture", labels="layout"),
    Scenario(generator="copy_paste", labels="layout"),
    Scenario(generator="mixture", labels="classifier"),
    Scenario(generator="copy_paste", labels="classifier"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One recursion."""

    scenario: Scenario
    seed: int
    generations: int


def run(*, seeds: Sequence[int] = SEEDS, generations: int = recursion.GENERATIONS) -> Result:
    """Run every scenario with every seed, and score the forecasts along them.

    Args:
        seeds: of the recursions.
        generations: of each, without the base.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when a worker starts: one core each
        os.environ[name] = "1"
    jobs = [Job(scenario=scenario, seed=seed, generations=generations) for seed in seeds for scenario in SCENARIOS]
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found = [case for some in pool.map(cases, jobs) for case in some]
    names = [one.name for one in SCENARIOS]
    scored = [scoring.warnings(name, lead, found) for name in names for lead in scoring.LEADS]
    return Result(
        seeds=len(seeds),
        generations=generations,
        pages=recursion.PAGES,
        classes=recursion.CLASSES,
        need=scoring.NEED,
        spans=tuple(scoring.span(name, seen, found) for name in names for seen in SEEN if seen <= generations),
        warnings=tuple(one for one in scored if one is not None),
    )


def cases(job: Job) -> list[Case]:
    """Run one recursion and forecast along it."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scikit-learn's, of products that overflow in a bad start
        history = recursion.history(job.scenario, job.seed, Path(folder), generations=job.generations)
    return scoring.cases(job.scenario.name, job.seed, history)
