"""A run beside a baseline on the same test boxes: the figures that the gate and its confirmation look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import clustered, detections, gating, statistics
from pipeline.core.errors import UserError
from pipeline.core.gating import Evidence

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
_KEY = ["image_id", "box", "class_id"]
MAP = "mAP50-95"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """What the trainings of one run did on the test split.

    Attributes:
        name: of the run.
        boxes: the test boxes in a fixed order, with the columns ``image_id``, ``box`` and ``class_id``.
        found: which of them each training found, shape (boxes, trainings).
        replicates: mAP50-95 of each training in each resample, shape (replicates, trainings).
        maps: mAP50-95 of each training; empty where there is none.
        images: test images.
    """

    name: str
    boxes: pd.DataFrame
    found: BoolArray
    replicates: FloatArray
    maps: tuple[float, ...]
    images: int

    @property
    def trainings(self) -> int:
        """Trainings of the run."""
        return int(self.found.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of a run against a baseline.

    Attributes:
        figure: ``mAP50-95``, or ``recall of NAME``.
        baseline: name of the baseline's run.
        method: of the p value and the interval.
        base: the baseline's value, mean over trainings; None where there is none.
        run: the run's value.
        low: lower end of the loss's interval, one-sided at alpha; None where the loss or its error is not known.
        high: upper end.
        error: standard error of the loss; None where it is not known.
        lost: boxes that only the baseline found, mean over pairs of trainings; None for mAP.
        gained: boxes that only the run found.
        samples: test boxes, or test images for mAP.
        evidence: what is judged.
    """

    figure: str
    baseline: str
    method: str
    base: float | None
    run: float | None
    low: float | None
    high: float | None
    error: float | None
    lost: float | None
    gained: float | None
    samples: int
    evidence: Evidence


def side(
    name: str, boxes: pd.DataFrame, replicates: pd.DataFrame, maps: Sequence[float | None], *, images: int
) -> Side:
    """One run from the tables of its audit or of its confirmation.

    Args:
        name: of the run.
        boxes: as :func:`detections.read` gives them, with a column ``found`` a training.
        replicates: with columns ``map50_95``, ``map50_95_1`` and so on.
        maps: of each training; all None where no class has a test box.
        images: test images.

    Raises:
        UserError: the tables are of another number of trainings.
    """
    drawn = [f"map50_95_{number}" if number else "map50_95" for number in range(len(maps))]
    ordered = boxes.sort_values(_KEY, kind="stable", ignore_index=True)
    found = detections.found_by_seed(ordered)
    if found.shape[1] != len(maps) or not set(drawn) <= set(replicates.columns):
        raise UserError(
            f"the audit of {name} is of {len(maps)} trainings, and its tables of {found.shape[1]} "
            f"(replicates.csv: {', '.join(replicates.columns)}). Run `uv run dvc repro -f`."
        )
    return Side(
        name=name,
        boxes=ordered[_KEY],
        found=found,
        replicates=replicates[drawn].to_numpy(dtype=np.float64),
        maps=tuple(one for one in maps if one is not None),
        images=images,
    )


def joined(one: Side, other: Side) -> Side:
    """The trainings of both, side by side, as those of one run.

    Raises:
        UserError: they have other test boxes or resamples.
    """
    _require_same(one, other)
    return Side(
        name=one.name,
        boxes=one.boxes,
        found=np.hstack([one.found, other.found]),
        replicates=np.hstack([one.replicates, other.replicates]),
        maps=one.maps + other.maps,
        images=one.images,
    )


def compare(
    base: Side, run: Side, rare: Mapping[int, str], *, map_margin: float, recall_margin: float, alpha: float
) -> list[Comparison]:
    """Compare mAP50-95, then the recall of each rare class.

    Args:
        base: the baseline.
        run: beside it.
        rare: names of the rare classes by id.
        map_margin: loss of mAP50-95 that matters.
        recall_margin: loss of recall that matters.
        alpha: of the intervals, one-sided.

    Raises:
        UserError: they have other test boxes or resamples.
    """
    _require_same(base, run)
    image = pd.factorize(base.boxes["image_id"])[0].astype(np.int64)
    class_ids = base.boxes["class_id"].to_numpy(dtype=np.int64)
    found = [_compare_map(base, run, map_margin, alpha)]
    for class_id, name in rare.items():
        chosen = class_ids == class_id
        one = (base.found[chosen], run.found[chosen], image[chosen])
        found.append(_compare_recall(f"recall of {name}", base.name, *one, margin=recall_margin, alpha=alpha))
    return found


