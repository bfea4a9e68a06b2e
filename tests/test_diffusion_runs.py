"""The generator in a project: killed while it learns, and while it draws, it ends in the same bytes as undisturbed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import manifest
from pipeline.core.manifest import Row
from tests import diffusion_builders
from tests.project import Project, accept, create, small

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
STAGE = ("python", "-m", "pipeline.generate", "--run", "guarded-1")
PATIENCE = 1200.0  # seconds, of a machine that does much else
STEPS = 1500  # some seconds more than until a training is kept for the first time


def diffused(params: dict[str, Any]) -> None:
    """A model that learns for some seconds, and images in batches of a few."""
    params["generate"].update(generator="diffusion", labels="layout", images=24)
    params["generate"]["diffusion"].update(crop=8, channels=8, steps=STEPS, batch=8, draw_steps=8, pages=2)
    params["train"].update(steps=2)
    params["runs"]["recursive-2"] = {"arm": "recursive", "generation": 2, "previous": "recursive-1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a base run, whose images the generator learns from."""
    made = create(tmp_path_factory.mktemp("project"), small, diffused)
    accept(made)
    done = made.run("dvc", "repro", "mix-base")
    assert done.code == 0, done.output
    return made


def killed(project: Project, when: Callable[[], bool]) -> str:
    """Start the stage, kill it and all that it started as soon as something is there, and give what it said."""
    process = project.start(*STAGE)
    until = time.monotonic() + PATIENCE
    try:
        while not when():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def generated(project: Project) -> tuple[dict[str, str], str]:
    """Run the stage to its end: digests of what it wrote, and what it said."""
    done = project.run(*STAGE, timeout=PATIENCE)
    assert done.code == 0, done.output
    return project.digest("data/generate/guarded-1/**/*.*"), done.output


def rows(project: Project, path: str) -> list[Row]:
    """The rows of a manifest."""
    return manifest.read(project.folder / path)


@pytest.fixture(scope="module")
def undisturbed(project: Project) -> tuple[dict[str, str], str]:
    """What the stage writes and says when nobody disturbs it."""
    return generated(project)


@diffusion_builders.needs_diffusers
def test_killed_anywhere(project: Project, undisturbed: tuple[dict[str, str], str]) -> None:
    """Killed in its training, again while it draws, and gone on with: the same bytes as undisturbed."""
    scratch = project.folder / ".tailwatch" / "generate" / "guarded-1"
    whole, said = undisturbed
    assert len(whole) == 24 * 2 + 1
    assert f"step {STEPS}/{STEPS}" in said
    assert not scratch.exists()

    def learning() -> bool:
        return any(scratch.glob("*/training.safetensors"))

    def drawing() -> bool:
        return len(list(scratch.glob("*/drawn/*.png"))) >= 4

    killed(project, learning)
    assert not drawing()
    said = killed(project, drawing)
    resumed = re.search(rf"goes on after step (\d+) of {STEPS}", said)
    assert resumed
    assert 0 < int(resumed[1]) < STEPS
    assert 4 <= len(list(scratch.glob("*/drawn/*.png"))) < 24
    again, said = generated(project)
    assert again == whole
    assert f"goes on after step {STEPS} of {STEPS}" in said


@diffusion_builders.needs_diffusers
@pytest.mark.usefixtures("undisturbed")
def test_provenance(project: Project) -> None:
    """The manifest names the generator, and each image how it was drawn."""
    found = rows(project, "data/generate/guarded-1/manifest.parquet")
    assert {(row.generator, row.generator_version) for row in found} == {("diffusion", "1")}
    image = next((project.folder / "data/generate/guarded-1/images").glob("*.png"))
    assert b'"model": "trained here"' in Path(image).read_bytes()


@pytest.fixture
def settings(project: Project) -> Iterator[None]:
    """The project's settings are afterwards what they were."""
    before = (project.folder / "params.yaml").read_bytes()
    yield
    (project.folder / "params.yaml").write_bytes(before)


