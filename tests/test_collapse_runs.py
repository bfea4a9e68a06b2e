"""The collapse study for real, at a size of some seconds a generation: engines, cut-offs, and what DVC makes of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
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


def digests(one: Project) -> dict[str, list[str]]:
    """What the cells came to, by name: digests of data and predictions, and of the weights, bit by bit."""
    return {
        name: [
            measuring.read(one.folder / PLACES.made_cell(name)).digest,
            *(weights(one.folder / PLACES.work_cell(name) / f"data/train/{run}/weights.pt") for run in ("g1", "g2")),
        ]
        for name in CELLS
    }


def weights(path: Path) -> str:
    """A digest of a detector's parameters; the file itself holds the time, too."""
    from ultralytics.utils.patches import torch_load

    held = torch_load(path, map_location="cpu")
    tensors = (held["ema"] or held["model"]).state_dict()
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A study that the engine of processes has made, in two steps.

    Attributes:
        project: where it is.
        part: what was said when one cell was made by name.
        listed: the cells in the tables then.
        both: exit codes and words of two engines that were then started side by side.
    """

    project: Project
    part: Result
    listed: set[str]
    both: list[tuple[int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A study that was made in part, then by two engines at the same time."""
    found = start(tmp_path_factory.mktemp("processes") / "project")
    part = study(found, "run", "--only", "*-50-*")
    listed = {line.split(",")[0] for line in table(found)[1:]}
    engines = [found.start(sys.executable, "-m", "studies.collapse", "run", "--jobs", "2") for _ in range(2)]
    words = [one.communicate(timeout=PATIENCE)[0] for one in engines]
    both = [(one.returncode, text) for one, text in zip(engines, words, strict=True)]
    return Made(project=found, part=part, listed=listed, both=both)


def table(one: Project) -> list[str]:
    """The lines of the table of generations."""
    path = one.folder / PLACES.results / "generations.csv"
    return path.read_text().splitlines() if path.exists() else []


def test_a_part(made: Made) -> None:
    """Cells are made by name, and the tables then hold what is there."""
    assert made.part.code == 0, made.part.output
    assert made.listed == {"base-1", CELLS[0]}


def test_two_engines_at_once(made: Made) -> None:
    """A second engine in the same folder waits where the first one works, and nothing is made twice."""
    for code, words in made.both:
        assert code == 0, words
    began = [line for _, words in made.both for line in words.splitlines() if ", generation " in line]
    assert sorted(began) == [f"collapse: {CELLS[1]}, generation {number} of 2" for number in (1, 2)]
    assert {line.split(",")[0] for line in table(made.project)[1:]} == {"base-1", *CELLS}


def test_nothing_is_left_to_do(made: Made) -> None:
    """What the engine made is what `dvc repro` would have: it finds nothing to do, and results are there."""
    done = made.project.run("dvc", "--cd", str(places.HERE), "repro", timeout=PATIENCE)
    assert (done.code, done.executed) == (0, []), done.output
    page = study(made.project, "page")
    assert page.code == 0, page.output
    assert "not tested" in (made.project.folder / places.PAGE).read_text()


def test_other_pipelines_leave_it_alone(made: Made) -> None:
    """A plain `dvc repro` does not run the study."""
    done = made.project.run("dvc", "repro", "--dry", timeout=PATIENCE)
    assert "studies/collapse" not in done.output


def below(engine: subprocess.Popen[str], run: str) -> list[psutil.Process]:
    """The processes of one run that an engine has started."""
    found = []
    for one in psutil.Process(engine.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if {"--run", run} <= set(one.cmdline()):
                found.append(one)
    return found


def is_in(one: Project, engine: subprocess.Popen[str], run: str, ended: str) -> bool:
    """Whether an engine is at a run of the first cell, after the stage that is named, if any."""
    return bool(below(engine, run)) and ended in {"", *stages_done(one, CELLS[0], run)}


def test_cut_off_anywhere(made: Made, tmp_path: Path) -> None:
    """Killed in each stage of a generation and after it, the engine leaves no process; the results are the same."""
    again = start(tmp_path / "project")
    cell = CELLS[0]
    for ended, run in (("", "g1"), ("mix", "g1"), ("train", "g1"), ("", "g2")):
        with again.start(sys.executable, "-m", "studies.collapse", "run", "--jobs", "1") as process:
            until(partial(is_in, again, process, run, ended), process)
            stages = below(process, run)
            process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(stages, timeout=30)
        assert alive == []
    before = (again.folder / PLACES.work_cell(cell) / "data/train/g1/weights.pt").stat().st_mtime_ns
    (again.folder / PLACES.pipeline.with_suffix(".lock")).write_text("schema: '2.0'\nstages:\n  data:\n    cmd: 'pyth")
    (again.folder / places.HERE / ".dvc/tmp/rwlock").write_text('{"read": {"')
    done = study(again, "run", "--jobs", "1")
    assert done.code == 0, done.output
    assert (again.folder / PLACES.work_cell(cell) / "data/train/g1/weights.pt").stat().st_mtime_ns == before
    assert digests(again) == digests(made.project)
    done = again.run("dvc", "--cd", str(places.HERE), "repro", timeout=PATIENCE)
    assert (done.code, done.executed) == (0, []), done.output


def test_a_full_disk(tmp_path: Path) -> None:
    """A disk that is full is said in a sentence, and with room again the study begins where it was."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", tmp_path], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here: that takes root")
    try:
        again = start(tmp_path / "project")
        assert study(again, "plan").code == 0
        filler = tmp_path / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 10))
        full = study(again, "run")
        filler.unlink()
        done = again.run("dvc", "--cd", str(places.HERE), "repro", "data", timeout=PATIENCE)
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)
    assert full.code == 1
    assert re.search("disk is full|No space left", full.output), full.output
    assert "Traceback" not in full.output
    assert done.code == 0, done.output


def test_a_deleted_work_folder(made: Made, tmp_path: Path) -> None:
    """Images and weights may be deleted: nothing has to be made again for that."""
    moved = tmp_path / "work"
    shutil.move(made.project.folder / PLACES.work, moved)
    try:
        done = made.project.run("dvc", "--cd", str(places.HERE), "repro", timeout=PATIENCE)
        assert (done.code, done.executed) == (0, []), done.output
    finally:
        shutil.rmtree(made.project.folder / PLACES.work, ignore_errors=True)
        shutil.move(moved, made.project.folder / PLACES.work)


@pytest.fixture
def nodes() -> Iterator[subprocess.Popen[str]]:
    """A Ray cluster of two nodes; its first line has been read into `address`."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_nodes"], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=Project.environment(),
    )  # fmt: skip
    with process:  # closes what it speaks and hears by, and waits for it
        yield process


def test_ray(made: Made, nodes: subprocess.Popen[str], tmp_path: Path) -> None:
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
    assert digests(again) == digests(made.project)
    done = again.run("dvc", "--cd", str(places.HERE), "repro", timeout=PATIENCE)
    assert (done.code, done.executed) == (0, []), done.output
