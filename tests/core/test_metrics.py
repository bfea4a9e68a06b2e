"""Detection metrics against pycocotools, against figures worked out by hand, and by their laws."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.core import evaluation, metrics
from pipeline.core.errors import UserError
from pipeline.core.metrics import Detections, Matches, Precision, Recall, Truth

CLASSES = 3
IMAGES = 4
Row = tuple[float, ...]  # image, class id, confidence, x1, y1, x2, y2

# Coarse numbers, so that boxes overlap by much and confidences and IoUs tie.
_PLACES = (st.integers(0, IMAGES - 1), st.integers(0, CLASSES - 1), st.sampled_from([0.2, 0.5, 0.5001, 0.9]))
_CORNERS = (st.integers(0, 3), st.integers(0, 3), st.integers(6, 10), st.integers(6, 10))
ROWS = st.lists(st.tuples(*_PLACES, *_CORNERS), max_size=14)


def map_replicates(matches: metrics.Matches, *, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """mAP50-95 of each resample, as the audit takes it."""
    return evaluation.mean_precision(metrics.average_precision(matches, weights=weights))[:, 0]


def detections(rows: Sequence[Row]) -> Detections:
    """Build detections from rows."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    return Detections(
        image=table[:, 0].astype(np.int64),
        class_id=table[:, 1].astype(np.int64),
        confidence=table[:, 2],
        box=table[:, 3:],
    )


def truth(rows: Sequence[Row]) -> Truth:
    """Build truth boxes from rows; their confidence is of no account."""
    boxes = detections(rows)
    return Truth(image=boxes.image, class_id=boxes.class_id, box=boxes.box)


def matched(found: Sequence[Row], true: Sequence[Row], *, most: int = 100) -> Matches:
    """Match rows with rows."""
    return metrics.match(detections(found), truth(true), images=IMAGES, classes=CLASSES, max_detections=most)


def scene(rng: np.random.Generator, *, boxes: int, guesses: int, images: int = IMAGES) -> tuple[list[Row], list[Row]]:
    """Draw detections, most of them near a truth box, and truth boxes; all numbers differ."""
    true: list[Row] = []
    for _ in range(boxes):
        x, y, width, height = rng.uniform([0, 0, 20, 20], [60, 60, 60, 60]).tolist()
        true.append((float(rng.integers(images)), float(rng.integers(CLASSES)), 1.0, x, y, x + width, y + height))
    found: list[Row] = []
    for confidence in (rng.permutation(guesses) / guesses).tolist():
        image, class_id, _, *corners = true[rng.integers(boxes)]
        found.append((image, class_id, confidence, *(np.array(corners) + rng.uniform(-8, 8, 4)).tolist()))
    return found, true


def coco(boxes: Detections | Truth, *, images: int, classes: int) -> COCO:
    """Give boxes as pycocotools wants them; ids start at 1, for its matching takes 0 for no match."""
    annotations = []
    scores = boxes.confidence if isinstance(boxes, Detections) else np.ones(boxes.image.size)
    for index, (x1, y1, x2, y2) in enumerate(boxes.box.tolist()):
        annotations.append(
            {
                "id": index + 1,
                "image_id": int(boxes.image[index]),
                "category_id": int(boxes.class_id[index]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "score": float(scores[index]),
                "iscrowd": 0,
            }
        )
    result = COCO()
    result.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": class_id} for class_id in range(classes)],
        "annotations": annotations,
    }
    result.createIndex()
    return result


def oracle(found: Detections, true: Truth, *, images: int = IMAGES, classes: int = CLASSES) -> COCOeval:
    """Run pycocotools over all images and classes, for boxes of any size."""
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(coco(true, images=images, classes=classes), coco(found, images=images, classes=classes), "bbox")
        run.params.imgIds, run.params.catIds = list(range(images)), list(range(classes))
        run.params.maxDets, run.params.areaRng, run.params.areaRngLbl = [100], [[0, 1e10]], ["all"]
        run.evaluate()
        run.accumulate()
    return run


def oracle_precision(run: COCOeval) -> metrics.FloatArray:
    """AP by class and IoU, (classes, 10), with pycocotools' -1 as NaN."""
    mean = run.eval["precision"][:, :, :, 0, 0].mean(axis=1).T
    return np.where(mean < 0, np.nan, mean)


