"""Measure a run: its detector on the frozen test split, and its synthetic images beside the real ones."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.adapters import predictions
from pipeline.core import (
    acceptance_times,
    audits,
    detections,
    detector_figures,
    diversity,
    duplication,
    evaluation,
    files,
    fits,
    forecasts,
    freshness,
    heap,
    manifest,
    metrics,
    object_memory,
    objects,
    params,
    paths,
    processes,
    rng,
    stage,
)
from pipeline.core.audits import Ancestor, Audit
from pipeline.core.evaluation import Evaluated
from pipeline.core.figures import Diversity, Drift, Duplication, Figure, Fit
from pipeline.core.manifest import Row
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """What the figures are computed from: images by what they are used for, and class names by id."""

    names: list[str]
    rare: list[str]
    baseline: list[Row]  # the real training images of the base: they say what is rare, small or large, for every run
    real: list[Row]  # those that the run could train on
    val: list[Row]
    test: list[Row]
    training: list[Row]
    synthetic: list[Row]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Training:
    """One training of the run, evaluated: its predictions, and AP in the resamples of the test images."""

    predictions: pd.DataFrame
    val: Evaluated
    test: Evaluated
    precision: npt.NDArray[np.float64]  # (replicates, classes, 10)
    confidence: float


def main(run: str) -> None:
    """Measure a run: its detector on the frozen test split, and its synthetic images beside the real ones."""
    settings = params.load()
    here = RunPaths(run)
    data = _load(run, settings)
    previous = None if run == paths.BASE else RunPaths(settings.run(run).previous)
    line, best = ((), paths.BASE) if previous is None else _history(audits.read(previous.figures))
    # The detector and the images are measured side by side: neither keeps more than one core busy.
    with _other_process() if data.synthetic else nullcontext() as other:
        beside = other.submit(_beside_real, run, data, settings) if other else None
        trainings = [_evaluate(here, data, settings, number) for number in range(settings.train.seeds)]
        audit = _figures(run, data, trainings, settings, line, best)
    if beside:
        similar, diverse, drifted = beside.result()
        audit = replace(audit, duplication=similar, diversity=diverse, drift=drifted)
    audit = replace(audit, line=(*line, _as_ancestor(audit)))
    boxes, replicates = _tables(trainings, settings)
    with files.fresh_folder(here.audit) as folder:
        if previous and best != paths.BASE:
            _keep_best(previous, best, folder / here.best.name)
        detections.write(folder / here.predictions.name, trainings[0].predictions)
        detections.write(folder / here.boxes.name, boxes)
        files.write_text(folder / here.replicates.name, replicates.to_csv(index=False, float_format="%.8f"))
        audits.write(folder / here.figures.name, audit)
    rare = ", ".join(f"{one.name} {_shown(one.recall.value)}" for one in audit.rare)
    stage.report(f"audit {run}: mAP50-95 {_shown(audit.map50_95.value)}, mAP50 {_shown(audit.map50.value)}, "
                 f"recall of rare classes: {rare or 'none is rare'}")  # fmt: skip


def _other_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        max_workers=1, mp_context=get_context("spawn"), initializer=processes.end_with_parent, initargs=(os.getpid(),)
    )


def _history(previous: Audit) -> tuple[tuple[Ancestor, ...], str]:
    """The runs before this one, oldest first, and the best of them on val; of equals the oldest."""
    best = max(previous.line, key=lambda one: -1.0 if one.val_map50_95 is None else one.val_map50_95)
    return previous.line, best.run


def _keep_best(previous: RunPaths, best: str, folder: Path) -> None:
    """Copy the tables of the best run so far from the previous run or from what that one keeps of it.

    A run's verdict then needs the base's audit and its own, however long the line is.
    """
    source = previous.audit if best == previous.run else previous.best
    folder.mkdir()
    for name in (previous.boxes.name, previous.replicates.name):
        shutil.copyfile(source / name, folder / name)


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _load(run: str, settings: Params) -> _Data:
    names = manifest.read_classes(paths.REAL_CLASSES)
    held_out, here = manifest.read(paths.VERIFIED_HELD_OUT), RunPaths(run)
    baseline = manifest.read(RunPaths(paths.BASE).real_manifest)
    counts = manifest.class_counts(baseline, len(names))
    return _Data(
        names=names,
        rare=manifest.rare_classes(counts, names, share=settings.audit.rare_share, named=settings.audit.rare_classes),
        baseline=baseline,
        real=manifest.read(here.real_manifest),
        val=[row for row in held_out if row.split == "val"],
        test=[row for row in held_out if row.split == "test"],
        training=manifest.read(here.mix_manifest),
        synthetic=[] if run == paths.BASE else manifest.read(here.synthetic_manifest),
    )


def _evaluate(here: RunPaths, data: _Data, settings: Params, number: int) -> _Training:
    """Predict with one training of the run, once, and match."""
    rows = [*data.val, *data.test]
    table = _predict(here.weights_of(number), rows, settings)
    classes = len(data.names)
    val = evaluation.evaluate(table, data.val, classes=classes)
    test = evaluation.evaluate(table, data.test, classes=classes)
    drawn = evaluation.resamples(test, data.test, seed=settings.seed, replicates=settings.audit.replicates)
    return _Training(
        predictions=table,
        val=val,
        test=test,
        precision=metrics.average_precision(test.matches, weights=drawn),
        confidence=metrics.operating_confidence(val.matches, val.found, val.truth, classes=classes),
    )


def _predict(weights: Path, rows: Sequence[Row], settings: Params) -> pd.DataFrame:
    return predictions.predict(
        weights,
        rows,
        image_size=settings.train.image_size,
        device=settings.train.device,
        floor=settings.audit.confidence,
    )


def _tables(trainings: Sequence[_Training], settings: Params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The test boxes with what each training found, and the replicates of mAP; columns are numbered from the second."""
    boxes = trainings[0].test.boxes.copy()
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for number, one in enumerate(trainings):
        suffix = f"_{number}" if number else ""
        boxes[f"found{suffix}"] = metrics.found(
            one.test.matches, one.test.found, confidence=one.confidence, iou=settings.audit.iou
        )
        both = evaluation.mean_precision(one.precision)
        columns |= {f"map50_95{suffix}": both[:, 0], f"map50{suffix}": both[:, 1]}
    return boxes, pd.DataFrame(columns)


