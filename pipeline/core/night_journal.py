"""What each night did, written while it does it: what a killed one leaves says how far it came."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pipeline.core import paths, records
from pipeline.core.errors import UserError

VERSION = 1  # of the JSON; raised with every change that an older reader would misread
Phase = Literal["preflight", "data", "append", "mix", "train", "verdicts", "promote", "push", "commit", "prune", "done"]
PHASES: tuple[Phase, ...] = get_args(Phase)
Outcome = Literal["healthy", "collapsing", "inconclusive", "failed", "stopped"]
EXIT_CODES: dict[Outcome, int] = {"healthy": 0, "collapsing": 3, "inconclusive": 4, "failed": 1, "stopped": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """How long a stage took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One run of `tailwatch nightly`; `docs/schema/night.json` is its published schema.

    Attributes:
        version: of this format.
        number: of the night, from 1; it orders nights, also where the clock was set back.
        name: of its folder: when it began, UTC, such as 20261121T030000Z.
        started: UTC, ISO 8601.
        ended: UTC, ISO 8601; None while it runs, and for ever where it was killed.
        pid: number of its process.
        phase: the one that it is in, or ended in.
        stage: that runs now; None between stages.
        runs: those that it appended, or found unfinished and goes on with.
        resumed: whether an earlier night had appended them.
        resting: arms that got none, because their newest run is COLLAPSING.
        stages: that ran, in order.
        seconds: from start to end; None while it runs.
        fresh: real images newly verified since the night before; None where that is not known.
        newest: when the newest real image was verified, ISO 8601; None where none is.
        warnings: early warnings before training, as sentences.
        notes: what a person should know beside the outcome.
        needed: bytes that its runs take on the disk; None where it made none.
        pushed: whether the remote has it all; None where there is no remote.
        outcome: None while it runs.
        exit_code: 0 healthy, 3 collapsing, 4 inconclusive, 1 error; None while it runs.
        message: what happened, in a sentence or two.
    """

    version: int = VERSION
    number: int
    name: str
    started: str
    ended: str | None = None
    pid: int
    phase: Phase = "preflight"
    stage: str | None = None
    runs: tuple[str, ...] = ()
    resumed: bool = False
    resting: tuple[str, ...] = ()
    stages: tuple[StageTime, ...] = ()
    seconds: float | None = None
    fresh: int | None = None
    newest: str | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    needed: int | None = None
    pushed: bool | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    message: str = ""

    @property
    def folder(self) -> Path:
        """Where its record and its log are."""
        return paths.NIGHTS / self.name

    @property
    def log(self) -> Path:
        """All that DVC and the stages said."""
        return self.folder / "repro.log"

    @property
    def complete(self) -> bool:
        """Whether its runs need no more than what any later night does by itself: retry a push, prune."""
        reached = PHASES.index(self.phase) >= PHASES.index("push")
        return bool(self.runs) and reached and self.ended is not None and self.outcome != "stopped"


class Journal:
    """The record of the night that runs; each change is on the disk before the night goes on."""

    def __init__(self, night: Night) -> None:
        """Begin the record."""
        self.night = night
        self._write()

    def note(self, **changes: object) -> None:
        """Change fields of the record by name."""
        self.night = replace(self.night, **changes)  # type: ignore[arg-type]  # the fields' own types hold
        self._write()

    def enter(self, phase: Phase) -> None:
        """Begin a phase."""
        self.note(phase=phase, stage=None)

    def say(self, text: str) -> None:
        """Add what a person should know beside the outcome; each thing once."""
        if text not in self.night.notes:
            self.note(notes=(*self.night.notes, text))

    def _write(self) -> None:
        records.write(self.night.folder / "night.json", self.night)


def begin(now: datetime, *, pid: int) -> Journal:
    """Begin the record of a night.

    Args:
        now: with its time zone.
        pid: number of its process.
    """
    known = past()
    name = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    while (paths.NIGHTS / name).exists():  # two in a second, or the clock was set back
        name += "x"
    started = now.astimezone(UTC).isoformat(timespec="seconds")
    return Journal(Night(number=known[0].number + 1 if known else 1, name=name, started=started, pid=pid))


def past() -> list[Night]:
    """The nights whose records are there and can be read, the newest first."""
    found = []
    for path in paths.NIGHTS.glob("*/night.json"):
        with contextlib.suppress(UserError):
            found.append(records.read(path, Night, VERSION))
    return sorted(found, key=lambda night: (-night.number, night.name))


def tidy(*, keep: int) -> None:
    """Remove records and logs of all but the newest nights.

    Args:
        keep: nights that stay, 1 or more.
    """
    folders = sorted(paths.NIGHTS.glob("*"))
    # By time as well as by number: a record of another version has no number here, and its log may be wanted yet.
    newest = {night.name for night in past()[:keep]} | {folder.name for folder in folders[-keep:]}
    for folder in folders:
        if folder.name not in newest:
            shutil.rmtree(folder, ignore_errors=True)
