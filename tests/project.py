"""A small copy of the project in a folder of its own, driven by its commands as a person would."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.core import cores

ROOT = Path(__file__).parent.parent
BCCD = ROOT.parent / "shared" / "data" / "bccd"
# As it was before a test connected to a database of its own. Tests run side by side, as many as there are cores on a
# small machine: trainings of two threads each would wait for one another, and take a third more of the processor.
_ENVIRONMENT = {cores.THREADS_VARIABLE: "1", **os.environ}
_LEFT_OUT = {"tests", "docs", "notebooks", ".ci"}


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    output: str

    @property
    def executed(self) -> list[str]:
        """The stages that `dvc repro` ran."""
        return re.findall(r"^Running stage '(.+)':$", self.output, flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Project:
    """A project's folder."""

    folder: Path

    def run(self, *command: str, timeout: float = 400, **variables: str) -> Result:
        """Run one of the environment's commands in the folder."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(**variables), text=True, timeout=timeout, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Result(done.returncode, done.stdout)

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, and go on."""
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment(**variables), text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @staticmethod
    def environment(**variables: str) -> dict[str, str]:
        """The environment of the tests, with its commands on the PATH."""
        commands = str(Path(sys.executable).parent)
        return {**_ENVIRONMENT, "PATH": f"{commands}{os.pathsep}{_ENVIRONMENT['PATH']}", **variables}

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edit params.yaml."""
        path = self.folder / "params.yaml"
        value = yaml.safe_load(path.read_text())
        edit(value)
        path.write_text(yaml.safe_dump(value, sort_keys=False))

    def digest(self, *patterns: str) -> dict[str, str]:
        """SHA-256 of the files that match, by path."""
        paths = sorted(path for pattern in patterns for path in self.folder.glob(pattern))
        return {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def small(params: dict[str, Any]) -> None:
    """Settings of a run of some seconds: its figures mean nothing."""
    params["ingest"]["digits"]["pages"] = {"train": 48, "val": 16, "test": 24}
    params["generate"].update(images=48, confidence=0.05)  # so short a training is not sure of much
    params["train"].update(steps=120, batch=16, image_size=64)
    params["audit"].update(replicates=100)
    params["runs"] = {
        "guarded-1": {"arm": "guarded", "generation": 1, "previous": "base"},
        "recursive-1": {"arm": "recursive", "generation": 1, "previous": "base"},
    }


def create(folder: Path, *edits: Callable[[dict[str, Any]], None]) -> Project:
    """Copy the project's own files, as git knows them, without ledger and frozen split, into a new repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        if Path(name).parts[0] not in _LEFT_OUT and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    for name in ("data/ledger.csv", "data/test.lock", "dvc.lock"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "data" / "imports", ignore_errors=True)
    (folder / "data" / "imports").mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    project = Project(folder)
    for edit in edits:
        project.change(edit)
    return project


def accept(project: Project) -> None:
    """Ingest, and accept what was ingested."""
    done = project.run("dvc", "repro", "ingest")
    assert done.code == 0, done.output
    done = project.run("tailwatch", "accept", "--yes", "--reviewer", "a tester", "--reason", "made for this test")
    assert done.code == 0, done.output
