"""Appending to the ledger: processes at once, a process killed at any moment, a disk that is full."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import ledger
from pipeline.core.errors import UserError
from pipeline.core.ledger import Entry
from tests.builders import sha
from tests.project import ROOT

# Appends decisions and says of each that it is there, as the command line does after it returned.
WRITER = """
import sys
from pathlib import Path
from pipeline.core import ledger
folder, reviewer, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    reason = f"{number}\\n" + "\\u2603, " * (number % 50)
    entry = ledger.append(folder / "ledger.csv", "accept", image_id="a" * 64, label_digest="b" * 64, reviewer=reviewer,
                          reason=reason, lock=folder / "state" / "lock")
    print(entry.hash, flush=True)
"""


def start(folder: Path, reviewer: str, count: int) -> subprocess.Popen[str]:
    """A process that appends."""
    command = [sys.executable, "-c", WRITER, str(folder), reviewer, str(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def append(folder: Path, reason: str = "") -> Entry:
    """Append one decision."""
    return ledger.append(
        folder / "ledger.csv",
        "accept",
        image_id=sha("a"),
        label_digest=sha("labels"),
        reviewer="Ada",
        reason=reason,
        lock=folder / "state" / "lock",
    )


def test_two_processes_at_once(tmp_path: Path) -> None:
    """Two processes that append 200 rows each at the same time leave 400 rows in one chain, each in its order."""
    people = ["Ada", "Bob"]
    writers = [start(tmp_path, name, 200) for name in people]
    said = [writer.communicate(timeout=300)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    entries = ledger.read(tmp_path / "ledger.csv")
    assert len(entries) == 400
    for name, hashes in zip(people, said, strict=True):
        mine = [entry for entry in entries if entry.reviewer == name]
        assert [entry.hash for entry in mine] == hashes
        assert [int(entry.reason.split("\n")[0]) for entry in mine] == list(range(200))


def killed(folder: Path, rounds: int, seed: int) -> None:
    """Kill a writer again and again, and look at what it left."""
    draw = np.random.default_rng(seed)
    acknowledged: list[str] = []
    for number in range(rounds):
        writer = start(folder, f"writer {number}", 10_000)
        assert writer.stdout is not None
        said = [writer.stdout.readline()]  # it is at work
        time.sleep(draw.uniform(0, 0.03))
        writer.kill()
        said += writer.communicate()[0].splitlines(keepends=True)
        acknowledged += [line.strip() for line in said if line.endswith("\n")]
        hashes = [entry.hash for entry in ledger.read(folder / "ledger.csv")]
        assert set(acknowledged) <= set(hashes)
        assert len(hashes) <= len(acknowledged) + number + 1  # at most one a kill is there that nobody was told of
    append(folder)
    assert len(acknowledged) > rounds


def test_killed(tmp_path: Path) -> None:
    """After SIGKILL at random moments the chain is whole, and every row that was acknowledged is in it."""
    killed(tmp_path, 6, seed=0)


@pytest.mark.slow
def test_killed_many_times(tmp_path: Path) -> None:
    """The same, 150 times over."""
    killed(tmp_path, 150, seed=1)


def test_killed_within_a_write(tmp_path: Path) -> None:
    """A process that dies between two bytes of its row leaves the row out, whichever bytes these are."""
    dying = """
import os, signal
write = os.pwrite
def dying(handle, data, at):
    write(handle, data[: int(sys.argv[4])], at)
    os.kill(os.getpid(), signal.SIGKILL)
