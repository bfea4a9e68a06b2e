"""What the dataset is to show, and how the things in it are named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.core.figures import Duplication
from pipeline.core.manifest import Row
from pipeline.core.reviewing import Decisions

TRUTH = "ground_truth"
LAYOUT = 4  # raised with every change of what is written, so that what an older version wrote is made anew
EMBEDDING = "embedding"  # brain key of the points that the Embeddings panel shows
WORKSPACE = "review"
QUEUE = "queue"  # the saved view of what to look at next


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTables:
    """What one run made.

    Attributes:
        run: its name.
        confidence: its operating point.
        iou: at which a box counts as found.
        rows: its own synthetic images.
        predictions: on the test images, at the low floor, corners in pixels.
        boxes: the labelled test boxes, with ``found``.
        duplication: of its images and of the objects on them.
    """

    run: str
    confidence: float
    iou: float
    rows: Sequence[Row]
    predictions: pd.DataFrame
    boxes: pd.DataFrame
    duplication: Sequence[Duplication] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RealImage:
    """A real image, and what ``verify`` made of it.

    Attributes:
        row: with the labels as they are shown; without a split where it is not used.
        outcome: its split, or why it has none: quarantined, conflict, rejected, leak or later.
        reason: of the outcome, in words.
    """

    row: Row
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the dataset is to show, read from the files only where it does not show it yet.

    Attributes:
        classes: class names by id.
        rare: names of the rare classes.
        mark: a digest of the real images, their labels, the classes and what else holds for all runs.
        real: reads the real images.
        runs: a digest of what each run made, by name, the base first.
        tables: reads what a run made.
        decisions: reads what people decided.
        newest: the runs that are compared with the base first, the worst before the others.
    """

    classes: Sequence[str]
    rare: Sequence[str]
    mark: str
    real: Callable[[], Sequence[RealImage]]
    runs: Mapping[str, str]
    tables: Callable[[str], RunTables]
    decisions: Callable[[], Decisions]
    newest: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One run's evaluation as it stands in FiftyOne; mAP is read back from what was written, None without boxes."""

    run: str
    eval_key: str
    map50_95: float | None


def field_of(run: str) -> str:
    """Name of a run's predictions in the dataset: FiftyOne allows no ``-`` in the name of a field."""
    return run.replace("-", "_")


def eval_key_of(run: str) -> str:
    """Name of a run's evaluation."""
    return f"eval_{field_of(run)}"
