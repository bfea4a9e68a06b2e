"""What a check found, and how findings read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]

GB = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked; a warning or a problem always says what to do."""

    name: str
    status: Status
    message: str
    remedy: str | None = None

    def __post_init__(self) -> None:
        """Refuse a finding that leaves a person without advice, and advice where nothing is wrong."""
        if (self.status == "ok") != (self.remedy is None):
            raise ValueError(f"finding {self.name} is {self.status}, remedy {self.remedy!r}")


def ok(name: str, message: str) -> Finding:
    """Nothing to do."""
    return Finding(name=name, status="ok", message=message)


def warning(name: str, message: str, remedy: str) -> Finding:
    """It works, but worse than it could."""
    return Finding(name=name, status="warning", message=message, remedy=remedy)


def problem(name: str, message: str, remedy: str) -> Finding:
    """The pipeline cannot run, or its results cannot be trusted."""
    return Finding(name=name, status="problem", message=message, remedy=remedy)


def render(findings: Sequence[Finding]) -> str:
    """One line a finding, its remedy under it, and a count at the end."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.status:<8} {finding.name:<{width}}  {finding.message}")
        if finding.remedy is not None:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.remedy}")
    problems = sum(finding.status == "problem" for finding in findings)
    warnings = sum(finding.status == "warning" for finding in findings)
    if problems or warnings:
        lines.append(f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}.")
    else:
        lines.append("Nothing is wrong.")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a command gave; ``code`` is None when it was stopped for taking too long, negative for a signal."""

    code: int | None
    stdout: str
    stderr: str


def run(command: Sequence[str], *, timeout: float) -> Output:
    """Run a command to its end, or to the timeout in seconds, with messages in English.

    Raises:
        OSError: the command cannot be started.
    """
    try:
        result = subprocess.run(  # noqa: S603 - the commands are the project's own Python, git, ldd and mongod
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C"},  # messages are read here, so they must be in one language
        )
    except subprocess.TimeoutExpired:
        return Output(code=None, stdout="", stderr="")
    return Output(code=result.returncode, stdout=result.stdout, stderr=result.stderr)


def last_line(text: str) -> str:
    """The last line with something in it; of a traceback, the error itself."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
