"""What a diagnosis says of audits that are made to have one trouble each, and of those beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import diagnosis, symptoms
from pipeline.core.audits import Audit
from pipeline.core.errors import UserError
from pipeline.core.figures import ClassFigures, Figure
from pipeline.core.statistics import clopper_pearson
from tests.builders import audit, class_figures, diversity, drift, duplication, figure, fit

BOXES = {"cat": 600, "dog": 300, "lynx": 60}
ABSENT = Figure(value=None, reason="no test box")


def one_class(name: str, *, boxes: int, recall: float, support: int = 200) -> ClassFigures:
    """A class with so many training boxes, and such a recall and AP50 on test."""
    found = round(recall * support)
    interval = clopper_pearson(found, support)
    assert interval is not None
    share = Figure(value=found / support, low=interval.low, high=interval.high, samples=support)
    return class_figures(
        name, support=support, found=found, recall=share, ap50=figure(recall), training_boxes=boxes, rare=boxes < 100
    )


def an_audit(
    run: str = "base", *, boxes: Mapping[str, int] = BOXES, recall: float | Mapping[str, float] = 0.95,
    train: float | None = 0.97, **changes: Any
) -> Audit:  # fmt: skip
    """The audit of a run on three classes: by default as good on unseen images as the base, and mixed half and half."""
    recalls = recall if isinstance(recall, Mapping) else dict.fromkeys(boxes, recall)
    mean = sum(recalls.values()) / len(recalls)
    plain: dict[str, Any] = {
        "classes": tuple(one_class(name, boxes=number, recall=recalls[name]) for name, number in boxes.items()),
        "map50_95": figure(0.8 * mean, width=0.04),
        "map50": figure(mean, width=0.04),
        "fit": fit(
            train_map50=figure(train, width=0.04),
            val_map50=figure(mean, width=0.06),
            test_map50=figure(mean, width=0.04),
            train_ap50={name: train if number else None for name, number in boxes.items()},
        ),
    }
    return audit(run, **(plain | changes))


def supported(run: Audit, *, base: Audit | None = None, previous: Audit | None = None, **margins: float) -> list[str]:
    """Names of the findings that are supported."""
    base = base or an_audit()
    return [one.name for one in diagnosis.diagnose(base, previous or base, run, **margins) if one.supported]


def evidence(run: Audit, name: diagnosis.Name, *, previous: Audit | None = None) -> str:
    """The evidence of one finding, as one text."""
    base = an_audit()
    found = {one.name: one for one in diagnosis.diagnose(base, previous or base, run)}
    return " ".join(found[name].evidence)


FEW: dict[str, Any] = {
    "real_images": 5, "synthetic_images": 0, "lineage": {"0": 5}, "duplication": (), "diversity": (), "drift": (),
}  # fmt: skip
REAL: dict[str, Any] = FEW | {"real_images": 100, "lineage": {"0": 100}}
RECURSIVE: dict[str, Any] = {"real_images": 0, "synthetic_images": 100, "lineage": {"2": 100}, "arm": "recursive"}
NARROW = (diversity("all", lost_tail=figure(0.4)),)
COPIES = (
    duplication("image", near_share=figure(0.9), near=90, groups=3, largest=33),
    duplication("object", near_share=figure(0.95), near=95, groups=3, largest=40),
)
TINY_BOXES = {"cat": 12, "dog": 6, "lynx": 1}
SECOND = {"cat": 900, "dog": 0, "lynx": 60}


def overfitted(**changes: Any) -> Audit:
    """Trained on five real images: perfect there, and bad on unseen ones."""
    made: dict[str, Any] = {"boxes": TINY_BOXES, "recall": 0.5, "train": 1.0}
    return an_audit("few-1", **(made | FEW | changes))


def forgetful(**changes: Any) -> Audit:
    """Trained on real images without a dog."""
    made: dict[str, Any] = {"boxes": SECOND, "recall": {"cat": 0.95, "dog": 0.0, "lynx": 0.9}}
    return an_audit("second-1", **(made | REAL | changes))


def collapsed(**changes: Any) -> Audit:
    """Trained on the output of its predecessor alone."""
    made: dict[str, Any] = {"recall": 0.7, "diversity": NARROW}
    return an_audit("recursive-2", **(made | RECURSIVE | changes))


def stuck(**changes: Any) -> Audit:
    """All real images are kept, and as many near copies of three images are added."""
    made: dict[str, Any] = {"duplication": COPIES}
    return an_audit("stuck-1", **(made | changes))


def test_always_four_in_order() -> None:
    """There are always the four findings, in the order that is published, each with figures and advice."""
    found = diagnosis.diagnose(an_audit(), an_audit(), an_audit("guarded-1"))
    assert [one.name for one in found] == list(get_args(diagnosis.Name))
    assert all(one.evidence and one.advice.endswith(".") for one in found)
    assert all(text.endswith(".") for one in found for text in one.evidence)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (an_audit("guarded-1"), []),
        (an_audit(), []),
        (collapsed(), ["collapse"]),
        (overfitted(), ["overfitting"]),
        (forgetful(), ["forgetting"]),
        (stuck(), ["mode collapse"]),
    ],
    ids=["guarded", "the base itself", "recursion", "few images", "second data set", "near copies"],
)
def test_made_to_have_exactly_one(run: Audit, expected: list[str]) -> None:
    """Of a run that is made to have one of the four, that one is named and no other; of a healthy one none."""
    assert supported(run) == expected


@pytest.mark.parametrize(
    "run",
    [
        collapsed(recall=0.95),
        collapsed(real_images=60, synthetic_images=40, lineage={"0": 60, "2": 40}),
        collapsed(diversity=(diversity("all", vendi_synthetic=Figure(value=33.0, low=31.0, high=35.0)),)),
    ],
    ids=["no loss", "mostly real", "nothing narrower"],
)
def test_collapse_takes_all_of_it(run: Audit) -> None:
    """Collapse takes data that is fed back, a loss on real images, and data that has become narrower."""
    assert "collapse" not in supported(run)


@pytest.mark.parametrize(
    "change",
    [
        {"diversity": (diversity("all", vendi_synthetic=Figure(value=20.0, low=19.0, high=21.0)),)},
        {"drift": (drift("sharpness", effect=-0.9, p_value=1e-9),), "diversity": ()},
        {"boxes": {"cat": 900, "dog": 300, "lynx": 5}, "diversity": ()},
    ],
    ids=["less varied", "blurred", "rare class shrinks"],
)
def test_each_kind_of_narrowing(change: dict[str, Any]) -> None:
    """Variety, pixels and class shares each show that data has become narrower."""
    assert supported(collapsed(**change)) == ["collapse"]


@pytest.mark.parametrize(
    "change",
    [
        {"drift": (drift("sharpness", effect=-0.9, p_value=0.2),)},
        {"drift": (drift("sharpness", effect=-0.3, p_value=1e-9),)},
        {"drift": (drift("box size", effect=0.9, p_value=1e-9),)},
        {"drift": (drift("sharpness", effect=None, p_value=None, reason="no image"),)},
    ],
    ids=["not significant", "small", "not of pixels", "absent"],
)
def test_drift_that_says_nothing(change: dict[str, Any]) -> None:
    """A drift that is not shown, not large, or not of pixels is no sign of narrower data."""
    assert supported(collapsed(diversity=(), **change)) == []


def test_collapse_by_one_class() -> None:
    """A collapse can cost one class its recall while mAP50-95 holds; the class is named with its figures."""
    run = collapsed(recall={"cat": 0.95, "dog": 0.95, "lynx": 0.6}, map50_95=figure(0.75, width=0.04))
    assert supported(run) == ["collapse"]
    assert "of lynx fell from 0.95 to 0.60" in evidence(run, "collapse")


def test_collapse_by_box_quality() -> None:
    """A loss of mAP50-95 that no recall shows, as when boxes become less exact, counts too."""
    run = collapsed(recall=0.95, map50_95=figure(0.6, width=0.04))
    assert supported(run) == ["collapse"]
    assert "a loss of 0.16 (0.13 to 0.19)" in evidence(run, "collapse")


def test_generation_before_is_told() -> None:
    """What was so a generation before stands beside what is so now."""
    before = an_audit(
        "recursive-1", drift=(drift("sharpness", synthetic=8.0),), diversity=(diversity("all", lost_tail=figure(0.2)),)
    )
    now = collapsed(drift=(drift("sharpness", synthetic=4.0, effect=-0.9, p_value=1e-9),))
    told = evidence(now, "collapse", previous=before)
    assert "sharpness of synthetic images is 4 (8 a generation before), of real ones 10" in told
    assert "0.40 of the real objects have no synthetic one near them (0.20 a generation before)" in told


@pytest.mark.parametrize(
    "run",
    [
        overfitted(train=0.55),
        overfitted(train=0.89, recall=0.82),
        overfitted(recall=0.95),
        overfitted(recall={"cat": 0.5, "dog": 0.9, "lynx": 0.9}, fit=fit(test_map50=figure(0.77, width=0.9))),
        overfitted(real_images=2, synthetic_images=3, lineage={"0": 2, "1": 3}),
        overfitted(fit=fit(train_map50=ABSENT)),
    ],
    ids=["does not fit", "same gap", "as good on unseen images", "not shown", "mostly synthetic", "fit not known"],
)
def test_overfitting_takes_all_of_it(run: Audit) -> None:
    """Overfitting takes real data, a fit as good as the base's, a wider gap, and a loss on unseen images."""
    assert "overfitting" not in supported(run)


