"""Verdicts beside a commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core import job_annotations, paths
from pipeline.core.job_annotations import Spoken
from pipeline.core.judgements import Verdict


@pytest.mark.parametrize(
    ("verdict", "level"),
    [(Verdict.COLLAPSING, "error"), (Verdict.INCONCLUSIVE, "warning"), (Verdict.HEALTHY, "notice")],
)
def test_levels(verdict: Verdict, level: str) -> None:
    """A collapse is an error, a night that shows nothing is a warning."""
    said = job_annotations.lines([Spoken(arm="a", run="a-1", verdict=verdict, reason="why")])
    assert said == f"::{level} title=a {verdict}::a-1: why"


def test_texts_stay_in_their_command() -> None:
    """Line ends, percent signs and the marks of a command cannot begin a command of their own."""
    one = Spoken(arm="a,b:c", run="r", verdict=Verdict.HEALTHY, reason="50 %\n::error::no\r")
    assert (
        job_annotations.lines([one, one]).splitlines()
        == ["::notice title=a%2Cb%3Ac HEALTHY::r: 50 %25%0A::error::no%0D"] * 2
    )


def test_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report's summary is added to the job's page; without a report the page stays as it is."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("before\n")
    job_annotations.add_summary(page)
    assert page.read_text() == "before\n"
    paths.REPORTS.mkdir()
    paths.REPORT_SUMMARY.write_text("| run | verdict |\n")
    job_annotations.add_summary(page)
    assert page.read_text() == "before\n| run | verdict |\n\n"
