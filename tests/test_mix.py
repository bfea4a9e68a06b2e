"""The mix of a run: its lists, the history of counts that it keeps, and what it warns of before training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import mix
from pipeline.core import acceptance_times, files, forecasts, manifest, paths, synthetic
from pipeline.core.errors import UserError
from pipeline.core.figures import Forecast
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths, TrainingPaths
from pipeline.core.sections import Policy
from pipeline.core.standing import State
from tests.builders import row, sha, synthetic_row
from tests.project import ROOT

NEWEST = sha("newest row of the ledger")
REAL = [row(f"real {number}", boxes=((0, 9), *([(1, 3)] if number < 20 else []))) for number in range(40)]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of 40 verified images of two classes, 360 and 60 boxes, and two arms of two generations."""
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["runs"] = {
        f"{arm}-{number}": {
            "arm": arm,
            "generation": number,
            "previous": f"{arm}-{number - 1}" if number > 1 else "base",
        }
        for arm in ("guarded", "recursive")
        for number in (1, 2)
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    handed(REAL)
    paths.REAL_CLASSES.parent.mkdir(parents=True)
    paths.REAL_CLASSES.write_text(json.dumps(["common", "rare"]))


def handed(real: list[Row], pin: str | None = None, *, newest: str = NEWEST) -> None:
    """What `verify` hands to the runs of a pin, or to those without: real images, accepted on the first of a month."""
    place = TrainingPaths(pin)
    manifest.write(place.real, real)
    acceptance_times.write(place.times, {one.image_id: "2026-01-01T00:00:00+00:00" for one in real})
    synthetic.write(place.synthetic, {})
    files.write_json(place.row, {"row": newest})


def generated(run: str, generation: int, rare: int) -> list[Row]:
    """40 synthetic images of a run, the first of them with a rare box each."""
    rows = [
        synthetic_row(
            f"{run} {number}", run=run, generation=generation, lineage_depth=generation,
            boxes=((0, 9), *([(1, 1)] if number < rare else [])),
        )
        for number in range(40)
    ]  # fmt: skip
    manifest.write(RunPaths(run).synthetic_manifest, rows)
    return rows


def test_base(capsys: pytest.CaptureFixture[str]) -> None:
    """Generation 0 trains on all real training images; its counts begin the history, and nothing is foretold."""
    mix.main("base")
    outlook = forecasts.read(RunPaths("base").forecasts)
    (only,) = outlook.history
    assert (only.run, only.generation, only.training, only.real) == ("base", 0, (360, 60), (360, 60))
    assert (only.synthetic, only.images, only.made, only.used) == ((0, 0), 40, 0, 0)
    assert [one.generation.value for one in outlook.forecasts] == [None, None]
    assert {one.image_id for one in manifest.read(RunPaths("base").mix_manifest)} == {one.image_id for one in REAL}
    assert capsys.readouterr().err == "mix base: 40 real and 0 synthetic images\n"


def test_a_class_that_vanishes(capsys: pytest.CaptureFixture[str]) -> None:
    """Where each generation replaces the last and halves a class, mix says before training when it will be lost."""
    generated("recursive-1", 1, 32)
    mix.main("base")
    mix.main("recursive-1")
    outlook = forecasts.read(RunPaths("recursive-1").forecasts)
    assert [one.run for one in outlook.history] == ["base", "recursive-1"]
    assert [one.training for one in outlook.history] == [(360, 60), (360, 32)]
    assert outlook.history[1].real == (0, 0)
    common, rare = outlook.forecasts
    assert (common.warning, rare.warning) == (False, True)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("mix recursive-1: WARNING: class rare: share halves every ")
    assert "; under 20 training boxes in generation " in said


def test_a_class_that_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """A class under the need now is warned of as a fact."""
    mix.main("base")
    for number, rare in ((1, 30), (2, 12)):
        generated(f"recursive-{number}", number, rare)
        mix.main(f"recursive-{number}")
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "mix recursive-2: WARNING: class rare: 12 training boxes now, under 20 since generation 2"
    outlook = forecasts.read(RunPaths("recursive-2").forecasts)
    assert [one.run for one in outlook.history] == ["base", "recursive-1", "recursive-2"]
    assert [one.boxes for one in outlook.forecasts] == [(360, 360, 360), (60, 30, 12)]


def test_forecasts_are_of_the_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forecasts are made for the policy of the run's arm, with the need and the horizon of params.yaml."""
    seen: list[tuple[str, int, int]] = []
    plain = forecasts.forecast

    def noted(*args: Any, policy: Policy, need: int, horizon: int, **more: Any) -> tuple[Forecast, ...]:
        seen.append((policy, need, horizon))
        return plain(*args, policy=policy, need=need, horizon=horizon, **more)

    monkeypatch.setattr(forecasts, "forecast", noted)
    mix.main("base")
    for run in ("guarded-1", "recursive-1"):
        generated(run, 1, 30)
        mix.main(run)
    assert seen == [("accumulate", 20, 30), ("accumulate", 20, 30), ("replace", 20, 30)]


def test_real_images_hold_a_class(capsys: pytest.CaptureFixture[str]) -> None:
    """With all real images kept, the same synthetic images make no class vanish, and nothing is warned of."""
    mix.main("base")
    for number, rare in ((1, 30), (2, 12)):
        generated(f"guarded-{number}", number, rare)
        mix.main(f"guarded-{number}")
    history = forecasts.read(RunPaths("guarded-2").forecasts).history
    assert history[-1].real == (360, 60)
    assert history[-1].used == 13
    assert history[-1].made == 40
    assert len(manifest.read(RunPaths("guarded-2").pool_manifest)) == 80
    assert "WARNING" not in capsys.readouterr().err


def test_same_again() -> None:
    """A mix made again is the same to the byte."""
    generated("recursive-1", 1, 25)
    written = []
    for _ in range(2):
        mix.main("base")
        mix.main("recursive-1")
        folder = RunPaths("recursive-1").mix
        written.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert written[0] == written[1]
    assert list(written[0]) == [
        "forecasts.json", "manifest.parquet", "pool.parquet", "real.parquet", "summary.json", "times.csv", "train.txt",
    ]  # fmt: skip


def test_without_the_previous_history() -> None:
    """A previous mix of an older kind has no history: it is named, with what to do."""
    generated("recursive-1", 1, 25)
    mix.main("base")
    RunPaths("base").forecasts.unlink()
    with pytest.raises(UserError, match=r"data/mix/base/forecasts\.json is missing.*dvc repro"):
        mix.main("recursive-1")


def mixed(run: str) -> dict[str, bytes]:
    """Make a mix; returns what it wrote, by file name."""
    mix.main(run)
    return {path.name: path.read_bytes() for path in sorted(RunPaths(run).mix.iterdir())}


def decided(state: State, *rows: Row) -> None:
    """People came to this on synthetic images, with the labels that they have."""
    synthetic.write(TrainingPaths().synthetic, {(one.image_id, one.label_digest): state for one in rows})


def divided(run: str, made: list[Row]) -> tuple[Row, Row]:
    """One of the synthetic images that the run trains on, and one that it does not."""
    used = {one.image_id for one in manifest.read(RunPaths(run).mix_manifest)}
    return next(one for one in made if one.image_id in used), next(one for one in made if one.image_id not in used)


@pytest.mark.parametrize("state", ["verified", "rejected", "conflict"])
def test_a_decision_on_an_unused_image(state: State) -> None:
    """What people decide on a synthetic image that a run does not train on leaves its mix as it was, to the byte."""
    made = generated("guarded-1", 1, 30)
    mix.main("base")
    before = mixed("guarded-1")
    _, unused = divided("guarded-1", made)
    decided(state, unused)
    assert mixed("guarded-1") == before


def test_an_accepted_synthetic_image() -> None:
    """It is human-verified with just these labels, and stays synthetic; nothing else in the mix changes."""
    made = generated("guarded-1", 1, 30)
    mix.main("base")
    mix.main("guarded-1")
    used, _ = divided("guarded-1", made)
    before = manifest.read(RunPaths("guarded-1").mix_manifest)
    decided("verified", used)
    mix.main("guarded-1")
    after = manifest.read(RunPaths("guarded-1").mix_manifest)
    (changed,) = [now for now, then in zip(after, before, strict=True) if now != then]
    assert (changed.image_id, changed.origin, changed.human_verified) == (used.image_id, "synthetic", True)
    decided("verified", replace(used, label_digest=sha("other labels")))
    mix.main("guarded-1")
    assert manifest.read(RunPaths("guarded-1").mix_manifest) == before


@pytest.mark.parametrize("state", ["rejected", "conflict"])
def test_a_refused_synthetic_image(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    """It is trained on no more, in any generation, and one other takes its place."""
    made = generated("guarded-1", 1, 30)
    mix.main("base")
    mix.main("guarded-1")
    used, _ = divided("guarded-1", made)
    before = {one.image_id for one in manifest.read(RunPaths("guarded-1").mix_manifest)}
    decided(state, used)
    mix.main("guarded-1")
    after = {one.image_id for one in manifest.read(RunPaths("guarded-1").mix_manifest)}
    assert (before - after, len(after - before)) == ({used.image_id}, 1)
    assert "1 synthetic images were left out: people rejected them, or disagree" in capsys.readouterr().err
    generated("guarded-2", 2, 30)
    mix.main("guarded-2")
    assert used.image_id not in {one.image_id for one in manifest.read(RunPaths("guarded-2").mix_manifest)}


def test_refused_images_leave_an_arm_without_real_ones_with_fewer() -> None:
    """An arm of synthetic images only trains on those that are left, rather than stop the night."""
    made = generated("recursive-1", 1, 30)
    mix.main("base")
    decided("rejected", *made[:3])
    mix.main("recursive-1")
    assert len(manifest.read(RunPaths("recursive-1").mix_manifest)) == 37
    decided("rejected", *made)
    with pytest.raises(UserError, match="has 0, beside 40 that people rejected or disagree on"):
        mix.main("recursive-1")


def test_without_the_table_of_synthetic_images() -> None:
    """A verification of an older kind has no such table: it is named, with what to do."""
    generated("recursive-1", 1, 25)
    mix.main("base")
    TrainingPaths().synthetic.unlink()
    with pytest.raises(UserError, match=r"data/verified/training/now/synthetic\.csv is missing.*dvc repro"):
        mix.main("recursive-1")


def test_a_pinned_run() -> None:
    """It is made of the real images, the times and the decisions of its pin, and says so; others follow today's."""
    made = generated("guarded-1", 1, 30)
    mix.main("base")
    mix.main("guarded-1")
    before = {
        run: {path.name: path.read_bytes() for path in RunPaths(run).mix.iterdir()} for run in ("base", "guarded-1")
    }
    assert json.loads(before["base"]["summary.json"])["ledger"] == NEWEST
    assert {row.image_id for row in manifest.read(RunPaths("base").real_manifest)} == {one.image_id for one in REAL}
    used, _ = divided("guarded-1", made)
    handed(REAL, NEWEST)
    handed([*REAL[1:], row("new")], newest=sha("a later row"))
    decided("rejected", used)
    pinned = yaml.safe_load(Path("params.yaml").read_text()) | {
        "pins": dict.fromkeys(("base", "guarded-1"), NEWEST[:12])
    }
    Path("params.yaml").write_text(yaml.safe_dump(pinned))
    assert {run: mixed(run) for run in ("base", "guarded-1")} == before
    generated("guarded-2", 2, 30)
    assert json.loads(mixed("guarded-2")["summary.json"])["ledger"] == sha("a later row")
    names = {one.name for one in manifest.read(RunPaths("guarded-2").mix_manifest)}
    assert "new" in names
    assert not {REAL[0].name, used.name} & names


def test_times_are_those_of_the_mixture() -> None:
    """When an image was accepted is kept for what the run trains on: for no real image where it trains on none."""
    generated("recursive-1", 1, 25)
    mix.main("base")
    mix.main("recursive-1")
    assert acceptance_times.read(RunPaths("base").times) == {one.image_id: "2026-01-01T00:00:00+00:00" for one in REAL}
    assert acceptance_times.read(RunPaths("recursive-1").times) == {}
    assert len(manifest.read(RunPaths("recursive-1").real_manifest)) == len(REAL)