def test_lost_classes_are_no_overfitting() -> None:
    """Where classes were taken away, what the run takes them for costs the others too: that is not overfitting."""
    run = forgetful(recall={"cat": 0.6, "dog": 0.0, "lynx": 0.7})
    assert supported(run) == ["forgetting"]
    assert "Test images show dog, which the training data has lost" in evidence(run, "overfitting")


def test_gap_that_the_base_has_too() -> None:
    """A run that does no worse on unseen images than a base with the same gap is not called overfitted."""
    base = an_audit(recall=0.5, train=1.0)
    assert supported(overfitted(), base=base) == []


def test_gap_without_harm() -> None:
    """A run that knows its training images better, and unseen ones as well as the base, is not called overfitted."""
    assert supported(overfitted(recall=0.7, train=1.0), base=an_audit(recall=0.72, train=0.75)) == []


def test_gap_of_classes_that_are_still_trained_on() -> None:
    """A class without a training box is no part of the gap: not to know it is not to overfit."""
    run = overfitted(recall={"cat": 0.95, "dog": 0.95, "lynx": 0.0}, boxes={"cat": 12, "dog": 6, "lynx": 0})
    assert "overfitting" not in supported(run)


@pytest.mark.parametrize(
    "run",
    [
        forgetful(recall={"cat": 0.95, "dog": 0.9, "lynx": 0.9}),
        forgetful(recall={"cat": 1.0, "dog": 0.86, "lynx": 1.0}),
        forgetful(recall={"cat": 0.05, "dog": 0.0, "lynx": 0.0}),
        forgetful(boxes={"cat": 900, "dog": 400, "lynx": 60}),
        forgetful(boxes={"cat": 90, "dog": 45, "lynx": 9}),
        forgetful(boxes={"cat": 9000, "dog": 290, "lynx": 600}),
        forgetful(train=0.3),
        forgetful(**RECURSIVE),
    ],
    ids=[
        "still known", "less than the margin", "all is lost", "class is kept", "random part of the data",
        "others were added", "fits nothing", "fed back",
    ],
)  # fmt: skip
def test_forgetting_takes_all_of_it(run: Audit) -> None:
    """Forgetting takes a class that was taken away and is lost, others that are less so, and a fit to what is left."""
    assert "forgetting" not in supported(run)


