"""What changed between the base run and a run."""

from __future__ import annotations

import math

import pytest
from statsmodels.stats.proportion import proportion_confint

from pipeline.core import symptoms
from pipeline.core.figures import Figure
from tests.builders import audit, class_figures, figure, fit


def test_intervals_are_over_all_classes_together() -> None:
    """The loss of recall of one of two classes has the interval of 97.5 % Clopper-Pearson ends, squared and added."""
    base = audit(classes=tuple(class_figures(name, found=80, support=100) for name in ("cat", "dog")))
    run = audit("r", classes=tuple(class_figures(name, found=50, support=100) for name in ("cat", "dog")))
    loss = symptoms.class_changes(base, run)[0].loss
    ends = [proportion_confint(found, 100, alpha=0.025, method="beta") for found in (80, 50)]
    assert loss is not None
    assert loss.low == pytest.approx(0.3 - math.hypot(0.8 - ends[0][0], ends[1][1] - 0.5))
    assert loss.high == pytest.approx(0.3 + math.hypot(ends[0][1] - 0.8, 0.5 - ends[1][0]))


@pytest.mark.parametrize(
    ("boxes", "shrunk", "taken"),
    [((900, 100), False, False), ((470, 30), True, False), ((980, 20), True, True), ((50, 1), False, False)],
    ids=["same share", "smaller share", "hardly any left", "too few to tell"],
)
def test_share_of_a_class(boxes: tuple[int, int], *, shrunk: bool, taken: bool) -> None:
    """A class shrinks when its share is shown to be smaller, and is taken away when it is shown to be halved."""
    base = audit(classes=(class_figures("cat", training_boxes=900), class_figures("dog", training_boxes=100)))
    now = tuple(class_figures(name, training_boxes=n) for name, n in zip(("cat", "dog"), boxes, strict=True))
    found = symptoms.class_changes(base, audit("r", classes=now))[1]
    assert (found.shrunk, found.taken) == (shrunk, taken)
    assert (found.before, found.after) == ((100, 1000), (boxes[1], sum(boxes)))


def test_no_training_box_at_all() -> None:
    """Without any training box there are no shares, so no class is said to have shrunk."""
    found = symptoms.class_changes(audit(), audit("r", classes=(class_figures(training_boxes=0),)))[0]
    assert (found.shrunk, found.taken) == (False, False)


def test_class_without_test_boxes() -> None:
    """A class without a test box has no loss of recall, and no part in a pooled one."""
    bare = class_figures(found=0, support=0, recall=Figure(value=None, reason="no test box"))
    base, run = (audit(name, classes=(bare,)) for name in ("base", "r"))
    assert symptoms.class_changes(base, run)[0].loss is None
    assert symptoms.pooled_loss(base, run, ["one"]) is None


def test_gap() -> None:
    """The gap is that of the classes that all four figures are known of, and its growth what it has more than the base.

    Of two classes one is in all four, so each mean is less sure than the mAP50 of both by the root of two.
    """
    base = audit(
        classes=(class_figures("cat", ap50=figure(0.8)), class_figures("dog", ap50=figure(0.2))),
        fit=fit(train_map50=figure(0.7), test_map50=figure(0.5), train_ap50={"cat": 0.9, "dog": 0.5}),
    )
    run = audit(
        "r",
        classes=(class_figures("cat", ap50=figure(0.5)), class_figures("dog", ap50=figure(0.1))),
        fit=fit(train_map50=figure(0.95), test_map50=figure(0.3), train_ap50={"cat": 0.9, "dog": None}),
    )
    gap = symptoms.gap(base, run)
    assert gap is not None
    assert gap.classes == 1
    assert gap.before is not None
    assert gap.after is not None
    assert gap.growth is not None
    assert (gap.before.value, gap.after.value, gap.growth.value) == pytest.approx((0.1, 0.4, 0.3))
    assert gap.before.low == pytest.approx(0.1 - math.hypot(0.05, 0.05) * math.sqrt(2))
    assert gap.growth.low < gap.growth.value < gap.growth.high


def test_no_gap() -> None:
    """Runs that were trained on none of the same classes have no gap to compare."""
    assert symptoms.gap(audit(), audit("r", fit=fit(train_ap50={"one": None}))) is None


def test_shares_of_images() -> None:
    """Shares and depth are of the images that are trained on; a depth that no image has is none."""
    run = audit("r", real_images=25, synthetic_images=75, lineage={"0": 25, "2": 75, "9": 0})
    assert (symptoms.synthetic_share(run), symptoms.kept_share(audit(), run), symptoms.deepest(run)) == (0.75, 0.25, 2)
    assert symptoms.kept_share(audit(), audit("r", real_images=300)) == 1
    empty = audit("r", real_images=0, synthetic_images=0, lineage={})
    assert (symptoms.synthetic_share(empty), symptoms.kept_share(empty, empty), symptoms.deepest(empty)) == (0, 0, 0)
