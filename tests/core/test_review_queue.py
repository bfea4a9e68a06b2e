"""A reviewer's queue follows from the project's files: what is in it, why, and what is planted for whom."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import (
    audits,
    corrections,
    deciding,
    detections,
    labels,
    ledger,
    manifest,
    params,
    paths,
    plants,
    review_queue,
    standing,
)
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths
from pipeline.core.review_queue import Project, Queue
from tests.builders import audit, row, sha, synthetic_row
from tests.project import ROOT

BOXES = [Box(class_id=0, x=0.3, y=0.3, width=0.2, height=0.2), Box(class_id=0, x=0.7, y=0.7, width=0.2, height=0.2)]
RARE = [Box(class_id=1, x=0.5, y=0.5, width=0.2, height=0.2)]


def real(name: str, boxes: Sequence[Box] = BOXES, split: str = "train") -> Row:
    """A real image whose labels are on the disk."""
    found = row(name, split=split, label_digest=labels.digest(boxes), boxes=manifest.count_boxes(boxes))
    found.label_path.parent.mkdir(parents=True, exist_ok=True)
    found.label_path.write_text(labels.format_boxes(boxes))
    return found


def predicted(*boxes: tuple[str, int, float, float]) -> pd.DataFrame:
    """Predictions on val: image, class, confidence and left side of a box of 10 by 10 pixels."""
    return pd.DataFrame(
        [("val", sha(image), one, confidence, left, 0.0, left + 10.0, 10.0) for image, one, confidence, left in boxes],
        columns=list(detections.PREDICTION_COLUMNS),
    )


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """30 verified training images, one of them of a rare class, two of val with predictions, two generations."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    rows = [real(f"train {number}") for number in range(29)]
    rows += [real("rare", RARE), real("lost", split="val"), real("found", split="val")]
    paths.REAL.mkdir(parents=True, exist_ok=True)
    paths.REAL_CLASSES.write_text(json.dumps(["common", "rare"]))
    manifest.write(paths.REAL_MANIFEST, rows)
    manifest.write(paths.VERIFIED_MANIFEST, rows)
    digest = ledger.list_digest([(one.image_id, one.label_digest) for one in rows])
    ledger.list_path(paths.IMPORTS, digest).parent.mkdir(parents=True)
    items = ledger.format_list([(one.image_id, one.label_digest) for one in rows])
    ledger.list_path(paths.IMPORTS, digest).write_text(items)
    ledger.append(paths.LEDGER, "accept-import", image_id=digest, label_digest="", reviewer="Ada", reason="",
                  lock=paths.LEDGER_LOCK)  # fmt: skip
    for run, found in (
        ("base", predicted(("lost", 0, 0.9, 0), ("lost", 0, 0.8, 30), ("found", 0, 0.9, 0))),
        ("guarded-1", predicted(("lost", 0, 0.9, 1), ("lost", 0, 0.1, 30), ("found", 0, 0.9, 0))),
    ):
        audits.write(RunPaths(run).figures, audit(run, confidence=0.3))
        detections.write(RunPaths(run).predictions, found)
    return {one.name: one for one in rows}


def made(name: str, run: str = "guarded-1", generation: int = 1, parent: str = "train 7") -> Row:
    """A synthetic image of a run."""
    return synthetic_row(name, run=run, generation=generation, lineage_depth=generation, parents=(sha(parent),))


def build(reviewer: str = "Bob", synthetic: Sequence[Row] = (), share: float | None = None) -> Queue:
    """The queue as the files have it."""
    chosen = params.load()
    if share is not None:
        text = paths.PARAMS.read_text()
        paths.PARAMS.write_text(text.replace(f"planted: {chosen.review.planted}", f"planted: {share}"))
        chosen = params.load()
    entries, rows = ledger.read(paths.LEDGER), manifest.read(paths.REAL_MANIFEST)
    items = [(one.image_id, one.label_digest) for one in [*rows, *synthetic]]
    found = standing.standings(entries, items, paths.IMPORTS, paths.CORRECTIONS, min_agreement=0.8)
    return review_queue.build(
        chosen, Project(entries=entries, real=rows, synthetic=synthetic, standings=found), reviewer=reviewer
    )


def ids(queue: Queue) -> list[str]:
    """The images of the queue in order."""
    return [item.image_id for item in queue.items]


def test_worth_a_look(project: dict[str, Row]) -> None:
    """Of images accepted with their import, those are there that are rare, or on which the runs differ."""
    queue = build(share=0)
    assert ids(queue) == [sha("rare"), sha("lost")]
    assert queue.items[1].disagreement == 0.5  # one of two boxes lost; the low-confidence one does not count
    assert queue.items[1].uncertainty == pytest.approx(0.1)
    assert {one.label_digest for one in queue.items} == {project["rare"].label_digest, project["lost"].label_digest}


def test_synthetic_images_of_the_newest_run() -> None:
    """Only the newest run of each arm is looked at; what its images were made from counts as their influence."""
    older = [made(f"old {number}") for number in range(40)]
    newer = [made("new", "guarded-2", 2), made("of another arm", "recursive-1")]
    queue = build(synthetic=[*older, *newer], share=0)
    assert set(ids(queue)) == {sha("rare"), sha("lost"), sha("new"), sha("of another arm"), sha("train 7")}
    (parent,) = [item for item in queue.items if item.image_id == sha("train 7")]
    assert parent.influence == 42
    assert "42 synthetic images made from it" in parent.reason


