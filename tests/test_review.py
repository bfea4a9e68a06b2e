"""What `review` shows: only what is new or changed is made, and what it shows is what was judged."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from pipeline import review
from pipeline.adapters import (
    voxel_app,
    voxel_contents,
    voxel_dataset,
    voxel_decisions,
    voxel_map,
    voxel_samples,
    voxel_views,
    voxel_workspace,
)  # fmt: skip
from pipeline.adapters.voxel_contents import EMBEDDING, Contents, Evaluation, RealImage, RunTables
from pipeline.core import detections, images, labels, metrics
from pipeline.core.errors import UserError
from pipeline.core.figures import Duplication, NearGroup, NearPair
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.reviewing import Decided, Decisions, Queued
from tests.builders import box, figure, picture, row, sha, synthetic_row

CLASSES = ("zero", "one", "two")
NAME = "shown"
BOXES = [box(number, x=0.3 + 0.2 * number) for number in range(3)]
DIGEST = labels.digest(BOXES)


def test_a_taken_port_is_an_error() -> None:
    """Where something listens on the port already, nothing is started, and the message says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} on localhost cannot be used: .+--port N"):
            voxel_app.launch(NAME, port=port, browser=False)


def test_a_port_that_is_none_is_an_error() -> None:
    """A number that no port has is as good as a taken one."""
    with pytest.raises(UserError, match="port 70000 on localhost cannot be used"):
        voxel_app.launch(NAME, port=70_000, browser=False)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(0.5, 0.500002, id="another"),
        pytest.param(None, 0.5, id="absent_in_the_audit"),
        pytest.param(0.5, None, id="absent_in_fiftyone"),
    ],
)
def test_two_figures_of_one_thing_are_an_error(ours: float | None, theirs: float | None) -> None:
    """People must see what was judged: mAP of the audit and of FiftyOne differ by rounding only."""
    with pytest.raises(UserError, match=r"mAP50-95 of night-1 is .+ in the audit and .+ in FiftyOne"):
        review._check_same(Evaluation(run="night-1", eval_key="eval_night_1", map50_95=theirs), ours)


def test_equal_figures_pass() -> None:
    """To a millionth they are one figure, and two that are absent are too."""
    for ours, theirs in ((0.5, 0.5000001), (None, None)):
        evaluation = Evaluation(run="base", eval_key="eval_base", map50_95=theirs)
        review._check_same(evaluation, ours)
        assert evaluation.map50_95 == theirs


def test_names_in_fiftyone() -> None:
    """A run's name becomes one that FiftyOne takes for a field and for an evaluation."""
    assert voxel_contents.field_of("guarded-1") == "guarded_1"
    assert voxel_contents.eval_key_of("guarded-1") == "eval_guarded_1"


# What follows needs the database.


@dataclasses.dataclass(slots=True)
class World:
    """The files of a small project, and how often each was read."""

    runs: dict[str, str]
    mark: str = "first"
    shift: float = 0.0  # of the predictions, in pixels
    said: str = "nothing"  # what the decisions are called
    decided: dict[str, Decided] = dataclasses.field(default_factory=dict)
    queue: list[Queued] = dataclasses.field(default_factory=list)
    versions: dict[str, list[Box]] = dataclasses.field(default_factory=dict)
    read: list[str] = dataclasses.field(default_factory=list)

    def real(self) -> list[RealImage]:
        """Six test and two training images."""
        self.read.append("real")
        rows = [_row(row, f"real {n}", split="test" if n < 6 else "train") for n in range(8)]
        return [RealImage(row=one, outcome=one.split, reason="") for one in rows]

    def tables(self, run: str) -> RunTables:
        """What a run made: predictions near the labels, and for other runs than the base two synthetic images."""
        self.read.append(run)
        test = [one for one in self.real_rows() if one.split == "test"]
        boxes = detections.labelled_boxes(test)
        boxes["found"] = [number % 4 != (run != "base") for number in range(len(boxes))]
        moved = {"left": boxes["left"] + 1.25 + self.shift, "right": boxes["right"] + 1 + self.shift}
        predictions = boxes.assign(split="test", confidence=0.9 - 0.013 * boxes.index, **moved)
        return RunTables(
            run=run,
            confidence=0.3,
            iou=0.5,
            rows=[_row(synthetic_row, f"{run} {n}", run=run) for n in range(2)] if run != "base" else [],
            predictions=predictions[list(detections.PREDICTION_COLUMNS)],
            boxes=boxes,
        )

    def real_rows(self) -> list[Row]:
        """The real images, without counting that they were read."""
        rows = [one.row for one in self.real()]
        self.read.pop()
        return rows

    def decisions(self) -> Decisions:
        """What people decided: that all is right, but for what the test says."""
        made = [f"{run} {n}" for run in self.runs for n in range(2)]
        known = [*(f"real {n}" for n in range(8)), *made]
        plain = {sha(name): Decided(state="verified", label_digest=DIGEST, decided_by=()) for name in known}
        return Decisions(
            mark=self.said, decided=plain | self.decided, queue=self.queue, controls=(),
            labels=lambda _, digest: self.versions[digest],
        )  # fmt: skip

    def contents(self) -> Contents:
        """All of it."""
        return Contents(
            classes=CLASSES, rare=["two"], mark=self.mark, real=self.real, runs=dict(self.runs), tables=self.tables,
            decisions=self.decisions,
        )  # fmt: skip


