"""How a detector errs, against pycocotools and scikit-learn, against figures worked out by hand, and by laws."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval
from scipy.stats import beta
from sklearn.calibration import calibration_curve

from pipeline.core import confusion, detector_figures, metrics
from pipeline.core.figures import ClassFigures, DetectionFigures, Figure
from pipeline.core.metrics import Detections, FloatArray, IntArray, Truth
from tests.core import test_metrics as made
from tests.core.test_metrics import BOX, CLASSES, IMAGES, ROWS, Row

NAMES = ("one", "two", "three")
CONFIDENCE = st.sampled_from([0.1, 0.5, 0.9, 0.95])
BOUNDS = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda edges: (float(min(edges)), float(max(edges))))


def figures(
    found: Sequence[Row],
    true: Sequence[Row],
    *,
    confidence: float = 0.5,
    iou: float = 0.5,
    bounds: tuple[float, float] = (4.0, 8.0),
    images: int = IMAGES,
    seed: int = 0,
) -> DetectionFigures:
    """Figures of rows against rows."""
    seen, boxes = made.detections(found), made.truth(true)
    matches = metrics.match(seen, boxes, images=images, classes=CLASSES)
    source = np.random.default_rng(seed)
    return detector_figures.figures(
        matches, seen, boxes, names=NAMES, confidence=confidence, iou=iou, bounds=bounds, source=source
    )


def drawn(images: int, *, replicates: int = 200, seed: int = 0) -> IntArray:
    """Bootstrap counts of images."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=replicates)


def by_class(found: Sequence[Row], true: Sequence[Row], *, confidence: float = 0.5) -> tuple[ClassFigures, ...]:
    """Figures of each class of rows against rows."""
    matches = made.matched(found, true)
    precision = metrics.average_precision(matches, weights=drawn(IMAGES))
    return detector_figures.class_figures(
        matches,
        made.detections(found),
        precision,
        names=NAMES,
        rare=["two"],
        training_boxes=[50, 5, 0],
        confidence=confidence,
        iou=0.5,
    )


def sound(figure: Figure, *, most: float = 1.0) -> bool:
    """Whether a figure is whole: a value within its interval and range, or a reason why there is none."""
    if figure.value is None:
        return bool(figure.reason) and figure.low is None and figure.high is None
    if figure.low is None or figure.high is None:
        return bool(figure.reason) and figure.low is figure.high
    return 0 <= figure.low <= figure.value <= figure.high <= most and figure.samples is not None


@settings(max_examples=60)
@given(found=ROWS, true=ROWS, confidence=CONFIDENCE, bounds=BOUNDS)
def test_sizes_divide_the_boxes(
    found: list[Row], true: list[Row], confidence: float, bounds: tuple[float, float]
) -> None:
    """Every test box has one of the three sizes: supports add up to all boxes, and what was found to all found ones."""
    sizes = figures(found, true, confidence=confidence, bounds=bounds).sizes
    assert sum(one.recall.samples or 0 for one in sizes) == len(true)
    hits = metrics.found(made.matched(found, true), made.detections(found), confidence=confidence)
    assert sum((one.recall.value or 0) * (one.recall.samples or 0) for one in sizes) == pytest.approx(hits.sum())
    assert [(one.low, one.high) for one in sizes] == [(0.0, bounds[0]), bounds, (bounds[1], None)]


