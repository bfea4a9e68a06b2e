"""One night: a generation more for each active arm, its verdict, and word to those who want to know.

All that it needs to know of an earlier night that was cut off is in files: params.yaml, dvc.lock and the journal. Run
again, it goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from pipeline import night_steps
from pipeline.adapters import notices
from pipeline.core import night_journal, night_message, params, project_lock, stage
from pipeline.core.errors import UserError
from pipeline.core.masking import without
from pipeline.core.night_journal import EXIT_CODES, Journal, Outcome
from pipeline.core.night_message import Told
from pipeline.core.night_settings import Nightly
from pipeline.core.params import Params

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KINDS: dict[Outcome, notices.Kind] = {"healthy": "success", "inconclusive": "warning"}
_AGAIN = "Run `uv run tailwatch nightly` again to go on where it stopped."


class _Signalled(BaseException):
    """A signal to end; it passes through whatever handles errors on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    outcome: Outcome
    told: Told


def run() -> int:
    """Run one night; the exit code is that of `tailwatch check`.

    Raises:
        UserError: params.yaml is refused, or somebody else has the project.
    """
    settings = params.load()
    until = settings.nightly.until
    if until is not None and datetime.now().astimezone().date() > until:
        stage.report(f"nothing was done: no night runs after {until}, which is nightly.until in params.yaml")
        return 0
    try:
        with _stopping(), project_lock.exclusive("a night"):
            return _night(settings)
    except _Signalled:  # before anything had begun
        return EXIT_CODES["stopped"]
    except UserError as error:
        said = _hidden(settings.nightly, str(error))
        _tell(settings.nightly, "failure", Told(title=f"FAILED: no night ({Path.cwd().name})", body=said))
        raise UserError(said) from None


def _night(settings: Params) -> int:
    """One night, from the journal's first line to its last."""
    started, journal = time.monotonic(), None
    try:
        journal = night_journal.begin(datetime.now().astimezone(), pid=os.getpid())
        _ping(settings.nightly, "start")
        outcome, told = night_steps.take(settings, journal)
        end = _End(outcome=outcome, told=told)
    except night_steps.StoppedEarly as early:
        end = _cut(journal, "inconclusive", str(early))
    except _Signalled as signalled:
        end = _cut(journal, "stopped", f"{signalled}: all that the night had started was ended. {_AGAIN}")
    except UserError as error:
        end = _cut(journal, "failed", str(error))
    except OSError as error:
        end = _cut(journal, "failed", stage.explain(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, people have to hear of it
        _keep_traceback(settings.nightly, journal)
        end = _cut(journal, "failed", f"{type(error).__name__}: {error}. {_AGAIN}")
    return _finish(settings.nightly, journal, end, time.monotonic() - started)


def _cut(journal: Journal | None, outcome: Outcome, reason: str) -> _End:
    """The end of a night that has no verdict."""
    project = Path.cwd().name
    if journal is None:  # not even the first line could be written
        return _End(outcome=outcome, told=Told(title=f"FAILED: no night ({project})", body=reason))
    with contextlib.suppress(OSError):
        journal.note(outcome=outcome)
    return _End(outcome=outcome, told=night_message.without_verdict(reason, journal.night, project=project))


def _finish(nightly: Nightly, journal: Journal | None, end: _End, seconds: float) -> int:
    """Tell people and close the journal; a second signal does not keep them from hearing of the first."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    told = Told(title=_hidden(nightly, end.told.title), body=_hidden(nightly, end.told.body))
    text = f"{told.title}\n{told.body}"
    stage.report(text)
    code = EXIT_CODES[end.outcome]
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    if journal is not None:
        with contextlib.suppress(OSError):  # of a full disk, which the message says
            journal.note(outcome=end.outcome, exit_code=code, message=text, seconds=round(seconds, 3), stage=None,
                         ended=ended)  # fmt: skip
    problems = _tell(nightly, _KINDS.get(end.outcome, "failure"), told)
    problems += _ping(nightly, "" if end.outcome in ("healthy", "inconclusive") else "fail", text)
    if journal is not None:
        with contextlib.suppress(OSError):
            for problem in problems:
                journal.say(problem)
            night_journal.tidy(keep=nightly.keep.logs)
    return code


def _tell(nightly: Nightly, kind: notices.Kind, told: Told) -> list[str]:
    """Send a message to everybody; what could not be sent is said here, and given."""
    problems = notices.send(nightly.notify, title=told.title, body=told.body, kind=kind)
    for problem in problems:
        stage.report(f"WARNING: {problem}")
    return problems


def _ping(nightly: Nightly, end: notices.PingEnd, text: str = "") -> list[str]:
    problem = notices.ping(nightly.ping, end=end, text=text)
    if problem:
        stage.report(f"WARNING: {problem}")
    return [problem] if problem else []


def _hidden(nightly: Nightly, text: str) -> str:
    """The text without the addresses of those who hear of a night."""
    addresses = [*nightly.notify, *([nightly.ping] if nightly.ping else [])]
    return without(text, *addresses, *(os.environ.get(one.removeprefix("env:"), "") for one in addresses))


def _keep_traceback(nightly: Nightly, journal: Journal | None) -> None:
    """Put the traceback of a fault of Tailwatch's own into the night's log, where whoever reports it finds it."""
    if journal is not None:
        with contextlib.suppress(OSError), journal.night.log.open("a") as log:
            log.write(_hidden(nightly, traceback.format_exc()))


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Within the block, a signal to end is an exception, so that everything that was started is ended with it."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise _Signalled(f"Stopped by {signal.Signals(number).name}")

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # under nohup, a terminal that closes is to be survived
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
