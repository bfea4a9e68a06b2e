"""The stage that trains a second time: when it does, and what it writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import confirm
from pipeline.adapters import predictions, yolo
from pipeline.core import detections, evaluation, files, manifest, metrics, nights, paths, rng
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths
from tests.builders import row
from tests.night_builders import boxes, night_audit, write, write_confirmation
from tests.project import ROOT

LOSSES = {"none": 0, "small": 3, "large": 25}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder with the default params.yaml, as the working directory."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the trainings that were made."""
    seeds: list[int] = []

    def train(listed: Sequence[Path], classes: Sequence[str], settings: Any, *, seed: int, out: Path) -> None:
        seeds.append(seed)
        (out / "weights.pt").write_bytes(b"weights")

    monkeypatch.setattr(yolo, "train", train)
    return seeds


def audits(lost: int) -> None:
    """Audits of a base and a run that lost so many of sixty boxes."""
    before = {"six": [True] * 60}
    after = {"six": [number >= lost for number in range(60)]}
    write(night_audit("base", before), before)
    write(night_audit("guarded-1", after), after)


def change(section: str, **values: object) -> None:
    """Edit a section of params.yaml."""
    value = yaml.safe_load(paths.PARAMS.read_text())
    value[section].update(values)
    paths.PARAMS.write_text(yaml.safe_dump(value))


