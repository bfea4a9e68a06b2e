"""The real images of the study: ingested, verified and divided once, for all seeds and cells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from pipeline.chains.inputs import key as digest
from pipeline.chains.inputs import tree
from pipeline.chains.steps import locked
from pipeline.core import files, manifest, paths, processes
from pipeline.core.errors import UserError
from pipeline.core.paths import TrainingPaths
from studies.collapse import inputs, settings, work
from studies.collapse.settings import Study

_KEY = Path("key.json")
_LEDGER = (paths.LEDGER, paths.IMPORTS, paths.CORRECTIONS, paths.TEST_LOCK)
_REASON = "the collapse study takes this source's labels as they are (dataset.verified: all)"


def prepare(study: Study, *, root: Path) -> None:
    """Ingest and verify the source, unless that is done, and write what the other stages rest on.

    Raises:
        UserError: a stage refuses the source.
    """
    require_source(study)
    folder = study.places.work_data
    with locked(folder, "the data of the collapse study"):
        source = Path(study.dataset.path)
        # digits are in no file: what stands in the folder besides is another study's
        found = tree(source) if source.exists() and study.dataset.source != "digits" else ""
        ledger = [tree(one) if one.exists() else "" for one in _LEDGER]
        asked = ledger if study.dataset.verified == "ledger" else []
        key = digest(work.VERSION, inputs.read(study.places, "data"), found, asked)
        if _noted(folder) != key:
            _make(study, folder, root=root)
            files.write_json(folder / _KEY, {"key": key})
        files.write_json(study.places.made_data, _summary(folder))


def require_source(study: Study) -> None:
    """Refuse a source that is not there, before DVC does in words of its own.

    Raises:
        UserError: there is nothing at its path.
    """
    if not Path(study.dataset.path).exists():
        raise UserError(
            f"{study.places.params}: dataset.path: {study.dataset.path} is not in {Path.cwd()}. Bring the images there "
            "(the README says how, for BCCD), or write where they are."
        )


def _make(study: Study, folder: Path, *, root: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    value = settings.merged(study)
    value["ingest"]["path"] = str(Path(study.dataset.path).absolute())
    files.write_text(folder / paths.PARAMS, yaml.safe_dump(value, sort_keys=False))
    for one in (paths.IMPORTS, paths.CORRECTIONS):
        (folder / one).mkdir(parents=True)
    if study.dataset.verified == "ledger":
        _copy_ledger(folder)
    _run(folder, ["-m", "pipeline.ingest"], root=root)
    if study.dataset.verified == "all":
        accept = ["accept", "--yes", "--reviewer", "collapse study", "--reason", _REASON]
        _run(folder, ["-c", "from pipeline.cli import main; main()", *accept], root=root)
    _run(folder, ["-m", "pipeline.verify"], root=root)


def _copy_ledger(folder: Path) -> None:
    for one in _LEDGER:
        if one.is_dir():
            shutil.copytree(one, folder / one, dirs_exist_ok=True)
        elif one.exists():
            shutil.copyfile(one, folder / one)


def _run(folder: Path, arguments: list[str], *, root: Path) -> None:
    done = subprocess.run(  # noqa: S603 - this Python, with the project's own modules
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": str(root.absolute())},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        preexec_fn=processes.ending_with_us(),
    )  # fmt: skip
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        error = next((line for line in reversed(said) if line.lower().startswith("error: ")), " / ".join(said[-5:]))
        raise UserError(f"the data of the study: {error.partition(': ')[2] or error}")


def _noted(folder: Path) -> str:
    try:
        return str(json.loads((folder / _KEY).read_text())["key"])
    except (OSError, ValueError, KeyError):
        return ""


def _summary(folder: Path) -> dict[str, Any]:
    """What is in the data: digest, classes, images and boxes by split."""
    rows = manifest.read(folder / paths.VERIFIED_MANIFEST)
    names = manifest.read_classes(folder / paths.REAL_CLASSES)
    splits = {split: [row for row in rows if row.split == split] for split in manifest.SPLITS}
    training = manifest.read(folder / TrainingPaths().real)
    digests = [tree(folder / one) for one in (paths.REAL_IMAGES, paths.REAL_LABELS, paths.VERIFIED_HELD_OUT)]
    return {
        "digest": digest(digests, [row.image_id for row in training]),
        "training": len(training),
        "images": dict(Counter(row.split for row in rows)),
        "boxes": {
            split: dict(zip(names, manifest.class_counts(some, len(names)), strict=True))
            for split, some in splits.items()
        },
    }
