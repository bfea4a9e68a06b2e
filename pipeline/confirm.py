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
from pipeline.core.nights import Confirmation
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Gate


def main(run: str) -> None:
    """Train a run once more, with another seed, where its first training looks bad; the base run always, once."""
    settings = params.load()
    here = RunPaths(run)
    needed, reason = _needed(run, settings)
    stage.report(f"confirm {run}: {reason}")
    with files.fresh_folder(here.confirm) as folder:
        found = Confirmation(run=run, needed=needed, reason=reason)
        if needed:
            found = _confirm(here, settings, reason, folder)
        records.write(folder / nights.summary_path(here).name, found)


def _needed(run: str, settings: Params) -> tuple[bool, str]:
    """Whether to train once more, and why: where one training alone would make the run COLLAPSING."""
    if settings.gate.schedule != "confirm":
        return False, f"gate.schedule {settings.gate.schedule} asks for no second training"
    if run == paths.BASE:
        return True, "a second training of the base, so that no run is held twice against the same luck"
    base, audit = audits.read(RunPaths(paths.BASE).figures), audits.read(RunPaths(run).figures)
    night = nights.load(base, audit, confirmed=False)
    gate = _screening(settings)
    first = verdicts.first_look(night, verdicts.rare_classes(audit), gate)
    looked = gating.screen([one.evidence for one in first], gate, night=schedules.night_of(audit.generation, gate))
    bad = [
        f"{one.figure} against {one.baseline} (p = {p_value:.2g})"
        for one, p_value, is_bad in zip(first, looked.adjusted, looked.bad, strict=True)
        if is_bad
    ]
    if not looked.suspicious:
        return False, f"no loss reaches confirm.recall_loss or confirm.map_loss at gate.level {looked.level:g}"
    return True, f"a loss that large is shown at gate.level {looked.level:g}: {', '.join(bad)}"


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
    rows, verified = manifest.read(here.mix_manifest), manifest.read(paths.VERIFIED_MANIFEST)
    names = manifest.read_classes(paths.REAL_CLASSES)
    number = 0 if here.run == paths.BASE else settings.run(here.run).seed
    seed = rng.training_seed(settings.seed, number, settings.train.seeds)
    val, test = ([row for row in verified if row.split == split] for split in ("val", "test"))
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
    return Confirmation(
        run=here.run,
        needed=True,
        reason=reason,
        test=evaluation.split_digest(test),
        test_images=len(test),
        iou=settings.audit.iou,
        confidence=confidence,
        map50_95=metrics.mean_average_precision(found.matches).map50_95,
    )


if __name__ == "__main__":
    stage.start(main)
