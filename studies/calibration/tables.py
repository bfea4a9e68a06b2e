"""Make the match table: train the default base run with many seeds, and see what each finds on a pool of test pages.

`uv run python -m studies.calibration.tables` after `uv run dvc repro`. It takes about a minute a seed and core.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import click
import numpy as np

from pipeline.adapters import predictions
from pipeline.core import detections, evaluation, manifest, metrics, params, paths, stage
from pipeline.core.errors import UserError
from pipeline.core.evaluation import Evaluated
from pipeline.core.manifest import Row
from studies.calibration import checks, matches, pool, shares, trainings
from studies.calibration.matches import MatchTable

IOUS = (0.5, 0.85)  # the project's own, and one so strict that the detector finds less, and less surely
_PACKAGES = ("ultralytics", "torch", "numpy", "opencv-python-headless", "scikit-learn")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One training on val and on the pool."""

    test: Evaluated
    confidence: float
    val: float


@click.command()
@click.option("--seeds", default=32, show_default=True, help="Trainings; 32 or more, for 30 nights and the base's two.")
@click.option("--pages", default=1280, show_default=True, help="Test pages in the pool, the project's own included.")
def main(seeds: int, pages: int) -> None:
    """Train the default base run with many seeds, and write what each finds to studies/calibration/matches.npz."""
    try:
        make(seeds, pages)
    except UserError as error:
        raise click.ClickException(str(error)) from None


def make(seeds: int, pages: int) -> None:
    """Train, predict, match, and write the table.

    Raises:
        UserError: the default project's base run is missing, or the project is another one.
    """
    settings = params.load()
    trainings.train_all(seeds)
    verified = manifest.read(paths.VERIFIED_MANIFEST)
    val, own = ([row for row in verified if row.split == split] for split in ("val", "test"))
    rows = pool.compose(settings, own, pages=pages, folder=trainings.SCRATCH / "pool")
    names = manifest.read_classes(paths.REAL_CLASSES)
    counts = manifest.class_counts((row for row in verified if row.split == "train"), len(names))
    rare = manifest.rare_classes(counts, names, share=settings.audit.rare_share, named=settings.audit.rare_classes)
    seen = []
    for training in range(seeds):
        stage.report(f"calibration: predictions of training {training} of {seeds}")
        seen.append(_see(training, val, rows, classes=len(names), settings=settings))
    meta: dict[str, object] = {
        "command": f"uv run python -m studies.calibration.tables --seeds {seeds} --pages {pages}",
        "seed": settings.seed,
        "steps": settings.train.steps,
        "own_pages": len(own),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "confidence": [one.confidence for one in seen],
    }
    table = build(seen, names, [names.index(name) for name in rare], meta=meta)
    checked = checks.compare(table, [one.test for one in seen], seed=settings.seed)
    table = replace(table, meta={**table.meta, "checks": checked})
    matches.write(matches.PATH, table)
    stage.report(f"calibration: {matches.PATH.name} holds {table.trainings} trainings and {len(table.image)} boxes")


def _see(training: int, val: Sequence[Row], rows: Sequence[Row], *, classes: int, settings: params.Params) -> _Seen:
    kept = trainings.SCRATCH / f"predictions-{len(rows)}" / f"{training:03d}.parquet"
    if not kept.is_file():
        table = predictions.predict(
            trainings.weights_of(training),
            [*val, *rows],
            image_size=settings.train.image_size,
            device=settings.train.device,
            floor=settings.audit.confidence,
        )
        detections.write(kept, table)
    table = detections.read(kept)
    chosen = evaluation.evaluate(table, val, classes=classes)
    mean = metrics.mean_average_precision(chosen.matches).map50_95
    if mean is None:
        raise ValueError("no labelled box on val, wanted some to choose the operating point by")
    return _Seen(
        test=evaluation.evaluate(table, rows, classes=classes),
        confidence=metrics.operating_confidence(chosen.matches, chosen.found, chosen.truth, classes=classes),
        val=mean,
    )


def build(seen: Sequence[_Seen], names: Sequence[str], rare: Sequence[int], *, meta: dict[str, object]) -> MatchTable:
    """Put what all trainings found into one table."""
    truth, images = seen[0].test.truth, seen[0].test.matches.images
    order = np.argsort(truth.image, kind="stable")
    support = np.bincount(truth.class_id, minlength=len(names))
    added = [shares.of_images(one.test.matches) for one in seen]
    precision = np.stack([one.sum(axis=0) / support for one in added])
    boxes = np.zeros((images, len(names)))
    np.add.at(boxes, (truth.image, truth.class_id), 1.0)
    others = [class_id for class_id in range(len(names)) if class_id not in rare and support[class_id]]
    deviations = [(one - boxes * value) / support * images for one, value in zip(added, precision, strict=True)]
    return MatchTable(
        image=truth.image[order],
        class_id=truth.class_id[order],
        images=images,
        classes=tuple(names),
        rare=tuple(rare),
        found={
            iou: np.stack(
                [metrics.found(one.test.matches, one.test.found, confidence=one.confidence, iou=iou) for one in seen]
            )[:, order]
            for iou in IOUS
        },
        precision=precision,
        shares=np.stack([one[:, list(rare)] for one in added]),
        common=np.stack([one[:, others].sum(axis=1) for one in deviations]),
        val=np.array([one.val for one in seen]),
        meta=meta,
    )


if __name__ == "__main__":
    main()
