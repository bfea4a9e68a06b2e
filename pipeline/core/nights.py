"""A night as the gate sees it: a run, the baselines that it is held against, and the second trainings of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core import comparisons, detections, paths, records
from pipeline.core.audits import Audit
from pipeline.core.comparisons import Side
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths

VERSION = 1  # of summary.json


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What the stage `confirm` did for a run; `docs/schema/confirm.json` is its published schema.

    Attributes:
        version: of this format.
        run: its name.
        needed: whether one more training was made.
        reason: why, or why not.
        collapsed: the run of this line, itself or one that it descends from, whose loss two trainings showed; empty
            where there is none, or where this run shows no loss.
        test: as in the audit; empty where nothing was trained.
        test_images: number of test images; 0 where nothing was trained.
        iou: as in the audit; None where nothing was trained.
        confidence: the operating point of that training, chosen on val; None where nothing was trained.
        map50_95: of that training; None without test boxes, or where nothing was trained.
    """

    version: int = VERSION
    run: str
    needed: bool
    reason: str
    collapsed: str = ""
    test: str = ""
    test_images: int = 0
    iou: float | None = None
    confidence: float | None = None
    map50_95: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a run is held against, and the second training on either side.

    Attributes:
        first: the trainings of the baseline.
        second: one more; of the best run so far, the base's; the first ones again, where there is none.
        both: all of them.
    """

    first: Side
    second: Side
    both: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """The tables of a run, and those that it is held against.

    Attributes:
        run: its trainings.
        second: one more, where the first ones looked bad; None where there is none.
        collapsed: the run that it descends from whose loss two trainings showed; empty where there is none, or where
            the run has a second training itself. What looks bad then counts without one.
        baselines: the base run; then the best run so far, where that is another.
    """

    run: Side
    second: Side | None
    collapsed: str = ""
    baselines: tuple[Baseline, ...]


def summary_path(run: RunPaths) -> Path:
    """Where the stage `confirm` says what it did for a run."""
    return run.confirm / "summary.json"


def read_confirmation(run: RunPaths) -> Confirmation:
    """Read what the stage `confirm` did for a run.

    Raises:
        UserError: it is missing, of another version, or damaged.
    """
    return records.read(summary_path(run), Confirmation, VERSION)


def load(base: Audit, run: Audit, *, confirmed: bool, again: Side | None = None) -> Night:
    """Read the tables of a run and of its baselines.

    Args:
        base: audit of the base run.
        run: audit of the run.
        confirmed: whether second trainings are to be read too, as far as there are any.
        again: a second training of the run that is not written yet; only the base's is read then.

    Raises:
        UserError: the runs or their second trainings were measured on other test splits, or a table is missing, damaged
            or does not fit the others.
    """
    require_same_test(base, run)
    here, there = RunPaths(run.run), RunPaths(base.run)
    collapsed = ""
    if confirmed and again is None:
        again = second(here, run)
        # A run that was trained twice stands for itself: what its second training did not show is not shown.
        collapsed = "" if again else read_confirmation(here).collapsed
    base_again = second(there, base) if again else None
    baselines = [_baseline(first(base), base_again)]
    if run.best != paths.BASE:
        # The best run is the luckiest so far: held twice against the same luck, healthy runs would look bad twice. The
        # base's second training stands in for one of its own.
        baselines.append(_baseline(_of_best(run), base_again))
    return Night(run=first(run), second=again, collapsed=collapsed, baselines=tuple(baselines))


def first(audit: Audit) -> Side:
    """The trainings of a run, from its audit's tables.

    Raises:
        UserError: a table is missing or damaged.
    """
    return trained(audit, RunPaths(audit.run).audit, audit.seed_map50_95)


def trained(audit: Audit, folder: Path, maps: Sequence[float | None]) -> Side:
    """Trainings of a run from the tables in a folder, with mAP50-95 of each.

    Raises:
        UserError: a table is missing or damaged.
    """
    here = RunPaths(audit.run)
    boxes = detections.read(folder / here.boxes.name, classes=len(audit.classes))
    replicates = _replicates(folder / here.replicates.name)
    return comparisons.side(audit.run, boxes, replicates, maps, images=audit.test_images)


def second(here: RunPaths, audit: Audit) -> Side | None:
    """The second training of a run; None where `confirm` did not find one needed.

    Raises:
        UserError: a table is missing or damaged, or it was measured on another test split than the audit.
    """
    found = read_confirmation(here)
    if not found.needed:
        return None
    if (found.test, found.test_images, found.iou) != (audit.test, audit.test_images, audit.iou):
        raise UserError(
            f"the second training of {here.run} was measured on another test split, or at another audit.iou, than its "
            "audit. Run `uv run dvc repro`."
        )
    return trained(audit, here.confirm, (found.map50_95,))


def require_same_test(base: Audit, run: Audit) -> None:
    """Refuse to compare runs on different test splits.

    Raises:
        UserError: the test images, their labels or classes are others, or the IoU from which a box counts as found.
    """
    if base.test != run.test or base.test_images != run.test_images:
        raise UserError(
            f"the audits of {base.run} and {run.run} are of different test splits "
            f"({base.test[:12]} with {base.test_images} images, {run.test[:12]} with {run.test_images}). "
            "Run `uv run dvc repro`, so that both are measured on the one that is frozen now. A retired run cannot be: "
            f"if params.yaml has {base.run} under `anchors`, begin its arm anew (docs/retention.md, A new baseline)."
        )
    if base.iou != run.iou or [one.name for one in base.classes] != [one.name for one in run.classes]:
        raise UserError(
            f"the audits of {base.run} and {run.run} have other classes or another audit.iou. Run `uv run dvc repro`."
        )


def _of_best(run: Audit) -> Side:
    folder, own = RunPaths(run.run).best, RunPaths(run.run)
    replicates = _replicates(folder / own.replicates.name)
    first = next((one.map50_95 for one in run.line if one.run == run.best), None)
    # of further trainings only the replicates are kept: their means lie as far apart as the figures themselves
    columns = [name for name in replicates.columns if name.startswith("map50_95")]
    means = [float(np.nanmean(replicates[name])) if first is not None else 0.0 for name in columns]
    maps = [None if first is None else first + one - means[0] for one in means]
    boxes = detections.read(folder / own.boxes.name, classes=len(run.classes))
    return comparisons.side(run.best, boxes, replicates, maps, images=run.test_images)


def _baseline(first: Side, second: Side | None) -> Baseline:
    return Baseline(
        first=first, second=second or first, both=first if second is None else comparisons.joined(first, second)
    )


def _replicates(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
