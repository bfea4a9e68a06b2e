"""How a stage starts and ends: its arguments, and what a person sees when something is wrong."""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pipeline.core import project_lock
from pipeline.core.errors import UserError

_COLLECTED_EVERY = 5_000  # objects more than were freed
_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
}
# How NumPy, OpenCV, torch and the loader of libraries say it, each with an exception of its own.
_MEMORY = re.compile(
    "can(no|')t allocate memory|out of memory|insufficient memory|can't start new thread|failed to map segment|"
    "could not create a primitive",
    re.IGNORECASE,
)


def explain(error: OSError) -> str:
    """A failed write or read in words that say what to do."""
    reason = _DISK.get(error.errno or 0, error.strerror or str(error))
    return f"{reason}: {error.filename or 'a file'}. Mend that and run the command again; nothing was half written."


def report(message: str) -> None:
    """Say what a person should know, on standard error."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - a command line's output


def start_plain(main: Callable[[], None]) -> None:
    """Run a stage that has no runs; exit with 1 after a user's error, with 130 after Ctrl-C."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    _guarded(main, "")
    _leave(main)


def start(main: Callable[[str], None]) -> None:
    """Run a stage for one run, given by ``--run NAME``; see :func:`start_plain`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--run", required=True, metavar="NAME", help="the run, as in params.yaml, or base")
    name = parser.parse_args().run
    _guarded(lambda: main(name), f" of {name}")
    _leave(main)


def _guarded(action: Callable[[], None], of: str) -> None:
    # Imports make objects that stay, which a collection every 700 of them walks through again and again, for a seventh
    # of the time in which torch is imported. What is left in cycles is small at this number, too.
    gc.set_threshold(_COLLECTED_EVERY, *gc.get_threshold()[1:])
    try:
        with project_lock.shared(f"the stage {Path(sys.argv[0]).stem}{of}"):
            action()
    except UserError as error:
        report(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        report("interrupted; nothing was half written. Run the command again to go on.")
        sys.exit(130)
    except Exception as error:
        lacking = _lacking_memory(error)
        if isinstance(error, OSError) and error.errno in _DISK:
            report(f"error: {explain(error)}")
        elif lacking is not None:
            report(f"error: {_explain_memory(lacking)}")
        else:
            raise
        sys.exit(1)


def _leave(main: Callable[..., None]) -> None:
    """End a process that is the stage's own as the interpreter would, but for what it does to memory.

    It would take torch's modules apart object by object, 0.4 s, before the system frees all at once.
    """
    if main.__module__ != "__main__" or any(not one.daemon for one in threading.enumerate()[1:]):
        return
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public name for it
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # which the interpreter tells as of any program
    os._exit(0)


def _explain_memory(error: BaseException) -> str:
    reason = (str(error).strip().splitlines() or ["nothing is left"])[0][:200].rstrip(".")
    return (
        f"there was not enough memory ({reason}). Lower train.batch, or stop other programs, and run the command "
        "again; nothing was half written."
    )


def _lacking_memory(error: BaseException | None) -> BaseException | None:
    """What says that memory was refused, of an error and those that it came of; a killed process says nothing."""
    while error is not None:
        if isinstance(error, MemoryError) or _MEMORY.search(str(error)) is not None:
            return error
        error = error.__cause__ or error.__context__
    return None
