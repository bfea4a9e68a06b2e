"""A month and a year of nights: the last ones cost what the first ones did. Hours: `pytest -n 0 -m year`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.night_settings import Keep
from tests.project import ROOT, Project

MOST = 1.15  # a late night's time over that of an early one

pytestmark = pytest.mark.slow
year = [
    pytest.mark.year,
    pytest.mark.timeout(0),
    pytest.mark.skipif("'year' not in config.getoption('markexpr')", reason="takes hours: pytest -n 0 -m year"),
]


def measured(folder: Path, *arguments: str) -> dict[str, Any]:
    """What the benchmark measured."""
    command = [sys.executable, "benchmarks/nights.py", "--folder", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=Project.environment(), text=True, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def holds_in_time(found: dict[str, Any]) -> None:
    """A late night costs what an early one did: in seconds of the processor, since other programs run meanwhile."""
    early, late = ([one["night"]["cpu"] + one["status"]["cpu"] for one in found["turns"][start::2]] for start in (0, 1))
    assert statistics.median(late) <= MOST * statistics.median(early)


def grown(nights: list[dict[str, Any]], what: str, *, first: int, last: int) -> float:
    """Bytes a night by which a place grew between two nights."""
    return float(nights[last - 1]["bytes"][what] - nights[first - 1]["bytes"][what]) / (last - first)


def holds_on_the_disk(nights: list[dict[str, Any]]) -> None:
    """A late night adds as many bytes as an early one."""
    week, number = Keep().every, len(nights)
    steady = 2 * week + Keep().last  # from here on each week keeps as much for ever as the one before
    for what in ("cache", "remote", "git"):
        early = grown(nights, what, first=steady, last=steady + week)
        late = grown(nights, what, first=number - week, last=number)
        assert late <= MOST * early, (what, early, late)
    for what in ("workspace", "lock", "journal"):
        assert nights[-1]["bytes"][what] <= MOST * nights[steady]["bytes"][what], what


@pytest.mark.parametrize("arguments", [pytest.param(["--nights", "30"], id="month", marks=year),
                                       pytest.param(["--year"], id="year", marks=year)])  # fmt: skip
def test_late_nights(tmp_path: Path, arguments: list[str]) -> None:
    """Every night is run for real, and a late one costs what an early one did."""
    found = measured(tmp_path, *arguments)
    holds_in_time(found)
    holds_on_the_disk(found["nights"])


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("past", [pytest.param(365, id="a laid-out year", marks=year)])
def test_nights_after_a_long_past(tmp_path: Path, past: int) -> None:
    """Nights on top of a year that is written, not run, cost what the first ones did."""
    found = measured(tmp_path, "--laid-out", str(past), "--nights", "4")
    holds_in_time(found)
    assert found["turns"][-1]["number"] == past + 2
