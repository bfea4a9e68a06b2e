"""What a night says and keeps has no address of those who hear of it, nor a remote's password, however it ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline import cli, night_steps, nightly
from pipeline.adapters import dvc_repro
from pipeline.core import files, paths, project_lock
from pipeline.core.errors import UserError
from pipeline.core.night_journal import Journal
from pipeline.core.params import Params
from tests import report_builders as build

NOBODY = "127.0.0.1:9"  # nothing listens there
HOOK, PING, PASSWORD, OTHER = "h00ksecret", "p1ngsecret", "passw0rdsecret", "env1ronsecret"
SECRETS = (HOOK, PING, PASSWORD, OTHER)
TOLD = (f"json://{NOBODY}/{HOOK}", f"http://{NOBODY}/{PING}", f"https://user:{PASSWORD}@example.org/x", OTHER)
DVC = "[core]\n    remote = r\n    no_scm = true\n['remote \"r\"']\n    url = {}\n"
PUSH = f"print('ERROR: cannot connect to {TOLD[2]}'); raise SystemExit(1)"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose night tells two addresses that nobody answers at, and whose DVC fails with that of a remote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEBHOOK", f"json://{NOBODY}/{OTHER}")
    build.project(tmp_path)
    settings = yaml.safe_load(paths.PARAMS.read_text())
    settings["nightly"] = {"notify": [TOLD[0], "env:WEBHOOK"], "ping": TOLD[1]}
    files.write_text(paths.PARAMS, yaml.safe_dump(settings))
    monkeypatch.setattr(dvc_repro, "_DVC", (sys.executable, "-c", PUSH))
    return tmp_path


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(None, id="a push that fails"),
        pytest.param(UserError(f"cannot use {', '.join(TOLD)}."), id="a mistake"),
        pytest.param(OSError(5, "Input/output error", TOLD[0]), id="the system"),
        pytest.param(RuntimeError(" ".join(TOLD)), id="a fault of its own"),
    ],
)
def test_a_night(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception | None
) -> None:
    """Neither what it prints, which is what cron.log gets, nor its record, its log or `tailwatch status` has any."""

    def take(settings: Params, journal: Journal) -> None:
        journal.say(night_steps._push(settings, journal))
        if error is None:
            night_steps._dvc(settings, journal, "push", "--remote", TOLD[2])
        else:
            raise error

    monkeypatch.setattr(night_steps, "take", take)
    files.write_text(project / ".dvc" / "config", DVC.format(TOLD[2]))
    assert nightly.run() == 1
    printed = "".join(capfd.readouterr())
    status = CliRunner().invoke(cli.main, ["status"])
    kept = {path.name: path.read_text() for path in paths.STATE.rglob("*") if path.is_file()}
    assert "cannot connect to https://***" in kept["repro.log"]
    assert '"outcome": "failed"' in kept["night.json"]
    assert "FAILED: night 1" in printed
    assert "FAILED: night 1" in status.output
    for name, text in {"printed": printed, "status": status.output, **kept}.items():
        assert not [secret for secret in SECRETS if secret in text], f"{name}: {text}"


def test_no_night(project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Nor has the message of one that cannot begin."""

    def held(_what: str) -> None:
        raise UserError(f"a night cannot begin: the project is held by {' '.join(TOLD)}")

    monkeypatch.setattr(project_lock, "exclusive", held)
    with pytest.raises(UserError, match="a night cannot begin") as caught:
        nightly.run()
    said = "".join(capfd.readouterr()) + str(caught.value)
    assert "WARNING: the message to address 1 was not sent" in said
    assert not [secret for secret in SECRETS if secret in said]
