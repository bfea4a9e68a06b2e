"""What DVC leaves when it is killed, and then stumbles over: it writes two of its files in place.

dvc.lock is cut short, and has lost stages or cannot be read; the file of its locks is cut short, or names a process
whose number somebody else has by now.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.adapters import dvc_files
from pipeline.core import files, paths, processes
from pipeline.core.errors import UserError

COPY = paths.STATE / "dvc.lock"
RWLOCK = Path(".dvc/tmp/rwlock")
_CONFLICT = "<<<<<<<"  # of git: a person has to mend that
_CHANGED = 2  # stages at most that a file that was cut short has otherwise: the one that was written, and the last
_MOMENT = 0.5  # seconds in which a living DVC has written such a file to the end


def keep() -> None:
    """Keep a copy of dvc.lock, while DVC writes nothing to it; one that cannot be read is not kept."""
    try:
        text = paths.DVC_LOCK.read_text()
        if not COPY.exists() or COPY.read_text() != text:
            dvc_files.stage_outs()
            files.write_text(COPY, text)
    except (FileNotFoundError, UserError):
        return


def mend() -> list[str]:
    """Put right what a killed DVC has left; gives in sentences what that was.

    Only whoever has the project alone may do this, while no DVC of its own runs.
    """
    return [*_mend_lock(), *mend_rwlock()]


def _mend_lock() -> Iterator[str]:
    try:
        text, before = paths.DVC_LOCK.read_text(), COPY.read_text()
    except FileNotFoundError:
        return
    if _CONFLICT not in text and is_cut_short(text, before):
        files.write_text(paths.DVC_LOCK, before)
        yield "dvc.lock was cut short when DVC was killed, and is as it was; what it lacks is in the cache"


def is_cut_short(text: str, before: str) -> bool:
    """Whether the text of a dvc.lock is the beginning of one that was to follow another.

    Args:
        text: that may end anywhere.
        before: that was there before it, and can be read.
    """
    try:
        now = dvc_files.stages(text)
    except UserError:
        return True
    known = dvc_files.stages(before)
    names = list(now)
    changed = sum(now[name] != known.get(name) for name in names)
    return len(names) < len(known) and names == list(known)[: len(names)] and changed <= _CHANGED


def remove_unreadable(lock: Path) -> Iterator[str]:
    """Remove a dvc.lock that cannot be read, where nothing is lost with it; gives in a sentence that this was so.

    One with a conflict of git in it is for a person to mend.
    """
    if _is_unreadable(lock):
        time.sleep(_MOMENT)  # a DVC that somebody else runs may be writing it
        if _is_unreadable(lock):
            lock.unlink()
            yield f"{lock} was cut short when DVC was killed; it is removed, and written anew"


def _is_unreadable(lock: Path) -> bool:
    try:
        text = lock.read_text()
        dvc_files.stages(text, lock)
    except FileNotFoundError:
        return False
    except UserError:
        return _CONFLICT not in text
    return False


def mend_rwlock(path: Path = RWLOCK) -> Iterator[str]:
    """Remove the file of DVC's locks where a killed one has left it; gives in a sentence that this was so."""
    if _is_false(path):
        time.sleep(_MOMENT)  # a DVC that somebody else runs may be writing it
        if _is_false(path):
            path.unlink(missing_ok=True)
            yield f"{path} was left by a DVC that was killed; it is removed"


def _is_false(path: Path) -> bool:
    """Whether a file of DVC's locks cannot be read, or names only processes that are not DVC, one of them alive."""
    try:
        held = json.loads(path.read_text())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    numbers = set(_numbers(held))
    return any(processes.lives(one) for one in numbers) and not any(processes.is_dvc(one) for one in numbers)


def _numbers(held: Mapping[str, Mapping[str, Any]]) -> Iterator[int]:
    """The numbers of the processes in the file: one writes a path, and many read it."""
    for kind in held.values():
        for holders in kind.values():
            for one in holders if isinstance(holders, list) else [holders]:
                if "pid" in one:
                    yield int(one["pid"])
