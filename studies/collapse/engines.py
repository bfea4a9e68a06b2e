"""Many cells side by side: processes on this machine, or the nodes of a Ray cluster."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import psutil

from pipeline.adapters import dvc_mending
from pipeline.chains.steps import Step, execute, locked
from pipeline.core import cores, processes, stage
from pipeline.core.errors import UserError
from studies.collapse import making
from studies.collapse.making import Runner
from studies.collapse.places import HERE
from studies.collapse.settings import Cell, Study

Engine = Literal["processes", "ray"]
_LINES = 15  # of DVC's output that an error quotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where steps run.

    Attributes:
        jobs: how many side by side.
        run: runs one to its end.
        stop: breaks off those that run.
    """

    jobs: int
    run: Runner
    stop: Callable[[], None]


@contextlib.contextmanager
def opened(engine: Engine, study: Study, *, jobs: int | None, address: str | None) -> Iterator[Place]:
    """Have an engine for the length of a block.

    Args:
        engine: which one.
        study: whose real images are sent along, and how many cores a step computes on.
        jobs: steps side by side; None for as many as there are cores for.
        address: of the Ray cluster.

    Raises:
        UserError: nobody answers at the address, Ray is not installed, or an option does not go with the engine.
    """
    if engine == "processes":
        if address is not None:
            raise UserError("--address is for --engine ray; processes run on this machine.")
        yield Place(jobs=jobs or max(cores.present() // study.threads, 1), run=here, stop=_end_children)
        return
    from studies.collapse import ray_engine

    with ray_engine.connected(address or "auto", study.places.work_data) as cluster:
        yield Place(jobs=jobs or max(cluster.cores // study.threads, 1), run=cluster.run, stop=cluster.stop)


def here(step: Step) -> None:
    """Run a step in a process on this machine."""
    execute(step, root=Path.cwd())


def advance(study: Study, cells: Mapping[str, Cell], place: Place) -> None:
    """Make the bases that cells need, then the cells; where one fails, the others go on.

    Raises:
        UserError: some failed; the message has each one's reason.
    """
    seeds = sorted({cell.seed for cell in cells.values()})
    bases = {f"the base of seed {seed}": partial(making.advance_base, study, seed, place.run) for seed in seeds}
    each(bases, jobs=place.jobs, stop=place.stop)
    chains = {name: partial(making.advance_cell, study, cell, place.run) for name, cell in cells.items()}
    each(chains, jobs=place.jobs, stop=place.stop)


def settle(study: Study, cells: Mapping[str, Cell]) -> None:
    """Have DVC take note of the cells that are done, and of their bases.

    Raises:
        UserError: DVC refuses.
    """
    done = {name: cell for name, cell in cells.items() if making.is_done(study, cell)}
    if done:
        seeds = sorted({cell.seed for cell in done.values()})
        repro(study, *(f"base@{seed}" for seed in seeds), *(f"cell@{name}" for name in done))


def repro(study: Study, *targets: str, alone: bool = False) -> None:
    """Have DVC run stages of the study; where the work is done already, they only write what is kept of it.

    So DVC itself sees that inputs and outputs belong together, and finds nothing to do afterwards.

    Args:
        study: whose stages.
        targets: their names.
        alone: whether only they are run, and not what they depend on.

    Raises:
        UserError: a stage failed.
    """
    log = study.places.settle_log
    command = [sys.executable, "-m", "dvc", "--cd", str(HERE), "--wait-for-lock", "repro"]
    command += [*(["--single-item"] if alone else []), *(f"{study.places.target}:{one}" for one in targets)]
    with locked(log, f"DVC of {study.places.here}"):
        for mended in mend(study):
            stage.report(mended)
        done = subprocess.run(  # noqa: S603 - DVC, of this environment
            command, env={**os.environ, "DVC_NO_ANALYTICS": "1"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, preexec_fn=processes.ending_with_us(),
        )  # fmt: skip
        with log.open("a") as kept:
            kept.write(done.stdout)
    if done.returncode:
        said = done.stdout.strip().splitlines()
        errors = [line.partition(": ")[2] for line in said if line.lower().startswith("error: ")]
        raise UserError(f"dvc repro: {' / '.join((errors or said)[-_LINES:])} The log is {log}.")


def mend(study: Study) -> Iterator[str]:
    """Put right what a killed DVC has left half written; gives in sentences what that was.

    Nothing of the study is lost with its dvc.lock: DVC runs the stages again, and they find their generations done.
    """
    yield from dvc_mending.mend_rwlock(HERE / dvc_mending.RWLOCK)
    yield from dvc_mending.remove_unreadable(study.places.pipeline.with_suffix(".lock"))


def each(actions: Mapping[str, Callable[[], object]], *, jobs: int, stop: Callable[[], None] = lambda: None) -> None:
    """Do things side by side; where one fails, the others go on.

    Args:
        actions: by what they are called.
        jobs: how many at a time.
        stop: breaks off those that run, when all is broken off.

    Raises:
        UserError: some failed; the message has each one's reason.
    """
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="cell") as pool:
        running: dict[Future[object], str] = {pool.submit(action): name for name, action in actions.items()}
        try:
            for number, done in enumerate(as_completed(running), start=1):
                error = done.exception()
                if not isinstance(error, UserError):
                    done.result()
                else:
                    failed[running[done]] = str(error)
                stage.report(
                    f"collapse: {number} of {len(running)}: {running[done]} {'FAILED' if error else 'is done'}"
                )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise
    if failed:
        told = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        raise UserError(f"{len(failed)} of {len(running)} failed, the others are done:\n{told}")


def _end_children() -> None:
    """End the processes that this one has started; what they wrote so far is gone on with."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            child.terminate()
