"""Files and folders are there whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import files
from tests.imports import ROOT


def everything(folder: Path) -> dict[str, bytes]:
    """All files under a folder, hidden ones too, by their relative paths; empty folders end in a slash."""
    return {
        str(path.relative_to(folder)) + "/" * path.is_dir(): b"" if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def test_write(tmp_path: Path) -> None:
    """A file is written with the folders above it, over what was there, and nothing lies beside it."""
    path = tmp_path / "a" / "b.txt"
    files.write_text(path, "old\n")
    files.write_text(path, "naïve\r\n")
    assert everything(tmp_path) == {"a/b.txt": "naïve\r\n".encode()}
    assert path.stat().st_mode & 0o777 == 0o644


def test_write_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the old file stays and nothing is left beside it."""
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.core.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(path, "new")
    assert everything(tmp_path) == {"a.txt": b"old"}


def test_killed_while_writing(tmp_path: Path) -> None:
    """A process that is killed before its file is whole leaves the old file as it was."""
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    code = f"""
import os, signal
from pathlib import Path
from pipeline.core import files
files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
files.write_text(Path({str(path)!r}), "new")
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_json(tmp_path: Path) -> None:
    """JSON keeps letters as they are and ends in a line feed; NaN is refused and the old file stays."""
    path = tmp_path / "a.json"
    files.write_json(path, {"ä": [1, None]})
    assert path.read_bytes() == '{\n  "ä": [\n    1,\n    null\n  ]\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, math.nan)
    assert path.read_text().startswith('{\n  "ä"')


def test_fresh_folder(tmp_path: Path) -> None:
    """A folder takes the place of the old one when the block ends, with nothing of the old one in it."""
    target = tmp_path / "data" / "real"
    for name in ("old", "new"):
        with files.fresh_folder(target) as folder:
            assert not any(folder.iterdir())
            assert target.exists() == (name == "new")
            (folder / f"{name}.txt").write_text(name)
    assert everything(tmp_path) == {"data/real/new.txt": b"new"}
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit], ids=["error", "ctrl-c", "exit"])
def test_fresh_folder_fails(error: type[BaseException], tmp_path: Path) -> None:
    """When the block raises, whatever it raises, the old folder stays and nothing lies beside it."""
    target = tmp_path / "real"
    with files.fresh_folder(target) as folder:
        (folder / "old.txt").write_text("old")

    def fail_half_way() -> None:
        with files.fresh_folder(target) as folder:
            (folder / "new.txt").write_text("new")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert everything(tmp_path) == {"real/old.txt": b"old"}


def test_first_fresh_folder_fails(tmp_path: Path) -> None:
    """When the first block raises, there is no folder at all."""
    with pytest.raises(ValueError, match="stop"), files.fresh_folder(tmp_path / "real"):
        raise ValueError("stop")
    assert everything(tmp_path) == {}


def test_fresh_folder_after_a_kill(tmp_path: Path) -> None:
    """What a killed process left is taken away by the next; folders of other names stay."""
    for name in (".real.abc123", ".realm.abc123", "real.bak"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("")
    with files.fresh_folder(tmp_path / "real") as folder:
        (folder / "new.txt").write_text("new")
    assert everything(tmp_path) == {".realm.abc123/x": b"", "real.bak/x": b"", "real/new.txt": b"new"}


def test_fresh_folder_in_place_of_a_link(tmp_path: Path) -> None:
    """A link to a folder, as DVC can make them, is replaced; what it leads to stays."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "x").write_text("kept")
    (tmp_path / "real").symlink_to("cache")
    with files.fresh_folder(tmp_path / "real") as folder:
        (folder / "new.txt").write_text("new")
    assert not (tmp_path / "real").is_symlink()
    assert everything(tmp_path) == {"cache/x": b"kept", "real/new.txt": b"new"}


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1], ids=str)
def test_sha256(size: int, tmp_path: Path) -> None:
    """A file's digest is that of its bytes, also where it is read in pieces."""
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    path = tmp_path / "a"
    path.write_bytes(content)
    assert files.sha256_file(path) == hashlib.sha256(content).hexdigest()


@given(st.lists(st.text(st.characters() | st.sampled_from(",\"\r\n ='")), min_size=1))
def test_csv_line_round_trip(fields: list[str]) -> None:
    """Any fields are read as they were written, and the line ends once, in a line feed."""
    line = files.csv_line(fields)
    assert list(csv.reader(io.StringIO(line * 2, newline=""))) == [fields, fields]
    assert line.endswith("\n")
    assert not line.endswith("\r\n")
