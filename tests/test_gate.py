"""The stage that gives the verdict: from the files of audits and confirmations to the file of the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import gate
from pipeline.core import judgements, paths
from pipeline.core.errors import UserError
from pipeline.core.judgements import Judgement, Verdict
from pipeline.core.paths import RunPaths
from tests.night_builders import first, night_audit, write, write_confirmation
from tests.project import ROOT

BEFORE, LOST = ({"six": hits} for hits in first(100, 90, lost=40))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the default params.yaml and an audited base, as the working directory."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    write(night_audit("base", BEFORE), BEFORE)
    return tmp_path


def judge(run: str = "guarded-1") -> Judgement:
    """The verdict that the stage writes."""
    gate.main(run)
    return judgements.read(RunPaths(run).gate)


def change(**changes: Any) -> None:
    """Edit the section `gate`."""
    value = yaml.safe_load(paths.PARAMS.read_text())
    value["gate"].update(changes)
    paths.PARAMS.write_text(yaml.safe_dump(value))


def test_healthy() -> None:
    """A run that found the same boxes is HEALTHY, with every test in the file."""
    write(night_audit("guarded-1", BEFORE), BEFORE)
    write_confirmation("guarded-1", None)
    found = judge()
    assert found.verdict is Verdict.HEALTHY
    assert [one.figure for one in found.tests] == ["mAP50-95", "recall of six"]
    assert (found.schedule, found.horizon, found.seeds) == ("confirm", 30, (1, 1))
    assert len(found.diagnosis) == 4


def test_collapsing() -> None:
    """A loss in both trainings is COLLAPSING; the lost boxes are named."""
    write(night_audit("guarded-1", LOST), LOST)
    write_confirmation("base", BEFORE)
    write_confirmation("guarded-1", LOST)
    found = judge()
    assert found.verdict is Verdict.COLLAPSING
    assert found.tests[1].confirmed is True
    assert len(found.lost_boxes["six"]) == 40
    assert found.seeds == (2, 2)


def test_not_confirmed() -> None:
    """A loss in one of two trainings is INCONCLUSIVE."""
    write(night_audit("guarded-1", LOST), LOST)
    write_confirmation("base", BEFORE)
    write_confirmation("guarded-1", BEFORE)
    assert judge().verdict is Verdict.INCONCLUSIVE


def test_another_schedule_reads_no_confirmation() -> None:
    """With a schedule of its own, one training decides, and no second one has to be there."""
    change(schedule="uniform")
    write(night_audit("guarded-1", LOST), LOST)
    assert judge().verdict is Verdict.COLLAPSING


@pytest.mark.parametrize("name", ["base", "guarded-1"], ids=["of-the-base", "of-the-run-before"])
def test_another_test_split_is_refused(name: str) -> None:
    """The base, the run before and the run are measured on the same test images, or there is no verdict."""
    for run in ("guarded-1", "guarded-2"):
        write(night_audit(run, BEFORE), BEFORE)
        write_confirmation(run, None)
    write(night_audit(name, BEFORE, test="0" * 64), BEFORE)
    with pytest.raises(UserError, match=rf"the audits of {name} and guarded-2 are of different test splits"):
        judge("guarded-2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"recall_margin": 0}, "recall_margin 0, wanted a number in", id="no-recall-margin"),
        pytest.param({"recall_margin": 1.5}, r"recall_margin 1\.5, wanted a number in", id="recall-margin-over-1"),
        pytest.param({"map_margin": 0.0}, "map_margin 0, wanted a number in", id="no-map-margin"),
        pytest.param({"level": 0.2}, r"gate\.level 0\.2", id="a-level-that-spends-too-much"),
        pytest.param({"fail_on": ["rain"]}, "fail_on: there is no warning 'rain'", id="no-such-warning"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    """A margin of 0 or over 1, and a level that alpha does not cover, are errors that name the setting."""
    change(**changes)
    write(night_audit("guarded-1", BEFORE), BEFORE)
    write_confirmation("guarded-1", None)
    with pytest.raises(UserError, match=message):
        judge()


def test_a_class_without_test_boxes_is_inconclusive() -> None:
    """A rare class that no test image shows is never HEALTHY."""
    found = {"six": BEFORE["six"], "four": []}
    for name in ("base", "guarded-1"):
        write(night_audit(name, found), found)
    write_confirmation("guarded-1", None)
    judged = judge()
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "recall of four cannot be measured" in judged.reason
