"""What an audit found, and how it is kept as JSON; `docs/schema/audit.json` is its published schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pipeline.core import records
from pipeline.core.figures import (
    ClassFigures,
    DetectionFigures,
    Diversity,
    Drift,
    Duplication,
    Figure,
    Fit,
    Forecast,
    Freshness,
)

_DECIMALS = 10
VERSION = 2  # of the JSON; raised with every change that an older reader would misread


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """One run of a line: what trends are seen in, and the best run so far is chosen by (`val_map50_95`, never test)."""

    run: str
    generation: int
    val_map50_95: float | None
    map50_95: float | None
    recalls: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One run on the frozen test split.

    Attributes:
        version: of this format.
        run: its name.
        arm: of the run; empty for the base.
        generation: 0 for the base.
        seeds: trainings of the run; figures of detection are the first one's, unless they say otherwise.
        test: SHA-256 over the ids and label digests of the test images: runs are compared on the same ones only.
        test_images: number of test images.
        confidence: the operating point, chosen on val.
        iou: at which a box counts as found.
        map50_95: mean over the classes with test boxes; bootstrap interval over images.
        map50: as above, at IoU 0.50.
        seed_map50_95: mAP50-95 of each training of the run.
        classes: in the order of their ids.
        detection: how the detector errs.
        fit: on training images beside unseen ones.
        real_images: in the training data.
        synthetic_images: in the training data.
        lineage: training images by lineage depth.
        freshness: human-verified images behind the run.
        duplication: images and objects among the run's synthetic ones; empty for the base, which has none.
        diversity: of all objects, then of each class; empty for the base.
        drift: synthetic images beside real ones; empty for the base.
        forecasts: of each class, made before the training.
        line: the base, the runs that this one descends from, and this one; oldest first.
        best: the run before this one with the highest mAP50-95 on val; ``base`` for the base itself. Where it is
            another than the base, its tables are kept beside this audit, in ``best/``.
        inputs: SHA-256 of the manifests that the figures come from, by stage. They name every image and label, so a
            stage that depends on this audit depends on them.
    """

    version: int = VERSION
    run: str
    arm: str
    generation: int
    seeds: int
    test: str
    test_images: int
    confidence: float
    iou: float
    map50_95: Figure
    map50: Figure
    seed_map50_95: tuple[float | None, ...]
    classes: tuple[ClassFigures, ...]
    detection: DetectionFigures
    fit: Fit
    real_images: int
    synthetic_images: int
    lineage: Mapping[str, int]
    freshness: Freshness
    duplication: tuple[Duplication, ...]
    diversity: tuple[Diversity, ...]
    drift: tuple[Drift, ...]
    forecasts: tuple[Forecast, ...]
    line: tuple[Ancestor, ...]
    best: str
    inputs: Mapping[str, str]

    @property
    def rare(self) -> list[ClassFigures]:
        """The rare classes."""
        return [one for one in self.classes if one.rare]


def write(path: Path, audit: Audit) -> None:
    """Write an audit as JSON, to ten decimals: the last bits of a sum depend on where its terms lie in memory."""
    records.write(path, _rounded(msgspec.to_builtins(audit)))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def read(path: Path) -> Audit:
    """Read an audit.

    Raises:
        UserError: it is missing, of another version, or damaged.
    """
    return records.read(path, Audit, VERSION)
