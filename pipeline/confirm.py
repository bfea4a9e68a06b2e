"""Train a run once more, with another seed, where its first training looks bad; the base run always, once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from pipeline.adapters import predictions, yolo
from pipeline.core import (
    audits,
    detections,
    evaluation,
    files,
    gating,
    locks,
    manifest,
    metrics,
    nights,
    params,
    paths,
    records,
    rng,
    schedules,
    stage,
    verdicts,
)
from pipeline.core.judgements import Verdict
from pipeline.core.nights import Confirmation
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Gate


def main(run: str) -> None:
    """Train a run once more, with another seed, where its first training looks bad; the base run always, once."""
    settings = params.load()
    here = RunPaths(run)
    if settings.gate.schedule != "confirm":
        found = Confirmation(
            run=run, needed=False, reason=f"gate.schedule {settings.gate.schedule} asks for no second training"
        )
    elif run == paths.BASE:
        reason = "a second training of the base, so that no run is held twice against the same luck"
        found = Confirmation(run=run, needed=True, reason=reason)
    else:
        found = _look(here, settings)
    stage.report(f"confirm {run}: {found.reason}")
    with files.fresh_folder(here.confirm) as folder:
        if found.needed:
            found = _confirm(here, settings, found.reason, folder)
        records.write(folder / nights.summary_path(here).name, found)


def _look(here: RunPaths, settings: Params) -> Confirmation:
    """Whether to train once more: where one training alone would make the run COLLAPSING, and none of its line has."""
    base, audit = audits.read(RunPaths(paths.BASE).figures), audits.read(here.figures)
    night = nights.load(base, audit, confirmed=False)
    gate = _screening(settings)
    first = verdicts.first_look(night, verdicts.rare_classes(audit), gate)
    looked = gating.screen([one.evidence for one in first], gate, night=schedules.night_of(audit.generation, gate))
    if not looked.suspicious:
        reason = f"no loss reaches confirm.recall_loss or confirm.map_loss at gate.level {looked.level:g}"
        return Confirmation(run=here.run, needed=False, reason=reason)
    bad = [
        f"{one.figure} against {one.baseline} (p = {p_value:.2g})"
        for one, p_value, is_bad in zip(first, looked.adjusted, looked.bad, strict=True)
        if is_bad
    ]
    reason = f"a loss that large is shown at gate.level {looked.level:g}: {', '.join(bad)}"
    collapsed = nights.read_confirmation(RunPaths(settings.run(here.run).previous)).collapsed
    if collapsed:
        reason += f"; no second training, for it descends from {collapsed}, of which two showed a loss"
    return Confirmation(run=here.run, needed=not collapsed, reason=reason, collapsed=collapsed)


def _screening(settings: Params) -> Gate:
    """The gate as far as it screens, with margins of this stage's own: a changed margin of the gate trains nothing."""
    return Gate(
        alpha=settings.gate.alpha,
        recall_margin=settings.confirm.recall_loss,
        map_margin=settings.confirm.map_loss,
        max_duplicates=1.0,
        horizon=settings.gate.horizon,
        schedule=settings.gate.schedule,
        level=settings.gate.level,
        trend_share=settings.gate.trend_share,
    )


def _confirm(here: RunPaths, settings: Params, reason: str, folder: Path) -> Confirmation:
    """Train, predict and evaluate once more, as `train` and `audit` do; the weights are not kept."""
    rows, held_out = manifest.read(here.mix_manifest), manifest.read(paths.VERIFIED_HELD_OUT)
    names = manifest.read_classes(paths.REAL_CLASSES)
    number = 0 if here.run == paths.BASE else settings.run(here.run).seed
    seed = rng.training_seed(settings.seed, number, settings.train.seeds)
    val, test = ([row for row in held_out if row.split == split] for split in ("val", "test"))
    with (
        locks.held(paths.TRAIN_LOCK, f"second training of {here.run}", wait=stage.report),
        tempfile.TemporaryDirectory(dir=paths.STATE, prefix="confirm-") as scratch,
    ):
        yolo.train([Path(row.path) for row in rows], names, settings.train, seed=seed, out=Path(scratch))
        table = predictions.predict(
            Path(scratch) / here.weights.name,
            [*val, *test],
            image_size=settings.train.image_size,
            device=settings.train.device,
            floor=settings.audit.confidence,
        )
    tuned = evaluation.evaluate(table, val, classes=len(names))
    found = evaluation.evaluate(table, test, classes=len(names))
    confidence = metrics.operating_confidence(tuned.matches, tuned.found, tuned.truth, classes=len(names))
    drawn = evaluation.resamples(found, test, seed=settings.seed, replicates=settings.audit.replicates)
    both = evaluation.mean_precision(metrics.average_precision(found.matches, weights=drawn))
    hit = metrics.found(found.matches, found.found, confidence=confidence, iou=settings.audit.iou)
    replicates = pd.DataFrame({"map50_95": both[:, 0], "map50": both[:, 1]})
    detections.write(folder / here.boxes.name, found.boxes.assign(found=hit))
    files.write_text(folder / here.replicates.name, replicates.to_csv(index=False, float_format="%.8f"))
    map50_95 = metrics.mean_average_precision(found.matches).map50_95
    return Confirmation(
        run=here.run,
        needed=True,
        reason=reason,
        collapsed=here.run if _shown_twice(here, folder, map50_95, settings) else "",
        test=evaluation.split_digest(test),
        test_images=len(test),
        iou=settings.audit.iou,
        confidence=confidence,
        map50_95=map50_95,
    )


def _shown_twice(here: RunPaths, folder: Path, map50_95: float | None, settings: Params) -> bool:
    """Whether the second training, whose tables are in the folder, shows the loss too; the base has none to show."""
    if here.run == paths.BASE:
        return False
    base, audit = audits.read(RunPaths(paths.BASE).figures), audits.read(here.figures)
    night = nights.load(base, audit, confirmed=True, again=nights.trained(audit, folder, (map50_95,)))
    gate = _screening(settings)
    number = schedules.night_of(audit.generation, gate)
    decision, _ = verdicts.decide(night, verdicts.rare_classes(audit), number, gate)
    return decision.verdict is Verdict.COLLAPSING


if __name__ == "__main__":
    stage.start(main)
