"""How a stage ends: a person's error is one line, a fault of the code keeps its traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import stage
from pipeline.core.errors import UserError
from tests.project import ROOT


def raising(error: BaseException) -> Callable[[str], None]:
    """A stage that does nothing but raise."""

    def main(run: str) -> None:
        """Do nothing but raise."""
        raise error

    return main


def ended(main: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit code of a stage, given these arguments."""
    monkeypatch.setattr(sys, "argv", ["mix", *arguments])
    with pytest.raises(SystemExit) as caught:
        stage.start(main)
    return caught.value.code


def test_run_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage gets the name of its run and ends without an exit code."""
    seen: list[str] = []
    monkeypatch.setattr(sys, "argv", ["mix", "--run", "guarded-1"])
    stage.start(seen.append)
    assert seen == ["guarded-1"]


def test_plain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A stage without runs takes no argument."""
    seen: list[str] = []

    def main() -> None:
        """Take real images in."""
        seen.append("ran")

    monkeypatch.setattr(sys, "argv", ["ingest"])
    stage.start_plain(main)
    monkeypatch.setattr(sys, "argv", ["ingest", "--run", "base"])
    with pytest.raises(SystemExit):
        stage.start_plain(main)
    assert seen == ["ran"]
    assert "unrecognized arguments: --run base" in capsys.readouterr().err


def test_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Help says what the stage does."""
    assert ended(raising(ValueError()), monkeypatch, "--help") == 0
    assert "Do nothing but raise." in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--run"], ["guarded-1"]], ids=["none", "no name", "no option"])
def test_arguments_missing(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's stage without a run is a wrong command line: exit code 2."""
    assert ended(raising(ValueError()), monkeypatch, *arguments) == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        pytest.param(UserError("no run 'x'."), 1, "error: no run 'x'.\n", id="user error"),
        pytest.param(
            KeyboardInterrupt(),
            130,
            "interrupted; nothing was half written. Run the command again to go on.\n",
            id="ctrl-c",
        ),
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device", "data/x"),
            1,
            "error: the disk is full: data/x. Mend that and run the command again; nothing was half written.\n",
            id="disk full",
        ),
        pytest.param(OSError(errno.EDQUOT, "Quota", "x"), 1, "error: the disk quota is used up: x. ", id="quota"),
        pytest.param(
            OSError(errno.EROFS, "Read-only", "x"), 1, "error: the file system is read-only: x. ", id="read only"
        ),
        pytest.param(PermissionError(errno.EACCES, "denied"), 1, "error: permission denied: a file. ", id="permission"),
    ],
)
def test_errors_of_people_and_machines(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a person can mend is one message on standard error, and an exit code."""
    assert ended(raising(error), monkeypatch, "--run", "base") == code
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    "error",
    [ValueError("wrong"), FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x"), OSError("no number")],
    ids=["value", "missing file", "without a number"],
)
def test_faults_of_the_code(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is a fault of the code, and keeps its traceback."""
    monkeypatch.setattr(sys, "argv", ["mix", "--run", "base"])
    with pytest.raises(type(error)) as caught:
        stage.start(raising(error))
    assert caught.value is error


def test_explain_unknown() -> None:
    """An error that has no words of ours keeps the system's."""
    assert stage.explain(OSError(errno.EIO, "Input/output error", "x")).startswith("Input/output error: x.")
    assert stage.explain(OSError("strange")).startswith("strange: a file.")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: 8589 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        ImportError("libtorch_cpu.so: failed to map segment from shared object: Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("could not create a primitive"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
    ids=["python", "torch", "a GPU", "a library", "a library, in short", "oneDNN", "the system"],
)
def test_too_little_memory(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Memory that was refused is said in words, with what to do, and without a traceback."""
    assert ended(raising(error), monkeypatch, "--run", "base") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: there was not enough memory (")
    assert "Lower train.batch" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("cause", [True, False], ids=["cause", "context"])
def test_too_little_memory_deeper_down(
    *, cause: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came of memory that was refused is said as that: torch, half imported, complains of the second import."""
    refused = raising(ImportError("libtorch_cpu.so: failed to map segment from shared object"))

    def main(run: str) -> None:
        try:
            refused(run)
        except ImportError as error:
            if cause:
                raise ValueError("the second complaint") from error
            raise ValueError("the second complaint")  # noqa: B904 - this is what is tested

    assert ended(main, monkeypatch, "--run", "base") == 1
    assert "not enough memory (libtorch_cpu.so: failed to map" in capsys.readouterr().err


STAGE = """
import atexit, sys, threading, time
from pipeline.core import stage

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()
atexit.register(lambda: print("closed"))

def main():
    \"\"\"Say a word, and leave a thread behind where one is wanted.\"\"\"
    sys.stdout.write("ran ")
    if THREAD:
        threading.Thread(target=lambda: (time.sleep(0.3), print("went on"))).start()

stage.start_plain(main)
"""


def run_alone(folder: Path, *, thread: bool = False, **output: Any) -> subprocess.CompletedProcess[str]:
    """Run the stage in a process of its own."""
    script = folder / "stage.py"
    script.write_text(STAGE.replace("THREAD", str(thread)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONUNBUFFERED", None)  # with it, nothing that is printed waits to be written
    return subprocess.run([sys.executable, script], text=True, check=False, cwd=folder, env=environment, **output)


@pytest.mark.parametrize(
    ("thread", "said"),
    [
        pytest.param(False, "ran closed\n", id="alone"),
        pytest.param(True, "ran went on\nclosed\ntaken apart\n", id="a thread goes on"),
    ],
)
def test_a_stage_leaves_without_taking_its_modules_apart(tmp_path: Path, *, thread: bool, said: str) -> None:
    """What was written is out and what was to be done at the end is done; with a thread, it ends as any program."""
    done = run_alone(tmp_path, thread=thread, capture_output=True)
    assert (done.returncode, done.stdout) == (0, said), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_stage_whose_last_words_cannot_be_written_does_not_end_well(tmp_path: Path) -> None:
    """Output that the disk has no room for is an error, as of any program."""
    with Path("/dev/full").open("w") as full:
        done = run_alone(tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode != 0
