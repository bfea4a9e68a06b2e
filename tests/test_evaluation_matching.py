"""Matching by faster-coco-eval against pycocotools, and against the audit's own, which shares no code with it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.adapters.coco_matching import Curves, Matcher, Pairs
from pipeline.core import metrics
from pipeline.core.metrics import IOU_THRESHOLDS, Detections, Truth

CLASSES, IMAGES = 4, 4
Found = tuple[float, ...]  # image, class id, confidence, x1, y1, x2, y2
Label = tuple[float, ...]  # image, class id, crowd, x1, y1, x2, y2

# Coarse numbers, so that boxes overlap by much, confidences and IoUs tie, and images and classes stay empty.
_CORNERS = (st.integers(0, 3), st.integers(0, 3), st.integers(6, 10), st.integers(6, 10))
FOUND = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.2, 0.5, 0.5001, 0.9]), *_CORNERS), max_size=14
)
LABELS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from([0, 0, 0, 1]), *_CORNERS), max_size=12
)
BOX = (0.0, 0.0, 10.0, 10.0)


def matcher(found: Sequence[Found], labels: Sequence[Label], *, classwise: bool = True) -> Matcher:
    """A matcher of rows."""
    detections, truth, crowd = arrays(found, labels)
    return Matcher(detections, truth, crowd=crowd, images=IMAGES, classes=CLASSES, classwise=classwise)


def arrays(found: Sequence[Found], labels: Sequence[Label]) -> tuple[Detections, Truth, metrics.BoolArray]:
    """Rows as the matcher takes them."""
    one, other = (np.array(rows, dtype=np.float64).reshape(-1, 7) for rows in (found, labels))
    detections = Detections(
        image=one[:, 0].astype(np.int64), class_id=one[:, 1].astype(np.int64), confidence=one[:, 2], box=one[:, 3:]
    )
    truth = Truth(image=other[:, 0].astype(np.int64), class_id=other[:, 1].astype(np.int64), box=other[:, 3:])
    return detections, truth, other[:, 2] > 0


def oracle(
    found: Sequence[Found], labels: Sequence[Label], *, ious: Sequence[float], most: int = 100, classwise: bool = True
) -> COCOeval:
    """Run pycocotools; ids begin at 1, since its matching takes 0 for no match."""
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(_coco(labels, "iscrowd"), _coco(found, "score"), "bbox")
        run.params.imgIds, run.params.catIds = list(range(IMAGES)), list(range(CLASSES))
        run.params.maxDets, run.params.areaRng, run.params.areaRngLbl = [most], [[0, 1e10]], ["all"]
        run.params.iouThrs, run.params.useCats = np.array(ious), int(classwise)
        run.evaluate()
        run.accumulate()
    return run


def _coco(rows: Sequence[tuple[float, ...]], third: str) -> COCO:
    made = COCO()
    made.dataset = {
        "images": [{"id": number} for number in range(IMAGES)],
        "categories": [{"id": number} for number in range(CLASSES)],
        "annotations": [
            {
                "id": number + 1, "image_id": int(image), "category_id": int(class_id), "iscrowd": 0, "score": 0.0,
                third: int(value) if third == "iscrowd" else value,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
            }
            for number, (image, class_id, value, x1, y1, x2, y2) in enumerate(rows)
        ],
    }  # fmt: skip
    made.createIndex()
    return made


def check_pairs(pairs: Pairs, found: Sequence[Found], labels: Sequence[Label], run: COCOeval) -> None:
    """Compare the matches at one threshold, and their IoUs, with those of pycocotools."""
    expected = np.full(len(found), -1)
    for image in run.evalImgs:
        for detection, label in zip(*((image["dtIds"], image["dtMatches"][0]) if image else ((), ())), strict=True):
            expected[detection - 1] = int(label) - 1
    np.testing.assert_array_equal(pairs.truth, expected)
    for number, label in enumerate(pairs.truth):
        if label < 0:
            assert np.isnan(pairs.iou[number])
        else:
            assert pairs.iou[number] == pytest.approx(overlap(found[number][3:], labels[label]), abs=1e-12)
    for label, finder in enumerate(pairs.finder):
        takers = np.flatnonzero(pairs.truth == label)
        best = min(takers, key=lambda one: (-found[int(one)][2], one)) if takers.size else -1
        assert finder == best


def overlap(box: Sequence[float], label: Label) -> float:
    """IoU as its definition has it; with a crowd, the share of the box that lies on it."""
    (_, _, crowd, *other) = label
    width = max(min(box[2], other[2]) - max(box[0], other[0]), 0)
    height = max(min(box[3], other[3]) - max(box[1], other[1]), 0)
    area, area_of_label = ((one[2] - one[0]) * (one[3] - one[1]) for one in (box, other))
    return width * height / (area if crowd else area + area_of_label - width * height)


def check_curves(curves: Curves, run: COCOeval, *, confidence: bool = True) -> None:
    """Compare precision, recall and, if wanted, confidence with pycocotools."""
    for ours, name in ((curves.precision, "precision"), (curves.confidence, "scores"))[: 1 + confidence]:
        np.testing.assert_allclose(ours, run.eval[name][:, :, :, 0, 0].transpose(0, 2, 1), atol=1e-9, rtol=0)
    np.testing.assert_allclose(curves.recall, run.eval["recall"][:, :, 0, 0], atol=1e-9, rtol=0)


@settings(max_examples=60)
@given(found=FOUND, labels=LABELS, iou=st.sampled_from([0.3, 0.5, 0.75]))
def test_matches_are_those_of_pycocotools(found: list[Found], labels: list[Label], iou: float) -> None:
    """With crowds, ties, and classes that only one side has, each detection matches what pycocotools matches it to."""
    check_pairs(matcher(found, labels).pairs(iou), found, labels, oracle(found, labels, ious=[iou]))


@settings(max_examples=60)
@given(found=FOUND, labels=LABELS, most=st.sampled_from([2, 100]))
def test_curves_are_those_of_pycocotools(found: list[Found], labels: list[Label], most: int) -> None:
    """Precision, confidence and recall at ten IoU thresholds are pycocotools', also where detections are cut off."""
    run = oracle(found, labels, ious=IOU_THRESHOLDS, most=most)
    check_curves(matcher(found, labels).curves(IOU_THRESHOLDS, most=most), run)


