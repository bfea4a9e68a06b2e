"""What the study's folders depend on, as one small file a group: settings, code and model of the project's stages.

The project's own dvc.yaml says which code and which settings each of its stages reads, and a test holds it to that. So
a study's cell depends on no file of it but one, which stays the same when something changes that no stage of it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.chains import inputs
from pipeline.core import bounded, files, plain_yaml
from pipeline.core.errors import UserError
from studies.collapse import settings
from studies.collapse.places import Places
from studies.collapse.settings import Study

GROUPS: Mapping[str, tuple[str, ...]] = {
    "data": ("ingest", "verify"),
    "base": ("mix-base", "train-base", "audit-base"),
    "cells": ("generate", "mix", "train", "audit"),
}


def write(study: Study) -> None:
    """Write the file of each group; one that is as it was stays untouched.

    Raises:
        UserError: settings are not valid, dvc.yaml lacks a stage, or cells.yaml is not what the grid comes to.
    """
    here = study.places
    if not here.cells.exists() or here.cells.read_text() != settings.cells_text(study):
        raise UserError(
            f"{here.cells} is not what the grid of {here.params} comes to. Run `{here.command} plan`, which writes it."
        )
    for group in GROUPS:
        files.write_json(here.inputs(group), collect(study, group))


def collect(study: Study, group: str) -> dict[str, Any]:
    """What the stages of a group read.

    Raises:
        UserError: settings are not valid, or dvc.yaml lacks a stage.
    """
    return {**inputs.collect(GROUPS[group], settings.merged(study)), "study": _of_study(study, group)}


def read(here: Places, group: str) -> dict[str, Any]:
    """What was written of a group.

    Raises:
        UserError: it is missing.
    """
    try:
        value: dict[str, Any] = json.loads(bounded.text(here.inputs(group), most=plain_yaml.MOST))
    except (OSError, ValueError) as error:
        raise UserError(f"{here.inputs(group)} cannot be read ({error}). Run `{here.repro('inputs')}`.") from None
    return value


def _of_study(study: Study, group: str) -> dict[str, Any]:
    """The study's own settings that a group rests on; how many generations a cell has is not among them."""
    if group == "data":
        return {"verified": study.dataset.verified, "seed": study.dataset.seed}
    return {"threads": study.threads} | ({"total": study.total} if group == "cells" else {})
