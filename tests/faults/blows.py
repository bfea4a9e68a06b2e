"""When whom to kill: moments that are drawn from the timeline of a night that nobody disturbed."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from pipeline.core.night_journal import PHASES
from tests.faults.world import VERDICTS, Kind, World, has_told

KINDS: tuple[Kind, ...] = ("nightly", "dvc", "stage", "mongod", "group")
_POLL = 0.1  # seconds between two looks at an undisturbed night
_WORDS = re.compile(rf"(?P<name>SIG[A-Z]+) to (?P<kind>{'|'.join(KINDS)}), (?P<offset>[0-9.]+) s into (?P<place>.+)")
_START, _TOLD, _FAILED = "start", "told", "failed"  # before a night has a record, and when that has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at a night.

    Attributes:
        seconds: since it was started.
        place: phase and stage, in words.
        alive: whom there was to kill, and for how many seconds he had been there in this place.
    """

    seconds: float
    place: str
    alive: dict[Kind, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """A signal to be sent.

    Attributes:
        kind: to whom.
        place: phase and stage of the night that is waited for.
        offset: seconds after he is seen there.
        number: of the signal.
    """

    kind: Kind
    place: str
    offset: float
    number: int = signal.SIGKILL

    def __str__(self) -> str:
        """Whom, and when."""
        return f"{signal.Signals(self.number).name} to {self.kind}, {self.offset:.1f} s into {self.place}"

    @classmethod
    def parse(cls, text: str) -> Blow:
        """Undo `str`.

        Raises:
            ValueError: it is no blow.
        """
        found = _WORDS.fullmatch(text)
        if found is None:
            raise ValueError(f"no blow: {text!r}; wanted such as 'SIGKILL to stage, 4.2 s into train: report'")
        kind = next(kind for kind in KINDS if kind == found["kind"])
        return cls(kind=kind, place=found["place"], offset=float(found["offset"]), number=signal.Signals[found["name"]])


def place_of(record: dict[str, Any] | None) -> str:
    """Where a night is: its phase, and there the stage that runs or that came last."""
    if record is None:
        return _START
    if record["ended"]:
        return _TOLD if has_told(record) else _FAILED
    here = [one["name"] for one in record["stages"] if _phase(one["name"]) == record["phase"]]
    return f"{record['phase']}: {record['stage'] or (f'after {here[-1]}' if here else 'begins')}"


def _phase(stage: str) -> str:
    """The phase that a stage of a night belongs to."""
    if stage in ("ingest", "verify"):
        return "data"
    return "mix" if stage.startswith(("generate@", "mix")) else "train"


def reached(present: str, *, wanted: str, places: Sequence[str]) -> bool:
    """Whether a night is at a place, or beyond it: one that goes on does not come by all of them.

    Args:
        present: where it is.
        wanted: one of the places.
        places: of an undisturbed night, in order.
    """
    if present in places:
        return places.index(present) >= places.index(wanted)
    order = (_FAILED, _START, *PHASES, _TOLD)
    return order.index(present.partition(":")[0]) > order.index(wanted.partition(":")[0])


def watch(world: World) -> list[Seen]:
    """Run a night to its end and look at it all the time."""
    started, place = time.monotonic(), ""
    since: dict[Kind, float] = {}
    found: list[Seen] = []
    process = world.start("tailwatch", "nightly")
    while process.poll() is None:
        now, kinds = time.monotonic() - started, world.kinds(process.pid)
        if (present := place_of(world.record(process.pid))) != place:
            place, since = present, {}
        since = {kind: since.get(kind, now) for kind in kinds}
        found.append(Seen(seconds=now, place=place, alive={kind: now - since[kind] for kind in kinds}))
        time.sleep(_POLL)
    assert process.returncode in VERDICTS, world.said()
    return found


def draw(timeline: Sequence[Seen], rng: np.random.Generator, kinds: Sequence[Kind], *, within: str = "") -> list[Blow]:
    """Draw a moment for each kind of victim: a place where there is one, then a moment there; in order of time.

    Args:
        timeline: of an undisturbed night.
        rng: to draw from.
        kinds: whom to kill.
        within: what the place has to hold.
    """
    chosen = []
    for kind in kinds:
        found = [one for one in timeline if kind in one.alive and within in one.place]
        there = places(found)
        place = there[rng.integers(len(there))]
        here = [one for one in found if one.place == place]
        chosen.append((here[rng.integers(len(here))], kind))
    return [
        Blow(kind=kind, place=one.place, offset=one.alive[kind] + rng.uniform(0, _POLL))
        for one, kind in sorted(chosen, key=lambda pair: pair[0].seconds)
    ]


def strike(world: World, blow: Blow, night: subprocess.Popen[str]) -> bool:
    """Strike at a night that has reached the blow's place; whether there was somebody to hit.

    What is left of the night ends by itself, or is an orphan; without its database it may go on to its end.

    Args:
        world: with a project.
        blow: to be struck.
        night: its process.
    """
    offset = blow.offset
    deadline = time.monotonic() + 90  # a night under load may start its processes a little later
    while night.poll() is None and time.monotonic() < deadline:
        if world.of_kind(blow.kind, night.pid):
            time.sleep(offset)
            if _send(world.of_kind(blow.kind, night.pid), blow.number):
                return True
            offset /= 4  # he lived longer in the night that nobody disturbed: sooner, the next time
        time.sleep(0.01)
    return False


def _send(victims: Collection[psutil.Process], number: int) -> bool:
    hit = False
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(number)
            hit = True
    return hit


def places(timeline: Sequence[Seen]) -> list[str]:
    """The places of a night, in order."""
    return list(dict.fromkeys(one.place for one in timeline))
