"""`tailwatch ratio` for real, on small pages: killed in a training, it goes on, and comes to the same figures."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

from pipeline import ratio, ratio_plan
from pipeline.core import records
from pipeline.core.ratio_records import VERSION, Ratio
from tests import project
from tests.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
PATIENCE = 1800.0  # seconds, on a machine that has other things to do
# One level, and one of `number`: 2 references, 2 chains of one generation, 2 bases and 2 generations of few images.
COMMAND = ("tailwatch", "ratio", "--shares", "0.5", "--generations", "1", "--seeds", "2", "--recall-margin", "0.5")
RUNS = 2 + 2 + 4


def tiny(params: dict[str, Any]) -> None:
    """Trainings of a few seconds."""
    params["ingest"]["digits"]["pages"] = {"train": 32, "val": 12, "test": 48}
    params["train"].update(steps=40, batch=16)
    params["audit"].update(replicates=100)
    params["runs"] = {}


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose images are verified."""
    found = project.create(tmp_path_factory.mktemp("ratio") / "project", project.small, tiny)
    project.accept(found)
    done = found.run("dvc", "repro", "verify", timeout=PATIENCE)
    assert done.code == 0, done.output
    return found


def notes(one: Project) -> dict[str, set[str]]:
    """The stages that have ended, by folder and run."""
    found = {}
    for path in (one.folder / ratio_plan.WORK).glob("*/progress/*.json"):
        found[f"{path.parent.parent.name}/{path.stem}"] = set(json.loads(path.read_text())["stages"])
    return found


def until_training(process: subprocess.Popen[str], one: Project, run: str) -> None:
    """Wait until a run is at its training."""
    end = time.monotonic() + PATIENCE
    while "mix" not in notes(one).get(run, set()):
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < end
        time.sleep(0.2)


def test_killed_and_gone_on_with(verified: Project) -> None:
    """Killed in a training, it leaves no process and no report; the same command makes only what was not made."""
    with verified.start(*COMMAND) as process:
        until_training(process, verified, "share-16-1/g1")
        second = verified.run(*COMMAND, timeout=PATIENCE)
        stages = [one for one in psutil.Process(process.pid).children(recursive=True) if "--run" in one.cmdline()]
        process.send_signal(signal.SIGKILL)
    assert second.code == 1
    assert "the project is held by tailwatch ratio" in second.output
    assert stages
    _, alive = psutil.wait_procs(stages, timeout=60)
    assert alive == []
    assert not (verified.folder / ratio.REPORT).exists()
    weights = verified.folder / ratio_plan.WORK / "real-1/data/train/base/weights.pt"
    before = weights.stat().st_mtime_ns

    done = verified.run(*COMMAND, timeout=PATIENCE)
    assert done.code in {ratio.ANSWERED, ratio.OPEN}, done.output
    assert weights.stat().st_mtime_ns == before
    found = records.read(verified.folder / ratio.REPORT / ratio.RECORD, Ratio, VERSION)
    assert (found.cost.trainings, found.total) == (RUNS, 32)
    assert found.cost.new < RUNS
    assert [one.finished for one in found.answers] == [True, True]
    assert all(one.judgement.figures[0].loss is not None for answer in found.answers for one in answer.tried)

    rows = csv.DictReader((verified.folder / ratio.REPORT / ratio.TRIALS).read_text().splitlines())
    real = {(row["question"], row["generation"]): int(row["real"]) for row in rows}
    assert real == {("", "0"): 32, ("share", "1"): 16, ("number", "0"): 16, ("number", "1"): 16}

    again = verified.run(*COMMAND, "--json", timeout=PATIENCE)
    assert again.code == done.code
    assert json.loads(again.output[again.output.index("{") :])["cost"]["new"] == 0
