"""Choose the images that a run trains on, and say which classes they are about to lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core import files, forecasts, futures, manifest, mixing, params, paths, rng, stage, synthetic
from pipeline.core.forecasts import Outlook
from pipeline.core.futures import Generation
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Arm


def main(run: str) -> None:
    """Choose the images that a run trains on (lists and a manifest, no copies), and say which classes will vanish."""
    settings = params.load()
    real = [row for row in manifest.read(paths.VERIFIED_MANIFEST) if row.split == "train"]
    here = RunPaths(run)
    previous: tuple[Generation, ...] = ()
    if run == paths.BASE:  # generation 0: real images only
        arm, newest, pool, seed = Arm(policy="accumulate", ratio=0.0), [], [], 0
    else:
        chosen = settings.run(run)
        arm, seed = settings.arms[chosen.arm], chosen.seed
        newest = manifest.read(here.synthetic_manifest)
        earlier = manifest.read(RunPaths(chosen.previous).pool_manifest)
        pool = mixing.pool(earlier, newest, arm, settings.mix, generation=chosen.generation)
        previous = forecasts.read(RunPaths(chosen.previous).forecasts).history
    source = rng.generator(settings.seed, "mix", run, str(seed))
    states = synthetic.read(paths.VERIFIED_SYNTHETIC) if pool else {}
    refused = synthetic.refused(pool, states)
    rows = real
    if run != paths.BASE:
        chosen_rows = mixing.choose(real, newest, pool, arm, settings.mix, source, refused=refused)
        rows = synthetic.marked(chosen_rows, states)
    names = manifest.read_classes(paths.REAL_CLASSES)
    history = (*previous, futures.count(run, len(previous), rows, newest, classes=len(names)))
    outlook = Outlook(
        run=run,
        history=history,
        forecasts=forecasts.forecast(
            history,
            names,
            need=settings.mix.min_support,
            horizon=settings.gate.horizon,
            policy=arm.policy,
            generations=settings.mix.generations,
            rng=rng.generator(settings.seed, "forecast", run, str(seed)),
        ),
    )
    _write(here, rows, pool, outlook, names)
    used = history[-1].used
    stage.report(f"mix {run}: {len(rows) - used} real and {used} synthetic images")
    if refused:
        stage.report(f"mix {run}: {len(refused)} synthetic images were left out: people rejected them, or disagree")
    for one in outlook.forecasts:
        if one.warning:
            stage.report(f"mix {run}: WARNING: {forecasts.warning(one)}")


def _write(here: RunPaths, rows: Sequence[Row], pool: Sequence[Row], outlook: Outlook, names: Sequence[str]) -> None:
    newest = outlook.history[-1]
    with files.fresh_folder(here.mix) as folder:
        manifest.write(folder / here.mix_manifest.name, rows)
        manifest.write(folder / here.pool_manifest.name, pool)
        listed = sorted(str(Path(row.path)) for row in rows)
        files.write_text(folder / "train.txt", "".join(f"{path}\n" for path in listed))
        files.write_json(
            folder / "summary.json",
            {
                "real": len(rows) - newest.used,
                "synthetic": newest.used,
                "ratio": newest.used / len(rows),
                "boxes": dict(zip(names, newest.training, strict=True)),
            },
        )
        forecasts.write(folder / here.forecasts.name, outlook)


if __name__ == "__main__":
    stage.start(main)
