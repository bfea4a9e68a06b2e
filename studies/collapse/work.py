"""The study's folders: what is in each, and what its runs rest on (:mod:`pipeline.chains.steps`)."""

from __future__ import annotations

import dataclasses
from typing import Any

from pipeline.chains import stages
from pipeline.chains.inputs import key as digest
from pipeline.chains.steps import Step, clear, link, note, run_name, runs, settle
from pipeline.core import paths
from pipeline.core.errors import UserError
from studies.collapse import inputs, settings
from studies.collapse.settings import Cell, Study

VERSION = 1  # of what a folder has in it; raised when runs of older ones must not be gone on with
ARM = "cell"
_ALL = 10_000  # generations in the pool of an accumulating arm: nothing that was made leaves it
_UNUSED = 16  # synthetic images where none is trained on: the stages want some


def base_key(study: Study, seed: int) -> str:
    """Digest of all that a seed's base run rests on.

    Raises:
        UserError: the stages `inputs` and `data` have not run.
    """
    return digest(VERSION, inputs.read(study.places, "base"), real(study)["digest"], study.threads, seed)


def keys(study: Study, cell: Cell) -> list[str]:
    """Digest of all that each generation of a cell rests on, the generations before it among that.

    Raises:
        UserError: the stages `inputs` and `data` have not run.
    """
    key = digest(base_key(study, cell.seed), inputs.read(study.places, "cells"), dataclasses.asdict(cell))
    found = []
    for number in range(1, study.generations + 1):
        key = digest(key, number)
        found.append(key)
    return found


def base(study: Study, seed: int) -> Step:
    """A seed's base run, its folder made ready.

    Raises:
        UserError: the stages `inputs` and `data` have not run.
    """
    folder, key = study.places.work_base(seed), base_key(study, seed)
    link(study.places.work_data, folder, ("data/real", "data/verified"))
    settle(folder, settings.merged(study) | {"seed": seed})
    step = Step(folder=folder, run=paths.BASE, key=key, threads=study.threads, what=f"the base of seed {seed}")
    clear([step])
    return step


def steps(study: Study, cell: Cell) -> list[Step]:
    """A cell's generations, its folder made ready; the base of its seed has to be done.

    Raises:
        UserError: settings are not valid.
    """
    folder = study.places.work_cell(cell.name)
    link(study.places.work_data, folder, ("data/real", "data/verified"))
    link(study.places.work_base(cell.seed), folder, tuple(str(out) for out in stages.outs(paths.BASE).values()))
    settle(folder, arranged(study, cell))
    found = [
        Step(
            folder=folder, run=run_name(number), key=key, threads=study.threads,
            what=f"{cell.name}, generation {number} of {study.generations}",
        )
        for number, key in enumerate(keys(study, cell), start=1)
    ]  # fmt: skip
    clear(found)
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
    value["runs"] = runs(ARM, study.generations)
    value["seed"] = cell.seed
    settings.checked(study, value)
    return value


def _total(study: Study) -> int:
    return int(real(study)["training"]) if study.total == "all-real" else study.total


def real(study: Study) -> dict[str, Any]:
    """What the real images of the study are: see :mod:`studies.collapse.data`.

    Raises:
        UserError: the stage `data` has not run.
    """
    here = study.places
    found = note(here.made_data)
    if not found:
        raise UserError(f"{here.made_data} cannot be read. Run `{here.repro('data')}`.")
    return found