def test_forgetting_everything() -> None:
    """A second data set of a new class alone makes the run forget all classes of the first one."""
    boxes, recalls = dict.fromkeys(BOXES, 0) | {"new": 500}, dict.fromkeys(BOXES, 0.0) | {"new": 0.9}
    base = an_audit(boxes=BOXES | {"new": 0}, recall=dict.fromkeys(BOXES, 0.95) | {"new": 0.0})
    assert supported(forgetful(boxes=boxes, recall=recalls), base=base) == ["forgetting"]


def test_no_class_to_spare() -> None:
    """Where no class is left in the training data there are no shares, so nothing is said to be forgotten."""
    assert "forgetting" not in supported(forgetful(boxes=dict.fromkeys(BOXES, 0), recall=0.0))


def test_forgotten_class_is_named() -> None:
    """The evidence names the class with its boxes and recall before and now, and only what the others lost."""
    told = evidence(forgetful(recall={"cat": 0.75, "dog": 0.0, "lynx": 0.95}), "forgetting")
    assert "Recall of these classes fell by 0.95 (" in told
    assert "of the others by 0.10 (" in told
    assert "dog 300 of 960 boxes before, 0 of 960 now" in told
    assert "Recall of dog fell from 0.95 to 0.00." in told


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"duplication": COPIES[:1]}, True),
        ({"duplication": COPIES[1:]}, True),
        ({"duplication": (duplication(near_share=figure(0.9), expected=figure(0.85)),)}, False),
        ({"duplication": (duplication(near_share=figure(0.9, width=1.8), expected=figure(0.2, width=0.4)),)}, False),
        ({"duplication": (duplication(near_share=ABSENT, expected=ABSENT),)}, False),
        ({"duplication": (), "diversity": ()}, False),
        ({"duplication": COPIES, "synthetic_images": 0}, False),
        ({"diversity": (diversity(vendi_synthetic=Figure(value=9.0, low=8.0, high=10.0)),), "duplication": ()}, True),
        ({"diversity": (diversity(vendi_synthetic=Figure(value=20.0, low=19.0, high=21.0)),)}, False),
    ],
    ids=[
        "images", "objects", "as real ones do", "not shown", "not known", "not measured", "not trained on",
        "hardly varied", "less varied",
    ],
)  # fmt: skip
def test_mode_collapse(change: dict[str, Any], *, expected: bool) -> None:
    """Mode collapse takes images that are trained on and repeat one another, or objects of hardly any variety."""
    assert ("mode collapse" in supported(stuck(**({"duplication": ()} | change)))) is expected