def _figures(
    run: str, data: _Data, trainings: Sequence[_Training], settings: Params, line: tuple[Ancestor, ...], best: str
) -> Audit:
    """All but what compares the synthetic images with the real ones."""
    first = trainings[0]
    matches, found = first.test.matches, first.test.found
    point = {"confidence": first.confidence, "iou": settings.audit.iou}
    synthetic = sum(row.origin == "synthetic" for row in data.training)
    chosen = None if run == paths.BASE else settings.run(run)
    map50_95, map50 = detector_figures.mean_figures(matches, first.precision)
    return Audit(
        run=run,
        arm=chosen.arm if chosen else "",
        generation=chosen.generation if chosen else 0,
        seeds=len(trainings),
        test=evaluation.split_digest(data.test),
        test_images=len(data.test),
        confidence=first.confidence,
        iou=settings.audit.iou,
        map50_95=map50_95,
        map50=map50,
        seed_map50_95=tuple(metrics.mean_average_precision(one.test.matches).map50_95 for one in trainings),
        classes=detector_figures.class_figures(
            matches, found, first.precision, names=data.names, rare=data.rare,
            training_boxes=manifest.class_counts(data.training, len(data.names)), **point,
        ),
        detection=detector_figures.figures(
            matches, found, first.test.truth, names=data.names, bounds=_bounds(data.baseline),
            source=rng.generator(settings.seed, "detector figures", run), **point,
        ),
        fit=_fit(run, data, first, map50, settings),
        real_images=len(data.training) - synthetic,
        synthetic_images=synthetic,
        lineage={str(depth): n for depth, n in sorted(Counter(row.lineage_depth for row in data.training).items())},
        freshness=freshness.measure(data.training, acceptance_times.read(RunPaths(run).times), data.names),
        duplication=(),
        diversity=(),
        drift=(),
        forecasts=forecasts.read(RunPaths(run).forecasts).forecasts,
        line=line,
        best=best,
        inputs=_inputs(RunPaths(run)),
    )  # fmt: skip


def _as_ancestor(audit: Audit) -> Ancestor:
    return Ancestor(
        run=audit.run,
        generation=audit.generation,
        val_map50_95=audit.fit.val_map50_95,
        map50_95=audit.map50_95.value,
        recalls={one.name: one.recall.value for one in audit.classes},
    )


def _bounds(real: Sequence[Row]) -> tuple[float, float]:
    corners = detections.labelled_boxes(real)[["left", "top", "right", "bottom"]]
    return detector_figures.size_bounds(corners.to_numpy(dtype=np.float64))


def _beside_real(
    run: str, data: _Data, settings: Params
) -> tuple[tuple[Duplication, ...], tuple[Diversity, ...], tuple[Drift, ...]]:
    """The run's synthetic images beside the real ones."""
    from pipeline.core import drift  # imports scipy.stats, for most of a second in which the detector is measured

    heap.keep_freed()  # what images are embedded in is taken and freed for each block of them
    made = objects.collect(data.synthetic)
    real = object_memory.collect(paths.OBJECTS, [*data.real, *data.val, *data.test])
    audit = settings.audit
    return (
        duplication.measure(made, real, quantile=audit.copy_quantile, hash_distance=audit.near_duplicate),
        diversity.measure(
            made, real, data.names, neighbours=audit.neighbours, limit=audit.objects,
            source=rng.generator(settings.seed, "diversity", run),
        ),
        drift.measure(data.real, data.synthetic, data.names, rng=rng.generator(settings.seed, "drift", run)),
    )  # fmt: skip


def _fit(run: str, data: _Data, first: _Training, test: Figure, settings: Params) -> Fit:
    """How well the weights do on the run's own training images; a sample of them, as many as there are test images."""
    here = RunPaths(run)
    source = rng.generator(settings.seed, "fit", run)
    sample = fits.sample(data.training, most=len(data.test), source=source)
    seen = evaluation.evaluate(_predict(here.weights, sample, settings), sample, classes=len(data.names))
    return fits.fit(
        seen.matches,
        first.val.matches,
        test,
        names=data.names,
        losses=fits.read_losses(here.curve_of(0)),
        source=source,
    )


def _inputs(here: RunPaths) -> Mapping[str, str]:
    manifests = {"verify": paths.VERIFIED_HELD_OUT, "mix": here.mix_manifest}
    if here.run != paths.BASE:
        manifests["generate"] = here.synthetic_manifest
    return {name: files.sha256_file(path) for name, path in manifests.items()}


if __name__ == "__main__":
    stage.start(main)
