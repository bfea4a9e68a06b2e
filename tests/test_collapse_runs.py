"""The collapse study for real, at a size of some seconds a generation: engines, cut-offs, and what DVC makes of it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from studies.collapse import measuring, places
from studies.collapse.places import Places
from tests import project
from tests.project import ROOT, Project, Result

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
GRID = {"policies": ["replace"], "ratios": [0.5, 1], "labels": ["layout"], "generators": ["mixture"]}
CELLS = ("replace-50-layout-mixture-1", "replace-100-layout-mixture-1")
PLACES = Places()
PATIENCE = 1200.0  # seconds, on a machine that has other things to do


def tiny(params: dict[str, Any]) -> None:
    """Trainings of a few seconds."""
    params["ingest"]["digits"]["pages"] = {"train": 32, "val": 12, "test": 16}
    params["train"].update(steps=40, batch=16)
    params["audit"].update(replicates=100)


def start(folder: Path) -> Project:
    """A project with a study of two cells, two generations and one seed."""
    found = project.create(folder, project.small, tiny)
    shutil.copyfile(ROOT / "data/ledger.csv", folder / "data/ledger.csv")  # of other pages; the study asks it nothing
    path = folder / PLACES.params
    value = yaml.safe_load(path.read_text()) | {"generations": 2, "seeds": [1], "crops": 2, "grid": [GRID]}
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    shutil.rmtree(folder / PLACES.results, ignore_errors=True)
    (folder / PLACES.results).mkdir()
    return found


def study(one: Project, *arguments: str) -> Result:
    """Run a command of the study."""
    return one.run(sys.executable, "-m", "studies.collapse", *arguments, timeout=PATIENCE)


def digests(one: Project) -> dict[str, str]:
    """What the cells came to, by name."""
    return {name: measuring.read(one.folder / PLACES.made_cell(name)).digest for name in CELLS}


def until(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a process is to bring about."""
    end = time.monotonic() + PATIENCE
    while not found():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < end
        time.sleep(0.2)


def stages_done(one: Project, cell: str, run: str) -> set[str]:
    """The stages of one generation that have ended."""
    try:
        note = json.loads((one.folder / PLACES.work_cell(cell) / "progress" / f"{run}.json").read_text())
    except (OSError, ValueError):
        return set()
    return set(note["stages"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A study that the engine of processes has made."""
    found = start(tmp_path_factory.mktemp("processes") / "project")
    done = study(found, "run", "--jobs", "2")
    assert done.code == 0, done.output
    return found


def test_nothing_is_left_to_do(made: Project) -> None:
    """What the engine made is what `dvc repro` would have: it finds nothing to do, and results are there."""
    done = made.run("dvc", "repro", str(PLACES.pipeline), timeout=PATIENCE)
    assert (done.code, done.executed) == (0, []), done.output
    assert (made.folder / PLACES.results / "generations.csv").exists()
    page = study(made, "page")
    assert page.code == 0, page.output
    assert "not tested" in (made.folder / places.PAGE).read_text()


def test_other_pipelines_leave_it_alone(made: Project) -> None:
    """A plain `dvc repro` does not run the study."""
    done = made.run("dvc", "repro", "--dry", timeout=PATIENCE)
    assert "studies/collapse" not in done.output


def test_cut_off(made: Project, tmp_path: Path) -> None:
    """Killed in a generation, the engine leaves no process behind; DVC goes on from there, to the same results."""
    again = start(tmp_path / "project")
    cell = CELLS[1]
    process = again.start(sys.executable, "-m", "studies.collapse", "run", "--jobs", "1")
    until(lambda: "generate" in stages_done(again, cell, "g2"), process)
    stages = [one for one in psutil.Process(process.pid).children(recursive=True) if "--run" in one.cmdline()]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert stages
    _, alive = psutil.wait_procs(stages, timeout=30)
    assert alive == []
    before = (again.folder / PLACES.work_cell(cell) / "data/train/g1/weights.pt").stat().st_mtime_ns
    done = again.run("dvc", "repro", str(PLACES.pipeline), timeout=PATIENCE)
    assert done.code == 0, done.output
    assert (again.folder / PLACES.work_cell(cell) / "data/train/g1/weights.pt").stat().st_mtime_ns == before
    assert digests(again) == digests(made)


def test_a_deleted_work_folder(made: Project, tmp_path: Path) -> None:
    """Images and weights may be deleted: nothing has to be made again for that."""
    moved = tmp_path / "work"
    shutil.move(made.folder / PLACES.work, moved)
    try:
        done = made.run("dvc", "repro", str(PLACES.pipeline), timeout=PATIENCE)
        assert (done.code, done.executed) == (0, []), done.output
    finally:
        shutil.rmtree(made.folder / PLACES.work, ignore_errors=True)
        shutil.move(moved, made.folder / PLACES.work)


@pytest.fixture
def nodes() -> Iterator[subprocess.Popen[str]]:
    """A Ray cluster of two nodes; its first line has been read into `address`."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_nodes"], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=Project.environment(),
    )  # fmt: skip
    yield process
    if process.stdin:
        process.stdin.close()
    process.wait(timeout=120)


def test_ray(made: Project, nodes: subprocess.Popen[str], tmp_path: Path) -> None:
    """On a cluster, with a node killed in the middle of a generation, the results are those of the processes."""
    assert nodes.stdin
    assert nodes.stdout
    address = nodes.stdout.readline().strip()
    assert re.fullmatch(r"[\d.]+:\d+", address)
    again = start(tmp_path / "project")
    process = again.start(sys.executable, "-m", "studies.collapse", "run", "--engine", "ray", "--address", address)
    until(lambda: any("audit" in stages_done(again, cell, "g1") for cell in CELLS), process)
    answer = ""
    while answer != "killed":
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        nodes.stdin.write("kill\n")
        nodes.stdin.flush()
        answer = nodes.stdout.readline().strip()
        time.sleep(0.1)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert digests(again) == digests(made)
    done = again.run("dvc", "repro", str(PLACES.pipeline), timeout=PATIENCE)
    assert (done.code, done.executed) == (0, []), done.output
