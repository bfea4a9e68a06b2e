"""When whom to kill: moments that are drawn from the timeline of a night that nobody disturbed."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from tests.faults.world import VERDICTS, Kind, World

KINDS: tuple[Kind, ...] = ("nightly", "dvc", "stage", "mongod", "group")
_POLL = 0.1  # seconds between two looks at an undisturbed night


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at a night.

    Attributes:
        seconds: since it was started.
        place: phase and stage, in words.
        offset: seconds since that began.
        alive: whom there was to kill.
    """

    seconds: float
    place: str
    offset: float
    alive: frozenset[Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """A signal to be sent.

    Attributes:
        kind: to whom.
        place: phase and stage of the night that is waited for.
        offset: seconds after that begins.
        number: of the signal.
    """

    kind: Kind
    place: str
    offset: float
    number: int = signal.SIGKILL

    def __str__(self) -> str:
        """Whom, and when."""
        return f"{signal.Signals(self.number).name} to {self.kind}, {self.offset:.1f} s into {self.place}"


def place_of(record: dict[str, Any] | None) -> str:
    """Where a night is: its phase and stage, or what came last."""
    if record is None:
        return "start"
    if record["ended"]:
        return "told"
    done = record["stages"]
    last = f"after {done[-1]['name']}" if done else "begins"
    return f"{record['phase']}: {record['stage'] or last}"


def watch(world: World) -> list[Seen]:
    """Run a night to its end and look at it all the time."""
    started, since, place = time.monotonic(), 0.0, ""
    found: list[Seen] = []
    process = world.start("tailwatch", "nightly")
    while process.poll() is None:
        now, alive = time.monotonic() - started, _alive(world, process.pid)
        if (present := place_of(world.record(process.pid))) != place:
            place, since = present, now
        found.append(Seen(seconds=now, place=place, offset=now - since, alive=alive))
        time.sleep(_POLL)
    assert process.returncode in VERDICTS, world.said()
    return found


def _alive(world: World, night: int) -> frozenset[Kind]:
    return frozenset(kind for kind in KINDS if world.of_kind(kind, night))


def draw(timeline: Sequence[Seen], rng: np.random.Generator, kinds: Sequence[Kind], *, within: str = "") -> list[Blow]:
    """Draw a moment for each kind of victim, all moments at which there is one being as likely; in order of time.

    Args:
        timeline: of an undisturbed night.
        rng: to draw from.
        kinds: whom to kill.
        within: what the place has to hold.
    """
    chosen = []
    for kind in kinds:
        found = [one for one in timeline if kind in one.alive and within in one.place]
        chosen.append((found[rng.integers(len(found))], kind))
    return [
        Blow(kind=kind, place=one.place, offset=one.offset + rng.uniform(0, _POLL))
        for one, kind in sorted(chosen, key=lambda pair: pair[0].seconds)
    ]


def strike(world: World, blow: Blow, places: Sequence[str]) -> bool:
    """Begin a night and strike; whether there was somebody to hit.

    The night is not waited for: what is left of it ends by itself, or is an orphan.

    Args:
        world: with a project.
        blow: to be struck.
        places: of an undisturbed night, in order: a night that goes on may not come by the very place.
    """
    process = world.start("tailwatch", "nightly")
    wanted = places.index(blow.place)
    while process.poll() is None:
        present = place_of(world.record(process.pid))
        if present in places and places.index(present) >= wanted:
            break
        time.sleep(0.01)
    time.sleep(blow.offset)
    deadline = time.monotonic() + 20  # a night under load may start its processes a little later
    struck = False
    while process.poll() is None and not struck and time.monotonic() < deadline:
        struck = _send(world.of_kind(blow.kind, process.pid), blow.number)
    process.wait(timeout=300)
    return struck


def _send(victims: Collection[psutil.Process], number: int) -> bool:
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(number)
    return bool(victims)


def places(timeline: Sequence[Seen]) -> list[str]:
    """The places of a night, in order."""
    return list(dict.fromkeys(one.place for one in timeline))
