"""Disks, remotes, clocks and memory that fail in a night, and others who want the project at the same time."""

from __future__ import annotations

import resource
import signal
import socket
import sys
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from tests.faults import disks
from tests.faults.conftest import Oracle
from tests.faults.world import VERDICTS, World, in_stage
from tests.project import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STAGES = ["generate@", "mix@", "train@", "audit@", "confirm@", "gate@", "report", "review"]


def stage_of(world: World, night: int) -> psutil.Process:
    """The process of the stage that runs."""
    world.wait(lambda: world.of_kind("stage", night), seconds=20)
    return world.of_kind("stage", night)[0]


@pytest.mark.usefixtures("all_faults")
def test_a_full_disk(world: World, oracle: Oracle) -> None:
    """The night fails and says so at each stage; with room again, it goes on to the same end."""
    with disks.small(world, "before") as filler:
        ledger = world.ledger()
        for name in STAGES:
            night = world.start("tailwatch", "nightly")
            world.reach(night, in_stage(name))
            disks.fill(filler)
            assert night.wait(timeout=1500) == 1, name
            assert "the disk is full" in world.said() or "No space left" in world.said(), f"{name}: {world.said()}"
            assert "Traceback" not in world.said(), name
            filler.unlink()
            world.check(oracle.end.runs)
        world.to_the_end()
        world.check_end(oracle.end, ledger)


def test_a_disk_that_is_full_before(world: World, oracle: Oracle) -> None:
    """The night does not begin, and says how much is wanted."""
    with disks.small(world, "before") as filler:
        filler.write_bytes(bytes((disks.ROOM - 40) * 1_000_000))
        refused = world.night()
        assert refused.code == 1
        assert "GB free at" in refused.output
        filler.unlink()
        assert world.runs() != oracle.end.runs


@pytest.mark.usefixtures("all_faults")
def test_a_cache_that_is_read_only(world: World, oracle: Oracle) -> None:
    """The night fails and names the cache; when it can be written again, the night goes on to the same end."""
    with disks.read_only(world.project.folder / ".dvc/cache"):
        failed = world.night()
        assert failed.code == 1
        assert "ead-only" in failed.output
        assert "Traceback" not in failed.output
    world.to_the_end()
    world.check_end(oracle.end, world.ledger())


@pytest.mark.usefixtures("all_faults")
def test_a_remote_that_dies_in_the_middle_of_a_push(world: World, oracle: Oracle) -> None:
    """The verdict is told, beside that it is not on the remote; the next night pushes what is missing."""
    night = world.start("tailwatch", "nightly")
    world.reach(night, lambda record: record["phase"] == "push")

    def pushed() -> int:
        return sum(1 for _ in world.remote.glob("files/md5/??/*"))

    before = pushed()
    while pushed() == before:
        assert night.poll() is None, world.said()
    gone = world.remote.with_name("gone")
    world.remote.rename(gone)
    world.remote.write_text("no folder\n")
    night.wait(timeout=1500)
    assert night.returncode == 1
    assert "FAILED TO PUSH" in world.said()
    assert "Traceback" not in world.said()
    world.check(oracle.end.runs)
    world.remote.unlink()
    gone.rename(world.remote)
    assert world.end() == oracle.end
    world.night()
    assert world.project.run("dvc", "status", "-c").output.endswith("in sync.\n")
    assert not world.half_files()


@pytest.mark.usefixtures("all_faults")
def test_a_clock_that_was_set_back(world: World, oracle: Oracle) -> None:
    """Decisions and nights that lie ahead stay what they are; the night is numbered after them."""
    before, ledger = world.record(), world.ledger()
    done = world.night(**disks.clock(world.folder, days=30))
    assert done.code in VERDICTS, done.output
    after = world.record()
    assert before is not None
    assert after is not None
    assert datetime.fromisoformat(after["started"]) < datetime.now(UTC) - timedelta(days=29)
    assert after["number"] == before["number"] + 1
    assert "0 newly verified real images since the last night" not in done.output
    world.check_end(oracle.end, ledger)


@pytest.mark.usefixtures("all_faults")
def test_too_little_memory_to_train(world: World, oracle: Oracle) -> None:
    """The message names memory, whether the training was refused some or was killed; then the night goes on."""
    night = world.start("tailwatch", "nightly")
    world.reach(night, in_stage("train@"))
    training = stage_of(world, night.pid)
    world.wait(lambda: any("libtorch_cpu" in one.path for one in training.memory_maps()), seconds=300)
    training.rlimit(resource.RLIMIT_AS, (training.memory_info().vms + 20_000_000,) * 2)
    assert night.wait(timeout=1500) == 1
    assert "memory" in world.said()
    assert "Traceback" not in world.said()
    night = world.start("tailwatch", "nightly")
    world.reach(night, in_stage("train@"))
    stage_of(world, night.pid).send_signal(signal.SIGKILL)  # as the kernel does, when there is no more
    assert night.wait(timeout=1500) == 1
    assert "it was killed, most often for want of memory" in world.said()
    world.check(oracle.end.runs)
    world.to_the_end()
    world.check_end(oracle.end, world.ledger())


@pytest.mark.usefixtures("all_faults")
def test_two_nights_and_a_repro_at_once(world: World, oracle: Oracle) -> None:
    """The second night, and the stage of a `dvc repro`, are refused and told who has the project; the first ends."""
    first = world.start("tailwatch", "nightly", output="first.txt")
    world.reach(first, in_stage("train@"))
    second = world.night()
    assert second.code == 1
    assert f"a night cannot begin: the project is held by a night (process {first.pid}, since " in second.output
    stage = world.run(sys.executable, "-m", "pipeline.mix", "--run", "base")
    assert stage.code == 1
    assert f"the stage mix of base cannot begin: the project is held by a night (process {first.pid}, " in stage.output
    repro = world.run("dvc", "repro")
    assert repro.code != 0
    assert "is busy, it is being blocked by:" in repro.output or "the project is held by a night" in repro.output
    assert first.wait(timeout=1500) in VERDICTS, world.said("first.txt")
    world.check_end(oracle.end, world.ledger())


@pytest.mark.usefixtures("all_faults")
def test_the_app_is_open(world: World, oracle: Oracle) -> None:
    """People look on while a night writes what they look at; the App lives on, and the end is the same."""
    port = free_port()
    app = world.start("tailwatch", "review", "--no-browser", "--port", str(port), output="app.txt")
    try:
        world.wait(lambda: _answers(port), seconds=600)
        done = world.night()
        assert done.code in VERDICTS, done.output
        assert app.poll() is None, world.said("app.txt")
        assert _answers(port)
    finally:
        app.send_signal(signal.SIGINT)
        app.wait(timeout=60)
    world.check_end(oracle.end, world.ledger())


def _answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0
