"""Verdicts as GitHub shows them beside a commit: annotations, and the summary of a job.

Source: GitHub's workflow commands, https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.core import paths
from pipeline.core.judgements import Verdict

_LEVELS: dict[Verdict, Literal["error", "warning", "notice"]] = {
    Verdict.COLLAPSING: "error",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.HEALTHY: "notice",
}
_LARGEST = 1 << 20  # bytes of a summary that GitHub takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """The verdict on an arm's newest run, and why."""

    arm: str
    run: str
    verdict: Verdict
    reason: str


def lines(spoken: Iterable[Spoken]) -> str:
    """One workflow command an arm: an error, a warning or a notice."""
    return "\n".join(
        f"::{_LEVELS[one.verdict]} title={_property(f'{one.arm} {one.verdict}')}::{_data(f'{one.run}: {one.reason}')}"
        for one in spoken
    )


def add_summary(target: Path) -> None:
    """Add the report's summary to the page of a job, whose file GitHub names; nothing where there is no report."""
    if not paths.REPORT_SUMMARY.is_file():
        return
    summary = paths.REPORT_SUMMARY.read_bytes()
    if len(summary) <= _LARGEST:
        with target.open("ab") as page:
            page.write(summary + b"\n")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
