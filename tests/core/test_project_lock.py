"""A night has the project alone, stages share it, and the kernel lets go of it for those who die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.core import paths, processes, project_lock
from pipeline.core.errors import UserError
from tests.project import ROOT

HOLD = """
import time
from pipeline.core import project_lock
with project_lock.{}:
    print('held', flush=True)
    time.sleep(60)
"""


class Other:
    """Another process in the same project."""

    def __init__(self, *command: str, token: str = "") -> None:
        """Start it, and wait for its first line."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **({project_lock.VARIABLE: token} if token else {})}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it, and wait until it is gone."""
        self.process.send_signal(number)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Other]]:
    """Processes that are ended with the test, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(project_lock.VARIABLE, raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    started: list[Other] = []
    yield started
    for one in started:
        one.end()


def python(others: list[Other], code: str, *, token: str = "", program: str = sys.executable) -> Other:
    """Start code in another process."""
    others.append(Other(program, "-c", code, token=token))
    return others[-1]


def test_two_nights(others: list[Other]) -> None:
    """The second one is refused, and told who has the project; when the first one is killed it can go on."""
    first = python(others, HOLD.format("exclusive('a night')"))
    assert first.said == "held"
    with (
        pytest.raises(UserError, match=f"held by a night .process {first.process.pid}, since"),
        project_lock.exclusive("a night"),
    ):
        pass
    found = project_lock.holder()
    assert found is not None
    assert (found.pid, found.what) == (first.process.pid, "a night")
    first.end()
    assert project_lock.holder() is None
    with project_lock.exclusive("a night"):
        assert project_lock.holder() is not None


def test_a_stage_while_a_night_is_at_work(others: list[Other]) -> None:
    """A stage that somebody else starts is refused; one that shows the night's token is let in."""
    python(others, HOLD.format("exclusive('a night')"))
    found = project_lock.holder()
    assert found is not None
    with (
        pytest.raises(UserError, match="the stage train cannot begin: the project is held by a night"),
        project_lock.shared("the stage train"),
    ):
        pass
    own = python(others, HOLD.format("shared('the stage train')"), token=found.token)
    assert own.said == "held"


def test_a_night_while_a_stage_runs(others: list[Other]) -> None:
    """A night is refused while a stage runs, and told which; two stages do not mind each other."""
    stage = python(others, HOLD.format("shared('the stage train of base')"))
    with project_lock.shared("the stage audit"):
        assert len(project_lock.sharers()) == 2
    with (
        pytest.raises(UserError, match=f"the stage train of base .process {stage.process.pid}"),
        project_lock.exclusive("a night"),
    ):
        pass
    stage.end()
    with project_lock.exclusive("a night"):
        assert project_lock.sharers() == []


def test_what_a_night_calls_belongs_to_it(others: list[Other]) -> None:
    """Pruning within a night asks for the project again, and gets it; afterwards nothing is left of the token."""
    with project_lock.exclusive("a night") as outer, project_lock.exclusive("`tailwatch prune`") as inner:
        assert inner == outer
        child = python(others, HOLD.format("shared('a stage')"))
        assert child.said == "held"
        child.end()
    assert project_lock.VARIABLE not in os.environ
    assert project_lock.holder() is None


def test_a_repro_between_two_stages(others: list[Other]) -> None:
    """A living `dvc repro` whose stage has ended keeps nights away, a dead one does not."""
    between = python(others, "print('between', flush=True)\nimport time\ntime.sleep(60)")
    me = processes.identity(psutil.Process(between.process.pid))
    project_lock._note("repro", processes.Identity(pid=me.pid, started=me.started, command="dvc repro"))
    with (
        pytest.raises(UserError, match=f"`dvc repro` .process {me.pid}. is at work"),
        project_lock.exclusive("a night"),
    ):
        pass
    between.end()
    with project_lock.exclusive("a night"):
        assert list(paths.AT_WORK.iterdir()) == []


def test_a_number_that_was_given_again(others: list[Other]) -> None:
    """A note of a process that has ended does not mean another one of the same number."""
    me = processes.identity()
    project_lock._note("repro", processes.Identity(pid=me.pid, started=me.started - 1, command="dvc repro"))
    with project_lock.exclusive("a night"):
        assert project_lock.sharers() == []


def test_the_dying_stages_of_a_killed_night_are_waited_for(
    others: list[Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night does not begin beside a stage of the one before; where that does not die, this is said."""
    night = python(others, HOLD.format("exclusive('a night')"))
    found = project_lock.holder()
    assert found is not None
    stage = python(others, HOLD.format("shared('a stage')"), token=found.token)
    night.end()
    monkeypatch.setattr(project_lock, "_DYING", 0.2)
    with (
        pytest.raises(UserError, match="a stage of the night before is still there"),
        project_lock.exclusive("a night"),
    ):
        pass
    stage.end()
    with project_lock.exclusive("a night"):
        assert project_lock.holder() is not None


@pytest.mark.parametrize("shell", [False, True], ids=["started by DVC itself", "through a shell"])
def test_a_stage_ends_with_its_dvc(others: list[Other], tmp_path: Path, *, shell: bool) -> None:
    """However `dvc repro` is killed, its stage does not outlive it, and a note says which command it was."""
    stage = HOLD.format("shared('the stage train')").replace("print('held'", "import os; print(os.getpid()")
    (tmp_path / "stage.py").write_text(stage)
    command = [sys.executable, str(tmp_path / "stage.py")]
    started = (
        f"subprocess.Popen({' '.join(command) + '; true'!r}, shell=True)" if shell else f"subprocess.Popen({command})"
    )
    (tmp_path / "dvc").write_text(f"import subprocess\n{started}.wait()\n")
    others.append(Other(sys.executable, str(tmp_path / "dvc"), "repro"))
    dvc, child = others[-1], int(others[-1].said)
    assert [f"process {dvc.process.pid}" in one for one in project_lock.sharers()] == [True, False]
    dvc.end()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with project_lock.exclusive("a night"):
        assert project_lock.sharers() == []


def test_a_stage_whose_dvc_was_killed_before_it_began(others: list[Other], tmp_path: Path) -> None:
    """A stage that still loads what it uses when DVC is killed ends as soon as it asks for the project."""
    stage = tmp_path / "stage.py"
    stage.write_text(f"""
import os, time, pathlib
os.rename({str(tmp_path / "aside")!r}, {str(tmp_path / "loading")!r})
while not pathlib.Path({str(tmp_path / "go")!r}).exists():
    time.sleep(0.02)
from pipeline.core import project_lock
from pipeline.core.errors import UserError
try:
    with project_lock.shared("the stage train"):
        said = "it trains"
except UserError as error:
    said = str(error)
pathlib.Path({str(tmp_path / "said.aside")!r}).write_text(said)
os.rename({str(tmp_path / "said.aside")!r}, {str(tmp_path / "said")!r})
""")
    (tmp_path / "aside").touch()
    (tmp_path / "dvc").write_text(
        "import os, subprocess, sys\nos.environ['DVC_STAGE'] = 'train'\nprint('at work', flush=True)\n"
        f"subprocess.Popen([sys.executable, {str(stage)!r}]).wait()\n"
    )
    others.append(Other(sys.executable, str(tmp_path / "dvc"), "repro"))
    wait_for(tmp_path / "loading")
    others[-1].end()
    (tmp_path / "go").touch()
    wait_for(tmp_path / "said")
    assert (tmp_path / "said").read_text() == "the stage train does not begin: the `dvc` that started it was killed."


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)
