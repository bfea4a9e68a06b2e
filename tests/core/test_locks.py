"""Locks between processes: one holds it, the others wait and are told; the dead hold nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.core import locks
from tests.imports import ROOT

HOLD = """
import sys
from pathlib import Path
from pipeline.core import locks
with locks.held(Path(sys.argv[1]), "training of guarded-1", wait=print):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(lock: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def taken(lock: Path, told: list[str], *, on_wait: threading.Event | None = None) -> bool:
    """Take the lock and give it back; say that it was had."""

    def wait(message: str) -> None:
        told.append(message)
        if on_wait is not None:
            on_wait.set()

    with locks.held(lock, "a test", wait=wait):
        return True


def test_free_lock(tmp_path: Path) -> None:
    """A free lock is taken at once, again and again, and the file says who had it last."""
    lock, told = tmp_path / "deep" / "lock", list[str]()
    assert taken(lock, told)
    assert taken(lock, told)
    assert told == []
    assert lock.read_text().endswith(", a test\n")
    assert lock.read_text().count("\n") == 1


def test_given_back_after_an_error(tmp_path: Path) -> None:
    """An error inside the block releases the lock."""
    with pytest.raises(ValueError, match="stop"), locks.held(tmp_path / "lock", "a test", wait=pytest.fail):
        raise ValueError("stop")
    assert taken(tmp_path / "lock", [])


def waiting_for(process: subprocess.Popen[str], lock: Path, told: list[str]) -> threading.Thread:
    """A thread that waits for the lock of a process, and has been told so; it does not get it while it is held."""
    waits = threading.Event()
    thread = threading.Thread(target=taken, args=(lock, told), kwargs={"on_wait": waits}, daemon=True)
    thread.start()
    assert waits.wait(30)
    thread.join(0.2)
    assert thread.is_alive()
    assert process.poll() is None
    return thread


def test_waiting(tmp_path: Path) -> None:
    """Who waits is told once who holds the lock and what for, and has it when it is free."""
    lock, told = tmp_path / "lock", list[str]()
    with holder(lock) as process:
        thread = waiting_for(process, lock, told)
        assert process.stdin is not None
        process.stdin.close()
        thread.join(30)
    assert not thread.is_alive()
    assert told == [f"waiting: {lock} is held by process {process.pid}, training of guarded-1"]


def test_killed_holder(tmp_path: Path) -> None:
    """A process that is killed outright releases its lock; nobody has to remove a file."""
    lock, told = tmp_path / "lock", list[str]()
    with holder(lock) as process:
        thread = waiting_for(process, lock, told)
        process.send_signal(signal.SIGKILL)
        thread.join(30)
    assert process.returncode == -signal.SIGKILL
    assert not thread.is_alive()
    assert len(told) == 1