def test_more_than_one() -> None:
    """A stuck generator whose output is all that is trained on is both a mode collapse and a collapse."""
    assert supported(collapsed(duplication=COPIES)) == ["collapse", "mode collapse"]


def test_margins_are_the_callers() -> None:
    """A loss under the margin that is asked for is no loss."""
    run = collapsed(recall=0.7, map50_95=figure(0.55, width=0.04))
    assert supported(run) == ["collapse"]
    assert supported(run, map_margin=0.3, recall_margin=0.4) == []


def test_other_classes() -> None:
    """Audits of other classes cannot be compared: the error says whose, and what to do."""
    with pytest.raises(UserError, match=r"run guarded-1 has the classes cat, wanted .* cat, dog, lynx\. .*dvc repro"):
        supported(an_audit("guarded-1", boxes={"cat": 10}))


def nothing_known(run: Audit) -> Audit:
    """The same run, with every figure absent."""
    return replace(
        run,
        classes=tuple(replace(one, recall=ABSENT, ap50=ABSENT, found=0, support=0) for one in run.classes),
        map50_95=ABSENT,
        fit=fit(train_map50=ABSENT, val_map50=ABSENT, test_map50=ABSENT, train_ap50={}),
        diversity=(diversity("all", vendi_synthetic=ABSENT, vendi_real=ABSENT, coverage=ABSENT, lost_tail=ABSENT),),
        duplication=(duplication(near_share=ABSENT, expected=ABSENT),),
    )  # fmt: skip


@pytest.mark.parametrize("run", [collapsed(), overfitted(), forgetful(), stuck()], ids=lambda run: run.run)
def test_absent_figures_support_nothing(run: Audit) -> None:
    """What cannot be computed supports nothing, and the evidence says so rather than showing a nought."""
    assert supported(nothing_known(run)) == []
    assert "not known (no test box)" in evidence(nothing_known(run), "collapse")


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 1000), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.floats(0, 1),
    st.integers(0, 50),
)
def test_laws(boxes: Sequence[int], recalls: Sequence[float], train: float, real: int) -> None:
    """Collapse needs mostly synthetic data, overfitting and forgetting mostly real data: they exclude one another."""
    names = list(BOXES)
    run = an_audit(
        "any-1",
        boxes=dict(zip(names, boxes, strict=True)),
        recall=dict(zip(names, recalls, strict=True)),
        train=train,
        real_images=real,
        synthetic_images=50 - real,
        diversity=NARROW,
    )
    found = set(supported(run))
    assert "collapse" not in found or not found & {"overfitting", "forgetting"}
    assert diagnosis.diagnose(an_audit(), an_audit(), run) == diagnosis.diagnose(an_audit(), an_audit(), run)


@settings(max_examples=40)
@given(st.integers(0, 200), st.integers(0, 200))
def test_a_better_recall_is_no_worse(found: int, more: int) -> None:
    """A run that finds more boxes of a class has no larger loss of it."""
    low, high = sorted((found, more))
    base = an_audit()
    losses = [symptoms.class_changes(base, an_audit("r", recall=number / 200))[0].loss for number in (low, high)]
    assert losses[0] is not None
    assert losses[1] is not None
    assert losses[0].value >= losses[1].value
    assert losses[0].low >= losses[1].low
