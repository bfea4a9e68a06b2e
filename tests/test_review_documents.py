"""Samples, boxes and fields that `review` writes itself are those that FiftyOne's public calls write."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bson import ObjectId

from pipeline.adapters import voxel_dataset, voxel_decisions, voxel_labels, voxel_samples
from pipeline.adapters.voxel_contents import TRUTH, Contents
from pipeline.core import labels
from pipeline.core.manifest import Row
from tests.builders import box, row, sha, synthetic_row

pytestmark = pytest.mark.slow
CLASSES = ("zero", "one", "two")
CONTENTS = Contents(
    classes=CLASSES, rare=["two"], mark="", real=list, runs={}, tables=lambda _: pytest.fail("not asked for"),
    decisions=lambda: pytest.fail("not asked for"),
)  # fmt: skip
BOXES = [box(number, x=0.3 + 0.2 * number) for number in range(3)]
KEY, FIELD = "eval_guarded_1", "guarded_1"
POINTS = [[0.5, float(number)] for number in range(4)]
GROUPS = [None, 1, None, 2]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """A test image, two training images of which one is empty, and a synthetic one."""
    monkeypatch.chdir(tmp_path)
    made = [row("a", split="test"), row("b"), row("empty", split="", human_verified=False), synthetic_row("s")]
    for one in made:
        one.label_path.parent.mkdir(parents=True, exist_ok=True)
        one.label_path.write_text("" if one.name == "empty" else labels.format_boxes(BOXES))
    return made


@pytest.fixture
def datasets(fo: Any, rows: list[Row]) -> Iterator[tuple[Any, Any]]:
    """The same dataset made by FiftyOne's public calls, and as `review` makes it."""
    made = (by_public_calls(fo, rows), in_bulk(fo, rows))
    yield made
    for dataset in made:
        dataset.delete()


