"""Locks between processes, which the kernel releases when a process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path, purpose: str, *, wait: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock for the length of a block, waiting for whoever holds it.

    Args:
        path: the lock's file; it stays behind, and says who held it last.
        purpose: what the lock is held for, shown to those who wait.
        wait: told once, when the lock is not free.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            wait(f"waiting: {path} is held by {handle.read().strip() or 'another process'}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write(f"process {os.getpid()}, {purpose}\n")
        handle.flush()
        yield
