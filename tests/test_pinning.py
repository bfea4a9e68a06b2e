"""Which runs the night pins before it takes new decisions in, and to which row."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline import pinning
from pipeline.core import appending, files, ledger, params, paths
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Run
from tests.builders import sha
from tests.project import ROOT

STAGES = ["confirm-base", "gate@guarded-1", "gate@recursive-1"]


def decide(number: int) -> str:
    """A row more in the ledger; returns its hash."""
    return ledger.append(
        paths.LEDGER, "accept", image_id=sha(f"image {number}"), label_digest=sha("labels"), reviewer="Ada", reason="",
        lock=paths.LEDGER_LOCK,
    ).hash  # fmt: skip


def mixed(row: str, *runs: str) -> None:
    """These runs were made of the real images as of a row, and have a verdict."""
    for run in runs:
        files.write_json(RunPaths(run).mix_summary, {"ledger": row, "real": 3})
        files.write_json(RunPaths(run).gate, {})


def pinned() -> Mapping[str, str]:
    """What params.yaml pins."""
    return params.load().pins


@pytest.fixture(autouse=True)
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default project after two runs, all made of one row; its hash."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    found = decide(0)
    mixed(found, "base", "guarded-1", "recursive-1")
    return found


def test_nothing_is_pinned_where_nobody_decided() -> None:
    """params.yaml stays as it is, to the byte."""
    before = paths.PARAMS.read_bytes()
    assert pinning.pin(params.load(), STAGES).pins == {}
    assert paths.PARAMS.read_bytes() == before


def test_finished_runs_are_pinned_to_the_row_they_were_made_of(row: str) -> None:
    """A decision later, all that is finished is pinned to the row before it; nothing else in params.yaml changes."""
    before = paths.PARAMS.read_text()
    decide(1)
    found = pinning.pin(params.load(), STAGES)
    assert found.pins == pinned() == dict.fromkeys(("base", "guarded-1", "recursive-1"), row[:12])
    after = paths.PARAMS.read_text()
    assert [line for line in before.splitlines() if not line.startswith("pins: ")] == [
        line for line in after.splitlines() if not line.startswith("pins:") and row[:12] not in line
    ]
    pinning.pin(params.load(), STAGES)
    assert paths.PARAMS.read_text() == after


@pytest.mark.parametrize(
    "unfinished",
    ["no verdict", "no stage", "no note", "another ledger"],
)
def test_runs_that_are_not_pinned(unfinished: str, row: str) -> None:
    """A run that is not finished, or of which nobody can say what it was made of, follows the ledger."""
    stages = [one for one in STAGES if unfinished != "no stage" or one != "gate@guarded-1"]
    if unfinished == "no verdict":
        RunPaths("guarded-1").gate.unlink()
    elif unfinished == "no note":
        files.write_json(RunPaths("guarded-1").mix_summary, {"real": 3})
    elif unfinished == "another ledger":
        mixed(sha("a row that was written anew"), "guarded-1")
    decide(1)
    assert pinning.pin(params.load(), stages).pins == dict.fromkeys(("base", "recursive-1"), row[:12])


def test_each_generation_has_its_row(row: str) -> None:
    """Pins stay as they were given; later runs are pinned later, when there is something that they do not know."""
    second = decide(1)
    pinning.pin(params.load(), STAGES)
    mixed(second, "guarded-2")
    assert "guarded-2" not in pinning.pin(params.load(), [*STAGES, "gate@guarded-2"]).pins
    decide(2)
    found = pinning.pin(params.load(), [*STAGES, "gate@guarded-2"]).pins
    assert found == {**dict.fromkeys(("base", "guarded-1", "recursive-1"), row[:12]), "guarded-2": second[:12]}


def test_pins_of_runs_that_left(row: str) -> None:
    """They stay until something else is pinned, for each change makes mixtures run; an anchor keeps its own."""
    second = decide(1)
    pinning.pin(params.load(), STAGES)
    anchors = {"guarded-2": Run(arm="guarded", generation=2, previous="guarded-1")}
    left = appending.edited(paths.PARAMS.read_text(), add={}, remove=["guarded-1", "guarded-2"], anchors=anchors)
    paths.PARAMS.write_text(left)
    assert "guarded-1" in pinning.pin(params.load(), STAGES).pins
    files.write_json(RunPaths("guarded-2").mix_summary, {"ledger": second})
    decide(2)
    found = pinning.pin(params.load(), STAGES).pins
    assert found == {"base": row[:12], "guarded-2": second[:12], "recursive-1": row[:12]}


def test_a_new_baseline_has_no_pins() -> None:
    """All are taken out, and the section stays: the pipeline asks for it."""
    before = paths.PARAMS.read_bytes()
    assert not pinning.clear()
    decide(1)
    pinning.pin(params.load(), STAGES)
    assert pinning.clear()
    assert paths.PARAMS.read_bytes() == before


def test_a_broken_ledger_pins_nothing() -> None:
    """An edited row is named, and params.yaml stays as it is."""
    before = paths.PARAMS.read_bytes()
    decide(1)
    paths.LEDGER.write_text(paths.LEDGER.read_text().replace("Ada", "Bob", 1))
    with pytest.raises(UserError, match="row 1"):
        pinning.pin(params.load(), STAGES)
    assert paths.PARAMS.read_bytes() == before
