"""Lay out images, predictions and evaluations as a FiftyOne dataset, for people to look at in the App."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.adapters import voxel_app, voxel_dataset
from pipeline.adapters.voxel_contents import QUEUE, WORKSPACE, Contents, Evaluation, RealImage, RunTables, field_of
from pipeline.core import audits, detections, files, manifest, params, paths, reviewing, stage
from pipeline.core.audits import Audit
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths

# Two matchers that share no code, the audit's and FiftyOne's backend, on the same boxes: what people see is what was
# judged. They add up in another order, nothing more.
_SAME = 1e-6
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def main() -> None:
    """Lay out images, predictions and evaluations as a FiftyOne dataset, for people to look at in the App."""
    settings = params.load()
    figures = _figures(settings)
    contents = _contents(settings, figures)
    with files.fresh_folder(paths.REVIEW) as folder:
        evaluations = _update(settings, figures, contents)
        files.write_json(
            folder / paths.REVIEW_SUMMARY.name,
            {
                "dataset": settings.review.dataset,
                "fingerprint": _digest([contents.mark, *contents.runs.values()]),
                "runs": {
                    one.run: {
                        "field": field_of(one.run), "eval_key": one.eval_key, "map50_95": one.map50_95,
                    }
                    for one in evaluations
                },
            },
        )  # fmt: skip
    stage.report(f"review: dataset {settings.review.dataset!r} with {len(evaluations)} evaluations; "
                 "open it with `uv run tailwatch review`")  # fmt: skip


def open_app(
    *, port: int | None, browser: bool, rebuild: bool, address: str | None = None, reviewer: str | None = None
) -> None:
    """Open the App on the dataset, which is brought up to date where it is gone or differs from the files.

    Args:
        port: to listen on; None: as params.yaml says.
        browser: open one.
        rebuild: make the dataset anew.
        address: to listen on; None: localhost.
        reviewer: whose decisions these are; None: as git knows the user.

    Raises:
        UserError: nothing is audited yet, the port is taken, or the database does not start.
    """
    settings = params.load()
    chosen, where = port or settings.review.port, address or voxel_app.LOCALHOST
    voxel_app.check_port(chosen, address=where)  # before the dataset is built, which may take a while
    if where not in _THIS_MACHINE:
        stage.report(
            f"warning: the App listens on {where}. Whoever can reach it can read every file that you can read, and "
            "decide in your name. Without --address it listens on this machine alone; docs/review.md shows a tunnel."
        )
    os.environ.update({reviewing.REVIEWER: reviewer} if reviewer else {})
    figures = _figures(settings)
    contents = _contents(settings, figures)
    if rebuild or not voxel_dataset.is_current(settings.review.dataset, contents):
        stage.report("bringing the dataset up to date with the files …")
        _update(settings, figures, contents, anew=rebuild)
    voxel_app.launch(
        settings.review.dataset, port=chosen, browser=browser, address=where, workspace=WORKSPACE, view=QUEUE
    )


def _figures(settings: Params) -> dict[str, Audit]:
    """Audits of the runs that are audited, the base first.

    Raises:
        UserError: the base is not.
    """
    if not RunPaths(paths.BASE).figures.exists():
        raise UserError("nothing is audited yet. Run `uv run dvc repro` first.")
    runs = [name for name in (paths.BASE, *settings.runs) if RunPaths(name).figures.exists()]
    return {run: audits.read(RunPaths(run).figures) for run in runs}


def _contents(settings: Params, figures: dict[str, Audit]) -> Contents:
    """What the dataset is to show."""
    rare = [one.name for one in figures[paths.BASE].rare]
    made_from = [paths.REAL_CLASSES, paths.REAL_MANIFEST, paths.VERIFIED_MANIFEST, paths.VERIFIED_DECISIONS]
    classes = manifest.read_classes(paths.REAL_CLASSES)
    runs = {run: _run_digest(audit) for run, audit in figures.items()}
    return Contents(
        classes=classes,
        rare=rare,
        mark=_digest([str(Path.cwd()), *rare, *_file_digests(made_from)]),
        real=_real,
        runs=runs,
        tables=lambda run: _tables(figures[run], classes=len(classes)),
        decisions=functools.cache(lambda: reviewing.read(settings, list(runs))),
        newest=_worst_first(settings, figures),
    )


def _real() -> list[RealImage]:
    """All real images; those that are not used have no split."""
    used = {row.image_id: row for row in manifest.read(paths.VERIFIED_MANIFEST)}
    frame = pd.read_csv(paths.VERIFIED_DECISIONS, dtype=str, keep_default_na=False)
    outcomes = dict(zip(frame["image_id"], zip(frame["outcome"], frame["reason"], strict=True), strict=True))
    rows = [used.get(row.image_id, replace(row, split="", human_verified=False))
            for row in manifest.read(paths.REAL_MANIFEST)]  # fmt: skip
    return [
        RealImage(row=row, outcome=outcome, reason=reason)
        for row in rows
        for outcome, reason in [outcomes.get(row.image_id, ("quarantined", ""))]
    ]


def _worst_first(settings: Params, figures: dict[str, Audit]) -> list[str]:
    """The newest run of each arm, that of the largest loss of mAP first."""
    newest = {item.arm: run for run, item in sorted(settings.runs.items(), key=lambda one: one[1].generation)
              if run in figures}  # fmt: skip
    return sorted(newest.values(), key=lambda run: figures[run].map50_95.value or 0.0)


def _tables(audit: Audit, *, classes: int) -> RunTables:
    here = RunPaths(audit.run)
    return RunTables(
        run=audit.run,
        confidence=audit.confidence,
        iou=audit.iou,
        rows=_synthetic(audit.run),
        predictions=detections.read(here.predictions, classes=classes, split="test"),
        boxes=detections.read(here.boxes, classes=classes),
        duplication=audit.duplication,
    )


def _synthetic(run: str) -> Sequence[Row]:
    return manifest.read(RunPaths(run).synthetic_manifest) if run != paths.BASE else []


def _run_digest(audit: Audit) -> str:
    """A digest of what a run made, and of the settings that its evaluation and views take from its audit."""
    here = RunPaths(audit.run)
    synthetic = [here.synthetic_manifest] if audit.run != paths.BASE else []
    shown = [repr(one) for one in (audit.confidence, audit.iou, audit.duplication)]
    return _digest([*shown, *_file_digests([*synthetic, here.predictions, here.boxes])])


def _file_digests(sources: Iterable[Path]) -> list[str]:
    return [f"{path} {files.sha256_file(path)}" for path in sources]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _update(settings: Params, figures: dict[str, Audit], contents: Contents, *, anew: bool = False) -> list[Evaluation]:
    evaluations = voxel_dataset.update(settings.review.dataset, contents, anew=anew)
    for one in evaluations:
        _check_same(one, figures[one.run].map50_95.value)
    return evaluations


def _check_same(evaluation: Evaluation, ours: float | None) -> None:
    """Hold mAP of the audit against that of FiftyOne.

    Raises:
        UserError: they differ.
    """
    theirs = evaluation.map50_95
    same = ours == theirs if ours is None or theirs is None else abs(ours - theirs) <= _SAME
    if not same:
        raise UserError(
            f"mAP50-95 of {evaluation.run} is {_shown(ours)} in the audit and {_shown(theirs)} in FiftyOne. One of "
            "them is wrong: report this with data/audit and the versions that `uv run tailwatch doctor` prints."
        )


def _shown(value: float | None) -> str:
    return "absent" if value is None else f"{value:.6f}"


if __name__ == "__main__":
    stage.start_plain(main)
