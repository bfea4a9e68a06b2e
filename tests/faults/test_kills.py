"""Nights that are killed end as one that was not."""

from __future__ import annotations

import logging
import signal

import numpy as np
import pytest

from tests.faults import blows
from tests.faults.blows import Blow
from tests.faults.conftest import Oracle
from tests.faults.world import VERDICTS, World

_LOG = logging.getLogger(__name__)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def beat(world: World, oracle: Oracle, planned: list[Blow]) -> list[Blow]:
    """Strike one blow after the other, each at the night that goes on after the last; then hold the end to the oracle.

    A person decides something meanwhile. Gives the blows that hit somebody.
    """
    places, hit = blows.places(oracle.timeline), []
    allowed = sorted({*world.runs(), *oracle.end.runs})
    for number, blow in enumerate(planned):
        struck = blows.strike(world, blow, places)
        hit += [blow] if struck else []
        _LOG.info("%s %s; the night said: %s", blow, "hit" if struck else "came too late", world.said().split("\n"))
        world.check(allowed)
        assert "Traceback" not in world.said()
        if number == 0:
            world.decide("while it is night")
        if (world.record() or {}).get("exit_code") in VERDICTS:
            break  # it had told people already: a night more would be the next one
    ledger = world.ledger()
    if (world.record() or {}).get("exit_code") not in VERDICTS:
        world.to_the_end()
    world.check_end(oracle.end, ledger)
    return hit


def test_a_few_kills(world: World, oracle: Oracle) -> None:
    """After `kill -9` of the night, of a training and of all at once, the digests are those of an undisturbed night."""
    rng = np.random.default_rng(6)
    planned = [
        *blows.draw(oracle.timeline, rng, ["nightly"], within="mix"),
        *blows.draw(oracle.timeline, rng, ["stage"], within="train: train@"),
        *blows.draw(oracle.timeline, rng, ["group"], within="train: audit@"),
    ]
    assert beat(world, oracle, planned) == planned


def test_kills_at_random_moments(world: World, oracle: Oracle, chain: int) -> None:
    """`kill -9` of each of them twice, at moments drawn from the whole night."""
    planned = blows.draw(oracle.timeline, np.random.default_rng(chain), 2 * blows.KINDS)
    assert beat(world, oracle, planned)


def test_sigterm_and_ctrl_c(world: World, oracle: Oracle) -> None:
    """The night ends what it has started, says who stopped it, and the next one goes on."""
    places = blows.places(oracle.timeline)
    for place, number in (("train: train@", signal.SIGINT), ("train: audit@", signal.SIGTERM)):
        (blow,) = blows.draw(oracle.timeline, np.random.default_rng(1), ["nightly"], within=place)
        assert blows.strike(world, Blow(kind="nightly", place=blow.place, offset=blow.offset, number=number), places)
        assert f"Stopped by {signal.Signals(number).name}: all that the night had started was ended" in world.said()
        world.check(oracle.end.runs)
    world.to_the_end()
    world.check_end(oracle.end, world.ledger())