def test_what_a_reviewer_decided_is_done(project: dict[str, Row]) -> None:
    """A conflict waits for a third person: it is not shown to the two who made it, and not once it is resolved."""
    one = project["found"]
    deciding.decide("accept", one.image_id, one.label_digest, reviewer="Ada")
    deciding.decide("reject", one.image_id, one.label_digest, reviewer="Bob", reason="a box is missing")
    assert one.image_id not in ids(build("Bob", share=0))
    queue = build("Cy", share=0)
    assert ids(queue)[:2] == [sha("rare"), one.image_id]
    assert "Ada says accept, Bob says reject" in queue.items[1].reason
    deciding.decide("accept", one.image_id, one.label_digest, reviewer="Cy")
    assert one.image_id not in ids(build("Di", share=0))


def test_controls(project: dict[str, Row]) -> None:
    """Controls show broken labels of verified images; who answered one does not get it again, and others do."""
    synthetic = [made(f"new {number}") for number in range(60)]
    queue = build(synthetic=synthetic)
    assert queue.controls
    versions = {one.label_digest for one in project.values()}
    shown = {(item.image_id, item.label_digest) for item in queue.items if item.kind == "control"}
    assert shown == {(one.image_id, one.label_digest) for one in queue.controls}
    assert not versions & {one.label_digest for one in queue.controls}
    assert build(synthetic=synthetic) == queue
    plants.keep(paths.PLANTS, queue.controls)
    for one in queue.controls:
        assert deciding.decide("accept", one.image_id, one.label_digest, reviewer="Bob").decision == "control-wrong"
    answered = {one.image_id for one in queue.controls}
    assert not answered & {one.image_id for one in build(synthetic=synthetic).controls}
    assert build("Cy", synthetic).controls != queue.controls


def test_controls_break_the_version_that_holds(project: dict[str, Row]) -> None:
    """The broken labels of a corrected image are those of its correction with one thing wrong."""
    fixed = [Box(class_id=1, x=0.2, y=0.2, width=0.1, height=0.1)]
    for one in project.values():
        deciding.correct(one.image_id, fixed, reviewer="Ada")
    assert corrections.read(paths.CORRECTIONS, labels.digest(fixed)) == fixed
    queue = build(synthetic=[made(f"new {number}") for number in range(60)])
    assert queue.controls
    for plant in queue.controls:
        assert len(set(fixed) ^ set(plant.boxes)) <= 2
        assert all(len(plant.boxes) == 2 for one in [plant] if one.breakage == "invented")


def test_second_opinions(project: dict[str, Row]) -> None:
    """Images that another person decided on are planted with the labels that hold; one's own are not."""
    for number in range(20):
        one = project[f"train {number}"]
        deciding.decide("accept", one.image_id, one.label_digest, reviewer="Ada")
    synthetic = [made(f"new {number}") for number in range(60)]
    opinions = [item for item in build(synthetic=synthetic).items if item.kind == "second-opinion"]
    assert opinions
    decided = {(project[f"train {n}"].image_id, project[f"train {n}"].label_digest) for n in range(20)}
    assert {(item.image_id, item.label_digest) for item in opinions} <= decided
    assert not [item for item in build("Ada", synthetic).items if item.kind == "second-opinion"]


def test_before_the_first_audit(project: dict[str, Row]) -> None:
    """Where nothing is verified or audited yet, the queue is made of what is known."""
    shutil.rmtree(paths.AUDITS)
    shutil.rmtree(paths.VERIFIED)
    one = real("new")
    manifest.write(paths.REAL_MANIFEST, [*project.values(), one])
    assert ids(build(share=0)) == [one.image_id]


def iou(one: float, other: float) -> float:
    """IoU of two boxes of 10 by 10 pixels at the same height, by their left sides."""
    shared = max(10 - abs(one - other), 0)
    return shared / (20 - shared)


SIDES = st.lists(st.sampled_from([0.0, 2.0, 20.0, 40.0]), max_size=3, unique=True)


@settings(max_examples=40)
@given(base=SIDES, newer=SIDES)
def test_disagreement(base: list[float], newer: list[float]) -> None:
    """It is the share of boxes that only one run found; counted here over all ways of pairing them."""
    frames = [predicted(*(("a", 0, 0.9 - n / 10, left) for n, left in enumerate(sides))) for sides in (base, newer)]
    found = review_queue.disagreements(*frames)
    if not base and not newer:
        assert found == {}
        return

    def most(first: list[float], second: list[float]) -> int:
        if not first:
            return 0
        near = [one for one in second if iou(first[0], one) >= 0.5]
        taken = [1 + most(first[1:], [other for other in second if other != one]) for one in near]
        return max([most(first[1:], second), *taken])

    # With boxes at 0 and 2, and 20 and 40 far away, greedy pairing finds as many pairs as any.
    same = most(base, newer)
    assert found == {sha("a"): pytest.approx(1 - same / (len(base) + len(newer) - same))}


def test_disagreement_is_of_one_class() -> None:
    """A box of another class at the same place is another box."""
    assert review_queue.disagreements(predicted(("a", 0, 0.9, 0)), predicted(("a", 1, 0.9, 0))) == {sha("a"): 1.0}
