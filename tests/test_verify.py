"""What people decided reaches the verified images: which are used, with which labels, and why the others are not."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import accepting, verify
from pipeline.core import acceptance_times, deciding, images, labels, ledger, manifest, paths, synthetic
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import SPLITS, Row
from pipeline.core.paths import RunPaths, TrainingPaths
from tests.builders import picture, row, sha, synthetic_row
from tests.project import ROOT

BOX = Box(class_id=0, x=0.5, y=0.5, width=0.2, height=0.2)
FIXED = [Box(class_id=1, x=0.4, y=0.4, width=0.3, height=0.3), BOX]
MADE = synthetic_row("made")


def real(split: str, number: int) -> Row:
    """A real image with one box, on the disk."""
    name = f"{split}{number}"
    path = paths.REAL_IMAGES / f"{sha(name)[:16]}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode_png(picture(100 * SPLITS.index(split) + number)))
    manifest.label_path(path).parent.mkdir(exist_ok=True)
    manifest.label_path(path).write_text(labels.format_boxes([BOX]))
    return row(name, split=split, human_verified=False, label_digest=labels.digest([BOX]), width=48, height=40)


@pytest.fixture(autouse=True)
def ingested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """A project with four real images in each split, accepted as an import, and a synthetic image; rows by name."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    rows = [real(split, number) for split in SPLITS for number in range(4)]
    manifest.write(paths.REAL_MANIFEST, rows)
    paths.REAL_CLASSES.write_text(json.dumps(["cell", "platelet"]))
    manifest.write(RunPaths("guarded-1").synthetic_manifest, [MADE])
    Path(MADE.path).parent.mkdir()
    Path(MADE.path).write_bytes(images.encode_png(picture(1000)))
    accepting.accept(reviewer="Ada", reason="made for this test")
    return {one.name: one for one in rows}


def outcomes() -> dict[str, tuple[str, str]]:
    """Outcome and reason of each real image, by name."""
    with paths.VERIFIED_DECISIONS.open(newline="") as file:
        return {line["name"]: (line["outcome"], line["reason"]) for line in csv.DictReader(file)}


def verified() -> dict[str, Row]:
    """The verified images by name."""
    return {one.name: one for one in manifest.read(paths.VERIFIED_MANIFEST)}


def test_nothing_decided(ingested: dict[str, Row]) -> None:
    """Images that nobody corrected stay where they are, and are verified since their import."""
    verify.main()
    assert verified() == {name: replace(one, human_verified=True) for name, one in ingested.items()}
    assert not paths.VERIFIED_IMAGES.exists()
    since = ledger.read(paths.LEDGER)[0].time
    assert acceptance_times.read(paths.VERIFIED_TIMES) == dict.fromkeys(
        (one.image_id for one in ingested.values()), since
    )
    assert synthetic.read(TrainingPaths().synthetic) == {}


def test_outcomes(ingested: dict[str, Row], capsys: pytest.CaptureFixture[str]) -> None:
    """What is not used has its outcome and reason: rejected by whom and why, or in conflict between whom."""
    first, second = ingested["train0"], ingested["train1"]
    deciding.decide("reject", first.image_id, first.label_digest, reviewer="Ada", reason="blurred")
    deciding.decide("accept", second.image_id, second.label_digest, reviewer="Ada")
    deciding.decide("reject", second.image_id, second.label_digest, reviewer="Bob", reason="a box is missing")
    manifest.write(paths.REAL_MANIFEST, [*ingested.values(), real("train", 4)])
    verify.main()
    found = outcomes()
    assert found["train0"] == ("rejected", "Ada: blurred")
    assert found["train1"][0] == "conflict"
    assert found["train1"][1].startswith("reviewers disagree: Ada (accept ")
    assert found["train4"] == ("quarantined", "not accepted with these labels")
    assert not {"train0", "train1", "train4"} & set(verified())
    summary = json.loads(paths.VERIFIED_SUMMARY.read_text())
    assert summary == {"images": 13, "conflict": 1, "quarantined": 1, "rejected": 1, "test": 4, "train": 2, "val": 4}
    assert "1 conflict, 1 quarantined, 1 rejected" in capsys.readouterr().err
    deciding.decide("accept", second.image_id, second.label_digest, reviewer="Cy")
    verify.main()
    assert verified()["train1"].human_verified


def test_corrected_labels_are_used(ingested: dict[str, Row]) -> None:
    """A corrected image is used with the new labels, from a folder in which they are beside it; the source stays."""
    one = ingested["train0"]
    entry = deciding.correct(one.image_id, FIXED, reviewer="Bob")
    verify.main()
    found = verified()["train0"]
    assert (found.label_digest, found.boxes, found.origin) == (entry.label_digest, ((0, 1), (1, 1)), "real")
    assert labels.read(found.label_path) == sorted(FIXED)
    assert Path(found.path).parent == paths.VERIFIED_IMAGES
    assert Path(found.path).read_bytes() == Path(one.path).read_bytes()
    assert labels.read(one.label_path) == [BOX]
    assert acceptance_times.read(paths.VERIFIED_TIMES)[one.image_id] == entry.time
    assert Path(found.path).name == f"{Path(one.path).stem}-{entry.label_digest[:12]}.png"
    assert [path.name for path in paths.VERIFIED_IMAGES.iterdir()] == [Path(found.path).name]
    deciding.undo("Bob")
    verify.main()
    assert verified()["train0"] == replace(one, human_verified=True)
    assert not paths.VERIFIED_IMAGES.exists()