def oracle_matches(run: COCOeval) -> set[tuple[int, int, int]]:
    """Triples of threshold, detection and truth box that pycocotools matches."""
    return {
        (threshold, detection - 1, int(box) - 1)
        for image in run.evalImgs
        if image is not None
        for threshold in range(10)
        for detection, box in zip(image["dtIds"], image["dtMatches"][threshold], strict=True)
        if box > 0
    }


def own_matches(matches: Matches) -> set[tuple[int, int, int]]:
    """Triples of threshold, detection and truth box that this project matches."""
    return {
        (int(threshold), int(matches.kept[row]), int(matches.matched_truth[threshold, row]))
        for threshold, row in np.argwhere(matches.matched_truth >= 0)
    }


def check_against_oracle(found: Sequence[Row], true: Sequence[Row]) -> None:
    """Compare matches, AP and mAP with pycocotools."""
    run = oracle(detections(found), truth(true))
    matches = matched(found, true)
    assert own_matches(matches) == oracle_matches(run)
    expected = oracle_precision(run)
    np.testing.assert_allclose(metrics.average_precision(matches)[0], expected, atol=1e-12, rtol=0)
    mean = metrics.mean_average_precision(matches)
    if not true:
        assert (mean.map50_95, mean.map50) == (None, None)
        return
    assert mean.map50_95 == pytest.approx(np.nanmean(expected), abs=1e-12)
    assert mean.map50 == pytest.approx(np.nanmean(expected[:, 0]), abs=1e-12)


def test_thresholds_are_those_of_pycocotools() -> None:
    """The ten IoU thresholds are pycocotools' floats to the last bit."""
    run = COCOeval(iouType="bbox")
    assert run.params.iouThrs.tolist() == list(metrics.IOU_THRESHOLDS)


@settings(max_examples=120)
@given(found=ROWS, true=ROWS)
def test_pycocotools_agrees_on_ties(found: list[Row], true: list[Row]) -> None:
    """Matches and AP equal pycocotools' where confidences and IoUs tie and images and classes are empty."""
    check_against_oracle(found, true)


@pytest.mark.parametrize("seed", range(5), ids=lambda seed: f"seed_{seed}")
def test_pycocotools_agrees_on_random_scenes(seed: int) -> None:
    """Matches and AP equal pycocotools' on scenes with many near misses."""
    check_against_oracle(*scene(np.random.default_rng(seed), boxes=60, guesses=200))


BOX = (0.0, 0.0, 10.0, 10.0)
CASES: dict[str, tuple[list[Row], list[Row]]] = {
    "nothing": ([], []),
    "no_detections": ([], [(0, 0, 1, *BOX)]),
    "no_truth": ([(0, 0, 0.9, *BOX)], []),
    "class_only_detected": ([(0, 1, 0.9, *BOX)], [(0, 0, 1, *BOX)]),
    "image_only_detected": ([(1, 0, 0.9, *BOX), (0, 0, 0.5, *BOX)], [(0, 0, 1, *BOX)]),
    "iou_of_exactly_a_half": ([(0, 0, 0.9, 0, 0, 10, 5)], [(0, 0, 1, *BOX)]),
    "later_truth_box_wins_a_tie": ([(0, 0, 0.9, *BOX)], [(0, 0, 1, *BOX), (0, 0, 1, *BOX)]),
    "earlier_detection_wins_a_tie": ([(0, 0, 0.9, 0, 0, 10, 8), (0, 0, 0.9, *BOX)], [(0, 0, 1, *BOX)]),
    "over_a_hundred_in_an_image": (
        [(0, 0, 0.3 + index % 7 / 10, index % 3, 0, 10 + index % 5, 10) for index in range(130)],
        [(0, 0, 1, index, 0, 10 + index, 10) for index in range(8)],
    ),
}


@pytest.mark.parametrize(("found", "true"), CASES.values(), ids=CASES.keys())
def test_pycocotools_agrees_on_edge_cases(found: list[Row], true: list[Row]) -> None:
    """Matches and AP equal pycocotools' at the edges of its rules."""
    check_against_oracle(found, true)


