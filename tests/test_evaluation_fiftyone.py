"""The evaluation method beside FiftyOne's own and pycocotools, in a real database."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.coco_matching import Matcher
from pipeline.core.errors import UserError
from pipeline.core.metrics import IOU_THRESHOLDS, Detections, Truth
from tests.fiftyone_database import flat, values_of
from tests.project import BCCD

pytestmark = pytest.mark.slow
Boxes = list[tuple[float, ...]]  # image, class id, confidence or crowd, x1, y1, x2, y2 in pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Detections and labels on images of these sizes."""

    found: Boxes
    labels: Boxes
    sizes: list[tuple[int, int]]


def pages(seed: int, *, images: int = 24, side: int = 64, crowds: bool = False) -> Scene:
    """Pages of two to four boxes of long-tailed classes, and detections: near ones, wrong ones, and gaps."""
    rng = np.random.default_rng(seed)
    found: Boxes = []
    labels: Boxes = []
    for image in range(images):
        for _ in range(rng.integers(2, 5)):
            class_id, corner, size = int(rng.zipf(1.6)) % 6, rng.uniform(0, 36, 2), rng.uniform(16, 28, 2)
            labels.append((image, class_id, 0, *corner, *(corner + size)))
            for _ in range(rng.integers(0, 3)):
                other = class_id if rng.random() < 0.8 else int(rng.integers(6))
                low, high = corner + rng.uniform(-4, 4, 2), corner + size + rng.uniform(-4, 4, 2)
                found.append((image, other, rng.random(), *low, *high))
        if crowds:  # away from the other labels: see what is said in voxel_evaluation on FiftyOne's R-tree
            class_id = int(rng.integers(3))
            labels.append((image, class_id, 1, 100, 100, 180, 180))
            found += [(image, class_id, rng.random(), *(low := rng.uniform(95, 160, 2)), *(low + 20)) for _ in range(3)]
    return Scene(found=found, labels=labels, sizes=[(side * (3 if crowds else 1),) * 2] * images)


def crowded() -> Scene:
    """130 detections of one class in one image, beside images without labels, without detections and without both."""
    rng = np.random.default_rng(5)
    low = rng.uniform(0, 400, (130, 2))
    found: Boxes = [(0, 0, (130 - n) / 131, *one, *(one + 60)) for n, one in enumerate(low)] + [(1, 1, 0.5, 0, 0, 9, 9)]
    labels: Boxes = [(0, 0, 0, *one, *(one + 58)) for one in low[::3]] + [(2, 2, 0, 5, 5, 90, 80)]
    return Scene(found=found, labels=labels, sizes=[(512, 500)] * 4)


