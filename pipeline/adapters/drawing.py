"""A generator at work in a process of its own, and the one that watches it.

Whoever wrote it, a generator may raise, hang or take the process down with it. So it runs as a child, which sends each
image as soon as it is drawn; the stage waits for so long and no longer, and what does not come has a reason.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from pipeline.adapters import generators
from pipeline.core import drawn_checks, processes, rng
from pipeline.core.drawn_checks import Limits
from pipeline.core.errors import UserError
from pipeline.core.generate_settings import Generate
from pipeline.core.synthesis import Batched, Drawn, Example, Task

_CHILD = "from pipeline.adapters import drawing; drawing.serve()"
_GONE = 10.0  # seconds that a process which closed its end may take to end


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a generator is given.

    Attributes:
        examples: training images of the previous run.
        settings: the section `generate`.
        task: what the images are for; its scratch folder is known when the generator is.
        seed: of the project.
        names: of the run and its own seed, which set its random numbers apart from other runs'.
        sides: shortest and longest side of an example, in pixels.
    """

    examples: tuple[Example, ...]
    settings: Generate
    task: Task
    seed: int
    names: tuple[str, ...]
    sides: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which generator it is: name, version, and digest of its code."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """What went wrong in the child: in words, and for a bug in somebody's code the whole traceback."""

    words: str
    kind: str  # user: said in full | memory | raised | wrong: what it gave
    trace: str = ""


