"""What an audit found: figures with their support and interval, and how they are kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.core import files
from pipeline.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number in [0, 1] with its 95 % interval; None where it cannot be computed, with the reason."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """One class on the test split.

    Attributes:
        name: of the class.
        rare: whether the class is rare.
        support: labelled test boxes.
        found: those that were found at the operating point.
        recall: found / support, with the Clopper-Pearson interval.
        precision: at the operating point.
        ap50_95: average precision, mean over IoU 0.50 to 0.95.
        ap50: average precision at IoU 0.50.
        training_boxes: boxes of the class in the run's training data.
    """

    name: str
    rare: bool
    support: int
    found: int
    recall: Figure
    precision: float | None
    ap50_95: float | None
    ap50: float | None
    training_boxes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateFigures:
    """Duplication among the run's own synthetic images.

    Attributes:
        images: synthetic images of the run.
        exact: images that repeat the pixels of another.
        near: images that are near to another one of the set, beyond the first of each group.
        near_real: images near to a real training image.
        threshold: largest distance, in bits of the perceptual hash.
    """

    images: int
    exact: int
    near: int
    near_real: int
    threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One run on the frozen test split.

    Attributes:
        run: its name.
        arm: of the run; empty for the base.
        generation: 0 for the base.
        test_images: number of test images.
        confidence: the operating point, chosen on val.
        iou: at which a box counts as found.
        map50_95: mean over the classes with test boxes; bootstrap interval over images.
        map50: as above, at IoU 0.50.
        classes: in the order of their ids.
        real_images: in the training data.
        synthetic_images: in the training data.
        lineage: training images by lineage depth.
        duplicates: None for the base, which has no synthetic images.
        inputs: SHA-256 of the manifests that the figures come from, by stage. They name every image and label, so a
            stage that depends on this audit depends on them.
    """

    run: str
    arm: str
    generation: int
    test_images: int
    confidence: float
    iou: float
    map50_95: Figure
    map50: Figure
    classes: tuple[ClassFigures, ...]
    real_images: int
    synthetic_images: int
    lineage: Mapping[str, int]
    duplicates: DuplicateFigures | None
    inputs: Mapping[str, str]

    @property
    def rare(self) -> list[ClassFigures]:
        """The rare classes."""
        return [one for one in self.classes if one.rare]


def write(path: Path, audit: Audit) -> None:
    """Write an audit as JSON."""
    files.write_json(path, asdict(audit))


def read(path: Path) -> Audit:
    """Read an audit.

    Raises:
        UserError: it is missing or of another version.
    """
    try:
        value: dict[str, Any] = json.loads(path.read_text())
        classes = tuple(ClassFigures(**{**one, "recall": Figure(**one["recall"])}) for one in value.pop("classes"))
        duplicates = value.pop("duplicates")
        return Audit(
            **{**value, "map50_95": Figure(**value["map50_95"]), "map50": Figure(**value["map50"])},
            classes=classes,
            duplicates=None if duplicates is None else DuplicateFigures(**duplicates),
        )
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is not an audit of this version ({error}). Run `uv run dvc repro -f`.") from None