@settings(max_examples=40)
@given(found=FOUND, labels=LABELS)
def test_matches_of_mixed_classes_are_those_of_pycocotools(found: list[Found], labels: list[Label]) -> None:
    """Without regard to class, and without crowds, the matches are those of pycocotools with ``useCats = 0``."""
    labels = [(image, class_id, 0, *box) for image, class_id, _, *box in labels]
    found, labels = sorted(found, key=lambda row: row[1]), sorted(labels, key=lambda row: row[1])  # its own order
    run = oracle(found, labels, ious=[0.5], classwise=False)
    check_pairs(matcher(found, labels, classwise=False).pairs(0.5), found, labels, run)


@settings(max_examples=40)
@given(found=FOUND, labels=LABELS, most=st.sampled_from([2, 100]))
def test_curves_of_mixed_classes_are_those_of_pycocotools(found: list[Found], labels: list[Label], most: int) -> None:
    """Where all is of one class, mixing the classes changes nothing: the curves stay pycocotools'.

    But for the confidence at recall 0, which pycocotools takes from the first detection also if that is on a crowd.
    """
    found = [(image, 1, *rest) for image, _, *rest in found]
    labels = [(image, 1, *rest) for image, _, *rest in labels]
    run = oracle(found, labels, ious=IOU_THRESHOLDS, most=most)
    check_curves(matcher(found, labels, classwise=False).curves(IOU_THRESHOLDS, most=most), run, confidence=False)


@settings(max_examples=60)
@given(found=FOUND, labels=LABELS)
def test_both_matchers_of_the_project_agree(found: list[Found], labels: list[Label]) -> None:
    """The audit's AP and matches, and those that FiftyOne shows, are the same to the last digits."""
    detections, truth, _ = arrays(found, labels)
    ours = Matcher(detections, truth, crowd=np.zeros(len(labels), dtype=np.bool_), images=IMAGES, classes=CLASSES)
    matches = metrics.match(detections, truth, images=IMAGES, classes=CLASSES)
    mean = ours.curves(IOU_THRESHOLDS).precision.mean(axis=2).T
    expected = metrics.average_precision(matches)[0]
    np.testing.assert_allclose(np.where(mean < 0, np.nan, mean), expected, atol=1e-12, rtol=0)
    pairs = np.full(len(found), -1)
    pairs[matches.kept] = matches.matched_truth[0]
    np.testing.assert_array_equal(ours.pairs(0.5).truth, pairs)


