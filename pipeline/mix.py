"""Choose the images that a run trains on, and say which classes they are about to lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import files, forecasts, futures, manifest, mixing, params, paths, pins, rng, stage, synthetic
from pipeline.core.forecasts import Outlook
from pipeline.core.futures import Generation
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths, TrainingPaths
from pipeline.core.sections import Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """What a run is made of.

    Attributes:
        real: the real images that it may train on.
        rows: the images that it trains on.
        pool: the synthetic images that it and later runs may train on.
        outlook: class counts so far, and what they foretell.
    """

    real: Sequence[Row]
    rows: Sequence[Row]
    pool: Sequence[Row]
    outlook: Outlook


def main(run: str) -> None:
    """Choose the images that a run trains on (lists and a manifest, no copies), and say which classes will vanish."""
    settings = params.load()
    pinned = settings.pins
    here, source = RunPaths(run), TrainingPaths(pinned.get(run))
    real = manifest.read(source.real)
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
    drawing = rng.generator(settings.seed, "mix", run, str(seed))
    states = synthetic.read(source.synthetic) if pool else {}
    refused = synthetic.refused(pool, states)
    rows = real
    if run != paths.BASE:
        chosen_rows = mixing.choose(real, newest, pool, arm, settings.mix, drawing, refused=refused)
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
    _write(here, Mixture(real=real, rows=rows, pool=pool, outlook=outlook), source, names)
    used = history[-1].used
    stage.report(f"mix {run}: {len(rows) - used} real and {used} synthetic images")
    if refused:
        stage.report(f"mix {run}: {len(refused)} synthetic images were left out: people rejected them, or disagree")
    for one in outlook.forecasts:
        if one.warning:
            stage.report(f"mix {run}: WARNING: {forecasts.warning(one)}")


def _write(here: RunPaths, mixture: Mixture, source: TrainingPaths, names: Sequence[str]) -> None:
    rows, newest = mixture.rows, mixture.outlook.history[-1]
    times = manifest.read_times(source.times)
    with files.fresh_folder(here.mix) as folder:
        manifest.write(folder / here.mix_manifest.name, rows)
        manifest.write(folder / here.pool_manifest.name, mixture.pool)
        manifest.write(folder / here.real_manifest.name, mixture.real)
        # Only times of what the run trains on: when others were accepted is nothing to it.
        used = {row.image_id for row in rows if row.human_verified}
        manifest.write_times(folder / here.times.name, {one: times[one] for one in sorted(used & times.keys())})
        listed = sorted(str(Path(row.path)) for row in rows)
        files.write_text(folder / "train.txt", "".join(f"{path}\n" for path in listed))
        files.write_json(
            folder / here.mix_summary.name,
            {
                "ledger": pins.read_row(source.row),
                "real": len(rows) - newest.used,
                "synthetic": newest.used,
                "ratio": newest.used / len(rows),
                "boxes": dict(zip(names, newest.training, strict=True)),
            },
        )
        forecasts.write(folder / here.forecasts.name, mixture.outlook)


if __name__ == "__main__":
    stage.start(main)