class Drawing:
    """A generator in its own process; leave the ``with`` block and the process is gone."""

    def __init__(self, job: Job) -> None:
        """Start the process and find the generator.

        Raises:
            UserError: there is no such generator, or it cannot be loaded.
        """
        self._job = job
        self._process, self._connection = _started()
        self.identity = Identity(name=job.settings.generator, version="", digest="")
        self._trace = Path()
        try:
            self._ask(job, "while it was loaded")
            self.identity = self._answer(job.settings.fit_timeout, "while it was loaded")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """The drawing itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def fit(self, scratch: Path) -> int | None:
        """Fit the generator.

        Args:
            scratch: a folder for what it keeps.

        Returns:
            Images a batch; None for one that draws them one after the other.

        Raises:
            UserError: it failed, or took longer than `generate.fit_timeout`.
        """
        self._trace = scratch.parent / "error.txt"
        self._ask(scratch, "while it was fitted")
        size: int | None = self._answer(self._job.settings.fit_timeout, "while it was fitted", key="fit_timeout")
        return size

    def one_by_one(self) -> Iterator[Drawn]:
        """All images, each checked.

        Raises:
            UserError: it failed, took longer than `generate.timeout`, or an image is not as it should be.
        """
        for number in range(self._job.settings.images):
            yield self._answer(self._job.settings.timeout, f"image {number}")

    def batch(self, numbers: Sequence[int]) -> list[Drawn]:
        """The images of these numbers, each checked.

        Raises:
            UserError: as in :meth:`one_by_one`.
        """
        named = f"image {numbers[0]}" if len(numbers) == 1 else f"images {numbers[0]} to {numbers[-1]}"
        self._ask(list(numbers), named)
        pages: list[Drawn] = self._answer(self._job.settings.timeout * len(numbers), named)
        return pages

    def _ask(self, value: Any, doing: str) -> None:
        try:
            self._connection.send(value)
        except (BrokenPipeError, ConnectionResetError):
            raise UserError(self._ended(doing)) from None

    def _ended(self, doing: str) -> str:
        return f"generator {self.identity.name}: {doing}: its process ended {self._end()}. Nothing was half written."

    def _answer(self, patience: float, doing: str, *, key: str = "timeout") -> Any:
        """What the child says next, waiting for so many seconds."""
        who = f"generator {self.identity.name}: {doing}"
        try:
            if not self._connection.poll(patience):
                raise UserError(
                    f"{who}: nothing came for {patience:g} s, and it was ended. Mend it, or raise generate.{key}; "
                    "nothing was half written."
                )
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise UserError(self._ended(doing)) from None
        if not isinstance(answer, _Failure):
            return answer
        if answer.kind == "memory":
            raise MemoryError(f"{who}: {answer.words}")
        if answer.kind == "user":
            raise UserError(answer.words)
        raise UserError(f"{who}: {answer.words}.{self._noted(answer.trace)} Mend it and run the command again; "
                        "nothing was half written.")  # fmt: skip

    def _noted(self, trace: str) -> str:
        """Keep the traceback where whoever mends it can read it."""
        if not trace or self._trace == Path():
            return ""
        with contextlib.suppress(OSError):
            self._trace.write_text(trace, encoding="utf-8", errors="backslashreplace")
            return f" The traceback is in {self._trace}."
        return ""

    def _end(self) -> str:
        try:
            code = self._process.wait(_GONE)
        except subprocess.TimeoutExpired:
            return "its connection without a word"
        if code == -signal.SIGKILL:
            return "by SIGKILL, which a machine without memory sends: lower what it needs"
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _started() -> tuple[subprocess.Popen[bytes], Connection]:
    """The child, and our end of the line to it; what it prints goes to standard error."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - this Python
                [sys.executable, "-c", _CHILD, str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=2,
                preexec_fn=processes.ending_with_us(),  # noqa: PLW1509 - it is ready before the fork
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
    return process, Connection(ours.detach())


def _serve(connection: Connection) -> None:
    """The child: load, fit and draw as asked, until the other end is closed."""
    job: Job = connection.recv()
    found = generators.find(job.settings)
    connection.send(Identity(name=found.name, version=found.version, digest=found.digest))
    task = replace(job.task, scratch=connection.recv())
    more = {"task": task} if found.takes_task else {}
    drawing = found.fit(job.examples, job.settings, rng.generator(job.seed, "fit", *job.names), **more)
    limits = Limits(
        classes=len(task.classes),
        parents=frozenset(example.image_id for example in job.examples),
        sides=job.sides,
        knows_parents=found.knows_parents,
    )
    if isinstance(drawing, Batched):
        if type(drawing.size) is not int or drawing.size < 1:
            raise ValueError(f"the size of its batches is {drawing.size!r}, wanted a whole number over 0")
        connection.send(drawing.size)
        while True:
            connection.send(_batch(drawing, connection.recv(), job, limits))
    if not callable(drawing):
        raise ValueError(f"its fit returned {type(drawing).__name__}, wanted a function that draws, or a Batched")  # noqa: TRY004
    connection.send(None)
    source = rng.generator(job.seed, "draw", *job.names)
    for _ in range(job.settings.images):
        connection.send(drawn_checks.checked(drawing(source), limits))


def _batch(drawing: Batched, numbers: Sequence[int], job: Job, limits: Limits) -> list[Drawn]:
    sources = [rng.generator(job.seed, "draw", *job.names, str(number)) for number in numbers]
    pages = drawing.draw(sources)
    if not isinstance(pages, list) or len(pages) != len(numbers):
        got = len(pages) if isinstance(pages, list) else type(pages).__name__
        raise ValueError(f"it gave {got} for a batch of {len(numbers)}, wanted a list of as many images")
    return [drawn_checks.checked(page, limits) for page in pages]


def _failure(error: BaseException) -> _Failure:
    if isinstance(error, UserError):
        return _Failure(words=str(error), kind="user")
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return _Failure(words=str(error) or "no memory is left", kind="memory")
    frames = traceback.extract_tb(error.__traceback__)
    if frames and frames[-1].filename in (__file__, drawn_checks.__file__):
        return _Failure(words=str(error), kind="wrong")
    last = next((one for one in reversed(frames) if "site-packages" not in one.filename), None)
    where = f" ({Path(last.filename).name} line {last.lineno})" if last else ""
    said = " ".join(str(error).split())[:300]
    trace = "".join(traceback.format_exception(error))
    return _Failure(words=f"it raised {type(error).__name__}: {said}{where}", kind="raised", trace=trace)


def serve() -> None:
    """The child's whole life: draw what the other end of the line, a file descriptor by number, asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage hears of Ctrl-C, and ends this process
    sys.dont_write_bytecode = True  # a cache beside a user's file would change the folder that the stage depends on
    connection = Connection(int(sys.argv[1]))
    try:
        _serve(connection)
    except EOFError:  # nothing more is wanted
        pass
    except BaseException as error:  # noqa: BLE001 - a generator may raise whatever it likes
        with contextlib.suppress(OSError):
            connection.send(_failure(error))
        # Threads and exit handlers of a generator that failed are not waited for.
        os._exit(1)