def test_pairs_are_worked_through_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many detections are held in memory at once changes no match."""
    found, true = scene(np.random.default_rng(1), boxes=30, guesses=100)
    whole = matched(found, true)
    monkeypatch.setattr(metrics, "_PAIR_ROWS", 7)
    np.testing.assert_array_equal(matched(found, true).matched_truth, whole.matched_truth)


def test_at_most_the_stated_number_is_kept() -> None:
    """Per image and class the most confident are kept, and the earlier of equal ones."""
    rows = [(0, 0, confidence, *BOX) for confidence in (0.2, 0.9, 0.9, 0.9, 0.5)] + [(0, 1, 0.1, *BOX)]
    assert matched(rows, [], most=2).kept.tolist() == [1, 2, 5]


def test_average_precision_by_hand() -> None:
    """Hit, miss, hit on two boxes: precision 1 up to recall 0.5 (51 levels), then 2/3 (50 levels)."""
    true = [(0, 0, 1, *BOX), (1, 0, 1, *BOX)]
    found = [(0, 0, 0.9, *BOX), (2, 0, 0.8, *BOX), (1, 0, 0.7, *BOX)]
    mean = metrics.mean_average_precision(matched(found, true))
    assert mean.map50 == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-15)
    assert mean.by_class[0].support == 2
    assert mean.by_class[0].by_iou == (mean.map50,) * 10


def test_absent_classes_have_no_ap() -> None:
    """A class without truth boxes has no AP and is left out of the mean."""
    mean = metrics.mean_average_precision(matched([(0, 1, 0.9, *BOX), (0, 0, 0.8, *BOX)], [(0, 0, 1, *BOX)]))
    assert (mean.map50_95, mean.map50) == (1.0, 1.0)
    assert [row.ap50_95 for row in mean.by_class] == [1.0, None, None]
    assert (mean.by_class[1].ap50, mean.by_class[1].by_iou, mean.by_class[1].support) == (None, None, 0)


@settings(max_examples=60)
@given(found=ROWS, true=ROWS)
def test_weights_of_one_change_nothing(found: list[Row], true: list[Row]) -> None:
    """Each image counted once gives the unweighted AP, in every replicate."""
    matches = matched(found, true)
    weighted = metrics.average_precision(matches, weights=np.ones((70, IMAGES), dtype=np.int64))
    expected = np.broadcast_to(metrics.average_precision(matches), weighted.shape)
    np.testing.assert_allclose(weighted, expected, atol=1e-12, rtol=0)


def repeated(rows: Sequence[Row], weights: Sequence[int]) -> list[Row]:
    """Repeat the images, each copy under a number of its own, copies side by side."""
    firsts = np.cumsum([0, *weights])
    return [
        (float(firsts[image] + copy), *row[1:])
        for image, weight in enumerate(weights)
        for copy in range(weight)
        for row in rows
        if row[0] == image
    ]


@pytest.mark.parametrize("levels", [None, 20], ids=["distinct_confidences", "ties_between_images"])
def test_pycocotools_agrees_on_resampled_images(levels: int | None) -> None:
    """Weighted AP is pycocotools' AP of the data set that the weights describe."""
    rng = np.random.default_rng(11)
    images = 8
    for _ in range(6):
        found, true = scene(rng, boxes=24, guesses=80, images=images)
        if levels:  # the rank within the image: distinct there, shared between images
            rank = {row: sum(other[0] == row[0] and other[2] < row[2] for other in found) for row in found}
            found = [(*row[:2], rank[row] / levels, *row[3:]) for row in found]
        matches = metrics.match(detections(found), truth(true), images=images, classes=CLASSES)
        weights = rng.multinomial(images, np.full(images, 1 / images), size=3)
        weighted = metrics.average_precision(matches, weights=weights)
        means = map_replicates(matches, weights=weights)
        for row, precision, mean in zip(weights.tolist(), weighted, means, strict=True):
            run = oracle(detections(repeated(found, row)), truth(repeated(true, row)), images=images)
            expected = oracle_precision(run)
            np.testing.assert_allclose(precision, expected, atol=1e-9, rtol=0)
            assert mean == pytest.approx(np.nanmean(expected), abs=1e-9)


def test_replicates_without_truth_are_not_a_number() -> None:
    """A resample that draws no truth box of a class has no AP for it, and no mAP when it draws none at all."""
    matches = matched([(0, 0, 0.9, *BOX)], [(0, 0, 1, *BOX), (1, 1, 1, *BOX)])
    weights = np.array([[1, 1, 1, 1], [0, 4, 0, 0], [0, 0, 4, 0]])
    np.testing.assert_array_equal(map_replicates(matches, weights=weights), [0.5, 0.0, np.nan])
    ap50 = metrics.average_precision(matches, weights=weights)[:, :, 0]
    np.testing.assert_array_equal(ap50, [[1, 0, np.nan], [np.nan, 0, np.nan], [np.nan, np.nan, np.nan]])


