"""A small project with a remote, put back as it was before each fault, and the processes that belong to it."""

from __future__ import annotations

import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml

from pipeline.core import files
from tests.project import Project, Result, accept, create, small

_LOG = logging.getLogger(__name__)
Kind = Literal["nightly", "dvc", "stage", "mongod", "group"]

VERDICTS = (0, 3, 4)  # exit codes of a night that came to its end
_MARK = "TAILWATCH_TEST_OF_FAULTS"  # of the environment: the world that a process belongs to
# What a night makes, but for what names times, or files of weights, which differ where the weights are equal.
_OUTPUTS = [f"data/{name}/**/*.*" for name in ("real", "generate", "mix", "audit", "confirm", "gate")]
_OUTPUTS += [
    "data/verified/manifest.parquet",
    "data/history/*.json",
    "data/anchors.dvc",
    "params.yaml",
    "data/test.lock",
]
# People decide meanwhile: the ledger goes on, and what is mixed after that names its newest row.
_NOT_COMPARED = ("data/train", "data/review", "data/verified", "data/ledger.csv", "data/mix")
_TENSORS = """
import hashlib, sys, torch
for path in sys.argv[1:]:
    digest = hashlib.sha256()
    found = torch.load(path, weights_only=False, map_location="cpu")
    for name, tensor in sorted((found.get("ema") or found["model"]).state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    print(digest.hexdigest())
"""

