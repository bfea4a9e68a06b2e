"""Choose the images that a run trains on, and say which classes they are about to lose."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core import (
    acceptance_times,
    files,
    forecasts,
    futures,
    manifest,
    manifest_table,
    mixing,
    params,
    paths,
    pins,
    rng,
    stage,
    synthetic,
)
from pipeline.core.forecasts import Outlook
from pipeline.core.futures import Generation
from pipeline.core.manifest_table import Table
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths, TrainingPaths


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """What a run is made of.

    Attributes:
        rows: the images that it trains on.
        pool: the synthetic images that it and later runs may train on.
        history: class counts of the runs before it, and its own.
        refused: synthetic images that were left out, because people rejected them or disagree.
    """

    rows: Table
    pool: Table
    history: tuple[Generation, ...]
    refused: int


def main(run: str) -> None:
    """Choose the images that a run trains on (lists and a manifest, no copies), and say which classes will vanish."""
    settings = params.load()
    source, names = TrainingPaths(settings.pins.get(run)), manifest.read_classes(paths.REAL_CLASSES)
    mixture = _mixture(run, settings, source, classes=len(names))
    outlook = _outlook(run, settings, mixture.history, names)
    _write(RunPaths(run), mixture, outlook, source, names)
    newest = mixture.history[-1]
    stage.report(f"mix {run}: {newest.images - newest.used} real and {newest.used} synthetic images")
    if mixture.refused:
        stage.report(f"mix {run}: {mixture.refused} synthetic images were left out: people rejected them, or disagree")
    for one in outlook.forecasts:
        if one.warning:
            stage.report(f"mix {run}: WARNING: {forecasts.warning(one)}")


def _mixture(run: str, settings: Params, source: TrainingPaths, *, classes: int) -> Mixture:
    real, none = manifest_table.read(source.real), manifest.to_table([])
    if run == paths.BASE:  # generation 0: real images only
        return Mixture(rows=real, pool=none, history=(futures.count(run, 0, real, none, classes=classes),), refused=0)
    chosen = settings.run(run)
    arm, before = settings.arms[chosen.arm], RunPaths(chosen.previous)
    newest = manifest_table.read(RunPaths(run).synthetic_manifest)
    earlier = manifest_table.read(before.pool_manifest)
    pool = mixing.pool(earlier, newest, arm, settings.mix, generation=chosen.generation)
    states = synthetic.read(source.synthetic) if len(pool) else {}
    refused = synthetic.refused(pool, states)
    drawing = rng.generator(settings.seed, "mix", run, str(chosen.seed))
    drawn = mixing.choose(real, newest, pool, arm, settings.mix, drawing, refused=refused)
    rows = synthetic.marked(drawn, states)
    previous = forecasts.read(before.forecasts).history
    counted = futures.count(run, len(previous), rows, newest, classes=classes)
    return Mixture(rows=rows, pool=pool, history=(*previous, counted), refused=len(refused))


def _outlook(run: str, settings: Params, history: tuple[Generation, ...], names: Sequence[str]) -> Outlook:
    base = run == paths.BASE
    return Outlook(
        run=run,
        history=history,
        forecasts=forecasts.forecast(
            history,
            names,
            need=settings.mix.min_support,
            horizon=settings.gate.horizon,
            policy="accumulate" if base else settings.arms[settings.run(run).arm].policy,
            generations=settings.mix.generations,
            rng=rng.generator(settings.seed, "forecast", run, "0" if base else str(settings.run(run).seed)),
        ),
    )


def _write(here: RunPaths, mixture: Mixture, outlook: Outlook, source: TrainingPaths, names: Sequence[str]) -> None:
    rows, newest = mixture.rows, mixture.history[-1]
    with files.fresh_folder(here.mix) as folder:
        manifest_table.write(folder / here.mix_manifest.name, rows)
        manifest_table.write(folder / here.pool_manifest.name, mixture.pool)
        shutil.copyfile(source.real, folder / here.real_manifest.name)
        # Only times of what the run trains on: when others were accepted is nothing to it.
        verified = rows.columns["image_id"].filter(rows.columns["human_verified"])
        acceptance_times.keep(source.times, verified, folder / here.times.name)
        with files.writing(folder / "train.txt") as file:
            for some in rows.sorted("path"):
                file.write("".join(f"{path}\n" for path in some).encode())
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
        forecasts.write(folder / here.forecasts.name, outlook)


if __name__ == "__main__":
    stage.start(main)
