"""DVC's commands as a night runs them: in a process group of their own, watched, logged, and ended when too slow."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pipeline.core import processes
from pipeline.core.masking import masked

_DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")
_BEGINS = re.compile(r"^Running stage '(.+)':$")
_ENDS = re.compile(r"^(Updating lock file|Generating lock file|Stage '.+' didn't change|ERROR: )")
_FAULT = re.compile(r"^(error|ERROR): (.+)$")
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b.*$")  # how a traceback ends
_GRACE = 10.0  # seconds between SIGTERM and SIGKILL
_CHUNK = 1 << 16
_TAIL = 200  # lines that are kept to say what went wrong
_AGAIN = "failed to reproduce"  # how DVC repeats what a stage has said


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended.

    Attributes:
        code: its exit code; negative for a signal.
        seconds: that it took.
        fault: what it or its stage said was wrong, in a line; empty where nothing was.
        stage: the one that ran when it ended badly; empty where none did.
        late: minutes of the limit that it, or its stage, went over; None where none.
    """

    code: int
    seconds: float
    fault: str = ""
    stage: str = ""
    late: float | None = None


@dataclass(slots=True, kw_only=True)
class _Watch:
    """What is known of a command while it runs."""

    on_stage: Callable[[str, float | None], None]
    limit: Callable[[str], float]
    stage: str = ""
    since: float = field(default_factory=time.monotonic)
    rest: bytes = b""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))

    def follow(self, data: bytes, out: BinaryIO) -> None:
        """Log whole lines, and see what they say. No address is left in them: that of a remote may have a password."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        said = [masked(line.decode(errors="replace")) for line in lines]
        out.write("".join(f"{line}\n" for line in said).encode())
        out.flush()
        for line in said:
            self._line(line.rpartition("\r")[2].rstrip())

    def _line(self, line: str) -> None:
        self.tail.append(line)
        if found := _BEGINS.match(line):
            self.end()
            self.stage, self.since = found[1], time.monotonic()
            self.on_stage(self.stage, None)
        elif self.stage and _ENDS.match(line) and not line.startswith("ERROR"):
            self.end()

    def end(self) -> None:
        if self.stage:
            self.on_stage(self.stage, time.monotonic() - self.since)
        self.stage, self.since = "", time.monotonic()

    def left(self) -> float:
        """Seconds until the limit; without a stage, that is of DVC's own work."""
        return self.since + 60 * self.limit(self.stage) - time.monotonic()

    def fault(self) -> str:
        """What a stage, or else DVC, said last was wrong."""
        found = [match[2] for line in self.tail if (match := _FAULT.match(line))]
        own = [text for text in found if not text.startswith(_AGAIN)]
        broke = "Traceback (most recent call last):" in self.tail
        raised = [line for line in self.tail if broke and _RAISED.match(line)]
        return (own or raised or found or [""])[-1]


def run(
    arguments: Sequence[str],
    *,
    log: Path,
    limit: Callable[[str], float],
    on_stage: Callable[[str, float | None], None] = lambda _name, _seconds: None,
) -> Done:
    """Run ``dvc`` with arguments to its end, or to a limit; what happens to this process happens to it.

    Args:
        arguments: such as ``["repro", "mix@guarded-4"]``.
        log: file that its whole output is added to.
        limit: minutes that a stage may take, by its name in dvc.yaml; by the empty name, DVC between stages.
        on_stage: told the name of each stage that begins, and when it ends its name again and its seconds.

    Raises:
        OSError: the log cannot be written; the command is ended then, as after any other exception.
    """
    started = time.monotonic()
    watch = _Watch(on_stage=on_stage, limit=limit)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ dvc {masked(' '.join(arguments))}\n".encode())
        process = subprocess.Popen(  # noqa: S603 - DVC, of this environment
            [*_DVC, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"},
            preexec_fn=processes.ending_with_us(),  # noqa: PLW1509 - loads nothing and takes no lock there
        )  # fmt: skip
        try:
            late = _follow(process, out, watch)
        finally:
            _end(process)
            if watch.rest:
                watch.follow(b"\n", out)
    stage = watch.stage
    watch.end()
    code = process.returncode
    fault = watch.fault() if code else ""
    return Done(code=code, seconds=time.monotonic() - started, fault=fault, stage=stage if code else "", late=late)


def _follow(process: subprocess.Popen[bytes], out: BinaryIO, watch: _Watch) -> float | None:
    """Copy the output until the command ends; the limit in minutes where it, or a stage, goes over one."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    pipe = process.stdout.fileno()
    while True:
        left = watch.left()
        if left <= 0:
            return watch.limit(watch.stage)
        # What a stage leaves behind, such as a database, may hold the pipe open: the end of DVC is what counts.
        ended = process.poll() is not None
        ready, _, _ = select.select([pipe], [], [], 0 if ended else min(left, 0.5))
        data = os.read(pipe, _CHUNK) if ready else b""
        watch.follow(data, out)
        if not data and (ended or ready):
            process.wait()
            return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group, kindly at first; afterwards nothing of it is left."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            process.wait(timeout=_GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal(process, signal.SIGKILL)  # a stage may outlive DVC
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:  # macOS, of a group of which only a dead one is left
        return