@diffusion_builders.needs_diffusers
@pytest.mark.usefixtures("settings")
def test_recursion(project: Project) -> None:
    """Generation 2 learns from the pages of generation 1 and from nothing else, by DVC's own graph."""
    project.change(lambda params: params["generate"].update(images=48))  # as many as there are real ones
    project.change(lambda params: params["generate"]["diffusion"].update(steps=60))
    done = project.run("dvc", "repro", "generate@recursive-2", timeout=PATIENCE)
    assert done.code == 0, done.output
    assert [one for one in done.executed if "recursive" in one] == [
        "generate@recursive-1", "mix@recursive-1", "train@recursive-1", "generate@recursive-2",
    ]  # fmt: skip
    real = {row.image_id for row in rows(project, "data/real/manifest.parquet")}
    first, second = (rows(project, f"data/generate/recursive-{number}/manifest.parquet") for number in (1, 2))
    assert {row.lineage_depth for row in first} == {1}
    assert {row.lineage_depth for row in second} == {2}
    assert {one for row in first for one in row.parents} <= real
    assert {one for row in second for one in row.parents} <= {row.image_id for row in first}
    assert not {row.image_id for row in first} & {row.image_id for row in second}
    done = project.run("dvc", "status", "generate@recursive-2")
    assert "up to date" in done.output, done.output
    weights = project.folder / "models" / "pipelines" / "painter" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    done = project.run("dvc", "status", "generate@recursive-2")
    assert re.search(r"modified: +models/pipelines", done.output), done.output
    shutil.rmtree(weights.parent)


def test_without_the_extra(project: Project) -> None:
    """Where the packages are not installed, what to type is said, and nothing is half written."""
    blocked = project.folder / "blocked" / "diffusers.py"
    blocked.parent.mkdir()
    blocked.write_text("raise ModuleNotFoundError(\"No module named 'diffusers'\", name='diffusers')")
    before = project.digest("data/generate/**/*.*")
    done = project.run(*STAGE, PYTHONPATH=str(blocked.parent))
    shutil.rmtree(blocked.parent)
    assert done.code == 1
    assert "error: generator diffusion needs packages that are not installed (diffusers)" in done.output
    assert "uv sync --extra diffusion" in done.output
    assert "Traceback" not in done.output
    assert project.digest("data/generate/**/*.*") == before


@diffusion_builders.needs_diffusers
@pytest.mark.usefixtures("settings")
def test_own_pipeline(project: Project) -> None:
    """A pipeline in the project's folder repaints the objects of its pages; its digest is in the provenance."""
    weights = diffusion_builders.stable_diffusion(project.folder / "models" / "pipelines" / "painter")
    own = {"weights": "painter", "mode": "inpaint", "draw_steps": 2, "pages": 8, "strength": 0.6}
    project.change(lambda params: params["generate"].update(images=8))
    project.change(lambda params: params["generate"]["diffusion"].update(own))
    found, _ = generated(project)
    shutil.rmtree(weights.parent / "tokenizer")
    shutil.rmtree(weights)
    assert len(found) == 8 * 2 + 1
    marks = [one.read_bytes() for one in (project.folder / "data/generate/guarded-1/images").glob("*.png")]
    assert all(b'"mode": "inpaint"' in one for one in marks)
    assert len({re.search(rb'"weights": "([0-9a-f]{12})"', one)[1] for one in marks}) == 1  # type: ignore[index]


@diffusion_builders.needs_diffusers
@pytest.mark.usefixtures("settings")
def test_weights_that_are_not_there(project: Project) -> None:
    """Weights that do not exist are said, by what they were called; nothing is half written."""
    project.change(lambda params: params["generate"]["diffusion"].update(weights="someone/some-model"))
    done = project.run(*STAGE, timeout=PATIENCE)
    assert done.code == 1
    assert "error: generate.diffusion.weights: models/pipelines/someone/some-model does not exist" in done.output
    assert "Traceback" not in done.output