def by_public_calls(fo: Any, rows: Sequence[Row]) -> Any:
    """Samples, predictions, evaluation and the rest by objects of FiftyOne, field by field."""
    dataset = fo.Dataset("by public calls")
    for field in ("image_id", "source_name", "split", "outcome", "outcome_reason", "origin", "run", "state",
                  "used_digest", "label_digest", "label_text", "queue_reason"):  # fmt: skip
        dataset.add_sample_field(field, fo.StringField)
    for field in ("parents", "decided_by"):
        dataset.add_sample_field(field, fo.ListField, subfield=fo.StringField)
    for field in ("near_group", "queue_rank"):
        dataset.add_sample_field(field, fo.IntField)
    dataset.add_sample_field("queued", fo.BooleanField)
    dataset.add_sample_field(TRUTH, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    dataset.add_sample_field(f"{TRUTH}.detections.near_group", fo.IntField)
    dataset.add_samples([public_sample(fo, one) for one in rows], progress=False)
    dataset.set_values("point", POINTS)
    dataset.set_values(FIELD, [
        fo.Detections(detections=[fo.Detection(label=name, bounding_box=place, confidence=sure)
                                  for name, place, sure in one]) for one in predicted(rows)
    ])  # fmt: skip
    dataset.add_sample_field(f"{TRUTH}.detections.found_{FIELD}", fo.BooleanField)
    for field in (f"lost_{FIELD}", f"gained_{FIELD}"):
        dataset.set_values(field, [fo.Detections(detections=[]) for _ in rows])
    evaluate(dataset)
    dataset.set_values("near_group", GROUPS)
    return dataset


def public_sample(fo: Any, one: Row) -> Any:
    """What `review` shows of an image, as an object of FiftyOne."""
    text = one.label_path.read_text()
    places = (
        [(name, voxel_samples._place(box, (64, 48))) for name, box in zip(CLASSES, BOXES, strict=True)] if text else []
    )
    return fo.Sample(
        filepath=one.path,
        tags=[tag for tag in (one.split, one.origin, one.run) if tag],
        metadata=fo.ImageMetadata(width=64, height=48),
        image_id=one.image_id,
        source_name=one.name,
        split=one.split,
        outcome="shown",
        outcome_reason="",
        origin=one.origin,
        generation=one.generation,
        run=one.run or None,
        parents=list(one.parents),
        lineage_depth=one.lineage_depth,
        human_verified=one.human_verified,
        used_digest=one.label_digest,
        label_digest=one.label_digest,
        label_text=text,
        **{TRUTH: fo.Detections(detections=[
            fo.Detection(label=name, bounding_box=place, rare=name == "two", box=number)
            for number, (name, place) in enumerate(places)
        ])},
    )  # fmt: skip


def in_bulk(fo: Any, rows: Sequence[Row]) -> Any:
    """The same by the functions that `review` has for it."""
    dataset = fo.Dataset("in bulk")
    dataset.media_type = "image"
    voxel_samples.declare(fo, dataset, voxel_dataset._FIELDS)
    voxel_samples.declare(fo, dataset, voxel_dataset._fields_of("guarded-1"))
    made = [voxel_samples.make(one, CONTENTS, outcome="shown", reason="") for one in rows]
    ids = [ObjectId(one) for one in voxel_samples.insert(dataset, made)]
    voxel_labels.write_fields(dataset, ids, {"point": POINTS})
    voxel_labels.write_fields(dataset, ids, {
        FIELD: [voxel_samples.detections(voxel_samples.detection(name, place, confidence=sure)
                                         for name, place, sure in one) for one in predicted(rows)]
    })  # fmt: skip
    evaluate(dataset)
    voxel_labels.write_fields(dataset, ids, {
        "near_group": GROUPS,
        **{f"{word}_{FIELD}": [voxel_samples.detections([]) for _ in rows] for word in ("lost", "gained")},
    })  # fmt: skip
    return dataset


def predicted(rows: Sequence[Row]) -> list[list[tuple[str, list[float], float]]]:
    """One hit and one box at no label's place on each image, but for the last, which has none."""
    hit, wrong = ("zero", [0.18, 0.37, 0.25, 0.25], 0.9), ("one", [0.0, 0.0, 0.1, 0.1], 0.4)
    return [[hit, wrong] for _ in rows[1:]] + [[]]


def evaluate(dataset: Any) -> None:
    """Evaluate in bulk; FiftyOne declares what fields are missing."""
    dataset.evaluate_detections(
        FIELD, gt_field=TRUTH, eval_key=KEY, method="tailwatch", compute_mAP=True, classes=list(CLASSES), progress=False
    )


def stored(dataset: Any) -> list[Any]:
    """The documents of a dataset's samples as MongoDB has them, but for ids, times and chance."""
    names: dict[str, str] = {str(dataset._doc.id): "of the dataset"}
    numbers = itertools.count()

    def plain(value: Any) -> Any:
        match value:
            case ObjectId():
                return names.setdefault(str(value), f"id {next(numbers)}")
            case dt.datetime():
                return dt.datetime
            case Mapping():
                return {key: plain(value[key]) for key in sorted(value)}
            case list():
                return [plain(one) for one in value]
            case str() if ObjectId.is_valid(value):
                return names.get(value, "unknown id")
            case _:
                return type(value), value

    documents = list(dataset._sample_collection.find().sort("_id"))
    for one in documents:
        assert 0.999 <= one["_rand"] < 1
        one["_rand"] = float
    for one in documents:  # matches name ids that come later
        plain(one)
    return [plain(one) for one in documents]


def schema(dataset: Any) -> dict[str, Any]:
    """The schema as MongoDB has it, but for times; FiftyOne puts its own fields in the order of a set."""
    found = dataset._doc._get_collection().find_one({"_id": dataset._doc.id})

    def plain(fields: list[dict[str, Any]]) -> dict[str, Any]:
        known = {one["name"]: {key: one[key] for key in one if key != "created_at"} for one in fields}
        return {name: one | {"fields": plain(one["fields"] or [])} for name, one in known.items()}

    return {"media_type": found["media_type"], "fields": plain(found["sample_fields"])}


def test_documents_are_those_of_fiftyone(datasets: tuple[Any, Any]) -> None:
    """Every field of every sample and box is equal, in value and type."""
    public, bulk = datasets
    documents = stored(public)
    assert [len(one[TRUTH]["detections"]) for one in documents] == [3, 3, 0, 3]
    assert any(KEY in label for label in documents[0][TRUTH]["detections"])
    assert stored(bulk) == documents


def test_the_schema_is_that_of_fiftyone(datasets: tuple[Any, Any]) -> None:
    """Every field is declared as FiftyOne declares it, that of evaluations too, and the project's in the same order."""
    public, bulk = (schema(one) for one in datasets)
    assert bulk == public
    own = [[name for name in one["fields"] if name in voxel_dataset._FIELDS] for one in (public, bulk)]
    assert own[0] == own[1] == [name for name in voxel_dataset._FIELDS if "." not in name]
    assert f"{KEY}_iou" in bulk["fields"][FIELD]["fields"]["detections"]["fields"]


def features(fo: Any, dataset: Any) -> dict[str, Any]:
    """What the App asks a dataset for."""
    value, path = fo.ViewField, f"{TRUTH}.detections"
    dataset.save_view("of one", dataset.filter_labels(TRUTH, value("label") == "one"))
    results = dataset.load_evaluation_results(KEY, cache=False)
    return {
        "classes": dataset.count_values(f"{path}.label"),
        "tags": dataset.count_sample_tags(),
        "bounds": dataset.bounds([f"{FIELD}.detections.confidence", "lineage_depth", f"{path}.{KEY}_iou"]),
        "empty": len(dataset.match(value(path).length() == 0)),
        "view": dataset.load_saved_view("of one").count(path),
        "patches": len(dataset.to_evaluation_patches(KEY)),
        "matched": dataset.filter_labels(FIELD, value(KEY) == "tp").count(f"{FIELD}.detections"),
        "map": results.mAP(),
        "report": results.report(),
        "sizes": dataset.values("metadata.width"),
        "sidebar": [(group.name, group.paths) for group in dataset.app_config.sidebar_groups],
        "dynamic": dataset.get_dynamic_field_schema().keys(),
        "clone": dataset.clone().count(path),
    }


def test_the_app_finds_the_same(fo: Any, datasets: tuple[Any, Any]) -> None:
    """Counts, filters, saved views, patches, evaluation results and clones are those of FiftyOne's own samples."""
    public, bulk = (features(fo, one) for one in datasets)
    assert bulk == public
    assert bulk["matched"] == 2


def test_a_brain_run_on_the_documents(fo: Any, datasets: tuple[Any, Any]) -> None:
    """The Embeddings panel's result has a point a sample, by the samples' ids."""
    import fiftyone.brain as fob

    for dataset in datasets:
        fob.compute_visualization(dataset, points=np.array(POINTS), brain_key="map", method="manual", verbose=False)
        results = dataset.load_brain_results("map", cache=False)
        assert list(results.sample_ids) == dataset.values("id")
        assert results.points.tolist() == POINTS


def test_samples_can_be_changed_as_objects(fo: Any, datasets: tuple[Any, Any]) -> None:
    """What FiftyOne reads from the documents is whole: a box is drawn, one is deleted, and a field goes."""
    for dataset in datasets:
        sample = dataset.first()
        sample[TRUTH].detections.append(fo.Detection(label="one", bounding_box=[0, 0, 0.5, 0.5]))
        sample.tags.append("seen")
        sample.save()
        dataset.delete_labels(ids=[sample[TRUTH].detections[0].id])
        dataset.delete_sample_field(FIELD)
    assert stored(datasets[1]) == stored(datasets[0])


def test_corrected_labels_are_those_of_fiftyone(fo: Any, datasets: tuple[Any, Any]) -> None:
    """Another version of the labels keeps what is known of boxes that stay, and a sample in memory shows it at once."""
    public, bulk = datasets
    boxes = [*BOXES[:2], box(2, x=0.2, y=0.2)]
    shown = bulk.first()
    voxel_decisions.show_labels(_with_info(bulk), ObjectId(shown.id), boxes, sha("corrected"))
    sample = public.first()
    known = {one["box"]: one for one in sample[TRUTH].detections}
    kept = []
    for number, one in enumerate(sorted(boxes)):
        place = voxel_samples._place(one, (64, 48))
        old = next((label for label in known.values() if label.bounding_box == place), None)
        kept.append(old or fo.Detection(label=CLASSES[one.class_id], bounding_box=place, rare=one.class_id == 2))
        kept[-1]["box"] = number
    sample[TRUTH] = fo.Detections(detections=kept)
    sample["label_digest"], sample["label_text"] = sha("corrected"), labels.format_boxes(boxes)
    sample.save()
    assert stored(bulk) == stored(public)
    assert [one.label for one in shown[TRUTH].detections] == ["zero", "one", "two"]
    assert [one.has_field(KEY) for one in shown[TRUTH].detections] == [True, True, False]


def _with_info(dataset: Any) -> Any:
    dataset.info = {"classes": list(CLASSES), "rare_classes": ["two"]}
    return dataset
