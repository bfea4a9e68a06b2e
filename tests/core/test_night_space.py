"""What a night will take on the disk is what the last one took, else what a run takes, else an estimate."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.core import left_overs, night_space, params, paths
from pipeline.core.paths import RunPaths
from tests.project import ROOT


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a run of a megabyte and a half."""
    monkeypatch.chdir(tmp_path)
    here = RunPaths("guarded-1")
    for path, size in ((here.weights, 500_000), (here.synthetic / "images" / "a.png", 900_000), (here.gate, 100_000)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * size)
    return tmp_path


def test_a_run_is_there_twice() -> None:
    """In the workspace and in DVC's cache; a run that is not there takes nothing."""
    assert night_space.taken(["guarded-1", "guarded-2"]) == 2 * 1_500_000


def test_what_the_next_night_takes() -> None:
    """The last night's figure counts; without one, the newest finished run's; there is a least."""
    settings = params.load(ROOT / "params.yaml")
    assert night_space.needed(settings, last=7_000_000_000, runs=2) == 7_000_000_000
    (RunPaths("guarded-1").weights).write_bytes(b"\0" * 90_000_000)
    assert night_space.needed(settings, last=None, runs=3) == 3 * night_space.taken(["guarded-1"])
    RunPaths("guarded-1").gate.unlink()
    estimate = night_space.needed(settings, last=None, runs=2)
    assert estimate > 2 * night_space.needed(settings, last=1, runs=2)


def test_one_folder_a_disk(project: Path) -> None:
    """The cache counts by itself only where it is on another disk; it may not be there yet."""
    assert len(night_space.places(project / ".dvc" / "cache")) == 1


def test_left_overs_go_and_nothing_else() -> None:
    """What a killed stage was writing is removed; files of people and of whoever decides just now stay."""
    gone = [
        Path(".params.yaml.a1b2c3d4"),
        paths.GATES / ".guarded-1.json.a1b2c3d4",
        paths.DATA / "train" / ".guarded-1.abcd_123" / "weights.pt",
        paths.DATA / ".verified.abcdefgh" / "manifest.parquet",
        paths.STATE / "confirm-xyz" / "weights.pt",
        paths.GATES / ".l4D5G0uqS-mJk_XnB0b2aQ.tmp",
    ]
    stay = [
        Path(".my.settings"),
        paths.DATA / ".ledger.csv.a1b2c3d4",
        paths.DATA / ".dvcignore",
        paths.DATA / ".source.download",
        paths.GATES / "guarded-1.json",
        paths.DATA / "train" / ".gitignore",
        paths.STATE / "plants.json",
        paths.GATES / ".mine.tmp",
    ]
    for path in (*gone, *stay):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert len(left_overs.sweep()) == len(gone)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stay)
    assert left_overs.sweep() == []


def test_what_dvc_had_half_written_goes_a_day_later(tmp_path: Path) -> None:
    """Its own names only, and nothing that somebody may be writing now; a store that is not there is no error."""
    folder = tmp_path / "files/md5/ab"
    folder.mkdir(parents=True)
    old, young = folder / ".l4D5G0uqS-mJk_XnB0b2aQ.tmp", folder / ".m4D5G0uqS-mJk_XnB0b2aQ.tmp"
    others = [folder / ("c" * 30), folder / ".mine.tmp", tmp_path / ".n4D5G0uqS-mJk_XnB0b2aQ.tmp"]
    young.write_text("xyz")
    for path in (old, *others):
        path.write_text("xyz")
        os.utime(path, (0, 0))
    lost = tmp_path / "a file"
    lost.touch()
    stores = [tmp_path, tmp_path / "gone", lost]
    assert left_overs.sweep_stores(stores) == left_overs.Swept(files=1, size=3)
    assert not old.exists()
    assert all(path.exists() for path in (young, *others))
    assert left_overs.sweep_stores(stores) == left_overs.Swept(files=0, size=0)