CASES: dict[str, tuple[list[Found], list[Label]]] = {
    "nothing": ([], []),
    "no_detections": ([], [(0, 0, 0, *BOX)]),
    "no_labels": ([(0, 0, 0.9, *BOX)], []),
    "only_a_crowd": ([(0, 0, 0.9, *BOX), (0, 0, 0.8, *BOX)], [(0, 0, 1, *BOX)]),
    "crowd_beside_a_label": (
        [(0, 0, 0.9, *BOX), (0, 0, 0.8, 0, 0, 10, 9), (0, 0, 0.7, *BOX)],
        [(0, 0, 1, 0, 0, 20, 20), (0, 0, 0, *BOX)],
    ),
    "class_without_detections": ([(0, 1, 0.9, *BOX)], [(0, 1, 0, *BOX), (1, 2, 0, *BOX)]),
    "iou_of_exactly_a_half": ([(0, 0, 0.9, 0, 0, 10, 5)], [(0, 0, 0, *BOX)]),
    "over_a_hundred_in_an_image": (
        [(0, 0, 0.3 + index % 7 / 10, index % 3, 0, 10 + index % 5, 10) for index in range(130)],
        [(0, 0, 0, index, 0, 10 + index, 10) for index in range(8)],
    ),
    "boxes_without_area": ([(0, 0, 0.9, 5, 5, 5, 5)], [(0, 0, 0, 5, 5, 5, 5)]),
}


@pytest.mark.parametrize(("found", "labels"), CASES.values(), ids=CASES.keys())
def test_edges(found: list[Found], labels: list[Label]) -> None:
    """Matches and curves are pycocotools' at the edges of its rules."""
    ours = matcher(found, labels)
    check_pairs(ours.pairs(0.5), found, labels, oracle(found, labels, ious=[0.5], most=10_000))
    check_curves(ours.curves(IOU_THRESHOLDS), oracle(found, labels, ious=IOU_THRESHOLDS))


def test_all_detections_are_matched_but_only_the_most_confident_count() -> None:
    """The limit of 100 an image is for curves: the 130th detection matches its label, and adds no recall."""
    found: list[Found] = [(0, 0, 0.9, 100, 100, 110, 110)] * 129 + [(0, 0, 0.1, *BOX)]
    ours = matcher(found, [(0, 0, 0, *BOX)])
    assert ours.pairs(0.5).finder.tolist() == [129]
    assert ours.curves([0.5]).recall[0, 0] == 0
    assert ours.curves([0.5], most=130).recall[0, 0] == 1


def test_a_crowd_takes_its_own_class_only() -> None:
    """Where classes are mixed, a label may be matched by another class, a crowd may not."""
    labels: list[Label] = [(0, 0, 0, *BOX), (1, 0, 1, *BOX)]
    ours = matcher([(0, 1, 0.9, *BOX), (1, 1, 0.9, *BOX), (1, 0, 0.8, *BOX)], labels, classwise=False)
    assert ours.pairs(0.5).truth.tolist() == [0, -1, 1]


def test_a_match_of_another_class_counts_against_the_class_of_the_label() -> None:
    """Of two labels of class 0 the surer match is of class 1: a miss before a hit for class 0, and no curve for 1."""
    found: list[Found] = [(0, 1, 0.9, *BOX), (1, 0, 0.8, *BOX)]
    curves = matcher(found, [(0, 0, 0, *BOX), (1, 0, 0, *BOX)], classwise=False).curves([0.5])
    assert curves.recall[0].tolist() == [0.5, -1, -1, -1]
    assert curves.precision[0, 0].tolist() == [0.5] * 51 + [0] * 50


def test_crowds_of_another_length_are_refused() -> None:
    """One flag a label."""
    detections, truth, _ = arrays([], [(0, 0, 0, *BOX)])
    with pytest.raises(ValueError, match=r"crowd of shape \(2,\), wanted \(1,\)"):
        Matcher(detections, truth, crowd=np.zeros(2, dtype=np.bool_), images=1, classes=1)
