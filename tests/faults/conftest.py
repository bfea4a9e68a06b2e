"""One world for all faults: it takes minutes to make, and seconds to put back."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.faults import blows
from tests.faults.blows import Blow, Seen
from tests.faults.world import End, World, build

CHAINS = 8  # generations, in the course of each of which 13 blows and more hit somebody


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """A night that nobody disturbed: how it went, and what it came to."""

    timeline: list[Seen]
    end: End


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of this folder."""
    parser.addoption("--all-faults", action="store_true", help="100 kills, and each fault at each stage")
    parser.addoption("--faults-world", metavar="FOLDER", help="where to make the world, or to find it made")
    parser.addoption(
        "--kill", action="append", default=[], type=Blow.parse, metavar="'SIGNAL to WHOM, N s into PLACE'",
        help="strike this blow again, in test_kills_that_are_given; may be given several times, in order",
    )  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Draw a hundred kills."""
    if "chain" in metafunc.fixturenames:
        metafunc.parametrize("chain", range(1, CHAINS + 1), ids=lambda chain: f"chain-{chain}")


@pytest.fixture(scope="session")
def all_faults(pytestconfig: pytest.Config) -> None:
    """Skip a test that is not in the sample, unless all are asked for."""
    if not pytestconfig.getoption("--all-faults"):
        pytest.skip("not in the sample: python -m tests.faults")


def make(folder: Path, *, nights: int) -> Oracle:
    """Make a world, and have the night in it that nobody disturbs; where that was done before, read how it went.

    Args:
        folder: of the world.
        nights: that the project has had before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "oracle.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            world = World(folder=folder, mark=str(folder))
            if not (folder / "before").exists():
                build(world, nights=nights)
            made.write_bytes(msgspec.json.encode(_undisturbed(world)))
    return msgspec.json.decode(made.read_bytes(), type=Oracle)


def _undisturbed(world: World) -> Oracle:
    world.restore("before")
    timeline = blows.watch(world)
    world.wait(lambda: not world.processes(), seconds=30)
    assert not world.half_files()
    return Oracle(timeline=timeline, end=world.end())


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, worker_id: str) -> Path:
    """Where the world is that all processes of pytest-xdist copy."""
    given = pytestconfig.getoption("--faults-world")
    if given:
        return Path(given).absolute()
    own = tmp_path_factory.getbasetemp()
    return (own if worker_id == "master" else own.parent) / "faults-world"


@pytest.fixture(scope="session")
def oracle(_shared: Path, pytestconfig: pytest.Config) -> Oracle:
    """The night that nobody disturbed; in the sample, it is the first one after the base."""
    return make(_shared, nights=2 if pytestconfig.getoption("--all-faults") else 0)


@pytest.fixture(scope="session")
def _own(_shared: Path, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("faults")
    shutil.copytree(_shared / "before", folder / "before", symlinks=True)
    return World(folder=folder, mark=str(folder))


@pytest.fixture
def world(_own: World) -> Iterator[World]:
    """The project before that night; whatever a test leaves running is ended."""
    _own.restore("before")
    yield _own
    for process in _own.processes():
        process.kill()
