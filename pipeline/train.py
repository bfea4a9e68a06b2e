"""Train a detector on a run's images: the same start and the same number of steps for every run."""

from __future__ import annotations

from pathlib import Path

from pipeline.adapters import yolo
from pipeline.core import files, locks, manifest, params, paths, rng, stage
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths


def main(run: str) -> None:
    """Train a detector on a run's images: the same start and the same number of steps for every run."""
    settings = params.load()
    here = RunPaths(run)
    rows = manifest.read(here.mix_manifest)
    names = manifest.read_classes(paths.REAL_CLASSES)
    counts = manifest.class_counts(rows, len(names))
    absent = [name for name, count in zip(names, counts, strict=True) if count == 0]
    if len(absent) == len(names):
        raise UserError(
            f"the training data of {run} has no box of any class left: nothing can be learned from it. "
            "Look at what was generated, and keep real images in the arm (a ratio under 1)."
        )
    if absent:
        stage.report(f"train {run}: WARNING: no box of {', '.join(absent)} in the training data")
    number = 0 if run == paths.BASE else settings.run(run).seed
    with (
        locks.held(paths.TRAIN_LOCK, f"training of {run}", wait=stage.report),
        files.fresh_folder(here.train) as folder,
    ):
        for training in range(settings.train.seeds):
            again = f" (training {training + 1} of {settings.train.seeds})" if settings.train.seeds > 1 else ""
            what = f"{len(rows)} images, {settings.train.steps} steps of {settings.train.batch}"
            stage.report(f"train {run}: {what}{again}")
            yolo.train(
                [Path(row.path) for row in rows],
                names,
                settings.train,
                seed=rng.training_seed(settings.seed, number, training),
                out=folder,
                weights=here.weights_of(training).name,
                curve=here.curve_of(training).name,
            )
        files.write_json(
            folder / "summary.json",
            {
                "images": len(rows),
                "steps": settings.train.steps,
                "seeds": settings.train.seeds,
                "precision": yolo.precision_of(settings.train),
                "boxes": dict(zip(names, counts, strict=True)),
                "absent": absent,
            },
        )


if __name__ == "__main__":
    stage.start(main)