@pytest.mark.parametrize("loss", ["none", "small"])
def test_a_good_night_is_not_trained_again(folder: Path, trainings: list[int], loss: str) -> None:
    """Without a loss that reaches the margin there is nothing to confirm: a summary says so, and that is all."""
    audits(LOSSES[loss])
    confirm.main("guarded-1")
    found = nights.read_confirmation(RunPaths("guarded-1"))
    assert (found.needed, trainings) == (False, [])
    assert found.reason == "no loss reaches confirm.recall_loss or confirm.map_loss at gate.level 0.02"
    assert [path.name for path in RunPaths("guarded-1").confirm.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("run", ["base", "guarded-1"])
def test_other_schedules_train_nothing_again(folder: Path, trainings: list[int], run: str) -> None:
    """Only schedule `confirm` asks for second trainings; the others need not even look."""
    change("gate", schedule="uniform")
    confirm.main(run)
    found = nights.read_confirmation(RunPaths(run))
    assert (found.needed, trainings) == (False, [])
    assert found.reason == "gate.schedule uniform asks for no second training"


def verified() -> list[Row]:
    """Six images of val and test, one box of class 0 each."""
    box = Box(class_id=0, x=0.5, y=0.5, width=0.5, height=0.5)
    made = []
    for number in range(6):
        one = row(f"v{number}", split="val" if number < 2 else "test", path=f"images/v{number}.png")
        label = Path(f"labels/v{number}.txt")
        label.parent.mkdir(exist_ok=True)
        label.write_text(f"{box.class_id} {box.x} {box.y} {box.width} {box.height}\n")
        made.append(one)
    return made


@pytest.fixture
def data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes what a second training needs: images, their labels, and a detector that finds all but one test box."""
    rows = verified()
    manifest.write(paths.VERIFIED_HELD_OUT, rows)
    files.write_json(paths.REAL_CLASSES, ["one", "four", "six"])

    def predict(weights: Path, asked: Sequence[Row], **_: Any) -> pd.DataFrame:
        assert weights.read_bytes() == b"weights"
        found = [
            (one.split, one.image_id, 0, 0.9, 0.25 * one.width, 0.25 * one.height, 0.75 * one.width, 0.75 * one.height)
            for one in asked
            if one.name != "v5"
        ]
        return detections.round_predictions(pd.DataFrame(found, columns=list(detections.PREDICTION_COLUMNS)))

    monkeypatch.setattr(predictions, "predict", predict)

    def make(run: str) -> None:
        manifest.write(RunPaths(run).mix_manifest, [row("t")])

    return make


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the second training one that lost so many of sixty boxes, with a second one of the base that lost none."""
    evaluate = evaluation.evaluate

    def make(lost: int) -> None:
        table = boxes({"six": [number >= lost for number in range(60)]})

        def measured(found: pd.DataFrame, rows: Sequence[Row], *, classes: int) -> Any:
            return dataclasses.replace(evaluate(found, rows, classes=classes), boxes=table)

        monkeypatch.setattr(evaluation, "evaluate", measured)
        monkeypatch.setattr(metrics, "found", lambda *_, **__: table["found"].to_numpy())
        write_confirmation("base", {"six": [True] * 60})
        change("audit", replicates=200)  # as many as the tables of the audits have

    return make


def test_the_base_is_trained_again(folder: Path, trainings: list[int], data: Callable[[str], None]) -> None:
    """The base has a second training before any night is bad; its tables are those of an audit, without weights."""
    data("base")
    confirm.main("base")
    here = RunPaths("base")
    found = nights.read_confirmation(here)
    test = [one for one in manifest.read(paths.VERIFIED_HELD_OUT) if one.split == "test"]
    assert found.needed
    assert (found.test, found.test_images, found.iou) == (evaluation.split_digest(test), 4, 0.5)
    assert found.map50_95 == pytest.approx(76 / 101)  # three of four boxes: recall up to 0.75 at full precision
    assert detections.read(here.confirm / "boxes.parquet")["found"].sum() == 3
    drawn = pd.read_csv(here.confirm / "replicates.csv")
    assert len(drawn) == 1000
    assert np.isfinite(drawn["map50_95"]).all()
    assert sorted(path.name for path in here.confirm.iterdir()) == ["boxes.parquet", "replicates.csv", "summary.json"]
    assert trainings == [rng.training_seed(1, 0, 1)]
    assert list(paths.STATE.glob("confirm-*")) == []


def test_a_bad_night_is_trained_again(
    folder: Path, trainings: list[int], data: Callable[[str], None], again: Callable[[int], None]
) -> None:
    """A loss that is shown and reaches the margin trains the run once more, with another seed; it says which loss."""
    audits(LOSSES["large"])
    data("guarded-1")
    again(25)
    confirm.main("guarded-1")
    found = nights.read_confirmation(RunPaths("guarded-1"))
    assert found.needed
    assert found.reason.startswith("a loss that large is shown at gate.level 0.02: recall of six against base")
    assert len(trainings) == 1


@pytest.mark.parametrize(("lost", "collapsed"), [(25, "guarded-1"), (3, "")])
def test_a_loss_is_shown_by_both_trainings_or_not(
    folder: Path,
    trainings: list[int],
    data: Callable[[str], None],
    again: Callable[[int], None],
    lost: int,
    collapsed: str,
) -> None:
    """The summary says whether the second training shows the loss too, for the runs that descend from this one."""
    audits(LOSSES["large"])
    data("guarded-1")
    again(lost)
    confirm.main("guarded-1")
    found = nights.read_confirmation(RunPaths("guarded-1"))
    assert (found.needed, found.collapsed, len(trainings)) == (True, collapsed, 1)


@pytest.mark.parametrize("known", ["guarded-1", ""])
def test_what_descends_from_a_collapse_is_not_trained_again(
    folder: Path, trainings: list[int], data: Callable[[str], None], again: Callable[[int], None], known: str
) -> None:
    """A bad night after a confirmed one needs no second training; after one that was not confirmed it does."""
    audits(LOSSES["large"])
    after = {"six": [number >= 25 for number in range(60)]}
    write(night_audit("guarded-2", after), after)
    data("guarded-2")
    again(25)
    write_confirmation("guarded-1", None, collapsed=known)
    confirm.main("guarded-2")
    found = nights.read_confirmation(RunPaths("guarded-2"))
    assert (found.needed, len(trainings)) == (not known, 0 if known else 1)
    if known:
        assert found.collapsed == "guarded-1"
        assert found.reason.endswith("; no second training, for it descends from guarded-1, of which two showed a loss")


def test_a_good_night_after_a_collapse_begins_anew(folder: Path, trainings: list[int]) -> None:
    """A run without a loss ends the line of the collapse: the next bad night is confirmed again."""
    audits(LOSSES["none"])
    even = {"six": [True] * 60}
    write(night_audit("guarded-2", even), even)
    write_confirmation("guarded-1", None, collapsed="guarded-1")
    confirm.main("guarded-2")
    found = nights.read_confirmation(RunPaths("guarded-2"))
    assert (found.needed, found.collapsed) == (False, "")