def blood_cells() -> Scene:
    """The real labels of BCCD with made detections."""
    if not BCCD.is_dir():
        pytest.skip(f"no BCCD in {BCCD}")
    names = {"RBC": 0, "WBC": 1, "Platelets": 2}
    rng = np.random.default_rng(11)
    found: Boxes = []
    labels: Boxes = []
    sizes = []
    for image, path in enumerate(sorted((BCCD / "Annotations").glob("*.xml"))[:80]):
        root = ET.parse(path).getroot()  # noqa: S314 - a file of our own
        sizes.append((int(root.findtext("size/width", "0")), int(root.findtext("size/height", "0"))))
        for one in root.iter("object"):
            box = np.array([float(one.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax")])
            if (box[2:] <= box[:2]).any():
                continue
            class_id = names[one.findtext("name", "")]
            labels.append((image, class_id, 0, *box))
            for _ in range(rng.integers(0, 3)):
                moved = box + rng.normal(0, 0.12, 4) * np.tile(box[2:] - box[:2], 2)
                if (moved[2:] > moved[:2]).all():
                    found.append((image, class_id if rng.random() < 0.9 else 2, rng.random(), *moved))
    return Scene(found=found, labels=labels, sizes=sizes)


BOX = (8.0, 8.0, 40.0, 40.0)
SCENES: dict[str, Callable[[], Scene]] = {
    "digits_like_pages": lambda: pages(1),
    "bccd": blood_cells,
    "crowds": lambda: pages(2, crowds=True),
    "over_a_hundred_detections": crowded,
    "classes_of_one_side": lambda: Scene(
        found=[(0, 0, 0.9, *BOX), (0, 1, 0.8, *BOX)], labels=[(0, 0, 0, *BOX), (1, 2, 0, *BOX)], sizes=[(64, 48)] * 2
    ),
    "one_image": lambda: pages(3, images=1),
    "no_detections": lambda: Scene(found=[], labels=[(0, 0, 0, *BOX)], sizes=[(64, 64)] * 2),
    "no_labels": lambda: Scene(found=[(0, 0, 0.4, *BOX)], labels=[], sizes=[(64, 64)]),
    "empty_images": lambda: Scene(found=[], labels=[], sizes=[(64, 64)] * 2),
}
OPTIONS: dict[str, Mapping[str, Any]] = {
    "by_class": {"compute_mAP": True},
    "mixed_classes": {"compute_mAP": True, "classwise": False},
    "other_thresholds": {"compute_mAP": True, "iou": 0.75, "iou_threshs": [0.3, 0.6], "max_preds": 3, "classes": ["0"]},
    "without_map": {},
}


def dataset(fo: Any, scene: Scene, *, metadata: bool = True) -> Any:
    """A dataset of a scene; classes are named by their number."""
    samples = []
    for image, (width, height) in enumerate(scene.sizes):
        fields = {}
        for name, boxes, third in (("pred", scene.found, "confidence"), ("truth", scene.labels, "iscrowd")):
            made = [
                fo.Detection(
                    label=str(int(class_id)),
                    bounding_box=[float(x1 / width), y1 / height, (x2 - x1) / width, (y2 - y1) / height],
                    **{third: value if third == "confidence" else bool(value)},
                )
                for one, class_id, value, x1, y1, x2, y2 in boxes
                if one == image
            ]
            fields[name] = fo.Detections(detections=made)
        size = fo.ImageMetadata(width=width, height=height) if metadata else None
        samples.append(fo.Sample(filepath=f"/nowhere/{image}.png", metadata=size, **fields))
    made_of = fo.Dataset()
    made_of.add_sample_field("pred", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    made_of.add_sample_field("truth", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    made_of.add_samples(samples, progress=False)
    return made_of


def evaluate(samples: Any, key: str | None, method: Any, **options: Any) -> Any:
    """Evaluate ``pred`` against ``truth``."""
    return samples.evaluate_detections("pred", gt_field="truth", eval_key=key, method=method, progress=False, **options)


def check_same_fields(samples: Any, key: str, other: str) -> None:
    """Compare what two evaluations wrote into every label and sample."""
    for field in ("pred", "truth"):
        for part in ("", "_id"):
            assert flat(samples, f"{field}.detections.{key}{part}") == flat(
                samples, f"{field}.detections.{other}{part}"
            )
        one, two = (np.array(flat(samples, f"{field}.detections.{name}_iou"), dtype=float) for name in (key, other))
        np.testing.assert_allclose(one, two, atol=1e-6, rtol=0)
    for part in ("tp", "fp", "fn"):
        assert samples.values(f"{key}_{part}") == samples.values(f"{other}_{part}")


def check_same_results(ours: Any, theirs: Any) -> None:
    """Compare two results objects: report, classes, and what mAP and curves are made of."""
    assert list(ours.classes) == list(theirs.classes)
    assert ours.report() == theirs.report()
    np.testing.assert_array_equal(ours.confusion_matrix(), theirs.confusion_matrix())
    assert type(ours) is type(theirs)
    if not hasattr(theirs, "precision"):
        return
    assert ours.mAP() == pytest.approx(theirs.mAP(), abs=1e-6)
    assert ours.mAR() == pytest.approx(theirs.mAR(), abs=1e-6)
    # at recall 0 pycocotools gives the confidence of the first detection, FiftyOne of the first that is not on a crowd
    np.testing.assert_allclose(ours.thresholds[:, :, 1:], theirs.thresholds[:, :, 1:], atol=1e-6, rtol=0)
    for name in ("precision", "recall", "recall_sweep", "iou_threshs"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-6, rtol=0, err_msg=name)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_all_is_as_in_the_coco_evaluation(fo: Any, scene: Callable[[], Scene], options: Mapping[str, Any]) -> None:
    """TP, FP, FN, matched ids, IoU, counts, mAP, mAR and curves are those of FiftyOne's own evaluation."""
    samples = dataset(fo, scene())
    theirs = evaluate(samples, "theirs", "coco", **options)
    ours = evaluate(samples, "ours", "tailwatch", **options)
    check_same_fields(samples, "ours", "theirs")
    check_same_results(ours, theirs)


def test_sizes_of_images_are_of_no_account(fo: Any) -> None:
    """Without metadata boxes are compared in fractions of the image, with the same outcome."""
    samples = dataset(fo, pages(4), metadata=False)
    theirs, ours = (evaluate(samples, f"as_{name}", name, compute_mAP=True) for name in ("coco", "tailwatch"))
    check_same_fields(samples, "as_tailwatch", "as_coco")
    check_same_results(ours, theirs)


def test_equal_confidences_are_ranked_as_in_pycocotools(fo: Any) -> None:
    """A miss before a hit of the same confidence costs precision; FiftyOne's own evaluation ranks the hit first."""
    scene = Scene(
        found=[(0, 0, 0.5, 50, 50, 60, 60), (1, 0, 0.5, *BOX)], labels=[(1, 0, 0, *BOX)], sizes=[(64, 64)] * 2
    )
    samples = dataset(fo, scene)
    ours, theirs = (evaluate(samples, None, name, compute_mAP=True).mAP() for name in ("tailwatch", "coco"))
    assert (ours, theirs) == (pytest.approx(0.5), pytest.approx(1))


_SPREAD = st.integers(0, 2**32 - 1)


@settings(max_examples=60)
@given(seed=_SPREAD, classwise=st.booleans(), iou=st.sampled_from([0.2, 0.5, 0.75]), crowds=st.booleans())
def test_matches_are_those_of_fiftyones_matching(
    fo: Any, *, seed: int, classwise: bool, iou: float, crowds: bool
) -> None:
    """On scenes of all kinds each detection and label is matched as FiftyOne's own function matches it."""
    from fiftyone.utils.eval import coco

    scene = pages(seed, images=1, side=64, crowds=crowds)
    fields = [fo.Detections(detections=[]), fo.Detections(detections=[])]
    for made, boxes, third in zip(fields, (scene.found, scene.labels), ("confidence", "iscrowd"), strict=True):
        for _, class_id, value, x1, y1, x2, y2 in boxes:
            box = [float(one) for one in (x1, y1, x2 - x1, y2 - y1)]
            made.detections.append(fo.Detection(label=str(int(class_id)), bounding_box=box, **{third: value}))
    config = coco.COCOEvaluationConfig("pred", "truth", iou=iou, classwise=classwise)
    coco._coco_evaluation_single_iou(fields[1], fields[0], "eval", config)
    predicted, labelled = (field.detections for field in fields)
    found, truth, crowd = _arrays(scene)
    pairs = Matcher(found, truth, crowd=crowd, images=1, classes=6, classwise=classwise).pairs(iou)
    assert [one.eval_id for one in predicted] == [labelled[n].id if n >= 0 else "" for n in pairs.truth]
    assert [one.eval_id for one in labelled] == [predicted[n].id if n >= 0 else "" for n in pairs.finder]
    shared = np.array([one.eval_iou for one in predicted], dtype=float)
    np.testing.assert_allclose(pairs.iou, shared, atol=1e-9, rtol=0)


def _arrays(scene: Scene) -> tuple[Detections, Truth, Any]:
    one, other = (np.array(rows, dtype=np.float64).reshape(-1, 7) for rows in (scene.found, scene.labels))
    found = Detections(
        image=one[:, 0].astype(np.int64), class_id=one[:, 1].astype(np.int64), confidence=one[:, 2], box=one[:, 3:]
    )
    truth = Truth(image=other[:, 0].astype(np.int64), class_id=other[:, 1].astype(np.int64), box=other[:, 3:])
    return found, truth, other[:, 2] > 0


def test_it_works_by_class_and_without_being_registered(fo: Any) -> None:
    """FiftyOne's own loop over samples, which knows nothing of the shortcut, gives the same."""
    import fiftyone.utils.eval as library

    from pipeline.adapters.voxel_evaluation import TailwatchEvaluationConfig

    samples = dataset(fo, pages(5))
    options = {"gt_field": "truth", "method": TailwatchEvaluationConfig, "compute_mAP": True, "progress": False}
    slow = library.evaluate_detections.__wrapped__(samples, "pred", eval_key="slow", **options)
    quick = samples.evaluate_detections("pred", eval_key="quick", **options)
    check_same_fields(samples, "quick", "slow")
    check_same_results(quick, slow)


def test_no_sample_is_made_into_a_document(fo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boxes are read and written in bulk: neither dataset nor view hands out a sample."""
    samples = dataset(fo, pages(6))
    view = samples.limit(20)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a sample was read")

    for kind in (fo.Dataset, fo.DatasetView):
        monkeypatch.setattr(kind, "_iter_samples", refuse)
    for number, collection in enumerate((samples, view)):
        assert 0 < evaluate(collection, f"run_{number}", "tailwatch", compute_mAP=True).mAP() < 1


def test_samples_in_memory_are_up_to_date(fo: Any) -> None:
    """A sample that somebody holds shows what was written."""
    samples = dataset(fo, pages(7))
    held = samples.first()
    evaluate(samples, "ours", "tailwatch")
    assert held.ours_tp + held.ours_fp == len(held.pred.detections)
    assert {one.ours for one in held.truth.detections} <= {"tp", "fn"}


def test_a_view_that_hides_labels_leaves_them_alone(fo: Any) -> None:
    """Of a view of the sure detections these are evaluated and written, as in FiftyOne; the others keep nothing."""
    samples = dataset(fo, pages(8))
    sure = samples.filter_labels("pred", fo.ViewField("confidence") > 0.5, only_matches=False)
    theirs, ours = (evaluate(sure, f"as_{name}", name, compute_mAP=True) for name in ("coco", "tailwatch"))
    check_same_fields(samples, "as_tailwatch", "as_coco")
    check_same_results(ours, theirs)
    hidden = samples.filter_labels("pred", fo.ViewField("confidence") <= 0.5)
    assert set(flat(hidden, "pred.detections.as_tailwatch")) == {None}
    assert len(flat(hidden, "pred.detections.as_tailwatch")) > 10


def test_views_patches_and_panel(fo: Any) -> None:
    """The App's Model Evaluation panel, evaluation views and patches find what they need."""
    samples = dataset(fo, pages(9))
    results = evaluate(samples.limit(12), "ours", "tailwatch", compute_mAP=True)
    assert len(samples.load_evaluation_view("ours")) == 12
    patches = samples.to_evaluation_patches("ours")
    assert patches.count_values("type")["fp"] == samples.sum("ours_fp")
    panel = importlib.import_module("plugins.panels.model_evaluation").EvaluationPanel(_builtin=True)
    info = samples.get_evaluation_info("ours")
    assert (info.config.type, info.config.method) == ("detection", "tailwatch")
    assert panel.has_evaluation_results(samples, "ours")
    assert panel.get_tp_fp_fn(info, results) == tuple(samples.sum(f"ours_{part}") for part in ("tp", "fp", "fn"))
    assert panel.get_map(results) == results.mAP()
    assert {one["iou"] for one in panel.get_per_class_metrics(info, results).values() if "iou" in one}


def test_rename_overwrite_and_delete(fo: Any) -> None:
    """An evaluation is renamed, made again under its key, and deleted with all its fields."""
    samples = dataset(fo, pages(10))
    before = set(samples.get_field_schema(flat=True))
    first = evaluate(samples, "ours", "tailwatch", compute_mAP=True)
    samples.rename_evaluation("ours", "other")
    assert (samples.list_evaluations(), samples.has_field("ours_tp")) == (["other"], False)
    assert evaluate(samples, "other", "tailwatch", compute_mAP=True).mAP() == first.mAP()
    samples.delete_evaluation("other")
    assert samples.list_evaluations() == []
    assert set(samples.get_field_schema(flat=True)) == before
    assert not any("other" in key for label in _raw(samples)["pred"]["detections"] for key in label)


def _raw(samples: Any) -> dict[str, Any]:
    document: dict[str, Any] = samples._sample_collection.find_one()
    return document


def test_results_are_loaded_in_a_process_that_knows_nothing_of_this(fo: Any) -> None:
    """A process that only imports FiftyOne, as the App's server does, loads results and knows the method by name."""
    samples = dataset(fo, pages(11))
    samples.persistent = True
    results = evaluate(samples, "ours", "tailwatch", compute_mAP=True, iou=0.6)
    code = (
        "import json, sys, fiftyone as fo; d = fo.load_dataset(sys.argv[1]); r = d.load_evaluation_results('ours');"
        "print(json.dumps({'map': r.mAP(), 'iou': r.config.iou, 'report': r.report() != {},"
        "'kind': type(d.get_evaluation_info('ours').config).__name__,"
        "'known': sorted(fo.evaluation_config.detection_backends),"
        "'again': d.evaluate_detections('pred', gt_field='truth', method='tailwatch', compute_mAP=True,"
        "progress=False).mAP()}))"
    )
    import fiftyone.core.odm as database

    host, port = database.get_db_client().address
    environment = {**os.environ, "FIFTYONE_DATABASE_URI": f"mongodb://{host}:{port}"}
    done = subprocess.run(
        [sys.executable, "-c", code, samples.name], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["map"], said["again"]) == (results.mAP(), results.mAP())
    assert (said["iou"], said["kind"], said["report"]) == (0.6, "TailwatchEvaluationConfig", True)
    assert {"coco", "open-images", "tailwatch"} <= set(said["known"])


def test_thresholds_are_those_of_pycocotools(fo: Any) -> None:
    """By default the sweep is over pycocotools' floats, not FiftyOne's."""
    results = evaluate(dataset(fo, pages(12)), None, "tailwatch", compute_mAP=True)
    assert results.iou_threshs.tolist() == list(IOU_THRESHOLDS)


def _without_confidence(fo: Any) -> Any:
    samples = dataset(fo, pages(13))
    samples.set_values(
        "pred.detections.confidence", [[None] * len(one) for one in values_of(samples, "pred.detections")]
    )
    return samples


def _with(fo: Any, kind: str, **fields: Any) -> Any:
    samples = fo.Dataset()
    made = getattr(fo, kind)(**fields)
    samples.add_sample(fo.Sample(filepath="/nowhere/0.png", pred=made, truth=made.copy()))
    return samples


def _patches(fo: Any) -> Any:
    return dataset(fo, pages(14)).to_patches("truth")


MISTAKES: dict[str, tuple[Callable[[Any], Any], dict[str, Any], str]] = {
    "masks": (lambda fo: dataset(fo, pages(15)), {"use_masks": True}, "use_masks=True; it compares boxes only"),
    "polylines_as_boxes": (lambda fo: dataset(fo, pages(15)), {"use_boxes": True}, "use_boxes=True"),
    "polylines": (lambda fo: _with(fo, "Polylines"), {}, "'pred' with Polylines, wanted Detections"),
    "keypoints": (lambda fo: _with(fo, "Keypoints"), {}, "'pred' with Keypoints, wanted Detections"),
    "classification": (lambda fo: _with(fo, "Classification", label="a"), {}, "Classification, wanted Detections"),
    "patches": (_patches, {}, "got patches, clips or frames, wanted images"),
    "iou_of_nought": (lambda fo: dataset(fo, pages(15)), {"iou": 0.0}, r"iou=0.0, wanted a number in \(0, 1\]"),
    "no_confidence": (_without_confidence, {"compute_mAP": True}, "has no confidence, which mAP"),
    "no_class": (
        lambda fo: _with(fo, "Detections", detections=[fo.Detection(bounding_box=[0, 0, 1, 1])]), {}, "has no class",
    ),
    "no_box": (lambda fo: _with(fo, "Detections", detections=[fo.Detection(label="a")]), {}, "has no box"),
    "negative_box": (
        lambda fo: _with(fo, "Detections", detections=[fo.Detection(label="a", bounding_box=[0, 0, -1, 1])]),
        {}, "negative size",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "options", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_it_cannot_do_is_said(fo: Any, make: Callable[[Any], Any], options: dict[str, Any], said: str) -> None:
    """A mistake is an error in words, and leaves nothing in the dataset."""
    samples = make(fo)
    with pytest.raises(UserError, match=said):
        evaluate(samples, "ours", "tailwatch", **options)
    assert samples._dataset.list_evaluations() == []
    assert not samples._dataset.has_field("ours_tp")


def test_frames_of_videos_are_refused(fo: Any) -> None:
    """Boxes in frames are FiftyOne's own method's."""
    samples = fo.Dataset()
    video = fo.Sample(filepath="/nowhere/0.mp4")
    video.frames[1] = fo.Frame(pred=fo.Detections(), truth=fo.Detections())
    samples.add_sample(video)
    with pytest.raises(UserError, match=r"'frames.pred' of frames"):
        samples.evaluate_detections("frames.pred", gt_field="frames.truth", eval_key="ours", method="tailwatch")


def test_confidence_is_not_needed_for_matches(fo: Any) -> None:
    """Without mAP detections need no confidence: they are matched as they stand."""
    samples = _without_confidence(fo)
    theirs, ours = (evaluate(samples, f"as_{name}", name) for name in ("coco", "tailwatch"))
    check_same_fields(samples, "as_tailwatch", "as_coco")
    check_same_results(ours, theirs)
