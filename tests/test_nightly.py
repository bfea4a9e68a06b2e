"""Nights of a small project, for real: resumed after a kill, refused, limited, stopped early, told to people."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.project import Project, Result, accept, create, small

pytestmark = pytest.mark.slow

EXIT_CODES = {"HEALTHY": 0, "COLLAPSING": 3, "INCONCLUSIVE": 4}
OUTPUTS = [
    f"data/{name}/**/*.*" for name in ("real", "verified", "generate", "mix", "audit", "confirm", "gate", "history")
]
OF_PEOPLE = "# said by a person, and kept\n"


@dataclass
class Heard:
    """What the server was sent: messages, and pings by the end of their address."""

    port: int = 0
    messages: list[dict[str, str]] = field(default_factory=list)
    pings: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Forget it."""
        self.messages.clear()
        self.pings.clear()


@pytest.fixture(scope="module")
def heard() -> Iterator[Heard]:
    """A server of this machine that takes messages at /told and pings at /ping."""
    found = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            if self.path.startswith("/ping"):
                found.pings.append(self.path.removeprefix("/ping/s3cretsecret"))
            else:
                found.messages.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield found
        server.shutdown()


def least(params: dict[str, Any]) -> None:
    """One arm, and as little of everything as the pipeline takes; the figures mean nothing."""
    small(params)
    params["ingest"]["digits"]["pages"] = {"train": 40, "val": 12, "test": 24}
    params["generate"].update(images=24, confidence=0.01)
    params["train"].update(steps=8, batch=8)
    params["confirm"].update(recall_loss=0.9, map_loss=0.9)
    params["arms"] = {"guarded": params["arms"]["guarded"]}
    params["runs"] = {}
    del params["nightly"]  # `configure` puts it at the end


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, heard: Heard) -> Project:
    """A project that was accepted and committed, with a DVC remote, and has had no night."""
    made = create(tmp_path_factory.mktemp("a project of nights") / "project", least)
    text = (made.folder / "params.yaml").read_text()
    (made.folder / "params.yaml").write_text(f"{text}{OF_PEOPLE}")
    configure(made, commit=True, notify=["env:WEBHOOK"], ping=f"http://127.0.0.1:{heard.port}/ping/s3cretsecret")
    accept(made)
    made.run("dvc", "remote", "add", "-d", "here", str(made.folder.parent / "remote"))
    for command in (["config", "user.name", "a tester"], ["config", "user.email", "t@example.org"], ["add", "."],
                    ["commit", "-qm", "before the first night"]):  # fmt: skip
        made.run("git", *command)
    return made


def configure(project: Project, **nightly: Any) -> None:
    """Change the section `nightly`, which stands at the end of params.yaml; all before it stays as it is."""
    path = project.folder / "params.yaml"
    head, _, tail = path.read_text().partition("\nnightly: ")
    path.write_text(f"{head}\nnightly: {json.dumps({**(json.loads(tail) if tail else {}), **nightly})}\n")


def night(project: Project, heard: Heard) -> Result:
    """One night."""
    return project.run("tailwatch", "nightly", timeout=580, **webhook(heard))


def webhook(heard: Heard) -> dict[str, str]:
    """The environment that a night is told its webhook by."""
    return {"WEBHOOK": f"json://127.0.0.1:{heard.port}/told/s3cretsecret"}


def record(project: Project) -> dict[str, Any]:
    """The newest night's record."""
    found = [json.loads(path.read_text()) for path in project.folder.glob(".tailwatch/nights/*/night.json")]
    return dict(max(found, key=lambda one: one["number"]))


