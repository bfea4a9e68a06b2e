"""One lock for the whole project: a night has it alone, the stages of a plain `dvc repro` share it.

The kernel releases it when a process dies. A `dvc repro` between two stages holds nothing, so each of its stages leaves
a note of who started it; a night that finds such a process alive does not begin.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from pipeline.core import paths, processes
from pipeline.core.errors import UserError
from pipeline.core.processes import Identity

VARIABLE = "TAILWATCH_NIGHT"  # of the environment: the token of the night that a command belongs to
_OF_DVC = "DVC_STAGE"  # of the environment, in which DVC names the stage that it starts
_DYING = 15.0  # seconds that the stages of a killed night get to be gone
_MOMENT = 3.0  # seconds for which somebody may have the lock without a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has the project alone.

    Attributes:
        pid: number of the process.
        started: when that process began, as :class:`Identity` has it.
        since: when it took the project, UTC, ISO 8601.
        what: what it does, in words.
        token: what the commands that it starts show.
    """

    pid: int
    started: float
    since: str
    what: str
    token: str

    def __str__(self) -> str:
        """The holder in words."""
        return f"{self.what} (process {self.pid}, since {self.since})"


@contextlib.contextmanager
def exclusive(what: str) -> Iterator[Holder]:
    """Have the whole project for the length of a block.

    What is called or started within the block belongs to it, and may ask for the project again.

    Args:
        what: what is done, shown to those who are refused, such as "a night".

    Raises:
        UserError: somebody else has it, a stage runs, or a `dvc repro` is at work; who that is, is said.
    """
    with _opened() as handle:
        present = _claimed(handle, fcntl.LOCK_EX, what)
        if present is not None:
            _require_ours(present, what)
            yield present
            return
        _write(handle, None)  # the name that a killed one left
        _require_no_repro(what)
        _outlive_stages(what)
        me = processes.identity()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        own = Holder(pid=me.pid, started=me.started, since=since, what=what, token=secrets.token_hex(16))
        _write(handle, own)
        os.environ[VARIABLE] = own.token
        try:
            yield own
        finally:
            del os.environ[VARIABLE]
            _write(handle, None)


@contextlib.contextmanager
def shared(what: str) -> Iterator[None]:
    """Keep nights away for the length of a block, which is a stage; it ends with the `dvc repro` that started it.

    Args:
        what: the stage, shown to those who are refused.

    Raises:
        UserError: a night, or another command that needs the project alone, has it; or the DVC that started the stage
            has been killed, while the stage was loading what it uses.
    """
    above = processes.dvc_above()
    if above is not None:
        processes.end_with(above)
    elif _OF_DVC in os.environ:  # nobody would end it any more
        raise UserError(f"{what} does not begin: the `dvc` that started it was killed.")
    with _opened() as handle:
        present = _claimed(handle, fcntl.LOCK_SH, what)
        if present is not None:
            _require_ours(present, what)
            with _of_night():
                yield
            return
        if above is not None:
            _note("repro", above)
        with _named(what):
            yield


def holder() -> Holder | None:
    """Who has the project alone; None where nobody has."""
    try:
        with paths.PROJECT_LOCK.open() as handle:
            return None if _take(handle, fcntl.LOCK_SH) else _written(handle)
    except OSError:
        return None


def sharers() -> list[str]:
    """Each `dvc repro` that is at work, and the stages that run, in words."""
    repros = [f"`{one.command or 'dvc repro'}` (process {one.pid})" for one in _living("repro")]
    return repros + [f"{one.command} (process {one.pid})" for one in _living("stage")]


@contextlib.contextmanager
def _opened() -> Iterator[IO[str]]:
    paths.PROJECT_LOCK.parent.mkdir(parents=True, exist_ok=True)
    with paths.PROJECT_LOCK.open("a+") as handle:
        yield handle


def _take(handle: IO[str], mode: int) -> bool:
    try:
        fcntl.flock(handle, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _claimed(handle: IO[str], mode: int, what: str) -> Holder | None:
    """Take the lock; else give its holder.

    Whoever only looks, or is about to be refused, has it for a moment without a name: such a one is waited for.

    Raises:
        UserError: stages share it, or nobody says why it is not free.
    """
    end = time.monotonic() + _MOMENT
    while not _take(handle, mode):
        if (present := _written(handle)) is not None:
            return present
        running = sharers() if mode == fcntl.LOCK_EX else []
        if running or time.monotonic() > end:
            raise _refusal(what, ", ".join(running) or "another process")
        time.sleep(0.05)
    return None


def _written(handle: IO[str]) -> Holder | None:
    """The name in the lock, where that process lives: a killed one leaves its own behind."""
    handle.seek(0)
    try:
        found = msgspec.json.decode(handle.read(), type=Holder)
    except msgspec.DecodeError:
        return None
    return found if Identity(pid=found.pid, started=found.started).lives else None


def _write(handle: IO[str], present: Holder | None) -> None:
    handle.truncate(0)
    if present is not None:
        handle.write(msgspec.json.encode(present).decode() + "\n")
    handle.flush()


def _refusal(what: str, who: str) -> UserError:
    return UserError(
        f"{what} cannot begin: the project is held by {who}. Wait until that has ended; `uv run tailwatch status` "
        "says how far it is."
    )


def _require_ours(present: Holder, what: str) -> None:
    if os.environ.get(VARIABLE) != present.token:
        raise _refusal(what, str(present))


def _require_no_repro(what: str) -> None:
    """Refuse while a `dvc repro` lives between two of its stages."""
    if living := _living("repro"):
        told = ", ".join(f"`{one.command or 'dvc repro'}` (process {one.pid})" for one in living)
        raise UserError(f"{what} cannot begin: {told} is at work. Wait until it has ended, or stop it with Ctrl-C.")


def _outlive_stages(what: str) -> None:
    """Wait until the stages of a night that was killed are gone: they die a moment after their parent.

    Raises:
        UserError: one does not go.
    """
    end = time.monotonic() + _DYING
    with paths.STAGES_LOCK.open("a+") as handle:
        while not _take(handle, fcntl.LOCK_EX):
            if time.monotonic() > end:
                raise UserError(
                    f"{what} cannot begin: a stage of the night before is still there, though that night has ended. "
                    "Find it with `pgrep -af pipeline.` and end it."
                )
            time.sleep(0.05)


@contextlib.contextmanager
def _of_night() -> Iterator[None]:
    """Be seen as a stage of a night, also by the next one, if this one is killed."""
    with paths.STAGES_LOCK.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Say for the length of a block which stage this process is."""
    me = processes.identity()
    path = _note("stage", Identity(pid=me.pid, started=me.started, command=what))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _note(kind: str, one: Identity) -> Path:
    path = paths.AT_WORK / f"{kind}-{one.pid}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")  # not flushed to the disk: a power cut ends that process as well
    aside.write_text(json.dumps(msgspec.to_builtins(one)) + "\n")
    aside.replace(path)
    return path


def _living(kind: str) -> list[Identity]:
    """The processes of such notes that live; notes of the others are removed."""
    found = []
    for path in sorted(paths.AT_WORK.glob(f"{kind}-*.json")):
        try:
            one = msgspec.json.decode(path.read_bytes(), type=Identity)
        except (OSError, msgspec.DecodeError):
            continue
        if one.lives:
            found.append(one)
        else:
            path.unlink(missing_ok=True)
    return found
