"""Real trainings that are made to have one trouble each, and what the diagnosis says of them.

All of them are compared with one base run of one small project. They run the stages' own code; only what a healthy
pipeline would refuse to do (a stuck generator, real data that is swapped) is put in from outside.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import audits, diagnosis, manifest, paths
from pipeline.core.audits import Audit
from pipeline.core.paths import RunPaths
from tests.project import Project, accept, create

pytestmark = pytest.mark.slow

SEED = 1
CLASSES = ["one", "three", "zero", "six"]
KEPT = CLASSES[:2]  # those of the second data set
FEW = 10  # images of the tiny training set

ALL = ("generate", "mix", "train", "audit")
STAGES = """
import sys
import pipeline.audit, pipeline.generate, pipeline.mix, pipeline.train
stages = sys.argv[1].split()
for run in sys.argv[2:]:
    for stage in stages:
        getattr(pipeline, stage).main(run)
"""
STUCK = """
import dataclasses
import numpy as np
from pipeline.core import mixture

def fit(examples, settings, rng):
    draw = mixture.fit(examples, settings, rng)
    pages = [draw(rng) for _ in range(3)]

    def again(source):
        page = pages[source.integers(len(pages))]
        noise = source.normal(0, 2, (*page.pixels.shape[:2], 1))
        return dataclasses.replace(page, pixels=np.clip(page.pixels + noise, 0, 255).astype(np.uint8))

    return again
"""


def tiny(params: dict[str, Any]) -> None:
    """Pages of four classes that a short training learns well."""
    params["seed"] = SEED
    params["ingest"]["digits"].update(
        classes=CLASSES,
        digit=[18, 24],
        digits_a_page=[2, 4],
        pages={"train": 240, "val": 60, "test": 160},
        tail={"train": 0.5, "val": 0.0, "test": 0.0},
    )
    params["generate"]["images"] = 240
    params["train"].update(steps=150, learning_rate=0.005)
    params["audit"]["replicates"] = 200
    params["arms"] = {
        "guarded": {"policy": "accumulate", "ratio": 0.25},
        "recursive": {"policy": "replace", "ratio": 1.0},
        "half": {"policy": "accumulate", "ratio": 0.5},
        "real": {"policy": "accumulate", "ratio": 0.0},
    }
    params["runs"] = {
        "guarded-1": {"arm": "guarded", "generation": 1, "previous": "base"},
        "recursive-1": {"arm": "recursive", "generation": 1, "previous": "base"},
        "recursive-2": {"arm": "recursive", "generation": 2, "previous": "recursive-1"},
        "stuck-1": {"arm": "half", "generation": 1, "previous": "base"},
        "few-1": {"arm": "real", "generation": 1, "previous": "base"},
        "second-1": {"arm": "real", "generation": 1, "previous": "base"},
    }


def other_set(params: dict[str, Any]) -> None:
    """Pages of the same kind on which two of the four classes never stand."""
    params["ingest"]["digits"]["classes"] = KEPT


def stages(project: Project, names: Sequence[str], *runs: str) -> None:
    """Run stages of some runs, one run after the other, in one process, which saves their imports."""
    code = (sys.executable, "-c", STAGES, " ".join(names))
    done = project.run(*code, *runs, PYTHONPATH=str(project.folder))
    assert done.code == 0, done.output


def audit(project: Project, run: str) -> Audit:
    """The audit of a run."""
    return audits.read(project.folder / RunPaths(run).figures)


def nothing_generated(project: Project, run: str) -> None:
    """The output of a generator that has nothing to do."""
    target = project.folder / RunPaths(run).synthetic_manifest
    target.parent.mkdir(parents=True)
    manifest.write(target, [])


def supported(project: Project, run: str, *, previous: str = paths.BASE) -> dict[str, tuple[str, ...]]:
    """Names of the findings that the evidence supports, with that evidence."""
    found = diagnosis.diagnose(audit(project, paths.BASE), audit(project, previous), audit(project, run))
    return {one.name: one.evidence for one in found if one.supported}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project with its base run."""
    made = create(tmp_path_factory.mktemp("diagnosed"), tiny)
    accept(made)
    done = made.run(sys.executable, "-m", "pipeline.verify")
    assert done.code == 0, done.output
    stages(made, ALL[1:], paths.BASE)
    return made


def test_healthy_run_has_none(project: Project) -> None:
    """A run that keeps all real images, and adds a third as many synthetic ones, has none of the four."""
    stages(project, ALL, "guarded-1")
    assert supported(project, "guarded-1") == {}


def test_recursion_is_collapse(project: Project) -> None:
    """Two generations that train on the output of the one before alone are a collapse, and nothing else."""
    stages(project, ALL, "recursive-1", "recursive-2")
    assert list(supported(project, "recursive-2", previous="recursive-1")) == ["collapse"]


def test_near_copies_are_a_mode_collapse(project: Project) -> None:
    """A generator that emits three pages over and over is a mode collapse, though all real images are kept."""
    (project.folder / paths.GENERATORS / "stuck.py").write_text(STUCK)
    project.change(lambda params: params["generate"].update(generator="generators/stuck.py:fit"))
    try:
        stages(project, ALL, "stuck-1")
    finally:
        project.change(lambda params: params["generate"].update(generator="mixture"))
    assert list(supported(project, "stuck-1")) == ["mode collapse"]


def test_tiny_training_set_is_overfitting(project: Project) -> None:
    """As many steps on a few real pages are overfitting, and nothing else."""
    project.change(lambda params: params["mix"].update(total=FEW))
    nothing_generated(project, "few-1")
    try:
        stages(project, ALL[1:], "few-1")
    finally:
        project.change(lambda params: params["mix"].update(total="all-real"))
    assert list(supported(project, "few-1")) == ["overfitting"]


def test_second_data_set_is_forgetting(project: Project, tmp_path: Path) -> None:
    """A real data set without two of the classes, in place of the first one, is forgetting, and nothing else."""
    second = create(tmp_path / "second", tiny, other_set)
    done = second.run(sys.executable, "-m", "pipeline.ingest")
    assert done.code == 0, done.output
    rows = [row for row in manifest.read(second.folder / paths.REAL_MANIFEST) if row.split == "train"]
    for row in rows:
        for name in (Path(row.path), row.label_path):
            shutil.copyfile(second.folder / name, project.folder / name)
    nothing_generated(project, "second-1")
    stages(project, ["mix"], "second-1")
    manifest.write(project.folder / RunPaths("second-1").mix_manifest, rows)
    stages(project, ["train", "audit"], "second-1")
    assert list(supported(project, "second-1")) == ["forgetting"]
