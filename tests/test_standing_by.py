"""`tailwatch status` is plain text that fits 80 columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import standing_by
from pipeline.core import night_journal, project_lock
from pipeline.core.judgements import Verdict
from pipeline.core.night_charts import Mark
from pipeline.core.night_journal import StageTime
from pipeline.standing_by import ArmStanding, Standing
from tests import report_builders as build

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two arms that have run."""
    monkeypatch.chdir(tmp_path)
    build.project(tmp_path)
    return tmp_path


def standing(**changes: Any) -> Standing:
    """How things stand after a year, with what a test is about."""
    marks = tuple(Mark(verdict=Verdict.HEALTHY, recall=0.9) for _ in range(365))
    default: dict[str, Any] = {
        "now": NOW, "nights": (), "following": NOW + timedelta(hours=1), "why_none": "", "holder": "", "running": False,
        "newest": 2.5, "stale_days": 7.0, "spent": 5, "horizon": 30, "alpha": 0.05, "used": 0.01,
        "arms": (
            ArmStanding(arm="guarded", marks=marks, current="guarded-365, HEALTHY, promoted by nightly", rests=False),
        ),
    }  # fmt: skip
    return Standing(**{**default, **changes})


def test_it_fits_the_terminal() -> None:
    """No line is longer than 80 columns, and there is no colour in it."""
    text = standing_by.as_text(standing(), width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text
    assert "next night    2026-11-22 03:00, in 1 h 0 min" in text
    assert "5 of 30 nights, 0.010 of 0.05 spent (20%)" in text
    assert "guarded: 365 generations, current guarded-365, HEALTHY, promoted by nightly" in text


def test_the_last_night() -> None:
    """When it was, how long it took, how it ended and why."""
    journal = night_journal.begin(NOW - timedelta(days=1), pid=1)
    journal.note(
        ended="then", outcome="failed", exit_code=1, seconds=75.0, message="FAILED: night 1 (p)\nthe disk is full"
    )
    text = standing_by.as_text(standing(nights=tuple(night_journal.past())), width=80)
    assert "last night    2026-11-21 02:00, 1 min 15 s, exit code 1\n              FAILED: night 1 (p)" in text
    assert "the disk is full" in text
    journal.say("the message to address 1 was not sent: no route")
    text = standing_by.as_text(standing(nights=tuple(night_journal.past())), width=80)
    assert text.splitlines()[3].strip() == "the message to address 1 was not sent: no route"


def test_a_night_that_runs_and_one_that_was_cut_off() -> None:
    """While it holds the project it runs, with its stage; otherwise it was cut off there."""
    journal = night_journal.begin(NOW - timedelta(minutes=5), pid=1)
    journal.enter("train")
    journal.note(stage="train@guarded-1", stages=(StageTime(name="mix@guarded-1", seconds=1.0),))
    nights = tuple(night_journal.past())
    assert "cut off in: train, train@guarded-1" in standing_by.as_text(standing(nights=nights), width=80)
    beside = standing_by.as_text(standing(nights=nights, holder="`dvc repro` (process 7)"), width=80)
    assert "cut off in: train" in beside
    told = standing_by.as_text(standing(nights=nights, holder="a night (process 8)", running=True), width=80)
    assert "running for 5 min 0 s: train, train@guarded-1" in told
    assert "project       a night (process 8)" in told


def test_a_project_is_read(project: Path) -> None:
    """Verdicts and recalls come from the runs' own files; without `verify` nothing is known of fresh data."""
    found = standing_by.look()
    assert {one.arm: [mark.verdict for mark in one.marks] for one in found.arms}.keys() == {"tame", "wild"}
    assert all(mark.verdict is not None for one in found.arms for mark in one.marks)
    assert found.spent == max(len(one.marks) for one in found.arms)
    assert found.following is not None
    assert (found.holder, found.running) == ("", False)
    assert standing_by.as_text(found, width=80).startswith("last night    none so far")
    with project_lock.exclusive("a night"):
        assert standing_by.look().running
