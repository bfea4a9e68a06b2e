"""The real images of pinned runs: as they were on the day of the pin, whatever people decide later."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import yaml

from pipeline import verify
from pipeline.core import acceptance_times, deciding, labels, ledger, manifest, paths
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths, TrainingPaths
from tests.builders import synthetic_row
from tests.test_verify import BOX, FIXED, ingested, real

__all__ = ["ingested"]
MOVED = [replace(BOX, x=0.6)]
MADE = synthetic_row("made")
NEW = [Box(class_id=1, x=0.5, y=0.5, width=0.9, height=0.9)]


def pin(*runs: str, row: str | None = None, **verifying: str) -> str:
    """Pin runs to the ledger's newest row, or to another; returns its hash."""
    row = row or ledger.read(paths.LEDGER)[-1].hash
    found = yaml.safe_load(paths.PARAMS.read_text())
    found["pins"] |= dict.fromkeys(runs, row[:12])
    found["verify"] |= verifying
    paths.PARAMS.write_text(json.dumps(found))  # YAML too, and a hash such as 60303e22 stays a text
    return row


def contents(place: TrainingPaths) -> dict[str, bytes]:
    """All that the runs of a pin are handed, by file, with the labels of each image by its path."""
    found = {path.name: path.read_bytes() for path in place.folder.iterdir()}
    return found | {row.path: row.label_path.read_bytes() for row in manifest.read(place.real)}


def outcomes() -> dict[str, tuple[str, str]]:
    """Outcome and reason of each real image, by name."""
    with paths.VERIFIED_DECISIONS.open(newline="") as file:
        return {line["name"]: (line["outcome"], line["reason"]) for line in csv.DictReader(file)}


def by_name(path: Path) -> dict[str, Row]:
    """A manifest's rows by name."""
    return {row.name: row for row in manifest.read(path)}


def decide_at_random(rows: list[Row], source: np.random.Generator) -> None:
    """One decision of somebody on some image of train or val, or on a synthetic one."""
    what = str(source.choice(["accept", "reject", "correct", "accept", "made"]))
    row, reviewer = rows[source.integers(len(rows))], str(source.choice(["Ada", "Bob"]))
    if what == "correct":
        deciding.correct(row.image_id, (FIXED, MOVED)[source.integers(2)], reviewer=reviewer)
    elif what == "made":
        deciding.decide("accept", MADE.image_id, MADE.label_digest, reviewer=reviewer)
    else:
        deciding.decide("accept" if what == "accept" else "reject", row.image_id, row.label_digest,
                        reviewer=reviewer, reason="so")  # fmt: skip


@pytest.fixture(autouse=True)
def frozen(ingested: dict[str, Row]) -> None:
    """The test split is frozen, as it is before the first run."""
    assert ingested
    verify.main()