def _require_same(one: Side, other: Side) -> None:
    if not one.boxes.equals(other.boxes) or one.images != other.images:
        raise UserError(f"the audits of {one.name} and {other.name} have other test boxes. Run `uv run dvc repro`.")
    if len(one.replicates) != len(other.replicates):
        raise UserError(
            f"the audits of {one.name} and {other.name} have {len(one.replicates)} and {len(other.replicates)} "
            "resamples of the test images, wanted as many. Run `uv run dvc repro`."
        )


def _compare_map(base: Side, run: Side, margin: float, alpha: float) -> Comparison:
    error = statistics.bootstrap_error(base.replicates.mean(axis=1), run.replicates.mean(axis=1)).value
    known = error is not None and bool(base.maps) and bool(run.maps)
    before, after = (base.maps, run.maps) if known else ((), ())
    spread, images = error or 0.0, base.images
    evidence = gating.mean_figure(before, after, error=spread, images=images, margin=margin, alpha=alpha)
    whole = gating.error_of_mean_figure(before, after, error=spread, images=images) if known else None
    low, high = _student(evidence.loss, whole, alpha)
    return Comparison(
        figure=MAP,
        baseline=base.name,
        method="paired bootstrap over images, Student's t" + _between(base.trainings, run.trainings),
        base=_mean(base.maps),
        run=_mean(run.maps),
        low=low,
        high=high,
        error=whole.value if whole else None,
        lost=None,
        gained=None,
        samples=base.images,
        evidence=evidence,
    )


def _compare_recall(
    figure: str,
    baseline: str,
    base: BoolArray,
    run: BoolArray,
    image: npt.NDArray[np.int64],
    *,
    margin: float,
    alpha: float,
) -> Comparison:
    evidence = gating.recall(base, run, image, margin=margin, alpha=alpha)
    if evidence.loss is None:
        return Comparison(
            figure=figure, baseline=baseline, method="none: no test box", base=None, run=None, low=None, high=None,
            error=None, lost=0.0, gained=0.0, samples=0, evidence=evidence,
        )  # fmt: skip
    error = gating.error_of_recall(base, run, image)
    low, high = _student(evidence.loss, error, alpha)
    before, after = base.mean(axis=1), run.mean(axis=1)
    lost, gained = float((before * (1 - after)).sum()), float((after * (1 - before)).sum())
    single = base.shape[1] == run.shape[1] == 1
    method = "sign-flip over images, Student's t" + _between(base.shape[1], run.shape[1])
    if single:
        tango = statistics.paired_loss_interval(round(lost), round(gained), image.size, confidence=1 - 2 * alpha)
        low, high = (None, None) if low is None or high is None else (min(low, tango.low), max(high, tango.high))
        method = "exact McNemar, exact sign-flip over images; Tango's and Student's bounds: the safer of each two"
    return Comparison(
        figure=figure,
        baseline=baseline,
        method=method,
        base=float(base.mean()),
        run=float(run.mean()),
        low=low if low is None else max(low, -1.0),
        high=high if high is None else min(high, 1.0),
        error=error.value if error.freedom else None,
        lost=lost,
        gained=gained,
        samples=image.size,
        evidence=evidence,
    )


def _student(loss: float | None, error: clustered.Error | None, alpha: float) -> tuple[float | None, float | None]:
    if loss is None or error is None:
        return None, None
    high = clustered.upper(loss, error, alpha)
    return (None, None) if math.isinf(high) else (2 * loss - high, high)


def _between(base: int, run: int) -> str:
    return " with the variance between trainings" if base + run > 2 else ""  # noqa: PLR2004


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