os.pwrite = dying
"""
    script = WRITER.replace("folder, reviewer", f"{dying}\nfolder, reviewer")
    first = append(tmp_path)
    for number, left in enumerate((0, 1, 30, 200, 300), start=1):
        command = [sys.executable, "-c", script, str(tmp_path), "Bob", "1", str(left)]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
        assert done.returncode == -9
        entries = ledger.read(tmp_path / "ledger.csv")
        assert (len(entries), entries[0]) == (number, first)
        append(tmp_path, f"after {left} bytes")
    assert [entry.reason for entry in ledger.read(tmp_path / "ledger.csv")][1:] == [
        f"after {left} bytes" for left in (0, 1, 30, 200, 300)
    ]


def test_full_disk(tmp_path: Path) -> None:
    """Where the disk takes only part of a row, that part is taken back, and the person is told that nothing is there.

    A limit on the size of files stands for the disk: the kernel then writes as much as fits, and refuses the rest.
    """
    append(tmp_path)
    path = tmp_path / "ledger.csv"
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 1, 100, 250):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, limits[1]))
        try:
            with pytest.raises(UserError, match=r"File too large\. The decision is not in the ledger and nothing was"):
                append(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
    append(tmp_path)
    assert len(ledger.read(path)) == 2


def test_disk_that_takes_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even taking back fails, the person is told that it is not known."""
    append(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(
        UserError, match=r"could not be taken back\. Whether the decision is in the ledger is not known"
    ):
        append(tmp_path)


def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before the row is on the disk takes it back: who was not told decides again."""
    append(tmp_path)
    before = (tmp_path / "ledger.csv").read_bytes()
    real = os.fsync
    calls = []

    def interrupted(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(handle)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        append(tmp_path)
    assert (tmp_path / "ledger.csv").read_bytes() == before


def test_synced_before_it_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is synced after it is written; a new ledger's name is synced in its folder too."""
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def watched(handle: int) -> None:
        found = os.fstat(handle)
        synced.append((found.st_ino, found.st_size))
        real(handle)

    monkeypatch.setattr(os, "fsync", watched)
    append(tmp_path)
    found = (tmp_path / "ledger.csv").stat()
    assert tmp_path.stat().st_ino in [inode for inode, _ in synced]
    assert synced[-1] == (found.st_ino, found.st_size)


def test_replaced_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git puts another file in the ledger's place during an append, the row is lost, and the person is told."""
    append(tmp_path)
    path = tmp_path / "ledger.csv"
    real = os.fsync

    def checkout(handle: int) -> None:
        real(handle)
        other = tmp_path / "other"
        other.write_bytes(path.read_bytes()[:83])
        other.rename(path)

    monkeypatch.setattr(os, "fsync", checkout)
    with pytest.raises(UserError, match=r"was replaced while a decision was written, .* is not in it\. Decide again"):
        append(tmp_path)


def test_reads_the_end_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append to a long ledger reads some kilobytes of it, and writes one row: counted, not timed."""
    for _ in range(3):
        append(tmp_path)
    path = tmp_path / "ledger.csv"
    head, *_, before, newest, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([head, b"y" * 5_000_000 + before[-131:], newest, b""]))
    read: list[int] = []
    real = os.pread

    def counted(handle: int, size: int, at: int) -> bytes:
        read.append(size)
        return real(handle, size, at)

    monkeypatch.setattr(os, "pread", counted)
    size = path.stat().st_size
    append(tmp_path)
    assert sum(read) < 50_000
    assert path.stat().st_size - size < 500


def test_long_rows(tmp_path: Path) -> None:
    """Rows longer than what is read of the end at first are found too, line feeds, quotes and all."""
    reasons = ['"\n☃' * 4_000, "x" * ledger.LONGEST_REASON, '"' * ledger.LONGEST_REASON, "short"]
    appended = [append(tmp_path, reason) for reason in reasons]
    assert ledger.read(tmp_path / "ledger.csv") == appended


def test_a_reason_that_looks_like_rows(tmp_path: Path) -> None:
    """Rows of the ledger that are pasted into a reason are not taken for rows."""
    append(tmp_path)
    append(tmp_path)
    pasted = (tmp_path / "ledger.csv").read_text()
    appended = [append(tmp_path, f"see\n{pasted}"), append(tmp_path, pasted), append(tmp_path, f"{pasted}so")]
    assert ledger.read(tmp_path / "ledger.csv")[2:] == appended
