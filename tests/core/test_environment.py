"""Commands by hand find the secrets that schedules read from `.env`."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import cli
from pipeline.core import environment

NAMES = ("TAILWATCH_TEST_A", "TAILWATCH_TEST_B")
VALUES = {
    "plain": "slack://T0/B1/C2",
    "query": "json://host/?a=b&c=d e#f",
    "dollar": "mailto://user:$HOME${PATH}@example.org",
    "double quotes": 'a "b" c',
    "other letters": "Prüfung 検査",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables that a test sets are gone after it."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_values_in_single_quotes(value: str) -> None:
    """What stands in single quotes arrives as it stands, whatever a shell would make of it without them."""
    Path(".env").write_text(f"# a secret\n\nTAILWATCH_TEST_A='{value}'\n", encoding="utf-8")
    environment.take_in()
    assert os.environ["TAILWATCH_TEST_A"] == value


def test_what_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the environment wins: what a schedule or a person has set is what they mean."""
    monkeypatch.setenv("TAILWATCH_TEST_A", "mine")
    Path(".env").write_text("TAILWATCH_TEST_A='theirs'\nTAILWATCH_TEST_B='theirs'\n")
    environment.take_in()
    assert (os.environ["TAILWATCH_TEST_A"], os.environ["TAILWATCH_TEST_B"]) == ("mine", "theirs")


def test_every_command_takes_it_in(capfd: pytest.CaptureFixture[str]) -> None:
    """`tailwatch` reads the file of the working directory before it does anything; without one nothing is said."""
    assert CliRunner().invoke(cli.main, ["schedule", "cron"]).exit_code == 1  # no project here
    assert ".env" not in capfd.readouterr().err
    Path(".env").write_text("TAILWATCH_TEST_A='here'\n")
    assert CliRunner().invoke(cli.main, ["schedule", "cron"]).exit_code == 1
    assert os.environ["TAILWATCH_TEST_A"] == "here"


def test_a_file_that_is_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said, without what stands in it, and the command goes on: it may need nothing of it."""
    Path(".env").write_bytes(b"TAILWATCH_TEST_A='secret\xff'\n")
    environment.take_in()
    assert capsys.readouterr().err == "WARNING: .env cannot be read: it is not UTF-8\n"
    assert "TAILWATCH_TEST_A" not in os.environ


def test_a_file_of_somebody_else(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever may not read the secrets can still look at verdicts."""

    def refuse(path: Path, **_options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    Path(".env").write_text("TAILWATCH_TEST_A='secret'\n")
    monkeypatch.setattr(environment, "dotenv_values", refuse)
    environment.take_in()
    assert capsys.readouterr().err == "WARNING: .env cannot be read: Permission denied\n"


def test_a_folder_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder .env, which some people call their environment of Python, is none of it."""
    Path(".env").mkdir()
    environment.take_in()
    assert capsys.readouterr().err == ""
