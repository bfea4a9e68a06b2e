"""Before a night begins, everything that is wrong is said at once."""

from __future__ import annotations

import shutil
import subprocess
from collections import namedtuple
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import preflight
from pipeline.core import files, manifest, params, paths, splits
from pipeline.core.params import Params
from pipeline.doctor import night
from pipeline.doctor.finding import GB, Finding
from tests.builders import row
from tests.project import ROOT

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil gives it


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that DVC takes for a repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    return tmp_path


def settings(**nightly: Any) -> Params:
    """The default settings with another section `nightly`."""
    found = params.load(ROOT / "params.yaml")
    return replace(found, nightly=replace(found.nightly, **nightly))


def shows(finding: Finding, status: str, *words: str) -> None:
    """The finding has this status and these words."""
    assert finding.status == status, finding
    assert all(word in f"{finding.message} {finding.remedy}" for word in words), finding


@pytest.mark.parametrize(("free", "status"), [(GB, "problem"), (5 * GB, "ok")], ids=["too little", "enough"])
def test_disk(free: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There has to be room for what the last night took, times the margin."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GB, 0, free))
    found = preflight.check_disk(settings(disk_margin=2.0), last=GB, runs=1)
    shows(found, status, "wanted 2.00 GB")


@pytest.mark.slow
def test_a_remote_is_written_to(project: Path) -> None:
    """A probe is written and removed; a remote that refuses is a problem, and none is none."""
    shows(preflight.check_remote(settings()), "ok", "none")
    remote = project / "remote"
    with (project / ".dvc" / "config").open("a") as config:
        config.write(f"    remote = here\n['remote \"here\"']\n    url = {remote}\n")
    shows(preflight.check_remote(settings()), "ok", "here can be written")
    assert [path for path in remote.rglob("*") if path.is_file()] == []
    shutil.rmtree(remote)
    remote.write_text("a file in its place")
    shows(preflight.check_remote(settings()), "problem", "here cannot be written")


def test_the_frozen_test_split() -> None:
    """It has to be the one that was frozen; before the first night there is none."""
    shows(preflight.check_test_split(), "ok", "not there yet")
    test = [row("a", split="test", human_verified=True), row("b", split="test", human_verified=True)]
    manifest.write(paths.VERIFIED_MANIFEST, [*test, row("c", split="train", human_verified=True)])
    files.write_text(paths.TEST_LOCK, splits.format_lock(test))
    shows(preflight.check_test_split(), "ok", "2 images")
    files.write_text(paths.TEST_LOCK, splits.format_lock(test[:1]))
    (found,) = preflight._guarded("test split", preflight.check_test_split)
    shows(found, "problem", "1 added")


def test_what_cannot_be_checked_is_a_problem() -> None:
    """A missing ledger is said as the ledger's own check says it."""
    (found,) = preflight._guarded("ledger", preflight.check_ledger)
    shows(found, "problem", "ledger.csv")


def test_what_is_not_committed(project: Path) -> None:
    """Files that people changed are named, those that nights write are not; a conflict is a problem."""
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "m"],
    ):
        for name in ("params.yaml", "model.yaml"):
            (project / name).write_text(f"{command[0]}\n")
        subprocess.run(["git", *command], check=True)
    (found,) = preflight.check_git(settings())
    shows(found, "warning", "not committed: model.yaml")
    assert "params.yaml" not in found.message
    (project / "params.yaml").write_text("<<<<<<< HEAD\n")
    (found,) = preflight.check_git(settings())
    shows(found, "problem", "marks of a conflict", "params.yaml")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_that_is_asked_for(device: str) -> None:
    """Nothing has to be there."""
    shows(preflight.check_gpu(device), "ok", device)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["63", "0,63"])
def test_a_gpu_that_is_not_there(device: str) -> None:
    """A GPU that is named has to be one that torch sees."""
    shows(preflight.check_gpu(device), "problem", f"train.device is {device}")


# The night's configuration, as `tailwatch doctor` asks it


@pytest.mark.parametrize(
    ("expression", "until", "status", "words"),
    [
        pytest.param("0 3 * * *", None, "ok", "2026-11-22 03:00", id="every night"),
        pytest.param("0 3 * * *", date(2026, 11, 20), "problem", "is past", id="until is past"),
        pytest.param("0 3 * * *", date(2026, 11, 21), "problem", "is after nightly.until", id="no night is left"),
        pytest.param("0 3 * * *", date(2026, 11, 22), "ok", "2026-11-22 03:00", id="one night is left"),
        pytest.param("0 3 31 2 *", None, "problem", "'0 3 31 2 *'", id="never"),
        pytest.param("three at night", None, "problem", "nightly.schedule", id="no expression"),
    ],
)
def test_schedule(expression: str, until: date | None, status: str, words: str) -> None:
    """An expression that cannot be read or never comes, and an end that is past, are problems."""
    shows(night.check_schedule(expression, until, now=NOW), status, words)


def test_arms() -> None:
    """An unknown arm is a problem, with what may have been meant."""
    shows(night.check_arms(settings(arms=("gaurded",))), "problem", "did you mean 'guarded'")
    shows(night.check_arms(settings()), "ok", "guarded, recursive")


def test_notices() -> None:
    """An unknown service and an unset variable are problems; no address is shown."""
    found = night.check_notices(["nonsense://T0KEN99secret", "env:NOT_SET_ANYWHERE"], "ftp://T0KEN99secret")
    shows(found, "problem", "address 1", "$NOT_SET_ANYWHERE", "nightly.ping: it is no http")
    assert "T0KEN99secret" not in f"{found}"
    shows(night.check_notices([], None), "ok", "none")
    shows(night.check_notices(["json://localhost"], "https://example.org/x"), "ok", "1 of apprise, a ping")


def test_a_remote_that_does_not_exist(project: Path) -> None:
    """A name that DVC does not know is a problem, with what may have been meant."""
    shows(night.check_remote(None, project), "ok", "none")
    with (project / ".dvc" / "config").open("a") as config:
        config.write(f"['remote \"store\"']\n    url = {project / 'remote'}\n")
    shows(night.check_remote("stroe", project), "problem", "did you mean 'store'")
    shows(night.check_remote("store", project), "ok", "store")


@pytest.mark.parametrize(("horizon", "status"), [(2, "problem"), (3, "warning"), (4, "ok")])
def test_horizon(horizon: int, status: str) -> None:
    """More generations than nights that share alpha are a problem."""
    found = settings()
    found = replace(found, gate=replace(found.gate, horizon=horizon))
    shows(night.check_horizon(found), status, str(horizon))


def test_a_level_that_the_horizon_does_not_leave(project: Path) -> None:
    """What the gate would refuse after hours of training is a problem before them."""
    found = settings()
    found = replace(found, gate=replace(found.gate, horizon=365, level=0.02))
    (fault,) = [one for one in night.check_settings(found, project) if one.status == "problem"]
    shows(fault, "problem", "gate.level 0.02", "365 nights", "at most 0.0105")
    shows(night.check_budget(replace(found, gate=replace(found.gate, level=0.01))), "ok", "365 nights")


def test_params_that_are_refused(project: Path) -> None:
    """The doctor says what params.yaml says, and goes on with its other checks."""
    (project / "params.yaml").write_text("seed: one\n")
    (found,) = night.check_night(project)
    shows(found, "problem", "params.yaml")
