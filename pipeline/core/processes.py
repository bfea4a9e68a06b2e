"""Who started whom: a process that ends with its parent, and the `dvc repro` behind a stage."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1  # of prctl(2)
_START_FIELD = 19  # of /proc/PID/stat, behind the name: proc(5) counts it as the 22nd
_ABOVE = 4  # parents that are looked at: a shell or two may stand between DVC and a stage
_POLL = 0.5  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process by number and start: the number alone is given to another one when it has ended.

    Attributes:
        pid: its number.
        started: when it began, in a unit of the system's own that no change of the clock moves.
        command: its command line, in a short form.
    """

    pid: int
    started: float
    command: str = ""

    @property
    def lives(self) -> bool:
        """Whether that very process is there, and is more than a dead one that nobody has waited for."""
        try:
            dead = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            return _started(self.pid) == self.started and psutil.Process(self.pid).status() not in dead
        except (psutil.Error, OSError):
            return False


def identity(process: psutil.Process | None = None) -> Identity:
    """Identity of a process, by default of this one.

    Raises:
        psutil.Error: it has ended.
        OSError: it has ended.
    """
    process = process or psutil.Process()
    return Identity(pid=process.pid, started=_started(process.pid), command=" ".join(process.cmdline())[:200])


def _started(pid: int) -> float:
    """When a process began.

    On Linux in clock ticks since the machine did: psutil's time is the clock's, and moves when that is set.

    Raises:
        OSError: there is no such process.
        psutil.Error: there is no such process.
    """
    if sys.platform != "linux":
        return psutil.Process(pid).create_time()
    _, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")  # before it stands the name, of any letters
    return float(fields.split()[_START_FIELD])


def dvc_above() -> Identity | None:
    """The nearest DVC command that this process descends from; None where a person started it otherwise."""
    with contextlib.suppress(psutil.Error, OSError):
        for process in psutil.Process().parents()[:_ABOVE]:
            if _is_dvc(process.cmdline()):
                return identity(process)
    return None


def lives(pid: int) -> bool:
    """Whether there is a process of a number."""
    return psutil.pid_exists(pid)


def is_dvc(pid: int) -> bool:
    """Whether a process is a command of DVC; one that has ended is not."""
    try:
        return _is_dvc(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError):
        return False


def _is_dvc(command: list[str]) -> bool:
    """Whether a command line is DVC's: the script itself, or Python with the script or ``-m dvc``."""
    words = [word.rpartition("/")[2] for word in command[:3]]
    return "dvc" in words[:2] or words[1:3] == ["-m", "dvc"]


def end_with(parent: Identity) -> None:
    """End this process as soon as another one that it descends from has ended, however that came.

    Linux ends a child itself. Where a shell stands in between, or on another system, a thread looks. The signal is
    SIGKILL: all that a stage writes is there whole or not at all, so nothing has to be tidied up.
    """
    if sys.platform == "linux" and os.getppid() == parent.pid:
        end_with_parent(parent.pid)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True, name="end with DVC").start()
    if not parent.lives:  # it ended before it was watched
        os.kill(os.getpid(), signal.SIGKILL)


def end_with_parent(parent: int | None = None) -> None:
    """Have the kernel end this process when its parent ends; on Linux, else nothing happens.

    Args:
        parent: number of the parent that is meant; where it has ended already, this process ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if parent is not None and os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def ending_with_us() -> Callable[[], None]:
    """What :class:`subprocess.Popen` is to run in the child, so that it ends with this process.

    The library is loaded here: between fork and exec nothing may be imported, for a lock may be held for ever there.
    """
    if sys.platform != "linux":
        return lambda: None
    return partial(_asked, ctypes.CDLL(None), os.getpid())


def _asked(library: ctypes.CDLL, parent: int) -> None:
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: Identity) -> None:
    while parent.lives:
        time.sleep(_POLL)
    os.kill(os.getpid(), signal.SIGKILL)
