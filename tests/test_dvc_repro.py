"""A command of DVC is watched, logged, and ended with everything that it started; here a script stands in for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.adapters import dvc_repro
from pipeline.adapters.dvc_repro import Done
from tests.project import ROOT

SLEEPER = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print('child', p.pid, flush=True); "


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The night's log."""
    return tmp_path / "night" / "repro.log"


def run(monkeypatch: pytest.MonkeyPatch, log: Path, code: str, *, minutes: float = 1.0) -> tuple[Done, list[str]]:
    """Run code in DVC's place; what came of it, and the stages that were told. The limit holds once it has a child."""
    monkeypatch.setattr(dvc_repro, "_DVC", (sys.executable, "-u", "-c", code))
    told: list[str] = []
    done = dvc_repro.run(
        ["repro"], log=log, limit=lambda _: minutes if "child " in log.read_text() else 1.0,
        on_stage=lambda name, seconds: told.append(f"{name} {'begins' if seconds is None else 'ends'}"),
    )  # fmt: skip
    return done, told


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_gone(pid: int) -> bool:
    """Whether a process ends within a moment."""
    deadline = time.monotonic() + 5
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return gone(pid)


def child_of(log: Path) -> int:
    """The process that the script said it started."""
    return int(next(line for line in log.read_text().splitlines() if line.startswith("child ")).split()[1])


def test_stages_are_told_and_all_is_logged(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """Each stage begins and ends, those that DVC skips do neither, and the log has every line."""
    lines = [
        "Stage 'ingest' didn't change, skipping", "Running stage 'mix@a':", "> python -m pipeline.mix --run a",
        "Updating lock file 'dvc.lock'", "", "Running stage 'train@a':", "  1%|x|\\r100%|y|",
        "Updating lock file 'dvc.lock'",
    ]  # fmt: skip
    done, told = run(monkeypatch, log, "\n".join(f'print("{line}")' for line in lines))
    assert (done.code, done.fault, done.stage, done.late) == (0, "", "", None)
    assert told == ["mix@a begins", "mix@a ends", "train@a begins", "train@a ends"]
    text = log.read_text()
    assert text.startswith("$ dvc repro\n")
    assert "> python -m pipeline.mix --run a" in text


def test_what_a_stage_says_comes_before_what_dvc_says(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """The fault is the stage's own, without addresses; the stage is named."""
    code = """
print("Running stage 'train@a':")
print("error: cannot reach https://user:secret@example.org/x: no route")
print("ERROR: failed to reproduce 'train@a': failed to run: python -m pipeline.train --run a, exited with 1")
raise SystemExit(255)
"""
    done, told = run(monkeypatch, log, code)
    assert (done.code, done.stage) == (255, "train@a")
    assert done.fault == "cannot reach https://*** no route"
    assert told == ["train@a begins", "train@a ends"]


@pytest.mark.parametrize("end", ["\\n", ""], ids=["a whole line", "a line that was cut off"])
def test_no_address_is_logged(monkeypatch: pytest.MonkeyPatch, log: Path, end: str) -> None:
    """The address of a remote, with the password in it, is not in the log, however it comes."""
    code = f"""
import sys, time
for part in ("Collecting\\nERROR: failed to connect to ht", "tps://user:s3cret@exam", "ple.org/x{end}"):
    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.02)
raise SystemExit(1)
"""
    done, _ = run(monkeypatch, log, code)
    assert done.fault == "failed to connect to https://***"
    assert log.read_text() == "$ dvc repro\nCollecting\nERROR: failed to connect to https://***\n"


def test_a_traceback_is_told_by_its_end(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """A stage that fails by a fault of its own says what was raised, not that it "exited with 1"."""
    code = """
print("Running stage 'gate@a':")
import subprocess, sys
subprocess.run([sys.executable, "-c", "raise ValueError('a box without a class')"])
sys.exit("ERROR: failed to reproduce 'gate@a': failed to run: python -m pipeline.gate, exited with 1")
"""
    done, _ = run(monkeypatch, log, code)
    assert done.fault == "ValueError: a box without a class"


def test_only_dvc_says_something(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """A stage that was killed says nothing: then DVC's line is the fault."""
    line = "ERROR: failed to reproduce 'train@a': failed to run: python -m pipeline.train --run a, exited with -9"
    done, _ = run(monkeypatch, log, f'print("Running stage \'train@a\':"); print("{line}"); raise SystemExit(255)')
    assert done.fault.endswith("exited with -9")


def test_a_limit_ends_the_whole_group(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """What takes longer than its limit is ended, with what it started, and the limit is given."""
    code = f"print(\"Running stage 'train@a':\", flush=True); {SLEEPER}p.wait()"
    done, _ = run(monkeypatch, log, code, minutes=1 / 60)
    assert (done.late, done.stage) == (1 / 60, "train@a")
    assert is_gone(child_of(log))


def test_what_does_not_want_to_end(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """SIGTERM that is ignored is followed by SIGKILL."""
    monkeypatch.setattr(dvc_repro, "_GRACE", 0.2)
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}p.wait()"
    done, _ = run(monkeypatch, log, code, minutes=0.5 / 60)
    assert done.code == -signal.SIGKILL
    assert is_gone(child_of(log))


def test_an_exception_ends_it_too(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """A signal to the night, or a full disk, leaves nothing running."""
    monkeypatch.setattr(
        dvc_repro, "_DVC", (sys.executable, "-u", "-c", f"{SLEEPER}print(\"Running stage 'a':\"); p.wait()")
    )

    def full(_name: str, _seconds: float | None) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        dvc_repro.run(["repro"], log=log, limit=lambda _: 1.0, on_stage=full)
    assert is_gone(child_of(log))


def test_what_a_stage_leaves_behind_does_not_hold_it_up(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    """A process that keeps DVC's output open, as a database does, is not waited for."""
    started = time.monotonic()
    done, _ = run(monkeypatch, log, SLEEPER)
    assert done.code == 0
    assert time.monotonic() - started < 10
    assert is_gone(child_of(log))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not end a child with its parent")
def test_kill_9_of_the_night_ends_it(tmp_path: Path) -> None:
    """A night that is killed cannot end anything: the kernel does it."""
    code = f"""
import sys
from pathlib import Path
from pipeline.adapters import dvc_repro
dvc_repro._DVC = (sys.executable, "-u", "-c", "import os, time; print('child', os.getpid()); time.sleep(60)")
dvc_repro.run(["repro"], log=Path({str(tmp_path / "log")!r}), limit=lambda _: 1.0)
"""
    night = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 20
    while not (tmp_path / "log").exists() or "child" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    night.kill()
    night.wait()
    assert is_gone(child_of(tmp_path / "log"))