def processes(project: Project) -> list[str]:
    """What still runs in the project's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == project.folder:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def wait_for(what: Any, *, seconds: float = 240) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def cut_off(project: Project, heard: Heard, *, stage: str, number: int) -> str:
    """Begin a night, end it by a signal within a stage, and wait until nothing of it is left; what it said."""
    begun = project.start("tailwatch", "nightly", **webhook(heard))
    wait_for(lambda: begun.poll() is not None or (
        (project.folder / ".tailwatch/nights").is_dir() and record(project)["pid"] == begun.pid
        and record(project)["stage"] == stage
    ))  # fmt: skip
    assert begun.poll() is None, begun.communicate()[0]
    time.sleep(1)
    os.kill(begun.pid, number)
    output, _ = begun.communicate(timeout=60)
    wait_for(lambda: not processes(project), seconds=15)
    return output


@pytest.fixture(scope="module")
def first(project: Project, heard: Heard) -> Result:
    """The first night."""
    return night(project, heard)


@pytest.fixture(scope="module")
def twin(project: Project, first: Result) -> Project:
    """A copy of the project after its first night."""
    copied = project.folder.parent / "twin"
    shutil.copytree(project.folder, copied, symlinks=True)
    return Project(copied)


def test_the_first_night(project: Project, first: Result, heard: Heard) -> None:
    """A run is appended, trained, judged, pushed, committed and told; the exit code is that of `check`."""
    judged = json.loads(project.run("tailwatch", "check", "--json").output)
    assert first.code == EXIT_CODES[judged["verdict"]], first.output
    assert list(judged["arms"]["guarded"]["runs"]) == ["guarded-1"]
    found = record(project)
    assert (found["phase"], found["runs"], found["pushed"], found["exit_code"]) == (
        "done",
        ["guarded-1"],
        True,
        first.code,
    )
    assert {"train-base", "train@guarded-1", "report"} <= {stage["name"] for stage in found["stages"]}
    (message,) = heard.messages
    assert message["title"].startswith(judged["verdict"])
    assert "mAP50-95" in message["message"]
    assert message["message"].endswith("Report: reports/index.html")
    assert heard.pings == ["/start", "" if first.code in (0, 4) else "/fail"]
    assert OF_PEOPLE in (project.folder / "params.yaml").read_text()
    assert (
        "s3cretsecret"
        not in first.output + (project.folder / ".tailwatch/nights" / found["name"] / "repro.log").read_text()
    )
    shown = project.run("git", "show", "--name-only", "--format=%s", f"tailwatch/{found['name']}^{{commit}}").output
    assert shown.startswith("Night 1: ")
    assert {"params.yaml", "dvc.lock", "data/test.lock"} <= set(shown.split())
    assert project.run("dvc", "status", "-c").output.endswith("in sync.\n")


def test_a_night_that_is_killed_and_stopped_ends_as_one_that_was_not(
    project: Project, twin: Project, heard: Heard
) -> None:
    """After `kill -9` in a training and SIGTERM in an audit, a night run again gives the same digests as its twin's."""
    undisturbed = night(twin, heard)
    heard.clear()
    cut_off(project, heard, stage="train@guarded-2", number=signal.SIGKILL)
    assert "cut off in: train, train@guarded-2" in project.run("tailwatch", "status").output
    assert heard.messages == []
    told = cut_off(project, heard, stage="audit@guarded-2", number=signal.SIGTERM)
    assert "Stopped by SIGTERM" in told
    assert [one["title"].split(":")[0] for one in heard.messages] == ["STOPPED"]
    resumed = night(project, heard)
    assert resumed.code == undisturbed.code, resumed.output
    assert "going on with guarded-2" in resumed.output
    assert project.digest(*OUTPUTS, "params.yaml") == twin.digest(*OUTPUTS, "params.yaml")
    assert stages(project) == stages(twin)
    assert not list(project.folder.glob("data/**/.*.????????"))


def stages(project: Project) -> dict[str, str]:
    """MD5 of each output of dvc.lock, but for weights, whose files differ where the weights are equal."""
    text = (project.folder / "dvc.lock").read_text()
    found = dict(re.findall(r"- path: (data/\S+|reports/metrics.json)\n(?:\s+hash: md5\n)?\s+md5: (\S+)", text))
    return {path: md5 for path, md5 in found.items() if not path.startswith(("data/train", "data/review"))}


