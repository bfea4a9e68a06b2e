"""Nights that are killed end as one that was not."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest

from tests.faults import blows
from tests.faults.blows import Blow
from tests.faults.conftest import Oracle
from tests.faults.world import World, has_told, in_stage

KILLS = 5  # of each kind that are planned in a chain: some find nobody, or come when the night is over
LEAST = 13  # that hit somebody: 100 and more in eight chains
_LOG = logging.getLogger(__name__)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def beat(world: World, oracle: Oracle, planned: Sequence[Blow]) -> list[Blow]:
    """Strike one blow after the other in the course of one generation; then hold the end to the oracle.

    A night that has ended is begun again, as a schedule would, and the next blow falls on that one. A person decides
    something meanwhile. Gives the blows that hit somebody.
    """
    places, hit = blows.places(oracle.timeline), []
    ledger, allowed, decided = world.ledger(), [*world.runs(), *oracle.end.runs], False
    night = world.start("tailwatch", "nightly")
    for blow in planned:
        found = _at(world, allowed, night, partial(blows.reached, wanted=blow.place, places=places))
        if found is None:
            _LOG.info("%s: too late, the night had told everybody", blow)
            break  # a night more would be the next one
        night = found
        if not blows.strike(world, blow, night):
            _LOG.info("%s: nobody was there", blow)
            continue
        hit.append(blow)
        _LOG.info("%s: hit", blow)
        if blow.kind != "mongod":
            night.wait(timeout=300)
        if not decided and (world.project.folder / "data/verified").exists():  # else the stage that makes it was hit
            world.decide("while it is night")
            ledger, decided = world.ledger(), True
    _at(world, allowed, night, lambda _: False)
    world.check_end(oracle.end, ledger)
    return hit


def _at(
    world: World, allowed: list[str], night: subprocess.Popen[str], reached: Callable[[str], bool]
) -> subprocess.Popen[str] | None:
    """The night when it has reached a place, or one that goes on after it; None when one came to its end before.

    Raises:
        AssertionError: what holds at any moment does not, or nights end again and again.
    """
    for _ in range(4):
        while night.poll() is None:
            if reached(blows.place_of(world.record(night.pid))):
                return night
            time.sleep(0.02)
        said, record = world.said(), world.record(night.pid)
        assert "Traceback" not in said
        world.check(allowed)
        if has_told(record):
            return None
        night = world.start("tailwatch", "nightly")
    raise AssertionError(f"nights end again and again, though nobody strikes: {world.said()}")


def test_a_few_kills(world: World, oracle: Oracle) -> None:
    """After `kill -9` of a stage, of the night and of all at once, the digests are those of an undisturbed night."""
    rng = np.random.default_rng(6)
    planned = [
        *blows.draw(oracle.timeline, rng, ["stage"], within="mix-base"),
        *blows.draw(oracle.timeline, rng, ["nightly"], within="train: train@"),
        *blows.draw(oracle.timeline, rng, ["group"], within="train: audit@"),
    ]
    assert beat(world, oracle, planned) == planned


@pytest.mark.usefixtures("all_faults")
def test_kills_at_random_moments(world: World, oracle: Oracle, chain: int) -> None:
    """`kill -9` of each of them four times and more, at moments drawn from the whole night; the chain is the seed."""
    planned = blows.draw(oracle.timeline, np.random.default_rng(chain), KILLS * blows.KINDS)
    assert len(beat(world, oracle, planned)) >= LEAST


def test_kills_that_are_given(world: World, oracle: Oracle, pytestconfig: pytest.Config) -> None:
    """The blows of ``--kill``, to look at one of the drawn ones again."""
    planned = pytestconfig.getoption("--kill")
    if not planned:
        pytest.skip("none is given: --kill 'SIGKILL to stage, 4.2 s into train: report'")
    assert beat(world, oracle, planned) == planned


@pytest.mark.usefixtures("all_faults")
def test_sigterm_and_ctrl_c(world: World, oracle: Oracle) -> None:
    """The night ends what it has started, says who stopped it, and the next one goes on."""
    for stage, number in (("train@", signal.SIGINT), ("audit@", signal.SIGTERM)):
        night = world.start("tailwatch", "nightly")
        world.reach(night, in_stage(stage))
        night.send_signal(number)
        assert night.wait(timeout=300) == 1
        assert f"Stopped by {signal.Signals(number).name}: all that the night had started was ended" in world.said()
        world.check(oracle.end.runs)
    world.to_the_end()
    world.check_end(oracle.end, world.ledger())
