"""What the study's folders depend on, as one small file a group: settings, code and model of the project's stages.

The project's own dvc.yaml says which code and which settings each of its stages reads, and a test holds it to that. So
a study's cell depends on no file of it but one, which stays the same when something changes that no stage of it reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core import bounded, files, plain_yaml
from pipeline.core.errors import UserError
from studies.collapse import settings
from studies.collapse.places import Places
from studies.collapse.settings import Study

GRAPH = Path("dvc.yaml")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "data": ("ingest", "verify"),
    "base": ("mix-base", "train-base", "audit-base"),
    "cells": ("generate", "mix", "train", "audit"),
}
_OWN = {"runs", "arms", "pins", "seed"}  # the study's own business, in the key of each folder
_MADE = ("data/", "reports/")  # what stages make is not code


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
    merged = settings.merged(study)
    stages = [_stage(name) for name in GROUPS[group]]
    keys = sorted({key for one in stages for key in one.get("params", []) if key.split(".")[0] not in _OWN})
    code = sorted({path for one in stages for path in _code(one.get("deps", []))})
    return {
        "settings": {key: _value(merged, key) for key in keys},
        "code": {str(path): _digest(path) for path in code},
        "model": _digest(Path(merged["train"]["model"])) if group != "data" else "",
        "study": _of_study(study, group),
    }


def read(here: Places, group: str) -> dict[str, Any]:
    """What was written of a group.

    Raises:
        UserError: it is missing.
    """
    try:
        value: dict[str, Any] = json.loads(bounded.text(here.inputs(group), most=plain_yaml.MOST))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{here.inputs(group)} cannot be read ({error}). Run `uv run dvc repro {here.pipeline}:inputs`."
        ) from None
    return value


def key(*parts: object) -> str:
    """A digest of plain values, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def tree(path: Path) -> str:
    """A digest of a file, or of all files in a folder with their names; of what is not there, the empty one."""
    if path.is_file():
        return files.sha256_file(path)
    found = sorted(one for one in path.rglob("*") if one.is_file())
    return key([(str(one.relative_to(path)), files.sha256_file(one)) for one in found])


def _of_study(study: Study, group: str) -> dict[str, Any]:
    """The study's own settings that a group rests on; how many generations a cell has is not among them."""
    if group == "data":
        return {"verified": study.dataset.verified, "seed": study.dataset.seed}
    return {"threads": study.threads} | ({"total": study.total} if group == "cells" else {})


def _stage(name: str) -> dict[str, Any]:
    stages = plain_yaml.load(bounded.text(GRAPH, most=plain_yaml.MOST))["stages"]
    if name not in stages:
        raise UserError(f"{GRAPH} has no stage {name!r}, which the study runs.")
    found: dict[str, Any] = stages[name].get("do", stages[name])
    return found


def _code(deps: Sequence[str | dict[str, Any]]) -> Iterator[Path]:
    """The dependencies that are neither made by the pipeline nor settings: code, and folders of it."""
    for one in deps:
        path = one if isinstance(one, str) else next(iter(one))
        if not path.startswith(_MADE) and "${" not in path:
            yield Path(path)


def _digest(path: Path) -> str:
    return tree(path) if path.exists() else ""


def _value(merged: Mapping[str, Any], key: str) -> Any:
    value: Any = merged
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