_DECIDE = """
import sys
from pipeline.core import deciding, manifest, paths
row = next(row for row in manifest.read(paths.VERIFIED_MANIFEST) if row.split == "test")
deciding.decide("accept", row.image_id, row.label_digest, reviewer=sys.argv[1])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What a night came to: all of it has to be the same whatever happened on the way."""

    files: dict[str, str]
    stages: dict[str, str]
    weights: list[str]
    runs: list[str]
    verdicts: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A folder with a project and its remote, and beside it copies of both."""

    folder: Path
    mark: str

    @property
    def project(self) -> Project:
        """The project."""
        return Project(self.folder / "now" / "project")

    @property
    def remote(self) -> Path:
        """The folder that is the DVC remote."""
        return self.folder / "now" / "remote"

    def save(self, name: str) -> None:
        """Keep project and remote as they are, whole or not at all."""
        _copy(self.folder / "now", self.folder / "aside")
        (self.folder / "aside").rename(self.folder / name)

    def restore(self, name: str) -> None:
        """Put project and remote back."""
        for process in self.processes():
            process.kill()
        self.wait(lambda: not self.processes(), seconds=20)
        _copy(self.folder / name, self.folder / "now")

    def start(self, *command: str, output: str = "output.txt", **variables: str) -> subprocess.Popen[str]:
        """Start a command whose output goes to a file, so that nobody waits for a pipe."""
        environment = {**Project.environment(), _MARK: self.mark, "OMP_NUM_THREADS": "1", **variables}
        with (self.folder / output).open("w") as out:
            return subprocess.Popen(
                command, cwd=self.project.folder, env=environment, text=True, start_new_session=True,
                stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - takes no lock
            )  # fmt: skip

    def said(self, output: str = "output.txt") -> str:
        """What the command has said that was started last, or with an output of its own."""
        return (self.folder / output).read_text()

    def run(self, *command: str, **variables: str) -> Result:
        """Run a command to its end."""
        code = self.start(*command, **variables).wait(timeout=1500)
        return Result(code, self.said())

    def night(self, **variables: str) -> Result:
        """One night."""
        return self.run("tailwatch", "nightly", **variables)

    def record(self, pid: int | None = None) -> dict[str, Any] | None:
        """The newest night's record; of a process, where that has begun one."""
        found = [json.loads(path.read_text()) for path in self.project.folder.glob(".tailwatch/nights/*/night.json")]
        newest = max(found, key=lambda one: int(one["number"]), default=None)
        return newest if newest is not None and pid in (None, newest["pid"]) else None

    def processes(self) -> list[psutil.Process]:
        """Whatever lives and was started for this world, by its environment or its folder."""
        return [one for one in psutil.process_iter() if self._ours(one)]

    def _ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return False
            if process.environ().get(_MARK) == self.mark:
                return True
            return Path(process.cwd()).is_relative_to(self.project.folder)
        except (psutil.Error, OSError):
            return False

    def of_kind(self, kind: Kind, night: int) -> list[psutil.Process]:
        """Those of a kind: the night itself, its `dvc`, the stage, the database, or all of them."""
        return [one for one in self.processes() if kind == "group" or _kind(one, night) == kind]

    def kinds(self, night: int) -> frozenset[Kind]:
        """The kinds of which there is one at least."""
        return frozenset(kind for one in self.processes() for kind in ("group", _kind(one, night)) if kind)

    def reach(self, process: subprocess.Popen[str], what: Callable[[dict[str, Any]], object]) -> None:
        """Wait until the record of a night is so; it must not end before.

        Raises:
            AssertionError: it ends.
        """
        while True:
            record = self.record(process.pid)
            if record is not None and what(record):
                return
            assert process.poll() is None, self.said()
            time.sleep(0.02)

    def wait(self, what: Callable[[], object], *, seconds: float) -> None:
        """Wait until something is so.

        Raises:
            AssertionError: it does not become so.
        """
        deadline = time.monotonic() + seconds
        while not what():
            told = [" ".join(_command(one)) for one in self.processes()]
            assert time.monotonic() < deadline, f"not within {seconds} s; there are {told}; said: {self.said()}"
            time.sleep(0.05)

    def to_the_end(self, *, tries: int = 4) -> Result:
        """Run nights until one comes to a verdict, as a schedule would."""
        for _ in range(tries):
            done = self.night()
            if done.code in VERDICTS:
                return done
        raise AssertionError(f"no night of {tries} came to its end: {done.output}")

    def end(self) -> End:
        """What the night came to."""
        folder = self.project.folder
        text = (folder / "dvc.lock").read_text()
        listed = dict(re.findall(r"- path: (data/\S+|reports/metrics.json)\n(?:\s+hash: md5\n)?\s+md5: (\S+)", text))
        weights = sorted(str(path) for path in folder.glob("data/train/*/weights*.pt"))
        tensors = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _TENSORS, *weights],
            cwd=folder, text=True, capture_output=True, check=True,
            env=Project.environment(YOLO_CONFIG_DIR=str(folder / ".tailwatch/ultralytics")),
        )  # fmt: skip
        return End(
            files={**self.project.digest(*_OUTPUTS), **self._mixtures()},
            stages={path: md5 for path, md5 in listed.items() if not path.startswith(_NOT_COMPARED)},
            weights=re.findall("^[0-9a-f]{64}$", tensors.stdout, flags=re.MULTILINE),
            runs=self.runs(),
            verdicts={path.stem: json.loads(path.read_text())["verdict"] for path in folder.glob("data/gate/*.json")},
        )

    def _mixtures(self) -> dict[str, str]:
        """What was mixed, but for the row of the ledger up to which people had decided."""
        found = sorted(self.project.folder.glob("data/mix/*/summary.json"))
        values = {str(path.relative_to(self.project.folder)): json.loads(path.read_text()) for path in found}
        return {path: json.dumps({**value, "ledger": ""}) for path, value in values.items()}

    def runs(self) -> list[str]:
        """The runs in params.yaml."""
        return list(yaml.safe_load((self.project.folder / "params.yaml").read_text())["runs"])

    def ledger(self) -> list[str]:
        """The lines of the ledger."""
        return (self.project.folder / "data/ledger.csv").read_text().splitlines()

    def decide(self, who: str) -> None:
        """Have a person accept an image that is in use; it changes nothing but the ledger."""
        done = self.project.run(sys.executable, "-c", _DECIDE, who)
        assert done.code == 0, done.output

    def half_files(self) -> list[str]:
        """What is half written: left-overs of writers, and files of DVC's cache or remote that hold something else."""
        folder = self.project.folder
        patterns = ("data/**/.*.????????", "models/**/.*.????????", "reports/.*.????????", ".*.????????",
                    ".tailwatch/confirm-*")  # fmt: skip
        found = [str(path) for pattern in patterns for path in folder.glob(pattern)]
        for store in (folder / ".dvc/cache", self.remote):
            found += [  # names with a dot are what DVC writes aside: it never takes one of them for a file of its own
                str(path)
                for path in store.glob("files/md5/??/[!.]*")
                if files.md5_file(path) != path.parent.name + path.name.removesuffix(".dir")
            ]  # fmt: skip
        return found

    def check(self, runs: list[str]) -> None:
        """Hold what has to be so at any moment: files that can be read, no generation twice, nobody left."""
        _LOG.info("said:\n%s", self.said())
        self.wait(lambda: not self.processes(), seconds=120)
        yaml.safe_load((self.project.folder / "dvc.lock").read_text())
        now = self.runs()
        assert len(now) == len(set(now))
        assert set(now) <= set(runs), now

    def check_end(self, wanted: End, ledger: list[str]) -> None:
        """Hold the end against that of an undisturbed night, and look for what a fault may leave."""
        self.check(wanted.runs)
        assert self.end() == wanted
        assert not self.half_files()
        now = self.ledger()
        assert now[: len(ledger)] == ledger
        assert self.project.run("tailwatch", "ledger", "check").code == 0


