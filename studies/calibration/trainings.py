"""Train the base run many times over, each time with another seed, and keep the weights."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters import yolo
from pipeline.core import files, manifest, params, paths, rng, stage
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths

SCRATCH = paths.STATE / "calibration"  # finished weights stay, so that a broken-off run goes on from them


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What one process trains: some of the seeds, on one core, in a folder of its own."""

    number: int
    core: int | None
    trainings: tuple[int, ...]
    project: Path


def weights_of(training: int) -> Path:
    """Where the weights of one training are kept, relative to the project."""
    return SCRATCH / "weights" / f"{training:03d}.pt"


def train_all(trainings: int) -> None:
    """Train the base configuration with several seeds, a process a core and a thread each; finished ones are kept.

    Two trainings side by side on a thread each are faster than one after another on two: the net is small.

    Raises:
        UserError: the base run's training data is missing.
    """
    for needed in (paths.VERIFIED_MANIFEST, RunPaths(paths.BASE).mix_manifest):
        if not needed.is_file():
            raise UserError(f"{needed} is missing. Run `uv run dvc repro` first: the study trains its base run anew.")
    missing = [number for number in range(trainings) if not weights_of(number).is_file()]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None] * (os.cpu_count() or 1)
    work = [
        _Work(number=number, core=core, trainings=tuple(missing[number :: len(cores)]), project=Path.cwd())
        for number, core in enumerate(cores)
    ]
    # Spawned, not forked: a forked process would inherit the threads of numpy's libraries in an unknown state.
    with multiprocessing.get_context("spawn").Pool(len(work)) as pool:
        for done in pool.imap_unordered(_train_some, work):
            stage.report(f"calibration: worker {done} is through")


def _train_some(work: _Work) -> int:
    """Train in a folder with links to the project's: locks and scratch files are relative, so they stay apart."""
    if work.core is not None:
        os.sched_setaffinity(0, {work.core})
    settings = params.load()
    folder = work.project / SCRATCH / f"worker-{work.number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("data", "models"):
        (folder / name).symlink_to(work.project / name)
    os.chdir(folder)
    try:
        for training in work.trainings:
            _train_one(training, settings, into=work.project / weights_of(training))
    finally:
        os.chdir(work.project)
        shutil.rmtree(folder, ignore_errors=True)
    return work.number


def _train_one(training: int, settings: params.Params, *, into: Path) -> None:
    stage.report(f"calibration: training {training}")
    out = Path("out")
    yolo.train(
        [Path(row.path) for row in manifest.read(RunPaths(paths.BASE).mix_manifest)],
        manifest.read_classes(paths.REAL_CLASSES),
        settings.train,
        seed=rng.seed_for(settings.seed, "calibration", str(training)),
        out=out,
    )
    files.write_bytes(into, (out / "weights.pt").read_bytes())