def test_replicates_are_worked_through_in_portions() -> None:
    """More replicates than are in work at once are the same one by one."""
    rng = np.random.default_rng(3)
    matches = matched(*scene(rng, boxes=20, guesses=60))
    weights = rng.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=150)
    one_by_one = [map_replicates(matches, weights=weights[[row]])[0] for row in range(150)]
    np.testing.assert_allclose(map_replicates(matches, weights=weights), one_by_one, atol=1e-12, rtol=0)


@settings(max_examples=80)
@given(found=ROWS, true=ROWS, confidence=st.sampled_from([0.1, 0.2, 0.5, 0.50005, 0.9, 0.95]), most=st.integers(1, 4))
def test_weak_detections_never_matter(found: list[Row], true: list[Row], confidence: float, most: int) -> None:
    """Filtering the matches by confidence is matching the detections of that confidence."""
    passing = [row for row in found if row[2] >= confidence]
    for iou in metrics.IOU_THRESHOLDS:
        afterwards = metrics.found(matched(found, true, most=most), detections(found), confidence=confidence, iou=iou)
        before = metrics.found(matched(passing, true, most=most), detections(passing), confidence=0.0, iou=iou)
        np.testing.assert_array_equal(afterwards, before)


@settings(max_examples=80)
@given(found=ROWS, true=ROWS, extra=st.tuples(*_PLACES, *_CORNERS))
def test_found_boxes_stay_found(found: list[Row], true: list[Row], extra: Row) -> None:
    """One more detection loses no box that was found: recall never falls."""
    before = metrics.found(matched(found, true), detections(found), confidence=0.2)
    more = [*found, extra]
    after = metrics.found(matched(more, true), detections(more), confidence=0.2)
    assert (after >= before).all()


@settings(max_examples=80)
@given(found=ROWS, true=ROWS, data=st.data())
def test_a_matching_detection_finds_its_box(found: list[Row], true: list[Row], data: st.DataObject) -> None:
    """A detection on a box that was missed raises the recall of its class by that one box."""
    hit = metrics.found(matched(found, true), detections(found), confidence=0.2)
    if hit.all():
        return
    missed = true[data.draw(st.sampled_from(np.flatnonzero(~hit).tolist()))]
    more = [*found, (*missed[:2], 0.1, *missed[3:])]
    before = metrics.recall_by_class(matched(found, true), detections(found), confidence=0.1)
    after = metrics.recall_by_class(matched(more, true), detections(more), confidence=0.1)
    changes = [new.found - old.found for old, new in zip(before, after, strict=True)]
    assert changes == [int(class_id == missed[1]) for class_id in range(CLASSES)]


@settings(max_examples=80)
@given(found=ROWS, true=ROWS, confidence=st.floats(0, 1))
def test_figures_stay_in_their_ranges(found: list[Row], true: list[Row], confidence: float) -> None:
    """Recall, precision and AP lie in [0, 1], or are absent exactly where there is nothing to divide by."""
    matches, boxes = matched(found, true), detections(found)
    recalls = metrics.recall_by_class(matches, boxes, confidence=confidence)
    precisions = metrics.precision_by_class(matches, boxes, confidence=confidence)
    for recall, precision in zip(recalls, precisions, strict=True):
        assert (recall.value is None) == (recall.support == 0)
        assert (precision.value is None) == (precision.detections == 0)
        assert 0 <= (recall.value or 0) <= 1
        assert 0 <= (precision.value or 0) <= 1
        assert recall.found == precision.found
    for row in metrics.mean_average_precision(matches).by_class:
        assert all(0 <= value <= 1 for value in row.by_iou or ())


def test_recall_and_precision_by_hand() -> None:
    """Of two boxes one is found; of two detections that pass one finds it; the third is too weak to count."""
    true = [(0, 0, 1, *BOX), (1, 0, 1, *BOX), (2, 1, 1, *BOX)]
    found = [(0, 0, 0.9, *BOX), (2, 0, 0.8, *BOX), (1, 0, 0.3, *BOX)]
    matches, boxes = matched(found, true), detections(found)
    assert metrics.recall_by_class(matches, boxes, confidence=0.5) == (
        Recall(value=0.5, support=2, found=1),
        Recall(value=0.0, support=1, found=0),
        Recall(value=None, support=0, found=0),
    )
    assert metrics.precision_by_class(matches, boxes, confidence=0.5) == (
        Precision(value=0.5, detections=2, found=1),
        Precision(value=None, detections=0, found=0),
        Precision(value=None, detections=0, found=0),
    )


