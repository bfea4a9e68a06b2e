"""One world for all faults: it takes minutes to make, and seconds to put back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import blows
from tests.faults.blows import Seen
from tests.faults.world import End, World, build

CHAINS = 11  # nights, each cut off twice for each kind of victim: some blows come when there is none, 100 do not


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """A night that nobody disturbed: how it went, and what it came to."""

    timeline: list[Seen]
    end: End


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for all faults."""
    parser.addoption("--all-faults", action="store_true", help="100 kills, and each fault at each stage")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Draw a hundred kills where they are asked for."""
    if "chain" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--all-faults", default=False)
        marks = () if asked else pytest.mark.skip(reason="hours of kills are asked for with --all-faults")
        chains = range(CHAINS if asked else 1)
        metafunc.parametrize("chain", [pytest.param(one, id=f"chain-{one + 1}", marks=marks) for one in chains])


def make(folder: Path) -> tuple[World, Oracle]:
    """Make a world, and have the night in it that nobody disturbs."""
    world = build(folder)
    world.decide("before the night")
    world.save("before")
    timeline = blows.watch(world)
    world.wait(lambda: not world.processes(), seconds=30)
    assert not world.half_files()
    return world, Oracle(timeline=timeline, end=world.end())


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Oracle]:
    return make(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def oracle(_built: tuple[World, Oracle]) -> Oracle:
    """The night that nobody disturbed."""
    return _built[1]


@pytest.fixture
def world(_built: tuple[World, Oracle]) -> Iterator[World]:
    """The project before that night; whatever a test leaves running is ended."""
    world = _built[0]
    world.restore("before")
    yield world
    for process in world.processes():
        process.kill()