def spread(rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """Truth boxes of many sizes that never overlap one another, and detections near them, some of other classes."""
    true: list[Row] = []
    for image in range(IMAGES):
        for place in range(16):
            side, x, y = rng.uniform(8, 40), 50 * (place % 4), 50 * (place // 4)
            true.append((image, int(rng.integers(CLASSES)), 1.0, x, y, x + side, y + side * rng.uniform(0.8, 1.2)))
    found: list[Row] = []
    for confidence in (rng.permutation(150) / 150).tolist():
        page, class_id, _, *corners = true[rng.integers(len(true))]
        shown = class_id if rng.random() < 0.7 else int(rng.integers(CLASSES))
        found.append((page, shown, confidence, *(np.array(corners) + rng.uniform(-3, 3, 4)).tolist()))
    return found, true


def coco(found: Detections, true: Truth, *, areas: Sequence[Sequence[float]] = ((0, 1e10),)) -> COCOeval:
    """Run pycocotools with these ranges of area."""
    with contextlib.redirect_stdout(io.StringIO()):
        both = [made.coco(one, images=IMAGES, classes=CLASSES) for one in (true, found)]
        run = COCOeval(*both, "bbox")
        run.params.maxDets, run.params.areaRng = [1000], [list(area) for area in areas]
        run.params.areaRngLbl = [str(number) for number in range(len(areas))]
        run.evaluate()
        run.accumulate()
    return run


@pytest.mark.parametrize("iou", [0.5, 0.75], ids=["iou_50", "iou_75"])
@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed_{seed}")
def test_pycocotools_agrees_on_sizes(seed: int, iou: float) -> None:
    """Recall by size is pycocotools' in those ranges of area, of the detections that pass."""
    found, true = spread(np.random.default_rng(seed))
    low, high = bounds = detector_figures.size_bounds(made.truth(true).box)
    passing = made.detections([row for row in found if row[2] >= 0.3])
    run = coco(passing, made.truth(true), areas=[(0, low**2), (low**2, high**2), (high**2, 1e10)])
    at = round((iou - 0.5) / 0.05)
    for number, one in enumerate(figures(found, true, confidence=0.3, iou=iou, bounds=bounds).sizes):
        # its recall is a class's: hits are counted over classes
        hits, support = 0.0, 0
        size = np.sqrt(np.prod(made.truth(true).box[:, 2:] - made.truth(true).box[:, :2], axis=1))
        for class_id in range(CLASSES):
            boxes = (made.truth(true).class_id == class_id) & (size >= one.low) & (size < (one.high or np.inf))
            support += int(boxes.sum())
            hits += float(run.eval["recall"][at, class_id, number, 0]) * int(boxes.sum())
        assert one.recall.samples == support
        assert one.recall.value == pytest.approx(hits / support, abs=1e-12)


def square(side: float) -> list[float]:
    """Corners of a square."""
    return [3.0, 5.0, 3.0 + side, 5.0 + side]


def test_size_bounds_are_terciles() -> None:
    """A third of the training boxes is small, a third large; size is the square root of the area."""
    assert detector_figures.size_bounds(np.array([square(side) for side in range(1, 11)])) == (4.0, 7.0)
    assert detector_figures.size_bounds(np.array([[0.0, 0.0, 4.0, 9.0]])) == (6.0, 6.0)


@given(st.lists(st.floats(1, 500), min_size=1, max_size=30))
def test_size_bounds_part_thirds(sides: list[float]) -> None:
    """At most a third of the training boxes is small, and at least a third large, whatever sizes coincide."""
    box = np.array([square(side) for side in sides])
    low, high = detector_figures.size_bounds(box)
    size = np.sqrt(np.prod(box[:, 2:] - box[:, :2], axis=1))
    assert low <= high
    assert (size < low).sum() <= -(-len(sides) // 3)
    assert (size >= high).sum() >= len(sides) // 3


def test_boxes_of_one_size() -> None:
    """Where all boxes have one size the edges coincide: all are large, and the others say why they are none."""
    box = np.array([[0.0, 0.0, 10.0, 16.0]] * 5)  # a size that is no whole number of thousandths
    bounds = detector_figures.size_bounds(box)
    small, medium, large = figures([], [(0, 0, 1, *box[0].tolist())], bounds=bounds).sizes
    assert small.recall == Figure(value=None, samples=0, reason="no test box under 12.649 pixels")
    reason = "both edges are 12.649 pixels: as many training boxes have one size"
    assert medium.recall == Figure(value=None, samples=0, reason=reason)
    assert (large.recall.value, large.recall.samples) == (0.0, 1)


def test_a_box_on_an_edge_is_of_the_upper_size() -> None:
    """A size range holds its lower edge and not its upper one."""
    true: list[Row] = [(0, 0, 1, *square(side)) for side in (5.9, 6.0, 8.9, 9.0)]
    sizes = figures([], true, bounds=(6.0, 9.0)).sizes
    assert [one.recall.samples for one in sizes] == [1, 2, 1]


def test_no_training_box_has_a_size() -> None:
    """Without training boxes there are no edges: every test box is large."""
    assert detector_figures.size_bounds(np.zeros((0, 4))) == (0.0, 0.0)


def hits_of(found: Sequence[Row], true: Sequence[Row]) -> tuple[FloatArray, metrics.BoolArray]:
    """Confidence of each detection, and whether it found a box."""
    matches, seen = made.matched(found, true), made.detections(found)
    return seen.confidence[matches.kept], matches.matched_truth[0] >= 0


@settings(max_examples=60)
@given(found=ROWS, true=ROWS)
def test_bins_divide_the_detections(found: list[Row], true: list[Row]) -> None:
    """Each detection is in one bin, whose range holds its confidence; the error is the mean distance over them."""
    result = figures(found, true)
    assert sum(one.observed.samples or 0 for one in result.reliability) == len(found)
    assert all(one.low - 1e-12 <= one.predicted <= one.high + 1e-12 for one in result.reliability)
    assert all(sound(one.observed) for one in result.reliability)
    assert sound(result.calibration_error)
    assert (result.calibration_error.value is None) == (not found)
    if found:
        gaps = [
            abs(one.predicted - (one.observed.value or 0)) * (one.observed.samples or 0) for one in result.reliability
        ]
        assert result.calibration_error.value == pytest.approx(sum(gaps) / len(found), abs=1e-12)


@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed_{seed}")
def test_scikit_learn_agrees_on_reliability(seed: int) -> None:
    """The bins are those of scikit-learn's calibration curve, its empty ones left out."""
    found, true = made.scene(np.random.default_rng(seed), boxes=60, guesses=201)
    observed, predicted = calibration_curve(*hits_of(found, true)[::-1], n_bins=10, strategy="uniform")
    bins = figures(found, true).reliability
    assert [one.predicted for one in bins] == pytest.approx(predicted.tolist(), abs=1e-12)
    assert [one.observed.value for one in bins] == pytest.approx(observed.tolist(), abs=1e-12)


def test_calibrated_to_the_last_bit() -> None:
    """Where half of the detections at 0.5 find a box, in each image, the error is 0."""
    true = [(image, 0, 1, *BOX) for image in range(IMAGES)]
    found = [row for image in range(IMAGES) for row in ((image, 0, 0.5, *BOX), (image, 1, 0.5, *BOX))]
    error = figures(found, true).calibration_error
    assert (error.value, error.low, error.samples) == (0.0, 0.0, 2 * IMAGES)
    assert error.reason == ""


def confident(
    share: float, *, seed: int, images: int = 60, each: int = 5
) -> tuple[Detections, Truth, FloatArray, metrics.Matches]:
    """Detections on places of their own whose chance of a box is this share of their confidence."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.05, 1.0, images * each)
    image = np.repeat(np.arange(images), each)
    left = np.tile(np.arange(each) * 20.0, images)
    box = np.stack([left, left, left + 10, left + 10], axis=1)
    hit = rng.random(sure.size) < share * sure
    zero = np.zeros(sure.size, dtype=np.int64)
    found = Detections(image=image, class_id=zero, confidence=sure, box=box)
    true = Truth(image=image[hit], class_id=zero[hit], box=box[hit])
    return found, true, sure, metrics.match(found, true, images=images, classes=1)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 0.0), (0.6, 0.21)], ids=["calibrated", "overconfident"])
def test_the_interval_holds_the_calibration_error(share: float, expected: float) -> None:
    """In 40 made samples the interval holds the error that the detections were made with at least 36 times."""
    held = 0
    for seed in range(40):
        found, true, _, matches = confident(share, seed=seed)
        error = detector_figures.figures(
            matches, found, true, names=["one"], confidence=0.5, iou=0.5, bounds=(5, 6), source=np.random.default_rng(1)
        ).calibration_error
        assert error.low is not None
        assert error.high is not None
        held += error.low <= expected <= error.high
    assert held >= 36


def test_false_positives_by_hand() -> None:
    """Three detections that pass find nothing, on four images: a background, a second one on a box, another class."""
    true = [(0, 0, 1, *BOX), (1, 1, 1, *BOX)]
    found = [
        (0, 0, 0.9, *BOX), (0, 0, 0.8, *BOX), (1, 2, 0.7, *BOX), (3, 0, 0.6, *BOX), (2, 0, 0.4, *BOX),
    ]  # fmt: skip
    errors = figures(found, true).false_positives
    assert (errors.value, errors.samples) == (0.75, IMAGES)
    assert sound(errors, most=2.0)
    assert errors.low is not None
    assert errors.low < 0.75


def test_no_false_positive_is_no_certainty() -> None:
    """Without a false positive the interval reaches up to the share of images that might have one."""
    errors = figures([(0, 0, 0.9, *BOX)], [(0, 0, 1, *BOX)]).false_positives
    assert (errors.value, errors.low) == (0.0, 0.0)
    assert errors.high == pytest.approx(1 - 0.025 ** (1 / IMAGES))


def test_one_image_has_no_interval() -> None:
    """One image gives figures, but does not tell how sure they are."""
    result = figures([(0, 0, 0.9, *BOX), (0, 1, 0.9, *BOX)], [(0, 0, 1, *BOX)], images=1)
    reason = "too few images for an interval: every resample gives the same"
    assert result.false_positives == Figure(value=1.0, samples=1, reason=reason)
    error = result.calibration_error
    assert (error.low, error.high, error.samples, error.reason) == (None, None, 2, reason)
    assert error.value == pytest.approx(0.4)


@settings(max_examples=60)
@given(found=ROWS, true=ROWS, confidence=CONFIDENCE, iou=st.sampled_from([0.5, 0.75]))
def test_confusion_counts_each_once(found: list[Row], true: list[Row], confidence: float, iou: float) -> None:
    """Rows sum to the boxes of their class, columns to the detections of theirs that pass."""
    counts = np.array(figures(found, true, confidence=confidence, iou=iou).confusion.counts)
    supports = [sum(row[1] == class_id for row in true) for class_id in range(CLASSES)]
    passing = [sum(row[1] == class_id and row[2] >= confidence for row in found) for class_id in range(CLASSES)]
    assert counts[:CLASSES].sum(axis=1).tolist() == supports
    assert counts[:, :CLASSES].sum(axis=0).tolist() == passing
    assert counts[CLASSES, CLASSES] == 0


@pytest.mark.parametrize("seed", range(4), ids=lambda seed: f"seed_{seed}")
def test_pycocotools_agrees_on_confusion(seed: int) -> None:
    """The boxes taken are those that pycocotools matches where all are of one class."""
    found, true = made.scene(np.random.default_rng(seed), boxes=60, guesses=200)
    found = [
        (image, (class_id + (place % 3 == 0)) % CLASSES, *rest) for place, (image, class_id, *rest) in enumerate(found)
    ]
    passing = [row for row in found if row[2] >= 0.3]
    run = coco(
        made.detections([(row[0], 0, *row[2:]) for row in passing]), made.truth([(row[0], 0, *row[2:]) for row in true])
    )
    expected = np.zeros((CLASSES + 1, CLASSES + 1), dtype=int)
    free, unmatched = set(range(len(true))), set(range(len(passing)))
    for _, detection, box in (one for one in made.oracle_matches(run) if one[0] == 0):
        expected[int(true[box][1]), int(passing[detection][1])] += 1
        free.discard(box)
        unmatched.discard(detection)
    for box in free:
        expected[int(true[box][1]), CLASSES] += 1
    for detection in unmatched:
        expected[CLASSES, int(passing[detection][1])] += 1
    result = confusion.confusion(made.detections(found), made.truth(true), names=NAMES, confidence=0.3, iou=0.5)
    assert result.classes == NAMES
    assert np.array(result.counts).tolist() == expected.tolist()


TAKEN: dict[str, tuple[list[Row], list[Row], tuple[tuple[int, ...], ...]]] = {
    "own_class": ([(0, 0, 0.9, *BOX)], [(0, 0, 1, *BOX)], ((1, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))),
    "another_class": ([(0, 1, 0.9, *BOX)], [(0, 0, 1, *BOX)], ((0, 1, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))),
    "too_weak": ([(0, 0, 0.4, *BOX)], [(0, 0, 1, *BOX)], ((0, 0, 0, 1), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))),
    "background": ([(0, 2, 0.9, *BOX)], [], ((0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 1, 0))),
    "the_surer_one_takes_it": (
        [(0, 0, 0.6, *BOX), (0, 1, 0.9, *BOX)],
        [(0, 0, 1, *BOX)],
        ((0, 1, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0)),
    ),
    "own_class_first_on_equal_iou": (
        [(0, 0, 0.9, *BOX), (0, 1, 0.6, *BOX)],
        [(0, 0, 1, *BOX), (0, 1, 1, *BOX)],
        ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0)),
    ),
}


@pytest.mark.parametrize(("found", "true", "expected"), TAKEN.values(), ids=TAKEN.keys())
def test_confusion_by_hand(found: list[Row], true: list[Row], expected: tuple[tuple[int, ...], ...]) -> None:
    """A box is taken for the class of the surest detection on it."""
    assert figures(found, true).confusion.counts == expected


@settings(max_examples=40)
@given(found=ROWS, true=ROWS, confidence=CONFIDENCE)
def test_classes_are_sound(found: list[Row], true: list[Row], confidence: float) -> None:
    """Every figure of a class lies in its interval, within [0, 1], or says why it is not there."""
    for class_id, one in enumerate(by_class(found, true, confidence=confidence)):
        support = sum(row[1] == class_id for row in true)
        assert (one.name, one.support, one.rare) == (NAMES[class_id], support, class_id == 1)
        assert one.training_boxes == [50, 5, 0][class_id]
        assert all(sound(figure) for figure in (one.recall, one.precision, one.ap50_95, one.ap50))
        assert {figure.value is None for figure in (one.recall, one.ap50_95, one.ap50)} == {support == 0}
        assert one.recall.samples == one.ap50.samples == one.ap50_95.samples == support
        assert one.found == pytest.approx((one.recall.value or 0) * support)


def test_shares_have_exact_intervals() -> None:
    """Recall and precision have Clopper & Pearson's intervals, of boxes and of detections."""
    true = [(image, 0, 1, *BOX) for image in range(IMAGES)]
    found = [(0, 0, 0.9, *BOX), (1, 0, 0.8, *BOX), (1, 0, 0.7, *BOX), (2, 0, 0.3, *BOX)]
    one = by_class(found, true)[0]
    quarter = (beta.ppf(0.025, 2, 3), beta.ppf(0.975, 3, 2))
    assert (one.recall.low, one.recall.high) == pytest.approx(quarter)
    assert (one.recall.value, one.recall.samples) == (0.5, 4)
    thirds = (beta.ppf(0.025, 2, 2), beta.ppf(0.975, 3, 1))
    assert (one.precision.low, one.precision.high) == pytest.approx(thirds)
    assert (one.precision.value, one.precision.samples) == (2 / 3, 3)


def test_what_is_absent_says_why() -> None:
    """A class without test boxes has no recall and no AP; one that is never predicted has no precision."""
    one, two, _ = by_class([], [(0, 0, 1, *BOX)])
    assert one.precision == Figure(value=None, samples=0, reason="no detection at the operating point")
    assert one.recall.value == 0.0
    for figure in (two.recall, two.ap50_95, two.ap50):
        assert figure == Figure(value=None, samples=0, reason="no test box")


def test_nothing_at_all() -> None:
    """Without boxes and detections nothing has a value, and all says why, but that no image has a false positive."""
    result = figures([], [])
    assert result.reliability == ()
    assert result.calibration_error == Figure(value=None, samples=0, reason="no detection")
    assert [one.recall.reason for one in result.sizes] == [
        "no test box under 4 pixels", "no test box from 4 to 8 pixels", "no test box of 8 pixels or more"
    ]  # fmt: skip
    matches = made.matched([], [])
    assert detector_figures.mean_figures(matches, metrics.average_precision(matches, weights=drawn(IMAGES))) == (
        Figure(value=None, samples=IMAGES, reason="no test box"),
        Figure(value=None, samples=IMAGES, reason="no test box"),
    )


def test_a_perfect_class_is_not_certain() -> None:
    """Where every resample has an AP of 1, the interval is that of as many boxes, all of them found."""
    true = [(image, 0, 1, *BOX) for image in range(IMAGES)]
    one = by_class([(image, 0, 0.9, *BOX) for image in range(IMAGES)], true)[0]
    for figure in (one.ap50, one.ap50_95):
        assert (figure.value, figure.high) == (1.0, 1.0)
        assert figure.low == pytest.approx(0.025 ** (1 / IMAGES))


@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed_{seed}")
def test_ap50_is_no_surer_than_a_share(seed: int) -> None:
    """The interval of AP50 holds that of as large a share of as many boxes; that of AP50-95 may be narrower."""
    true = [(image, 0, 1, 20 * place, 0, 20 * place + 10, 10) for image in range(IMAGES) for place in range(10)]
    rng = np.random.default_rng(seed)
    found = [(*row[:2], rng.uniform(0.5, 1), *row[3:]) for row in true if rng.random() < 0.95]
    one = by_class([*found, (0, 0, 0.3, 300, 0, 310, 10)], true)[0]
    assert one.ap50.value is not None
    hits, misses = 40 * one.ap50.value, 40 * (1 - one.ap50.value)
    assert one.ap50.low is not None
    assert one.ap50.high is not None
    assert one.ap50.low <= beta.ppf(0.025, hits, misses + 1) + 1e-12
    assert one.ap50.high >= beta.ppf(0.975, hits + 1, misses) - 1e-12


def test_means_are_those_of_the_metrics() -> None:
    """The means are mAP50-95 and mAP50, of as many images, with intervals that hold them."""
    found, true = made.scene(np.random.default_rng(0), boxes=60, guesses=200)
    matches = made.matched(found, true)
    both = detector_figures.mean_figures(matches, metrics.average_precision(matches, weights=drawn(IMAGES)))
    expected = metrics.mean_average_precision(matches)
    assert [one.value for one in both] == [expected.map50_95, expected.map50]
    assert all(sound(one) and one.samples == IMAGES for one in both)


def test_the_bias_of_resamples_is_taken_off() -> None:
    """Percentiles are as they are where half of the replicates lie below the value, and lower where fewer do."""
    replicates = np.random.default_rng(0).normal(size=20_001)
    middle = detector_figures._bias_corrected(float(np.median(replicates)), replicates)
    assert (middle.low, middle.high) == pytest.approx(np.quantile(replicates, [0.025, 0.975]), abs=1e-9)
    under = detector_figures._bias_corrected(-0.5, replicates)
    assert (under.low, under.high) == pytest.approx((-1 - 1.96, -1 + 1.96), abs=0.1)


def test_the_interval_holds_ap() -> None:
    """Of 100 samples of pages on which a detector misses one box in 25, at least 90 intervals hold its AP50."""
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        image = np.repeat(np.arange(20), 2)
        box = np.tile([[0.0, 0, 10, 10], [20.0, 0, 30, 10]], (20, 1))
        seen = rng.random(40) < 0.96
        zero = np.zeros(40, dtype=np.int64)
        true = Truth(image=image, class_id=zero, box=box)
        found = Detections(image=image[seen], class_id=zero[seen], confidence=np.full(seen.sum(), 0.9), box=box[seen])
        matches = metrics.match(found, true, images=20, classes=1)
        precision = metrics.average_precision(matches, weights=drawn(20, replicates=100, seed=seed))
        one = detector_figures.mean_figures(matches, precision)[1]
        assert one.low is not None
        assert one.high is not None
        held += one.low <= 0.96 + 0.01 and one.high >= 0.96  # AP is read at 101 levels of recall
    assert held >= 90


def test_the_same_source_gives_the_same_figures() -> None:
    """Figures follow from the data and the generator alone."""
    found, true = made.scene(np.random.default_rng(0), boxes=60, guesses=90, images=40)
    assert figures(found, true, images=40, seed=3) == figures(found, true, images=40, seed=3)
    assert figures(found, true, images=40, seed=3) != figures(found, true, images=40, seed=4)