def test_a_stricter_iou_finds_less() -> None:
    """A box found at IoU 0.8 is found at 0.80 and missed at 0.85."""
    true, found = [(0, 0, 1, *BOX)], [(0, 0, 0.9, 0, 0, 10, 8)]
    matches, boxes = matched(found, true), detections(found)
    assert metrics.found(matches, boxes, confidence=0.5, iou=0.8).tolist() == [True]
    assert metrics.found(matches, boxes, confidence=0.5, iou=0.85).tolist() == [False]


def f1_by_counting(found: Sequence[Row], true: Sequence[Row], confidence: float) -> float:
    """Mean F1 at a confidence, from a matching of its own."""
    passing = [row for row in found if row[2] >= confidence]
    matches, boxes = matched(passing, true), detections(passing)
    recalls = metrics.recall_by_class(matches, boxes, confidence=0.0)
    precisions = metrics.precision_by_class(matches, boxes, confidence=0.0)
    pairs = [pair for pair in zip(recalls, precisions, strict=True) if pair[0].support]
    return float(np.mean([2 * recall.found / (recall.support + other.detections) for recall, other in pairs]))


@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed_{seed}")
def test_operating_confidence_is_the_best_of_the_grid(seed: int) -> None:
    """No grid value has a better mean F1, and no higher one as good."""
    found, true = scene(np.random.default_rng(seed), boxes=20, guesses=60)
    chosen = metrics.operating_confidence(matched(found, true), detections(found), truth(true), classes=CLASSES)
    scores = {confidence: f1_by_counting(found, true, confidence) for confidence in metrics.CONFIDENCE_GRID}
    best = max(scores.values())
    assert chosen == max(confidence for confidence, score in scores.items() if score >= best - 1e-12)


def test_operating_confidence_lies_between_hit_and_miss() -> None:
    """With a hit at 0.9 and a miss at 0.4 every confidence from 0.41 to 0.9 is best, and 0.9 is taken."""
    true, found = [(0, 0, 1, *BOX)], [(0, 0, 0.9, *BOX), (1, 0, 0.4, *BOX)]
    assert metrics.operating_confidence(matched(found, true), detections(found), truth(true), classes=CLASSES) == 0.9


def test_operating_confidence_needs_truth() -> None:
    """Without a truth box there is no F1 to choose by."""
    with pytest.raises(UserError, match="No image of val has a labelled box, wanted at least one"):
        metrics.operating_confidence(matched([], []), detections([]), truth([]), classes=CLASSES)


def test_an_iou_off_the_grid_is_refused() -> None:
    """Boxes are found at one of the ten thresholds only."""
    with pytest.raises(ValueError, match=r"IoU 0\.52, wanted one of"):
        metrics.found(matched([], []), detections([]), confidence=0.5, iou=0.52)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((4, 0, 0.5, *BOX), "image numbers 4 to 4, wanted 0 to 3"),
        ((-1, 0, 0.5, *BOX), "image numbers -1 to -1, wanted 0 to 3"),
        ((0, 3, 0.5, *BOX), "class numbers 3 to 3, wanted 0 to 2"),
        ((0, 0, float("nan"), *BOX), "not finite"),
        ((0, 0, 0.5, 0, 0, float("inf"), 10), "not finite"),
        ((0, 0, 0.5, 9, 0, 8, 10), "wanted x1 <= x2"),
    ],
    ids=["image_too_high", "image_negative", "class_too_high", "no_number", "corner_infinite", "inside_out"],
)
def test_impossible_detections_are_refused(row: Row, message: str) -> None:
    """A detection that cannot be raises, with what was got and what was wanted."""
    with pytest.raises(ValueError, match=message):
        matched([row], [])


def test_arrays_of_unequal_length_are_refused() -> None:
    """Columns and boxes have one length."""
    with pytest.raises(ValueError, match=r"wanted \(n, 4\) beside \(n,\)"):
        Truth(image=np.zeros(2, np.int64), class_id=np.zeros(1, np.int64), box=np.zeros((2, 4)))


@pytest.mark.parametrize(
    "weights", [np.ones((1, 3), np.int64), -np.ones((1, IMAGES), np.int64)], ids=["images_missing", "negative"]
)
def test_impossible_weights_are_refused(weights: metrics.IntArray) -> None:
    """Weights count every image, none less than zero times."""
    with pytest.raises(ValueError, match=r"wanted \(replicates, 4\), none negative"):
        metrics.average_precision(matched([], []), weights=weights)
