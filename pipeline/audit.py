"""Measure a run on the frozen test split, and the duplication among its synthetic images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.adapters import yolo
from pipeline.core import (
    audits,
    detections,
    duplicates,
    files,
    manifest,
    metrics,
    params,
    paths,
    rng,
    stage,
    statistics,
)
from pipeline.core.audits import Audit, ClassFigures, DuplicateFigures, Figure
from pipeline.core.manifest import Row, Split
from pipeline.core.metrics import Detections, Matches
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluated:
    """Predictions on one split against its labels."""

    found: Detections
    boxes: pd.DataFrame
    matches: Matches


def main(run: str) -> None:
    """Measure a run on the frozen test split, and the duplication among its synthetic images."""
    settings = params.load()
    here = RunPaths(run)
    names = manifest.read_classes(paths.REAL_CLASSES)
    verified = manifest.read(paths.VERIFIED_MANIFEST)
    splits: dict[Split, list[Row]] = {
        "val": [row for row in verified if row.split == "val"],
        "test": [row for row in verified if row.split == "test"],
    }
    predictions = _predict(here.weights, splits, settings)
    val = _evaluate(predictions, splits["val"], len(names))
    test = _evaluate(predictions, splits["test"], len(names))
    truth = detections.to_truth(val.boxes, splits["val"])
    confidence = metrics.operating_confidence(val.matches, val.found, truth, classes=len(names))
    replicates = _replicates(test.matches, splits["test"], settings)
    duplication = None if run == paths.BASE else _duplicates(here, verified, settings.audit.near_duplicate)
    audit = _figures(run, verified, names, test, replicates, confidence, duplication, settings)
    test.boxes["found"] = metrics.found(test.matches, test.found, confidence=confidence, iou=settings.audit.iou)
    with files.fresh_folder(here.audit) as folder:
        detections.write(folder / here.predictions.name, predictions)
        detections.write(folder / here.boxes.name, test.boxes)
        frame = pd.DataFrame({"map50_95": replicates[:, 0], "map50": replicates[:, 1]})
        files.write_text(folder / here.replicates.name, frame.to_csv(index=False, float_format="%.8f"))
        audits.write(folder / here.figures.name, audit)
    rare = ", ".join(f"{one.name} {_shown(one.recall.value)}" for one in audit.rare)
    stage.report(f"audit {run}: mAP50-95 {_shown(audit.map50_95.value)}, mAP50 {_shown(audit.map50.value)}, "
                 f"recall of rare classes: {rare or 'none is rare'}")  # fmt: skip


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _predict(weights: Path, splits: dict[Split, list[Row]], settings: Params) -> pd.DataFrame:
    """Predict once, at the low floor; everything else is derived from this table."""
    rows = [row for chosen in splits.values() for row in chosen]
    found = yolo.predict(
        weights,
        [Path(row.path) for row in rows],
        image_size=settings.train.image_size,
        confidence=settings.audit.confidence,
        device=settings.train.device,
    )
    records = [
        (row.split, row.image_id, class_id, confidence, *box)
        for row, one in zip(rows, found, strict=True)
        for class_id, confidence, box in zip(one.classes, one.confidences, one.boxes, strict=True)
    ]
    return detections.round_predictions(pd.DataFrame(records, columns=list(detections.PREDICTION_COLUMNS)))


def _evaluate(predictions: pd.DataFrame, rows: Sequence[Row], classes: int) -> _Evaluated:
    found = detections.to_detections(predictions, rows)
    boxes = detections.labelled_boxes(rows)
    matches = metrics.match(found, detections.to_truth(boxes, rows), images=len(rows), classes=classes)
    return _Evaluated(found=found, boxes=boxes, matches=matches)


def _replicates(matches: Matches, rows: Sequence[Row], settings: Params) -> npt.NDArray[np.float64]:
    """Bootstrap replicates of mAP50-95 and mAP50 over test images, shape (replicates, 2).

    The same test images give the same resamples, so the replicates of two runs are paired.
    """
    test = hashlib.sha256("".join(row.image_id for row in rows).encode()).hexdigest()
    source = rng.generator(settings.seed, "bootstrap", test)
    weights = source.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=settings.audit.replicates)
    precision = metrics.average_precision(matches, weights=weights)
    defined: npt.NDArray[np.bool_] = np.isfinite(precision[:, :, 0])
    present = defined.sum(axis=1)
    count = np.maximum(present, 1)
    both = [np.nansum(part, axis=1) / count for part in (precision.mean(axis=2), precision[:, :, 0])]
    return np.where((present > 0)[:, None], np.stack(both, axis=1), np.nan)


def _duplicates(here: RunPaths, verified: Sequence[Row], threshold: int) -> DuplicateFigures:
    synthetic = manifest.read(here.synthetic_manifest)
    real = duplicates.hash_files([row.path for row in verified if row.split == "train"])
    hashes = duplicates.hash_files([row.path for row in synthetic])
    groups = duplicates.groups(len(hashes), duplicates.near_pairs(hashes, hashes, within=threshold))
    copies = {pair.first for pair in duplicates.near_pairs(hashes, real, within=threshold)}
    return DuplicateFigures(
        images=len(synthetic),
        exact=len(synthetic) - len({row.image_id for row in synthetic}),
        near=len(synthetic) - len(groups),
        near_real=len(copies),
        threshold=threshold,
    )


def _figure(value: float | None, replicates: npt.NDArray[np.float64]) -> Figure:
    if value is None:
        return Figure(value=None, reason="no test box")
    low, high = np.nanquantile(replicates, [0.025, 0.975])
    return Figure(value=value, low=float(low), high=float(high))


def _recall(one: metrics.Recall) -> Figure:
    interval = statistics.clopper_pearson(one.found, one.support)
    if one.value is None or interval is None:
        return Figure(value=None, reason="no test box")
    return Figure(value=one.value, low=interval.low, high=interval.high)


def _figures(
    run: str,
    verified: Sequence[Row],
    names: Sequence[str],
    test: _Evaluated,
    replicates: npt.NDArray[np.float64],
    confidence: float,
    duplication: DuplicateFigures | None,
    settings: Params,
) -> Audit:
    real_counts = manifest.class_counts((row for row in verified if row.split == "train"), len(names))
    rare = manifest.rare_classes(real_counts, names, share=settings.audit.rare_share, named=settings.audit.rare_classes)
    training = manifest.read(RunPaths(run).mix_manifest)
    synthetic = sum(row.origin == "synthetic" for row in training)
    chosen = None if run == paths.BASE else settings.run(run)
    mean = metrics.mean_average_precision(test.matches)
    point = {"confidence": confidence, "iou": settings.audit.iou}
    return Audit(
        run=run,
        arm=chosen.arm if chosen else "",
        generation=chosen.generation if chosen else 0,
        test_images=test.matches.images,
        confidence=confidence,
        iou=settings.audit.iou,
        map50_95=_figure(mean.map50_95, replicates[:, 0]),
        map50=_figure(mean.map50, replicates[:, 1]),
        classes=_classes(names, rare, test, mean, point, manifest.class_counts(training, len(names))),
        real_images=len(training) - synthetic,
        synthetic_images=synthetic,
        lineage={str(depth): n for depth, n in sorted(Counter(row.lineage_depth for row in training).items())},
        duplicates=duplication,
        inputs=_inputs(RunPaths(run)),
    )


def _classes(
    names: Sequence[str],
    rare: Sequence[str],
    test: _Evaluated,
    mean: metrics.MeanAP,
    point: Mapping[str, float],
    training: Sequence[int],
) -> tuple[ClassFigures, ...]:
    recalls = metrics.recall_by_class(test.matches, test.found, **point)
    precisions = metrics.precision_by_class(test.matches, test.found, **point)
    return tuple(
        ClassFigures(
            name=name,
            rare=name in rare,
            support=recalls[class_id].support,
            found=recalls[class_id].found,
            recall=_recall(recalls[class_id]),
            precision=precisions[class_id].value,
            ap50_95=mean.by_class[class_id].ap50_95,
            ap50=mean.by_class[class_id].ap50,
            training_boxes=training[class_id],
        )
        for class_id, name in enumerate(names)
    )


def _inputs(here: RunPaths) -> dict[str, str]:
    manifests = {"verify": paths.VERIFIED_MANIFEST, "mix": here.mix_manifest}
    if here.run != paths.BASE:
        manifests["generate"] = here.synthetic_manifest
    return {name: files.sha256_file(path) for name, path in manifests.items()}


if __name__ == "__main__":
    stage.start(main)