@pytest.mark.parametrize("splits", ["source", "identity"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_pin_is_as_on_its_day(seed: int, splits: str, ingested: dict[str, Row]) -> None:
    """Night after night people decide and new images come: each pin goes on giving what its day gave, to the byte."""
    source = np.random.default_rng(seed)
    paths.TEST_LOCK.unlink()
    pin(splits=splits)
    verify.main()
    test = {row.image_id for row in manifest.read(paths.VERIFIED_HELD_OUT) if row.split == "test"}
    rows = [row for row in ingested.values() if row.image_id not in test]
    on_the_day = {pin("base"): contents(TrainingPaths())}
    held_out = paths.VERIFIED_HELD_OUT.read_bytes()
    for night in range(3):
        rows.append(real("train", 10 + night))
        manifest.write(paths.REAL_MANIFEST, [*manifest.read(paths.REAL_MANIFEST), rows[-1]])
        deciding.decide("accept", rows[-1].image_id, rows[-1].label_digest, reviewer="Cy")
        for _ in range(4):
            decide_at_random(rows, source)
        verify.main()
        on_the_day[pin(f"guarded-{night + 1}")] = contents(TrainingPaths())
    verify.main()
    assert {row: contents(TrainingPaths(row)) for row in on_the_day} == on_the_day
    assert len({one["real.parquet"] for one in on_the_day.values()}) >= 3
    assert paths.VERIFIED_HELD_OUT.read_bytes() == held_out


def test_two_versions_of_labels_at_once(ingested: dict[str, Row]) -> None:
    """An image that is corrected after a pin has its old labels there and the new ones today, in files of their own."""
    one = ingested["train0"]
    deciding.correct(one.image_id, FIXED, reviewer="Ada")
    row = pin("base")
    deciding.correct(one.image_id, MOVED, reviewer="Ada")
    verify.main()
    then, now = (by_name(place.real)["train0"] for place in (TrainingPaths(row), TrainingPaths()))
    assert [labels.read(each.label_path) for each in (then, now)] == [sorted(FIXED), MOVED]
    assert by_name(paths.VERIFIED_MANIFEST)["train0"] == now
    assert len(list(paths.VERIFIED_IMAGES.iterdir())) == 2


class Tomorrow(datetime):
    """A clock that is a day ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """The time, a day later."""
        return super().now(tz) + timedelta(days=1)


def test_val_stays(ingested: dict[str, Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided on val after the oldest pin is said, and changes no figure; so does a new image of val wait."""
    pin("base")
    before = paths.VERIFIED_HELD_OUT.read_bytes()
    monkeypatch.setattr(ledger, "datetime", Tomorrow)
    rejected, corrected, new = ingested["val0"], ingested["val1"], real("val", 9)
    deciding.decide("reject", rejected.image_id, rejected.label_digest, reviewer="Ada", reason="blurred")
    deciding.correct(corrected.image_id, FIXED, reviewer="Ada")
    manifest.write(paths.REAL_MANIFEST, [*ingested.values(), new])
    deciding.decide("accept", new.image_id, new.label_digest, reviewer="Ada")
    verify.main()
    assert paths.VERIFIED_HELD_OUT.read_bytes() == before
    told = outcomes()
    assert len(told) == len(ingested) + 1
    for name, outcome, word in (("val0", "val", "decided on later"), ("val1", "val", "decided on later"),
                                ("val9", "later", "accepted later"), ("val2", "val", "")):  # fmt: skip
        assert told[name][0] == outcome
        assert told[name][1].startswith(word)
    assert acceptance_times.read(paths.VERIFIED_TIMES)[corrected.image_id] == ledger.read(paths.LEDGER)[0].time


def test_a_new_image_that_leaks(ingested: dict[str, Row]) -> None:
    """A new training image that shows what val shows is removed from train, and val stays."""
    pin("base")
    copied = replace(real("train", 9), name="copy")
    Path(copied.path).write_bytes(Path(ingested["val0"].path).read_bytes())
    manifest.write(paths.REAL_MANIFEST, [*ingested.values(), copied])
    deciding.decide("accept", copied.image_id, copied.label_digest, reviewer="Ada")
    verify.main()
    assert outcomes()["copy"][0] == "leak"
    assert outcomes()["val0"] == ("val", "")
    assert "copy" not in by_name(TrainingPaths().real)


@pytest.mark.parametrize("change", ["relabel", "reject"])
def test_the_test_split_is_still_frozen(change: str, ingested: dict[str, Row]) -> None:
    """A decision that changes the test split stays an error, pins or not."""
    pin("base")
    one = ingested["test2"]
    if change == "relabel":
        deciding.correct(one.image_id, FIXED, reviewer="Bob")
    else:
        deciding.decide("reject", one.image_id, one.label_digest, reviewer="Bob", reason="blurred")
    with pytest.raises(UserError, match=rf"frozen .*test2 {one.image_id[:12]}.*tailwatch new-baseline"):
        verify.main()


def test_a_decision_on_a_synthetic_image_is_for_later_runs() -> None:
    """What people say of a synthetic image after a pin is not there as of the pin."""
    row = pin("base")
    deciding.decide("reject", MADE.image_id, MADE.label_digest, reviewer="Bob", reason="no such cell")
    verify.main()
    assert [len(place.synthetic.read_text().splitlines()) for place in (TrainingPaths(row), TrainingPaths())] == [1, 2]
    assert RunPaths("guarded-1").synthetic_manifest.exists()


def test_a_pin_that_the_ledger_does_not_have() -> None:
    """It is named with what to do, and what was there stays."""
    before = paths.VERIFIED_MANIFEST.read_bytes()
    pin("guarded-1", row="0123456789ab")
    with pytest.raises(UserError, match=r"pins\.guarded-1: .* no row whose hash begins with 0123456789ab"):
        verify.main()
    assert paths.VERIFIED_MANIFEST.read_bytes() == before


def test_a_source_that_changed(ingested: dict[str, Row]) -> None:
    """Where the source's own labels are new ones, a pin cannot be held: that is said, and what to do."""
    pin("base")
    manifest.write(paths.REAL_MANIFEST, [replace(row, label_digest=labels.digest(NEW)) for row in ingested.values()])
    with pytest.raises(UserError, match=r"as of row 1 of data/ledger\.csv.*none of the 12.*write `pins: \{\}`"):
        verify.main()


def test_pins_without_a_frozen_test_split() -> None:
    """A lock that was removed by hand begins no baseline in which the base keeps the images of the old one."""
    pin("base")
    paths.TEST_LOCK.unlink()
    with pytest.raises(UserError, match=r"test\.lock is missing, and params\.yaml pins base.*tailwatch new-baseline"):
        verify.main()
    assert not paths.TEST_LOCK.exists()