def _row(build: Callable[..., Row], name: str, **changes: Any) -> Row:
    made = build(name, label_digest=DIGEST, **changes)
    for path in (made.label_path, Path(made.path)):
        path.parent.mkdir(parents=True, exist_ok=True)
    made.label_path.write_text(labels.format_boxes(BOXES))
    Path(made.path).write_bytes(images.encode_png(picture(int(sha(name)[:6], 16), width=64, height=48)))
    return made


@pytest.fixture
def world(fo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A project of a base and two runs, shown in a dataset."""
    monkeypatch.chdir(tmp_path)
    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)
    made = World(runs={"base": "1", "night-1": "1", "night-2": "1"})
    voxel_dataset.update(NAME, made.contents())
    assert made.read == ["real", "base", "night-1", "night-2"]
    made.read.clear()
    return made


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch, world: World) -> list[str]:
    """Keys of the evaluations that are made from here on."""
    from pipeline.adapters.voxel_evaluation import TailwatchEvaluation

    keys: list[str] = []
    original = TailwatchEvaluation.register_run

    def register_run(self: Any, samples: Any, key: str, **options: Any) -> None:
        keys.append(key)
        original(self, samples, key, **options)

    monkeypatch.setattr(TailwatchEvaluation, "register_run", register_run)
    return keys


def state(fo: Any) -> Mapping[str, Any]:
    """All that the dataset shows, but for ids and times."""
    shown = fo.load_dataset(NAME)
    shown.reload()
    path = "ground_truth.detections"
    fields = [path for path in shown.get_field_schema(flat=True) if not path.endswith(("id", "_at"))]
    return {
        "images": sorted(zip(shown.values("image_id"), shown.values("run"), strict=True)),
        "fields": sorted(fields),
        "evaluations": shown.list_evaluations(),
        "map": [shown.load_evaluation_results(key, cache=False).mAP() for key in shown.list_evaluations()],
        "views": {view: shown.load_saved_view(view).count(path) for view in sorted(shown.list_saved_views())},
        "runs": {run: known["mark"] for run, known in shown.info["runs"].items()},
    }


@pytest.mark.slow
def test_the_dataset_shows_all_runs(fo: Any, world: World) -> None:
    """Images, fields, evaluations and views of every run are there, and the matchers of both sides agree on mAP."""
    shown = state(fo)
    assert [run for _, run in shown["images"]].count(None) == 8
    assert [run for _, run in shown["images"]].count("night-1") == 2
    assert shown["evaluations"] == ["eval_base", "eval_night_1", "eval_night_2"]
    assert shown["views"]["night-1: synthetic images"] == 6
    dataset = fo.load_dataset(NAME)
    lost = {word: dataset.load_saved_view(f"night-1: {word}").count("lost_night_1.detections")
            for word in ("lost boxes", "lost rare boxes", "lost two")}  # fmt: skip
    assert lost["lost boxes"] > lost["lost rare boxes"] == lost["lost two"] > 0
    assert shown["views"]["night-1: lost boxes"] == 3 * len(dataset.load_saved_view("night-1: lost boxes"))
    rows = [one for one in world.real_rows() if one.split == "test"]
    tables = world.tables("base")
    found, truth = detections.to_detections(tables.predictions, rows), detections.to_truth(tables.boxes, rows)
    matches = metrics.match(found, truth, images=len(rows), classes=len(CLASSES))
    assert shown["map"][0] == pytest.approx(metrics.mean_average_precision(matches).map50_95, abs=1e-12)


@pytest.mark.slow
def test_what_is_unchanged_is_left_alone(fo: Any, world: World, evaluated: list[str]) -> None:
    """A second update reads no table, evaluates nothing, and gives the same figures."""
    before, contents = state(fo), world.contents()
    assert voxel_dataset.is_current(NAME, contents)
    evaluations = voxel_dataset.update(NAME, contents)
    assert (evaluated, world.read) == ([], [])
    assert [one.map50_95 for one in evaluations] == before["map"]
    assert state(fo) == before


@pytest.mark.slow
def test_a_run_that_is_added_is_all_that_is_evaluated(fo: Any, world: World, evaluated: list[str]) -> None:
    """A night that adds one run reads, adds and evaluates that run only; the other images keep their ids."""
    ids = fo.load_dataset(NAME).values("id")
    world.runs["night-3"] = "1"
    assert not voxel_dataset.is_current(NAME, world.contents())
    evaluations = voxel_dataset.update(NAME, world.contents())
    assert (evaluated, world.read) == (["eval_night_3"], ["night-3"])
    assert [one.run for one in evaluations] == ["base", "night-1", "night-2", "night-3"]
    shown = fo.load_dataset(NAME)
    assert shown.values("id")[: len(ids)] == ids
    assert shown.count() == len(ids) + 2
    assert "night-3: lost boxes" in shown.list_saved_views()


@pytest.mark.slow
def test_a_changed_run_is_made_anew_alone(fo: Any, world: World, evaluated: list[str]) -> None:
    """Other predictions of one run change its evaluation and nothing else."""
    before = state(fo)
    world.runs["night-1"], world.shift = "2", 2.0
    voxel_dataset.update(NAME, world.contents())
    after = state(fo)
    assert (evaluated, world.read) == (["eval_night_1"], ["night-1"])
    assert after["map"][1] < before["map"][1]
    assert {name: after[name] for name in ("images", "fields", "evaluations", "views")} == {
        name: before[name] for name in ("images", "fields", "evaluations", "views")
    }


@pytest.mark.slow
def test_a_run_that_is_gone_leaves_nothing(fo: Any, world: World, evaluated: list[str]) -> None:
    """Without the run in params.yaml its images, fields, evaluation and views go; nothing is evaluated."""
    del world.runs["night-1"]
    voxel_dataset.update(NAME, world.contents())
    shown = state(fo)
    assert (evaluated, world.read) == ([], [])
    assert not [
        one for name in ("fields", "evaluations", "views") for one in shown[name] if "night" in one and "1" in one
    ]
    assert "night-1" not in [run for _, run in shown["images"]]
    raw = fo.load_dataset(NAME)._sample_collection.find_one({"split": "test"})
    assert not [key for label in raw["ground_truth"]["detections"] for key in label if "night_1" in key]


@pytest.mark.slow
def test_changed_real_images_make_all_anew(fo: Any, world: World, evaluated: list[str]) -> None:
    """What every run is measured on has changed, so every run is evaluated again."""
    ids = fo.load_dataset(NAME).values("id")
    world.mark = "second"
    voxel_dataset.update(NAME, world.contents())
    assert evaluated == ["eval_base", "eval_night_1", "eval_night_2"]
    assert not set(ids) & set(fo.load_dataset(NAME).values("id"))


STEPS = (
    pytest.param(voxel_dataset, "_add_synthetic", id="images"),
    pytest.param(voxel_dataset, "_add_predictions", id="predictions"),
    pytest.param(voxel_dataset, "_add_found", id="found"),
    pytest.param(voxel_views, "save_of_run", id="views_of_the_run"),
    pytest.param(voxel_decisions, "refresh", id="decisions"),
    pytest.param(voxel_map, "save", id="map"),
    pytest.param(voxel_workspace, "save", id="workspace"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "step"), STEPS)
def test_a_killed_update_is_mended_by_the_next(
    fo: Any, world: World, evaluated: list[str], monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    """Wherever the update of a changed run ends, the next one leaves the dataset as if nothing had happened."""
    original = getattr(module, step)

    def killed(*arguments: Any) -> None:
        original(*arguments)
        raise KeyboardInterrupt

    world.runs["night-2"] = "2"
    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed)
        with pytest.raises(KeyboardInterrupt):
            voxel_dataset.update(NAME, world.contents())
    fo.load_dataset(NAME).reload()
    assert not voxel_dataset.is_current(NAME, world.contents())
    evaluated.clear()
    voxel_dataset.update(NAME, world.contents())
    assert evaluated == (["eval_night_2"] if module in (voxel_dataset, voxel_views) else [])
    mended = state(fo)
    voxel_dataset.update(NAME, world.contents(), anew=True)
    assert mended == state(fo)


@pytest.mark.slow
def test_a_killed_removal_is_mended_by_the_next(fo: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of which only parts were taken out goes altogether."""
    del world.runs["night-2"]

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fo.Dataset, "delete_samples", killed)
        with pytest.raises(KeyboardInterrupt):
            voxel_dataset.update(NAME, world.contents())
    voxel_dataset.update(NAME, world.contents())
    mended = state(fo)
    voxel_dataset.update(NAME, world.contents(), anew=True)
    assert mended == state(fo)