def has_told(record: dict[str, Any] | None) -> bool:
    """Whether a night came to its verdicts and told them, pushed or not: the one after it is the next one."""
    return record is not None and (record["exit_code"] in VERDICTS or "FAILED TO PUSH;" in record["message"])


def in_stage(name: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the record of a night says that it is in a stage whose name begins so."""
    return lambda record: (record["stage"] or "").startswith(name)


def _hear_ctrl_c() -> None:
    """Undo what a shell does to commands in the background, these tests among them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _kind(process: psutil.Process, night: int) -> Kind | None:
    command = _command(process)
    if process.pid == night:
        return "nightly"
    if "mongod" in Path(command[0] if command else "").name:
        return "mongod"
    if command[1:3] == ["-m", "dvc"]:
        return "dvc"
    return "stage" if command[1:2] == ["-m"] and command[2].count(".") == 1 else None


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        for path in target.iterdir():  # the folder itself may be where a disk is mounted
            shutil.rmtree(path)
    target.mkdir(parents=True, exist_ok=True)
    # Times are kept, so that DVC need not hash anything again.
    subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", str(target)], check=True)


def least(params: dict[str, Any]) -> None:
    """One arm, and as little of everything as the pipeline takes; the oldest runs leave at once."""
    small(params)
    params["ingest"]["digits"]["pages"] = {"train": 32, "val": 8, "test": 16}
    params["generate"].update(images=16, confidence=0.01)
    params["mix"].update(generations=1)
    params["train"].update(steps=4, batch=8)
    params["audit"].update(replicates=100)
    params["report"].update(examples=1, lost_boxes=1)
    params["confirm"].update(recall_loss=0.9, map_loss=0.9)
    params["arms"] = {"guarded": params["arms"]["guarded"]}
    params["runs"] = {}
    params["nightly"]["keep"].update(last=1, every=0)
    params["nightly"].update(disk_margin=1.0)


def build(world: World, *, nights: int) -> None:
    """Make a project with a base that has had some nights: in the third, a run leaves and the one before is pruned."""
    create(world.project.folder, least)
    accept(world.project)
    world.project.run("dvc", "remote", "add", "-d", "here", "../remote")
    for command in (["config", "user.name", "a tester"], ["config", "user.email", "t@example.org"], ["add", "."],
                    ["commit", "-qm", "before the first night"]):  # fmt: skip
        world.project.run("git", *command)
    done = world.run("dvc", "repro", "audit-base", "confirm-base")
    assert done.code == 0, done.output
    for _ in range(nights):
        done = world.night()
        assert done.code in VERDICTS, done.output
    world.decide("before the night")
    world.wait(lambda: not world.processes(), seconds=30)
    world.save("before")