def test_a_night_while_dvc_repro_is_at_work(twin: Project, heard: Heard) -> None:
    """It is refused, and told which command it is; nothing changes."""
    heard.clear()
    before = twin.digest("params.yaml", "dvc.lock")
    repro = twin.start("dvc", "repro", "--single-item", "--force", "report")
    try:
        wait_for(lambda: list(twin.folder.glob(".tailwatch/at-work/stage-*.json")), seconds=60)
        refused = night(twin, heard)
    finally:
        repro.communicate(timeout=200)
    assert refused.code == 1
    assert "a night cannot begin" in refused.output
    assert "dvc repro --single-item --force report" in refused.output
    assert twin.digest("params.yaml", "dvc.lock") == before
    assert [one["title"].split(":")[0] for one in heard.messages] == ["FAILED"]


def test_a_stage_that_takes_too_long(project: Project, heard: Heard) -> None:
    """It is ended with all that it started, and the night fails with the stage and the limit."""
    heard.clear()
    configure(project, limits={"generate": 0.005})
    ended = night(project, heard)
    assert ended.code == 1
    assert "generate@guarded-3 took more than its limit of 0.005 minutes" in ended.output
    assert processes(project) == []
    assert heard.pings == ["/start", "/fail"]
    configure(project, limits={})


def test_a_warning_that_saves_the_training(project: Project, heard: Heard) -> None:
    """The night ends before training with exit code 4, and goes on with the same run when the warning is let pass."""
    heard.clear()
    configure(project, stop_on=["vanishing-class"])
    ended = night(project, heard)
    assert ended.code == 4, ended.output
    assert "Nothing was trained: nightly.stop_on names vanishing-class" in ended.output
    assert (project.folder / "data/mix/guarded-3").is_dir()
    assert not (project.folder / "data/train/guarded-3").exists()
    assert [one["title"].split(":")[0] for one in heard.messages] == ["INCONCLUSIVE"]


def test_an_arm_that_collapsed_rests_until_a_person_has_looked(project: Project, heard: Heard) -> None:
    """A COLLAPSING run ends with exit code 3 and is not used; the arm gets no generation until it is promoted."""
    project.change(lambda params: params["gate"].update(fail_on=["vanishing-class"]))
    project.change(lambda params: params["nightly"].update(stop_on=[]))
    collapsed = night(project, heard)
    assert collapsed.code == 3, collapsed.output
    assert record(project)["runs"] == ["guarded-3"]
    used = project.folder / "models/current/guarded.json"
    assert not used.exists() or json.loads(used.read_text())["now"]["run"] != "guarded-3"
    again = night(project, heard)
    assert again.code == 3
    assert "guarded rests" in again.output
    assert "guarded-4" not in (project.folder / "params.yaml").read_text()
    assert "rests: a person has to look" in project.run("tailwatch", "status").output
    promoted = project.run("tailwatch", "promote", "guarded-3", "--reviewer", "a tester", "--reason", "looked at it")
    assert promoted.code == 0, promoted.output
    project.change(lambda params: params["nightly"].update(stop_on=["vanishing-class"]))
    assert night(project, heard).code == 4
    assert record(project)["runs"] == ["guarded-4"]


def test_all_that_is_wrong_is_said_at_once(project: Project, heard: Heard) -> None:
    """A remote that cannot be written and a broken ledger are both said, and nothing is begun."""
    before = project.digest("params.yaml", "dvc.lock")
    remote = project.folder.parent / "remote"
    remote.rename(remote.with_name("gone"))
    remote.write_text("no folder")
    text = (project.folder / "data/ledger.csv").read_text()
    (project.folder / "data/ledger.csv").write_text(text.replace("made for this test", "made for that test"))
    refused = night(project, heard)
    assert refused.code == 1
    assert "- remote: here cannot be written" in refused.output
    assert "- ledger: " in refused.output
    assert project.digest("params.yaml", "dvc.lock") == before
    assert subprocess.run(["pgrep", "-f", str(project.folder)], check=False, capture_output=True).stdout == b""
