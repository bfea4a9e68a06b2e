"""Making bases and cells: each goes on where it was cut off, and what is kept of it is written when it is whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.chains import stages
from pipeline.chains.steps import Step, locked
from pipeline.core import files, images, manifest, object_strips, paths, stage
from pipeline.core import records as json_records
from pipeline.core.paths import RunPaths
from studies.collapse import crops, measuring, work
from studies.collapse.measuring import Generation, Measured
from studies.collapse.places import MEASURED
from studies.collapse.settings import Cell, Study

Runner = Callable[[Step], None]  # runs the stages of a step that are not done, here or elsewhere


def advance_base(study: Study, seed: int, run: Runner) -> Step:
    """Make a seed's base run, unless it is there.

    Raises:
        UserError: a stage failed.
    """
    with locked(study.places.work_base(seed), f"the base of seed {seed}"):
        step = work.base(study, seed)
        _run(step, run)
    return step


def advance_cell(study: Study, cell: Cell, run: Runner) -> list[Step]:
    """Make a cell's generations that are not there; the base of its seed first, where that is missing.

    Raises:
        UserError: a stage failed; what came before it is kept.
    """
    advance_base(study, cell.seed, run)
    with locked(study.places.work_cell(cell.name), f"the cell {cell.name}"):
        steps = work.steps(study, cell)
        for step in steps:
            _run(step, run)
    return steps


def is_done(study: Study, cell: Cell) -> bool:
    """Whether all generations of a cell are there."""
    return study.places.work_cell(cell.name).exists() and all(step.done for step in work.steps(study, cell))


def write_base(study: Study, step: Step, seed: int) -> None:
    """Write what is kept of a base run."""
    with files.fresh_folder(study.places.made_base(seed)) as folder:
        rows = manifest.read(step.folder / RunPaths(paths.BASE).mix_manifest)
        _write_strip(study, step, rows, folder)
        found = _measured(step, synthetic=False)
        json_records.write(
            folder / MEASURED, Measured(name="", seed=seed, key=step.key, generations=(found,))
        )  # fmt: skip


def write_cell(study: Study, steps: list[Step], cell: Cell) -> None:
    """Write what is kept of a cell."""
    with files.fresh_folder(study.places.made_cell(cell.name)) as folder:
        found = []
        for step in steps:
            if cell.ratio != 0:
                rows = manifest.read(step.folder / RunPaths(step.run).synthetic_manifest)
                _write_strip(study, step, rows, folder)
            found.append(_measured(step, synthetic=cell.ratio != 0))
        json_records.write(
            folder / MEASURED,
            Measured(name=cell.name, seed=cell.seed, key=steps[-1].key, generations=tuple(found)),
        )


def strip_name(run: str) -> str:
    """Name of the picture of one generation's objects."""
    return f"objects-{run}.png"


def _run(step: Step, run: Runner) -> None:
    if not step.done:
        stage.report(f"collapse: {step.what}")
        run(step)


def _measured(step: Step, *, synthetic: bool) -> Generation:
    taken = json.loads((step.folder / stages.progress(step.run)).read_text())["stages"].values()
    return measuring.measure(
        step.folder, step.run, seconds=sum(one["seconds"] for one in taken),
        processor=sum(one["processor"] for one in taken), synthetic=synthetic,
    )  # fmt: skip


def _write_strip(study: Study, step: Step, rows: Iterable[manifest.Row], folder: Path) -> None:
    """The picture of the class that is rarest in the base's training data."""
    names = manifest.read_classes(step.folder / paths.REAL_CLASSES)
    base = manifest.read(step.folder / RunPaths(paths.BASE).mix_manifest)
    chosen = object_strips.rarest(base, classes=len(names))
    assert chosen is not None  # noqa: S101 - a base is trained on objects
    drawn = crops.strip(list(rows), step.folder, chosen, number=study.crops)
    mark = {images.SYNTHETIC_MARK: json.dumps({"crops": step.what})} if step.run != paths.BASE else None
    files.write_bytes(folder / strip_name(step.run), images.encode_png(drawn, mark))
