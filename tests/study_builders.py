"""A collapse study without a training: its folders are written by hand, so that what drives it can be tested."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.chains import stages
from pipeline.chains.steps import Step
from pipeline.core import audits, files, images, labels, manifest, paths
from pipeline.core.figures import Figure
from pipeline.core.labels import Box
from pipeline.core.paths import RunPaths
from studies.collapse import making, settings
from studies.collapse.places import Places
from studies.collapse.settings import Study
from tests import builders
from tests.project import ROOT

PLACES = Places()
CLASSES = ("common", "rare")
DATA = {
    "digest": "d" * 64,
    "training": 12,
    "images": {"train": 12, "val": 4, "test": 6},
    "boxes": {split: {"common": 9, "rare": 2} for split in manifest.SPLITS},
}
BOXES = (builders.box(0, x=0.3), builders.box(1, x=0.6))
GRID = {"policies": ["replace", "accumulate"], "ratios": [0, 0.5, 1], "labels": ["layout"], "generators": ["mixture"]}


def study(**changes: Any) -> Study:
    """Write the study's params.yaml into the working directory, changed as asked, and read it."""
    value = yaml.safe_load((ROOT / PLACES.params).read_text())
    value |= {"generations": 3, "seeds": [1, 2], "grid": [GRID]} | changes
    files.write_text(PLACES.params, yaml.safe_dump(value, sort_keys=False))
    return settings.load()


def ready(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Study:
    """Begin a study in a folder: real images are there, and what its stages rest on is noted."""
    monkeypatch.chdir(folder)
    shutil.copyfile(ROOT / paths.PARAMS, paths.PARAMS)
    files.write_json(PLACES.made_data, DATA)
    for group in ("data", "base", "cells"):
        files.write_json(PLACES.inputs(group), {"settings": {"ingest": {"source": "digits"}}, "code": {}})
    for name in ("data/real", "data/verified"):
        (PLACES.work_data / name).mkdir(parents=True)
    files.write_json(PLACES.work_data / paths.REAL_CLASSES, list(CLASSES))
    return study(**changes)


@dataclass(slots=True)
class Runner:
    """Writes what the stages of a step would, and remembers which it ran.

    Attributes:
        fails: what a step is, in words, at which it breaks off.
        ran: the steps that it ran, in words.
    """

    fails: str = ""
    ran: list[str] = field(default_factory=list)

    def __call__(self, step: Step) -> None:
        """Run a step."""
        self.ran.append(step.what)
        if step.what == self.fails:
            raise KeyboardInterrupt
        _write_run(step)
        note = step.folder / stages.progress(step.run)
        taken = {name: {"seconds": 1.0, "processor": 2.0} for name in stages.outs(step.run)}
        files.write_json(note, {"key": step.key, "stages": taken})


def make(study: Study, run: Runner | None = None) -> None:
    """Make all bases and cells, and what is kept of them."""
    runner = run or Runner()
    for seed in study.seeds:
        making.write_base(study, making.advance_base(study, seed, runner), seed)
    for cell in settings.cells(study).values():
        making.write_cell(study, making.advance_cell(study, cell, runner), cell)


def _write_run(step: Step) -> None:
    here, number = RunPaths(step.run), 0 if step.run == paths.BASE else int(step.run[1:])
    for out in stages.outs(step.run).values():
        shutil.rmtree(step.folder / out, ignore_errors=True)
    if number:
        rows = [_write_image(step, position) for position in range(3)]
        manifest.write(step.folder / here.synthetic_manifest, rows)
    else:
        rows = [builders.row(f"{name}", boxes=((0, 3), (1, 1))) for name in range(3)]
        for row in rows:
            write_pixels(step.folder / row.path, step.folder / manifest.label_path(Path(row.path)))
    (step.folder / here.mix).mkdir(parents=True, exist_ok=True)
    manifest.write(step.folder / here.mix_manifest, rows)
    files.write_text(step.folder / here.weights, f"weights of {step.what}")
    files.write_text(step.folder / here.predictions, f"predictions of {step.what}")
    seed = 0.001 * sum(map(ord, str(step.folder)))
    value = Figure(value=0.8 - 0.05 * number - 0.001 * (seed % 7), low=0.1, high=0.9, samples=6)
    audits.write(
        step.folder / here.figures,
        builders.audit(
            step.run, generation=number, map50_95=value,
            classes=(builders.class_figures("common"), builders.class_figures("rare", rare=True, training_boxes=9)),
        ),
    )  # fmt: skip


def _write_image(step: Step, position: int) -> manifest.Row:
    path = RunPaths(step.run).synthetic / "images" / f"{position}.png"
    write_pixels(step.folder / path, step.folder / manifest.label_path(path))
    return builders.synthetic_row(f"{step.what} {position}", path=str(path), boxes=((0, 3), (1, 1)), run=step.run)


def write_pixels(image: Path, label: Path, boxes: Sequence[Box] = BOXES) -> None:
    """Write an image and its labels."""
    files.write_bytes(image, images.encode_png(builders.picture(len(image.name), width=64, height=48)))
    files.write_text(label, labels.format_boxes(boxes))
