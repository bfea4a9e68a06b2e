"""A night's record says how far it came, whenever it was cut off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import files, night_journal, paths
from pipeline.core.night_journal import Journal

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(days: float = 0, **changes: Any) -> Journal:
    """A night so many days after the first one, with fields that a test is about."""
    journal = night_journal.begin(NOW + timedelta(days=days), pid=1)
    journal.note(**changes)
    return journal


def test_what_is_written_is_read() -> None:
    """Each change is on the disk at once."""
    journal = begin(runs=("guarded-1",))
    journal.enter("train")
    journal.say("a note")
    journal.say("a note")
    (found,) = night_journal.past()
    assert found == journal.night
    assert (found.phase, found.notes, found.name) == ("train", ("a note",), "20261121T030000Z")


@pytest.mark.parametrize("days", [1, 0, -1], ids=["a day later", "within the second", "the clock was set back"])
def test_nights_are_numbered(days: float) -> None:
    """The newest night is the one that was begun last, whatever the clock says."""
    begin()
    second = begin(days)
    assert [one.number for one in night_journal.past()] == [2, 1]
    assert night_journal.past()[0].name == second.night.name


@pytest.mark.parametrize(
    ("changes", "complete"),
    [
        pytest.param({"phase": "push", "ended": "now", "outcome": "failed"}, True, id="push failed"),
        pytest.param({"phase": "done", "ended": "now", "outcome": "healthy"}, True, id="went well"),
        pytest.param({"phase": "push"}, False, id="killed in a push"),
        pytest.param({"phase": "done"}, False, id="killed before it told anybody"),
        pytest.param({"phase": "push", "ended": "now", "outcome": "stopped"}, False, id="stopped in a push"),
        pytest.param({"phase": "train", "ended": "now", "outcome": "failed"}, False, id="training failed"),
        pytest.param({"phase": "mix", "ended": "now", "outcome": "inconclusive"}, False, id="stopped by a warning"),
    ],
)
def test_which_nights_are_gone_on_with(changes: dict[str, Any], *, complete: bool) -> None:
    """What a night left to do is done by the next one before it begins anything new."""
    assert begin(runs=("guarded-1",), **changes).night.complete is complete


def test_a_damaged_record_hides_no_other() -> None:
    """A record that cannot be read is as good as none."""
    begin()
    last = begin(1)
    files.write_text(last.night.folder / "night.json", "{")
    assert [one.number for one in night_journal.past()] == [1]
    assert begin(1).night.name != last.night.name


def test_only_the_newest_logs_are_kept() -> None:
    """Records and logs of older nights go; those of the newest stay whole."""
    for day in range(4):
        journal = begin(day)
        files.write_text(journal.night.log, "said\n")
    night_journal.tidy(keep=2)
    assert [one.number for one in night_journal.past()] == [4, 3]
    assert len(list(paths.NIGHTS.iterdir())) == 2
    assert night_journal.past()[0].log.read_text() == "said\n"


def test_every_outcome_has_an_exit_code_of_check() -> None:
    """0 healthy, 3 collapsing, 4 inconclusive, 1 for all else."""
    assert night_journal.EXIT_CODES == {"healthy": 0, "collapsing": 3, "inconclusive": 4, "failed": 1, "stopped": 1}
    assert replace(begin().night, runs=()).complete is False
