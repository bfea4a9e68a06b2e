"""A night appends one generation an arm, unless something is unfinished; an arm that collapsed rests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core import current, judgements, night_journal, night_plan, params
from pipeline.core.current import Current, Promotion
from pipeline.core.history import Weights
from pipeline.core.judgements import Verdict
from pipeline.core.night_journal import Night
from pipeline.core.night_plan import Plan
from pipeline.core.paths import RunPaths
from tests import report_builders as build

ARMS = {"tame": {"policy": "accumulate", "ratio": 0.25}, "wild": {"policy": "replace", "ratio": 1.0}}
RUNS = {
    "tame-1": {"arm": "tame", "generation": 1, "previous": "base"},
    "tame-2": {"arm": "tame", "generation": 2, "previous": "tame-1"},
    "wild-1": {"arm": "wild", "generation": 1, "previous": "base"},
}
DONE = [f"gate@{run}" for run in RUNS]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project in which every run is HEALTHY."""
    monkeypatch.chdir(tmp_path)
    for run, chosen in RUNS.items():
        judge(run, str(chosen["arm"]), Verdict.HEALTHY)


def judge(run: str, arm: str, verdict: Verdict) -> None:
    """Give a verdict."""
    judgements.write(RunPaths(run).gate, build.judgement(run, arm, int(run[-1]), verdict))


def planned(*past: Night, stages: list[str] | None = None, nightly: dict[str, Any] | None = None) -> Plan:
    """The plan, with what a test is about."""
    value = yaml.safe_load(build.settings_text(ARMS, RUNS)) | {"nightly": nightly or {}}
    return night_plan.plan(params.parse(yaml.safe_dump(value)), DONE if stages is None else stages, past)


def past(*runs: str, **changes: Any) -> Night:
    """An earlier night."""
    journal = night_journal.begin(datetime(2026, 11, 21, tzinfo=UTC), pid=1)
    journal.note(runs=runs, **changes)
    return journal.night


def test_a_generation_more_for_each_arm() -> None:
    """The next generation descends from the newest."""
    found = planned()
    assert {name: (run.generation, run.previous) for name, run in found.add.items()} == {
        "tame-3": (3, "tame-2"),
        "wild-2": (2, "wild-1"),
    }
    assert found.resume == found.resting == ()


def test_only_active_arms_grow() -> None:
    """`nightly.arms` names those that get a generation."""
    assert list(planned(nightly={"arms": ["wild"]}).add) == ["wild-2"]


@pytest.mark.parametrize("missing", ["the file", "the entry in dvc.lock"])
def test_a_run_without_a_verdict_comes_first(missing: str) -> None:
    """Nothing is appended, for any arm, while a newest run is not finished."""
    if missing == "the file":
        RunPaths("wild-1").gate.unlink()
    stages = DONE if missing == "the file" else DONE[:-1]
    found = planned(stages=stages)
    assert (dict(found.add), found.resume) == ({}, ("wild-1",))


def test_a_night_that_was_cut_off_after_its_verdicts() -> None:
    """It is gone on with, not doubled; one that came to its end is not."""
    cut = past("tame-2", "wild-1", phase="promote")
    assert planned(cut).resume == ("tame-2", "wild-1")
    whole = past("tame-2", "wild-1", phase="done", ended="now", outcome="healthy")
    assert planned(whole).resume == ()
    assert planned(past(phase="preflight", ended="now", outcome="failed"), cut).resume == ("tame-2", "wild-1")


def test_a_night_that_was_cut_off_before_it_wrote_params() -> None:
    """The journal names runs that params.yaml does not have: they are appended now."""
    assert list(planned(past("tame-3", "wild-2", phase="append")).add) == ["tame-3", "wild-2"]


def test_an_arm_that_collapsed_rests() -> None:
    """It gets no generation; with `on_collapse: continue` it does."""
    judge("wild-1", "wild", Verdict.COLLAPSING)
    found = planned()
    assert (list(found.add), found.resting) == (["tame-3"], ("wild",))
    assert list(planned(nightly={"on_collapse": "continue"}).add) == ["tame-3", "wild-2"]


@pytest.mark.parametrize(("by", "rests"), [("a person", False), ("nightly", True)])
def test_a_person_lets_an_arm_go_on(by: str, *, rests: bool) -> None:
    """Promoting the run by hand says that a person has looked."""
    judge("wild-1", "wild", Verdict.COLLAPSING)
    now = Promotion(run="wild-1", generation=1, verdict=Verdict.COLLAPSING, by=by, reason="looked", time="now",
                    weights=Weights(md5="0" * 32, size=1))  # fmt: skip
    current.write(Current(arm="wild", now=now))
    assert planned().resting == (("wild",) if rests else ())
