"""A night read from its files: the right tables on either side, and errors that say what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.core import detections, files, nights
from pipeline.core.errors import UserError
from pipeline.core.nights import Night
from pipeline.core.paths import RunPaths
from tests.builders import ancestor
from tests.night_builders import boxes, night_audit, replicates, write, write_confirmation

BEFORE, AFTER = {"six": [True] * 40}, {"six": [False] * 10 + [True] * 30}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a base and a first generation."""
    monkeypatch.chdir(tmp_path)
    write(night_audit("base", BEFORE), BEFORE)
    write(night_audit("guarded-1", AFTER), AFTER)
    return tmp_path


def load(*, confirmed: bool = True) -> Night:
    """The night of the first generation."""
    return nights.load(night_audit("base", BEFORE), night_audit("guarded-1", AFTER), confirmed=confirmed)


def test_without_a_second_training() -> None:
    """Where none was needed, the base's own second training is of no account."""
    write_confirmation("base", BEFORE)
    write_confirmation("guarded-1", None)
    found = load()
    assert found.second is None
    assert (found.run.found.sum(), found.baselines[0].first.found.sum()) == (30, 40)
    assert found.baselines[0].both.trainings == 1


def test_with_a_second_training() -> None:
    """The second training of the run is held against the second one of the base."""
    write_confirmation("base", {"six": [True] * 38 + [False] * 2})
    write_confirmation("guarded-1", {"six": [False] * 12 + [True] * 28})
    found = load()
    assert found.second is not None
    assert found.second.found.sum() == 28
    base = found.baselines[0]
    assert (base.first.found.sum(), base.second.found.sum(), base.both.trainings) == (40, 38, 2)


def test_a_second_training_that_is_not_written_yet() -> None:
    """It stands where the written one would, beside the base's."""
    write_confirmation("base", {"six": [True] * 38 + [False] * 2})
    run = night_audit("guarded-1", AFTER)
    again = nights.first(run)
    found = nights.load(night_audit("base", BEFORE), run, confirmed=True, again=again)
    assert found.second is again
    assert found.baselines[0].second.found.sum() == 38


def test_a_collapse_of_the_line_is_known() -> None:
    """What `confirm` found out about the runs before this one comes with the night."""
    write_confirmation("base", BEFORE)
    write_confirmation("guarded-1", None, collapsed="guarded-0")
    assert load().collapsed == "guarded-0"
    assert load(confirmed=False).collapsed == ""


def test_a_run_whose_own_two_trainings_collapsed_stands_for_itself() -> None:
    """It descends from nobody who collapsed: what its second training does not show is not taken as shown."""
    write_confirmation("base", BEFORE)
    write_confirmation("guarded-1", {"six": [False] * 12 + [True] * 28}, collapsed="guarded-1")
    found = load()
    assert found.second is not None
    assert found.collapsed == ""


def test_confirmations_that_nobody_asked_for_are_not_read() -> None:
    """With another schedule there need be no confirmation at all."""
    assert load(confirmed=False).second is None


def test_a_missing_confirmation_is_an_error() -> None:
    """With schedule `confirm`, every run has a confirmation, if only to say that none was needed."""
    with pytest.raises(UserError, match=r"summary\.json is missing"):
        load()


@pytest.mark.parametrize("changes", [{"test": "0" * 64}, {"iou": 0.75}], ids=["other-images", "another-iou"])
def test_a_second_training_on_another_split_is_refused(changes: dict[str, Any]) -> None:
    """A second training that was measured otherwise confirms nothing."""
    write_confirmation("base", BEFORE)
    write_confirmation("guarded-1", AFTER, **changes)
    with pytest.raises(UserError, match="the second training of guarded-1 was measured on another test split"):
        load()


def test_best_run_so_far() -> None:
    """The best run's tables lie beside the run's audit; of its further trainings mAP follows from the replicates."""
    line = tuple(ancestor(name, generation=n, map50_95=0.8 + n / 100) for n, name in enumerate(["base", "guarded-1"]))
    audit = night_audit("guarded-2", AFTER, best="guarded-1", line=line)
    write(audit, AFTER)
    folder = RunPaths("guarded-2").best
    detections.write(folder / "boxes.parquet", boxes(BEFORE).assign(found_1=False))
    drawn = replicates(0.7)
    files.write_text(
        folder / "replicates.csv",
        pd.DataFrame({"map50_95": drawn, "map50": drawn, "map50_95_1": drawn - 0.03}).to_csv(index=False),
    )
    found = nights.load(night_audit("base", BEFORE), audit, confirmed=False)
    assert [one.first.name for one in found.baselines] == ["base", "guarded-1"]
    best = found.baselines[1].first
    assert best.maps == pytest.approx((0.81, 0.78))
    assert best.found.sum(axis=0).tolist() == [40, 0]


def test_the_base_stands_in_for_the_best_run() -> None:
    """The best run is not trained again: the second training is held against the base's second one instead."""
    write_confirmation("base", {"six": [True] * 38 + [False] * 2})
    write_confirmation("guarded-2", AFTER)
    line = tuple(ancestor(name, generation=n, map50_95=0.8) for n, name in enumerate(["base", "guarded-1"]))
    audit = night_audit("guarded-2", AFTER, best="guarded-1", line=line)
    write(audit, AFTER)
    folder = RunPaths("guarded-2").best
    detections.write(folder / "boxes.parquet", boxes(BEFORE))
    drawn = replicates(0.7)
    table = pd.DataFrame({"map50_95": drawn, "map50": drawn})
    files.write_text(folder / "replicates.csv", table.to_csv(index=False))
    best = nights.load(night_audit("base", BEFORE), audit, confirmed=True).baselines[1]
    assert (best.first.found.sum(), best.second.found.sum(), best.both.trainings) == (40, 38, 2)


@pytest.mark.parametrize("name", ["boxes.parquet", "replicates.csv"])
def test_a_missing_table_is_an_error(name: str) -> None:
    """A table that is not there is named."""
    (RunPaths("guarded-1").audit / name).unlink()
    with pytest.raises(UserError, match=rf"guarded-1/{name} is missing"):
        load(confirmed=False)
