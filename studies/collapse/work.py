"""The study's folders: each is a small project of its own, in which the project's stages run.

A folder is made of links to what it shares with others, a params.yaml, and what its stages write. What a run rests on
is digested into its key; a run whose key is another one is made anew, with all that follow it. So a study that was cut
off goes on where it was, and nothing is taken from other settings or other code.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.core import files, locks, paths, processes, stage
from pipeline.core.errors import UserError
from studies.collapse import generation, inputs, settings
from studies.collapse.settings import Cell, Study

VERSION = 1  # of what a folder has in it; raised when runs of older ones must not be gone on with
LOG = "log.txt"  # in a folder: what its stages said
ARM = "cell"
_ALL = 10_000  # generations in the pool of an accumulating arm: nothing that was made leaves it
_UNUSED = 16  # synthetic images where none is trained on: the stages want some
_LINES = 12  # of the log that an error quotes
_LINKED = ("models", "generators")  # folders of the project that settings may name


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run of the study: a base, or one generation of a cell.

    Attributes:
        folder: in which it runs, relative to the project's.
        run: its name there.
        key: digest of all that it rests on.
        threads: cores that it computes on.
        what: what it is, for people.
    """

    folder: Path
    run: str
    key: str
    threads: int
    what: str

    @property
    def done(self) -> bool:
        """Whether all its stages have ended, on the same inputs."""
        note = _note(self.folder / generation.progress(self.run))
        wanted = generation.outs(self.run)
        there = all((self.folder / out).exists() for out in wanted.values())
        return note.get("key") == self.key and set(note.get("stages", {})) == set(wanted) and there


def run_name(number: int) -> str:
    """A generation's run; equal in all cells, so that equal cells draw equal random numbers."""
    return f"g{number}" if number else paths.BASE


def base_key(study: Study, seed: int) -> str:
    """Digest of all that a seed's base run rests on.

    Raises:
        UserError: the stages `inputs` and `data` have not run.
    """
    return inputs.key(VERSION, inputs.read(study.places, "base"), real(study)["digest"], study.threads, seed)


def keys(study: Study, cell: Cell) -> list[str]:
    """Digest of all that each generation of a cell rests on, the generations before it among that.

    Raises:
        UserError: the stages `inputs` and `data` have not run.
    """
    key, found = (
        inputs.key(base_key(study, cell.seed), inputs.read(study.places, "cells"), dataclasses.asdict(cell)),
        [],
    )
    for number in range(1, study.generations + 1):
        key = inputs.key(key, number)
        found.append(key)
    return found


def base(study: Study, seed: int) -> Step:
    """A seed's base run, its folder made ready.

    Raises:
        UserError: the stages `inputs` and `data` have not run.
    """
    folder, key = study.places.work_base(seed), base_key(study, seed)
    _link(study.places.work_data, folder, ("data/real", "data/verified"))
    _settle(folder, settings.merged(study) | {"seed": seed})
    step = Step(folder=folder, run=paths.BASE, key=key, threads=study.threads, what=f"the base of seed {seed}")
    _clear([step])
    return step


def steps(study: Study, cell: Cell) -> list[Step]:
    """A cell's generations, its folder made ready; the base of its seed has to be done.

    Raises:
        UserError: settings are not valid.
    """
    folder = study.places.work_cell(cell.name)
    _link(study.places.work_data, folder, ("data/real", "data/verified"))
    _link(study.places.work_base(cell.seed), folder, tuple(str(out) for out in generation.outs(paths.BASE).values()))
    _settle(folder, arranged(study, cell))
    found = [
        Step(
            folder=folder, run=run_name(number), key=key, threads=study.threads,
            what=f"{cell.name}, generation {number} of {study.generations}",
        )
        for number, key in enumerate(keys(study, cell), start=1)
    ]  # fmt: skip
    _clear(found)
    return found


