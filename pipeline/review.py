"""Lay out images, predictions and evaluations as a FiftyOne dataset, for people to look at in the App."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.adapters import voxel
from pipeline.core import audits, detections, files, manifest, params, paths, stage
from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths

# FiftyOne's mean over the curves that were written, against the audit's figure: what people see is what was judged.
_SAME = 1e-4


def main() -> None:
    """Lay out images, predictions and evaluations as a FiftyOne dataset, for people to look at in the App."""
    settings = params.load()
    with files.fresh_folder(paths.REVIEW) as folder:
        evaluations = _build(settings)
        files.write_json(
            folder / paths.REVIEW_SUMMARY.name,
            {
                "dataset": settings.review.dataset,
                "fingerprint": _fingerprint(settings),
                "runs": {
                    one.run: {"field": voxel.field_of(one.run), "eval_key": one.eval_key, "map50_95": one.map50_95}
                    for one in evaluations
                },
            },
        )
    stage.report(f"review: dataset {settings.review.dataset!r} with {len(evaluations)} evaluations; "
                 "open it with `uv run tailwatch review`")  # fmt: skip


def open_app(*, port: int | None, browser: bool, rebuild: bool) -> None:
    """Open the App on the dataset, which is made anew where it is gone or out of date.

    Raises:
        UserError: nothing is audited yet, or the database does not start.
    """
    settings = params.load()
    if not RunPaths(paths.BASE).figures.exists():
        raise UserError("nothing is audited yet. Run `uv run dvc repro` first.")
    if rebuild or voxel.fingerprint(settings.review.dataset) != _fingerprint(settings):
        stage.report("building the dataset from the files …")
        _build(settings)
    voxel.launch(settings.review.dataset, port=port or settings.review.port, browser=browser)


def _audited(settings: Params) -> list[str]:
    """The runs that are audited, the base first."""
    return [name for name in (paths.BASE, *settings.runs) if RunPaths(name).figures.exists()]


def _sources(settings: Params) -> list[Path]:
    """The files that the dataset is built from."""
    audited = _audited(settings)
    synthetic = [RunPaths(run).synthetic_manifest for run in audited if run != paths.BASE]
    tables = [path for run in audited for path in (RunPaths(run).predictions, RunPaths(run).boxes)]
    return [paths.REAL_CLASSES, paths.VERIFIED_MANIFEST, *synthetic, *tables]


def _fingerprint(settings: Params) -> str:
    digests = [f"{path} {files.sha256_file(path)}" for path in _sources(settings)]
    return hashlib.sha256("\n".join([str(Path.cwd()), *digests]).encode()).hexdigest()


def _build(settings: Params) -> list[voxel.Evaluation]:
    audited = _audited(settings)
    rows = manifest.read(paths.VERIFIED_MANIFEST)
    for run in audited:
        if run != paths.BASE:
            rows += manifest.read(RunPaths(run).synthetic_manifest)
    figures = {run: audits.read(RunPaths(run).figures) for run in audited}
    tables = [
        voxel.RunTables(
            run=run,
            confidence=figures[run].confidence,
            predictions=detections.read(RunPaths(run).predictions),
            boxes=detections.read(RunPaths(run).boxes),
        )
        for run in audited
    ]
    evaluations = voxel.build(
        settings.review.dataset,
        rows,
        manifest.read_classes(paths.REAL_CLASSES),
        [one.name for one in figures[paths.BASE].rare],
        tables,
        mark=_fingerprint(settings),
    )
    for one in evaluations:
        ours = figures[one.run].map50_95.value
        if ours is not None and abs(ours - one.map50_95) > _SAME:
            raise UserError(
                f"mAP50-95 of {one.run} is {ours:.6f} in the audit and {one.map50_95:.6f} in FiftyOne. One of them is "
                "wrong: report this with data/audit and the versions that `uv run tailwatch doctor` prints."
            )
    return evaluations


if __name__ == "__main__":
    stage.start_plain(main)
