"""A message has the verdict first, then the two figures that matter, and where the report is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.core import night_journal, night_message
from pipeline.core.judgements import Verdict
from pipeline.core.night_journal import Night
from pipeline.core.night_message import ArmNews
from tests import report_builders as build


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    """A night with a warning and a note."""
    monkeypatch.chdir(tmp_path)
    journal = night_journal.begin(datetime(2026, 11, 21, tzinfo=UTC), pid=1)
    journal.note(warnings=("lynx vanishes",), notes=("git: not committed",), outcome="failed")
    return journal.night


def news(run: str, arm: str, verdict: Verdict, *, lynx: int, rests: bool = False) -> ArmNews:
    """An arm whose newest run finds so many of forty lynxes; the base finds 32."""
    classes = (
        build.class_figures("lynx", lynx),
        build.class_figures("owl", None),
        build.class_figures("hare", 30),
        build.class_figures("cat", 1, rare=False),
    )
    return ArmNews(
        judgement=build.judgement(run, arm, 2, verdict, reason=f"because of {run}"),
        audit=build.audit(run, arm, 2, classes=classes),
        base=build.audit(
            classes=(build.class_figures("lynx", 32), build.class_figures("owl", 3), build.class_figures("hare", 31))
        ),
        rests=rests,
    )


def test_the_verdict_comes_first(night: Night) -> None:
    """The worst arm is in the first line, each arm has a line, and the reason of what is not healthy follows."""
    both = [
        news("tame-2", "tame", Verdict.HEALTHY, lynx=36),
        news("wild-2", "wild", Verdict.COLLAPSING, lynx=8, rests=True),
    ]
    told = night_message.verdict(both, night, project="birds")
    assert told.title == "COLLAPSING: wild-2 (birds, night 1)"
    lines = told.body.splitlines()
    assert lines[0].startswith("wild-2 COLLAPSING: mAP50-95 ")
    assert "recall of lynx 0.200 (base 0.800)" in lines[0]
    assert lines[1].startswith("tame-2 HEALTHY: ")
    assert lines[2] == "because of wild-2"
    assert "wild rests" in told.body
    assert "tailwatch promote" in told.body
    assert lines[-3:] == ["Early warning: lynx vanishes", "Note: git: not committed", "Report: reports/index.html"]


def test_a_night_without_a_verdict(night: Night) -> None:
    """It says what failed and where the log is."""
    told = night_message.without_verdict("the disk is full", night, project="birds")
    assert told.title == "FAILED: night 1 (birds)"
    assert told.body.splitlines()[0] == "the disk is full"
    assert told.body.endswith(f"Log: {night.log}")