@pytest.mark.slow
def test_a_killed_build_leaves_the_dataset_of_before(fo: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the new dataset is complete the old one is shown; the next call clears up."""
    before = state(fo)
    world.mark = "second"

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(voxel_dataset, "_complete", killed)
        with pytest.raises(KeyboardInterrupt):
            voxel_dataset.update(NAME, world.contents())
    assert state(fo) == before
    voxel_dataset.update(NAME, world.contents())
    assert voxel_dataset.is_current(NAME, world.contents())
    assert [name for name in fo.list_datasets() if name.startswith(NAME)] == [NAME]


@pytest.mark.slow
def test_an_evaluation_that_a_person_deleted_comes_back(fo: Any, world: World, evaluated: list[str]) -> None:
    """Files are the truth: what is missing in the dataset is made again."""
    fo.load_dataset(NAME).delete_evaluation("eval_night_1")
    assert not voxel_dataset.is_current(NAME, world.contents())
    voxel_dataset.update(NAME, world.contents())
    assert evaluated == ["eval_night_1"]


@pytest.mark.slow
def test_a_base_without_boxes_has_no_map(fo: Any, world: World) -> None:
    """Where no test image has a label there is no mAP, and none is made up."""
    empty = pd.DataFrame(columns=list(detections.BOX_COLUMNS))
    world.mark, world.runs = "third", {"base": "1"}

    def tables(run: str) -> RunTables:
        return dataclasses.replace(world.tables(run), boxes=empty)

    def real() -> list[RealImage]:
        shown = world.real()
        for one in shown:
            one.row.label_path.write_text("")
        return shown

    contents = dataclasses.replace(world.contents(), real=real, tables=tables)
    assert [one.map50_95 for one in voxel_dataset.update(NAME, contents)] == [None]
    assert fo.load_dataset(NAME).count("base.detections") == 18


@pytest.mark.slow
def test_decisions_are_shown_without_a_new_build(fo: Any, world: World, evaluated: list[str]) -> None:
    """Who decided, what holds now, and the labels of the version that holds; boxes that stay keep what is known."""
    ids = fo.load_dataset(NAME).values("id")
    corrected = [*BOXES[:2], box(1, x=0.2, y=0.2)]
    digest = labels.digest(corrected)
    world.said, world.versions[digest] = "a correction", corrected
    world.decided[sha("real 1")] = Decided(state="verified", label_digest=digest, decided_by=("Ada", "Ben"))
    world.decided[sha("real 2")] = Decided(state="rejected", label_digest=DIGEST, decided_by=("Ada",))
    assert not voxel_dataset.is_current(NAME, world.contents())
    voxel_dataset.update(NAME, world.contents())
    shown = fo.load_dataset(NAME)
    assert (evaluated, world.read, shown.values("id")) == ([], [], ids)
    first = shown.match({"image_id": sha("real 1")}).first()
    assert (first.state, first.decided_by, first.label_digest) == ("verified", ["Ada", "Ben"], digest)
    assert [one.has_field("found_base") for one in first.ground_truth.detections] == [True, False, True]
    assert voxel_samples.parse(first.label_text) == sorted(corrected)
    second = shown.match({"image_id": sha("real 2")}).first()
    assert (second.state, second.human_verified) == ("rejected", False)
    assert shown.load_saved_view("quarantined").values("id") == [second.id]


@pytest.mark.slow
def test_the_queue_holds_planted_items_beside_the_images(fo: Any, world: World, evaluated: list[str]) -> None:
    """They look like the others, stand in their place, are no part of what is measured, and go when it changes."""
    broken = (*BOXES[:1], box(2, x=0.3, y=0.3))
    world.said = "a queue"
    world.queue = [
        Queued(image_id=sha("real 6"), reason="rare"),
        Queued(image_id=sha("real 0"), reason="rare", planted=True, broken=broken),
        Queued(image_id=sha("real 7"), reason="unsure"),
    ]
    voxel_dataset.update(NAME, world.contents())
    shown = fo.load_dataset(NAME)
    queue = shown.load_saved_view("queue")
    queued = [shown[one] for one in queue.values("id")]
    assert [one.image_id for one in queued] == [sha("real 6"), sha("real 0"), sha("real 7")]
    planted = queued[1]
    original, other = (shown.match({"image_id": sha(name), "label_digest": DIGEST}).first()
                       for name in ("real 0", "real 6"))  # fmt: skip
    assert voxel_samples.parse(planted.label_text) == sorted(broken)
    assert not original.queued
    assert [planted[name] for name in ("state", "decided_by", "origin")] == [
        other[name] for name in ("state", "decided_by", "origin")
    ]
    world.runs["night-3"] = "1"
    before = voxel_dataset.update(NAME, world.contents())
    assert evaluated == ["eval_night_3"]
    assert before[1].map50_95 == pytest.approx(before[3].map50_95)
    assert len(fo.load_dataset(NAME).info["plants"]) == 1
    world.said, world.queue = "no queue", []
    voxel_dataset.update(NAME, world.contents())
    assert fo.load_dataset(NAME).count() == 8 + 6


@pytest.mark.slow
def test_a_run_is_measured_with_the_labels_that_its_audit_knew(fo: Any, world: World, evaluated: list[str]) -> None:
    """Where a person moved a test box meanwhile, all is made anew from the files before a run is added."""
    shown = fo.load_dataset(NAME)
    one = shown.match({"split": "test"}).first()
    one.ground_truth.detections[0].bounding_box = [0.0, 0.0, 0.1, 0.1]
    one.save()
    world.runs["night-3"] = "1"
    evaluations = voxel_dataset.update(NAME, world.contents())
    assert evaluated == ["eval_base", "eval_night_1", "eval_night_2", "eval_night_3"]
    assert evaluations[3].map50_95 == pytest.approx(evaluations[1].map50_95)


@pytest.mark.slow
def test_the_workspace_and_the_map(fo: Any, world: World) -> None:
    """The workspace has the panel, two runs compared and the map; every image has its place in it."""
    shown = fo.load_dataset(NAME)
    spaces = shown.load_workspace("review").to_dict()
    panels = {panel["type"]: panel.get("state", {}) for space in spaces["children"] for panel in space["children"]}
    assert set(panels) == {"Samples", "tailwatch_verdicts", "model_evaluation_panel_builtin", "Embeddings"}
    assert panels["model_evaluation_panel_builtin"]["state"]["view"]["key"] == "eval_base"
    results = shown.load_brain_results(EMBEDDING)
    assert results.points.shape == (shown.count(), 2)
    assert results.points.tolist() == [pytest.approx(one) for one in shown.values("point")]
    assert results.points.std(axis=0).min() > 0


@pytest.mark.slow
def test_views_of_duplication(fo: Any, world: World) -> None:
    """Groups of near duplicates stand together, and a copy is followed by what it copies; else the text says none."""
    name = "night-1 0"
    found = Duplication(
        level="image", items=2, exact=0, reencoded=0, near=1, groups=1, largest=2, near_share=figure(),
        expected=figure(), threshold=0.9, quantile=0.01, copies={}, copy_share=figure(), hash_distance=4,
        examples=(NearGroup(items=(sha(name), sha("night-1 1")), similarity=0.95),),
        suspicious=(NearPair(synthetic=sha(name), real=sha("real 7"), split="train", similarity=0.93),
                    NearPair(synthetic=sha("night-1 1"), real=sha("real 6"), split="train", similarity=0.8)),
    )  # fmt: skip
    original = world.contents()

    def tables(run: str) -> RunTables:
        return dataclasses.replace(world.tables(run), duplication=(found,) if run == "night-1" else ())

    voxel_dataset.update(NAME, dataclasses.replace(original, tables=tables), anew=True)
    shown = fo.load_dataset(NAME)
    assert shown.load_saved_view("night-1: near-duplicate images").values("near_group") == [1, 1]
    assert shown.load_saved_view("night-1: copies of real images").values("image_id") == [sha(name), sha("real 7")]
    assert len(shown.load_saved_view("night-2: copies of real images")) == 0
    assert shown.get_saved_view_info("night-2: copies of real images")["description"].endswith("there is none")