def arranged(study: Study, cell: Cell) -> dict[str, Any]:
    """The params.yaml of a cell.

    Raises:
        UserError: the settings are not valid.
    """
    value = settings.merged(study)
    whole = cell.ratio == "pool" and cell.policy == "accumulate"  # keeps all, so its total grows
    total = _total(study)
    value["generate"] |= {
        "generator": cell.generator, "labels": cell.labels,
        "images": _UNUSED if cell.ratio == 0 else total,
    }  # fmt: skip
    value["mix"] |= {"total": "all-real" if whole else total, "generations": _ALL}
    value["arms"] = {ARM: {"policy": cell.policy, "ratio": cell.ratio}}
    value["runs"] = {
        # a seed of its own each: how much trainings differ by chance is part of what is measured
        run_name(number): {"arm": ARM, "generation": number, "previous": run_name(number - 1), "seed": number}
        for number in range(1, study.generations + 1)
    }
    value["seed"] = cell.seed
    settings.checked(study, value)
    return value


def locked(folder: Path, what: str) -> AbstractContextManager[None]:
    """Have a folder for oneself: two engines at once would write into each other's."""
    return locks.held(folder.with_name(f"{folder.name}.lock"), what, wait=stage.report)


def execute(step: Step, *, root: Path, folder: Path | None = None) -> None:
    """Run the stages of a step that are not done; ends with this process, however that ends.

    Args:
        step: what to run; its folder is ready.
        root: where the packages `pipeline` and `studies` are.
        folder: another folder than the step's, where that is on another machine.

    Raises:
        UserError: a stage failed; the message has its last words.
    """
    where = (folder or step.folder).absolute()
    threads = str(step.threads)
    environment = {
        **os.environ, "PYTHONPATH": str(root.absolute()), "TAILWATCH_THREADS": threads, "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
    }  # fmt: skip
    with (where / LOG).open("ab") as log:
        code = subprocess.run(  # noqa: S603 - this Python, with a module of the study
            [sys.executable, "-m", "studies.collapse.generation", "--run", step.run],
            cwd=where, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False,
            preexec_fn=processes.ending_with_us(),
        ).returncode  # fmt: skip
    if code:
        text = (where / LOG).read_text(errors="replace").strip().splitlines()[-_LINES:]
        said = next((line for line in reversed(text) if line.startswith("error: ")), "")
        raise UserError(
            f"{step.what}: {said.removeprefix('error: ') or ' / '.join(text)} (exit code {code}; the log is "
            f"{step.folder / LOG}). Mend that and run the same command again: it goes on with this generation."
        )


def _total(study: Study) -> int:
    return int(real(study)["training"]) if study.total == "all-real" else study.total


def real(study: Study) -> dict[str, Any]:
    """What the real images of the study are: see :mod:`studies.collapse.data`.

    Raises:
        UserError: the stage `data` has not run.
    """
    here = study.places
    found = _note(here.made_data)
    if not found:
        raise UserError(f"{here.made_data} cannot be read. Run `uv run dvc repro {here.pipeline}:data`.")
    return found


def _note(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _clear(line: Sequence[Step]) -> None:
    """Remove what runs have from other inputs, and note their keys: from the first such run on, all that follow."""
    stale = False
    for step in line:
        note = step.folder / generation.progress(step.run)
        stale = stale or _note(note).get("key") != step.key
        if stale:
            for out in generation.outs(step.run).values():
                shutil.rmtree(step.folder / out, ignore_errors=True)
            files.write_json(note, {"key": step.key, "stages": {}})


def _link(source: Path, folder: Path, shared: tuple[str, ...]) -> None:
    """Show in a folder what it shares with another one, and the project's own models and generators."""
    for name, target in [*((one, source / one) for one in shared), *((one, Path(one)) for one in _LINKED)]:
        link = folder / name
        if not link.is_symlink() and target.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            aside = link.with_name(f".{link.name}.{os.getpid()}.link")
            aside.unlink(missing_ok=True)
            aside.symlink_to(os.path.relpath(target.absolute(), link.parent.absolute()), target_is_directory=True)
            aside.replace(link)


def _settle(folder: Path, value: Mapping[str, Any]) -> None:
    files.write_text(folder / paths.PARAMS, yaml.safe_dump(dict(value), sort_keys=False))