def test_without_hard_links(ingested: dict[str, Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system has no hard links, the image is copied."""

    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    deciding.correct(ingested["train0"].image_id, FIXED, reviewer="Bob")
    verify.main()
    copied = Path(verified()["train0"].path)
    assert copied.read_bytes() == Path(ingested["train0"].path).read_bytes()
    assert copied.stat().st_nlink == 1


def test_an_edited_correction(ingested: dict[str, Row]) -> None:
    """Corrected labels that are no longer those that a person gave stop the pipeline, and what was there stays."""
    verify.main()
    before = paths.VERIFIED_MANIFEST.read_bytes()
    entry = deciding.correct(ingested["train0"].image_id, FIXED, reviewer="Bob")
    (paths.CORRECTIONS / f"{entry.label_digest}.txt").write_text("")
    with pytest.raises(UserError, match="was edited; the ledger names other labels"):
        verify.main()
    assert paths.VERIFIED_MANIFEST.read_bytes() == before


@pytest.mark.parametrize("change", ["relabel", "reject"])
def test_the_test_split_is_frozen(change: str, ingested: dict[str, Row]) -> None:
    """A decision that changes the frozen test split is named, with the command that begins a new baseline."""
    verify.main()
    one = ingested["test2"]
    if change == "relabel":
        deciding.correct(one.image_id, FIXED, reviewer="Bob")
        said = "1 with other labels"
    else:
        deciding.decide("reject", one.image_id, one.label_digest, reviewer="Bob", reason="blurred")
        said = "1 missing or no longer verified"
    with pytest.raises(UserError, match=rf"frozen .*{said} \(test2 {one.image_id[:12]}\).*tailwatch new-baseline"):
        verify.main()


def test_synthetic_images(ingested: dict[str, Row]) -> None:
    """Decisions on images that are not real are passed on with the labels that were seen, and make no image real."""
    deciding.decide("accept", MADE.image_id, MADE.label_digest, reviewer="Bob")
    verify.main()
    assert synthetic.read(TrainingPaths().synthetic) == {(MADE.image_id, MADE.label_digest): "verified"}
    assert acceptance_times.read(paths.VERIFIED_TIMES)[MADE.image_id] == ledger.read(paths.LEDGER)[-1].time
    assert set(verified()) == set(ingested)
    deciding.decide("reject", MADE.image_id, MADE.label_digest, reviewer="Cy", reason="no such cell")
    verify.main()
    assert synthetic.read(TrainingPaths().synthetic) == {(MADE.image_id, MADE.label_digest): "conflict"}
    assert MADE.image_id not in acceptance_times.read(paths.VERIFIED_TIMES)


def test_a_decision_on_a_synthetic_image_touches_nothing_real() -> None:
    """The manifest of the verified images, which runs train on, stays as it is, to the byte."""
    verify.main()
    before = paths.VERIFIED_MANIFEST.read_bytes()
    deciding.decide("reject", MADE.image_id, MADE.label_digest, reviewer="Bob", reason="no such cell")
    verify.main()
    assert paths.VERIFIED_MANIFEST.read_bytes() == before


def test_accepting_leaves_out_what_people_refused(ingested: dict[str, Row]) -> None:
    """An import names neither what people rejected nor what they disagree on; what is new counts as pending."""
    first, second = ingested["train0"], ingested["train1"]
    deciding.decide("reject", first.image_id, first.label_digest, reviewer="Ada", reason="blurred")
    deciding.decide("accept", second.image_id, second.label_digest, reviewer="Ada")
    deciding.decide("reject", second.image_id, second.label_digest, reviewer="Bob", reason="a box is missing")
    assert accepting.pending() == accepting.Pending(images=0, boxes=0)
    manifest.write(paths.REAL_MANIFEST, [*ingested.values(), real("train", 4)])
    assert accepting.pending() == accepting.Pending(images=1, boxes=1)
    entry = accepting.accept(reviewer="Ada", reason="again")
    listed = {image_id for image_id, _ in ledger.read_list(paths.IMPORTS, entry.image_id)}
    assert listed == {sha(name) for name in [*ingested, "train4"] if name not in ("train0", "train1")}
    assert accepting.pending().images == 0


def test_a_held_back_reviewer(ingested: dict[str, Row]) -> None:
    """Who was surely wrong too often decides nothing until another person has looked."""
    for number in range(3):
        ledger.append(
            paths.LEDGER, "control-wrong", image_id=sha(number), label_digest=sha("broken"), reviewer="Bob", reason="",
            lock=paths.LEDGER_LOCK,
        )  # fmt: skip
    one = ingested["train0"]
    deciding.decide("reject", one.image_id, one.label_digest, reviewer="Bob", reason="ugly")
    verify.main()
    assert outcomes()["train0"][0] == "train"
    ledger.append(
        paths.LEDGER, "release", image_id="", label_digest="", reviewer="Ada",
        reason=ledger.release_reason("Bob", "looked at all of them"), lock=paths.LEDGER_LOCK,
    )  # fmt: skip
    verify.main()
    assert outcomes()["train0"] == ("rejected", "Bob: ugly")
