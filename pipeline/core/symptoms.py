"""What changed between the base run and a run, class by class and image by image: what a diagnosis is made of."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from pipeline.core import contrasts
from pipeline.core.audits import Audit
from pipeline.core.contrasts import Contrast
from pipeline.core.errors import UserError
from pipeline.core.figures import ClassFigures, Figure
from pipeline.core.statistics import clopper_pearson

_ERROR = 0.05  # over all classes together: each has its part of it


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassChange:
    """One class in a run beside the base run.

    Attributes:
        name: of the class.
        before: training boxes in the base run, and all of its training boxes.
        after: training boxes in the run, and all of its training boxes.
        shrunk: whether its share is lower than a random draw from the base's boxes would leave it.
        taken: whether half of its boxes are gone, and its share is shown to be under half of what it was.
        base_recall: on test.
        recall: on test.
        loss: of recall, base minus run; None without test boxes.
    """

    name: str
    before: tuple[int, int]
    after: tuple[int, int]
    shrunk: bool
    taken: bool
    base_recall: float | None
    recall: float | None
    loss: Contrast | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """AP50 on training images beside test images, as means over the same classes.

    Attributes:
        classes: number of classes that have both figures in both runs.
        base_train: the base on its training images.
        base_test: the base on test images.
        train: the run on its training images.
        test: the run on test images.
    """

    classes: int
    base_train: Figure
    base_test: Figure
    train: Figure
    test: Figure

    @property
    def before(self) -> Contrast | None:
        """How much better the base does on training images than on test images."""
        return contrasts.difference(self.base_train, self.base_test)

    @property
    def after(self) -> Contrast | None:
        """How much better the run does on training images than on test images."""
        return contrasts.difference(self.train, self.test)

    @property
    def growth(self) -> Contrast | None:
        """How much wider that gap is in the run."""
        return contrasts.difference(contrasts.as_figure(self.after), contrasts.as_figure(self.before))


def class_changes(base: Audit, run: Audit) -> tuple[ClassChange, ...]:
    """Compare each class of a run with the same class of the base run.

    Intervals are Clopper-Pearson's at 95 % over all classes together (Bonferroni), their differences those of
    :func:`pipeline.core.contrasts.difference`. Boxes are taken to be independent of one another.

    Raises:
        UserError: the two runs have other classes.
    """
    names, others = [one.name for one in base.classes], [one.name for one in run.classes]
    if names != others:
        raise UserError(
            f"run {run.run} has the classes {', '.join(others)}, wanted those of the base run, {', '.join(names)}. "
            "The classes have changed since: run `uv run dvc repro` to make both audits anew."
        )
    confidence = 1 - _ERROR / max(len(names), 1)
    total = (_boxes(base), _boxes(run))
    return tuple(_change(*both, total, confidence) for both in zip(base.classes, run.classes, strict=True))


def pooled_loss(base: Audit, run: Audit, names: Collection[str]) -> Contrast | None:
    """Loss of recall over all test boxes of some classes, base minus run, at 95 %; None without a test box."""
    before, after = (_pooled(audit, names) for audit in (base, run))
    return contrasts.difference(before, after)


def gap(base: Audit, run: Audit) -> Gap | None:
    """AP50 on training and on test images, as means over the classes that all four are known of.

    Each mean has the interval of the audit's mAP50 of the same images, wider by the root of how many fewer classes it
    is over. None where there is no such class, or where an mAP50 has no interval.
    """
    figures = (base.fit.train_map50, base.fit.test_map50, run.fit.train_map50, run.fit.test_map50)
    tables = (base.fit.train_ap50, _test_ap50(base), run.fit.train_ap50, _test_ap50(run))
    used = [one.name for one in run.classes if all(table.get(one.name) is not None for table in tables)]
    if not used or any(one.value is None or one.low is None or one.high is None for one in figures):
        return None
    means = []
    for figure, table in zip(figures, tables, strict=True):
        known = [value for name, value in table.items() if value is not None]
        mean = math.fsum(table[name] or 0.0 for name in used) / len(used)
        means.append(_about(mean, figure, wider=math.sqrt(len(known) / len(used))))
    base_train, base_test, train, test = means
    return Gap(classes=len(used), base_train=base_train, base_test=base_test, train=train, test=test)


def synthetic_share(audit: Audit) -> float:
    """Share of synthetic images among a run's training images; 0 without any."""
    total = audit.real_images + audit.synthetic_images
    return audit.synthetic_images / total if total else 0.0


def kept_share(base: Audit, run: Audit) -> float:
    """Real training images of the run over those of the base run, at most 1."""
    return min(run.real_images / base.real_images, 1.0) if base.real_images else 0.0


def deepest(audit: Audit) -> int:
    """Largest lineage depth of a training image; 0 without any."""
    return max((int(depth) for depth, number in audit.lineage.items() if number), default=0)


def _boxes(audit: Audit) -> int:
    return sum(one.training_boxes for one in audit.classes)


def _change(before: ClassFigures, after: ClassFigures, total: tuple[int, int], confidence: float) -> ClassChange:
    share = before.training_boxes / total[0] if total[0] else 0.0
    found = clopper_pearson(after.training_boxes, total[1], confidence=confidence)
    most = found.high if found else 1.0
    return ClassChange(
        name=before.name,
        before=(before.training_boxes, total[0]),
        after=(after.training_boxes, total[1]),
        shrunk=most < share,
        taken=most < share / 2 and after.training_boxes < before.training_boxes / 2,
        base_recall=before.recall.value,
        recall=after.recall.value,
        loss=contrasts.difference(
            _share(before.found, before.support, confidence), _share(after.found, after.support, confidence)
        ),
    )


def _share(found: int, support: int, confidence: float) -> Figure:
    interval = clopper_pearson(found, support, confidence=confidence)
    if interval is None:
        return Figure(value=None, samples=0, reason="no test box")
    return Figure(value=found / support, low=interval.low, high=interval.high, samples=support)


def _pooled(audit: Audit, names: Collection[str]) -> Figure:
    chosen = [one for one in audit.classes if one.name in names]
    return _share(sum(one.found for one in chosen), sum(one.support for one in chosen), 1 - _ERROR)


def _test_ap50(audit: Audit) -> dict[str, float | None]:
    return {one.name: one.ap50.value for one in audit.classes}


def _about(mean: float, figure: Figure, *, wider: float) -> Figure:
    value, low, high = figure.value or 0.0, figure.low or 0.0, figure.high or 0.0
    return Figure(
        value=mean,
        low=max(mean - wider * (value - low), 0.0),
        high=min(mean + wider * (high - value), 1.0),
        samples=figure.samples,
    )
