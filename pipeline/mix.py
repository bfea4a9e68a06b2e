"""Choose the images that a run trains on: lists and a manifest, no copies."""

from __future__ import annotations

from pathlib import Path

from pipeline.core import files, manifest, mixing, params, paths, rng, stage
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Arm


def main(run: str) -> None:
    """Choose the images that a run trains on: lists and a manifest, no copies."""
    settings = params.load()
    real = [row for row in manifest.read(paths.VERIFIED_MANIFEST) if row.split == "train"]
    here = RunPaths(run)
    if run == paths.BASE:  # generation 0: real images only
        arm, newest, pool, seed = Arm(policy="accumulate", ratio=0.0), [], [], 0
    else:
        chosen = settings.run(run)
        arm, seed = settings.arms[chosen.arm], chosen.seed
        newest = manifest.read(here.synthetic_manifest)
        pool = manifest.read(RunPaths(chosen.previous).pool_manifest) + newest
    source = rng.generator(settings.seed, "mix", run, str(seed))
    rows = real if run == paths.BASE else mixing.choose(real, newest, pool, arm, settings.mix, source)
    names = manifest.read_classes(paths.REAL_CLASSES)
    counts = manifest.class_counts(rows, len(names))
    synthetic = sum(row.origin == "synthetic" for row in rows)
    with files.fresh_folder(here.mix) as folder:
        manifest.write(folder / here.mix_manifest.name, rows)
        manifest.write(folder / here.pool_manifest.name, pool)
        listed = sorted(str(Path(row.path)) for row in rows)
        files.write_text(folder / "train.txt", "".join(f"{path}\n" for path in listed))
        files.write_json(
            folder / "summary.json",
            {
                "real": len(rows) - synthetic,
                "synthetic": synthetic,
                "ratio": synthetic / len(rows),
                "boxes": dict(zip(names, counts, strict=True)),
            },
        )
    stage.report(f"mix {run}: {len(rows) - synthetic} real and {synthetic} synthetic images")


if __name__ == "__main__":
    stage.start(main)
