"""What a killed DVC leaves cut short is put right, and what is whole stays as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.adapters import dvc_files, dvc_mending
from pipeline.core import paths

DEAD = 2**22 + 1  # above the highest number that Linux gives


def lock(*names: str, digit: str = "a", head: str = "schema: '2.0'\nstages:\n") -> str:
    """The text of a dvc.lock with some stages, laid out as DVC does."""
    return head + "".join(
        f"  {name}:\n    cmd: python -m pipeline.{name}\n    deps:\n    - path: params.yaml\n      hash: md5\n"
        f"      md5: {digit * 32}\n      size: 12\n    outs:\n    - path: data/{name}\n      hash: md5\n"
        f"      md5: {digit * 32}.dir\n      size: 34\n      nfiles: 2\n"
        for name in names
    )


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of which a copy of dvc.lock was kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dvc_mending, "_MOMENT", 0.01)
    dvc_mending.RWLOCK.parent.mkdir(parents=True)
    paths.DVC_LOCK.write_text(lock("ingest", "train-base", "report"))
    dvc_mending.keep()


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(lock("ingest", "train-base", "report", "gate@a-1"), id="one more"),
        pytest.param(
            lock("ingest") + lock("train-base", digit="b", head="") + lock("report", head=""), id="one changed"
        ),
    ],
)
def test_a_lock_that_is_cut_short_anywhere(after: str) -> None:
    """Whatever was written of dvc.lock, afterwards it can be read and has each stage that it had."""
    before = paths.DVC_LOCK.read_text()
    cut = [after[:length] for length in range(len(after) + 1)]
    short = [text for text in cut if dvc_mending.is_cut_short(text, before)]
    assert len(short) > len(before) // 2
    assert after not in short
    for text in set(cut) - set(short):
        assert set(dvc_files.stages(text)) >= {"ingest", "train-base", "report"}
    for text in short[:: len(short) // 4]:
        paths.DVC_LOCK.write_text(text)
        assert len(dvc_mending.mend()) == 1
        assert paths.DVC_LOCK.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(lock("ingest", "train-base", "report", digit="c"), id="all anew"),
        pytest.param(lock("ingest", "report"), id="one left"),
        pytest.param(lock("other"), id="of another commit"),
        pytest.param("<<<<<<< HEAD\n" + lock("ingest"), id="git asks"),
    ],
)
def test_a_lock_that_somebody_else_changed(text: str) -> None:
    """What was not cut short is left alone, and so is what git asks a person about."""
    paths.DVC_LOCK.write_text(text)
    assert dvc_mending.mend() == []
    assert paths.DVC_LOCK.read_text() == text


def test_only_a_lock_that_can_be_read_is_kept() -> None:
    """A copy stays as it is where dvc.lock is damaged or gone, and without a copy nothing is done."""
    whole = dvc_mending.COPY.read_text()
    paths.DVC_LOCK.write_text("stages: {")
    dvc_mending.keep()
    assert dvc_mending.COPY.read_text() == whole
    paths.DVC_LOCK.unlink()
    dvc_mending.keep()
    assert dvc_mending.mend() == []
    paths.DVC_LOCK.write_text("stages: {")
    dvc_mending.COPY.unlink()
    assert dvc_mending.mend() == []


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        pytest.param("", True, id="empty"),
        pytest.param('{"write": {}, "read": {"/a": [{"pid"', True, id="cut short"),
        pytest.param("{}", False, id="nobody"),
        pytest.param(json.dumps({"write": {}, "read": {"/a": [{"pid": DEAD, "cmd": "dvc repro"}]}}), False, id="dead"),
        pytest.param(json.dumps({"write": {"/a": {"pid": os.getpid(), "cmd": "dvc repro"}}}), True, id="another"),
    ],
)
def test_the_file_of_locks(text: str, *, goes: bool) -> None:
    """One that cannot be read is removed, and one whose process's number is somebody else's; DVC refuses both."""
    dvc_mending.RWLOCK.write_text(text)
    assert bool(dvc_mending.mend()) == goes
    assert dvc_mending.RWLOCK.exists() != goes


def test_a_dvc_that_lives_keeps_its_locks(tmp_path: Path) -> None:
    """The file stays while a command of DVC is among those that it names."""
    (tmp_path / "dvc").write_text("import time; time.sleep(60)")
    with subprocess.Popen([sys.executable, str(tmp_path / "dvc"), "push"]) as living:
        readers = [{"pid": number, "cmd": "dvc push"} for number in (living.pid, os.getpid())]
        dvc_mending.RWLOCK.write_text(json.dumps({"write": {}, "read": {"/a": readers}}))
        assert dvc_mending.mend() == []
        living.kill()
        living.wait()
        assert len(dvc_mending.mend()) == 1


def test_dvc_itself_refuses_what_is_mended(tmp_path: Path) -> None:
    """A file of locks that is cut short stops DVC for good; with it gone, DVC goes on."""
    from dvc.fs import LocalFileSystem
    from dvc.rwlock import RWLockFileCorruptedError, rwlock

    def used() -> None:
        with rwlock(str(tmp_path / ".dvc/tmp"), LocalFileSystem(), "dvc repro", [], [str(tmp_path / "a")], False):
            pass

    dvc_mending.RWLOCK.write_text("")
    with pytest.raises(RWLockFileCorruptedError):
        used()
    assert dvc_mending.mend() == [".dvc/tmp/rwlock was left by a DVC that was killed; it is removed"]
    used()
