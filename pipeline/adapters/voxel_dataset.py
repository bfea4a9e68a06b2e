"""The dataset that people review: images with their provenance, predictions and evaluation of every run, saved views.

Files are the truth and the dataset is a view of them. It remembers what each of its parts was made from, so a part
whose files are unchanged stays as it is, and one that a killed process left unfinished is made anew by the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.adapters import (
    voxel,
    voxel_decisions,
    voxel_labels,
    voxel_map,
    voxel_samples,
    voxel_views,
    voxel_workspace,
)
from pipeline.adapters.voxel_contents import (
    LAYOUT,
    TRUTH,
    Contents,
    Evaluation,
    RealImage,
    RunTables,
    eval_key_of,
    field_of,
)
from pipeline.core.errors import UserError

_LABELS = f"{TRUTH}.detections"
_FIELDS = {
    "image_id": "text", "source_name": "text", "split": "text", "outcome": "text", "outcome_reason": "text",
    "origin": "text", "run": "text", "state": "text", "used_digest": "text", "label_digest": "text",
    "label_text": "text", "queue_reason": "text", "parents": "texts", "decided_by": "texts", "near_group": "whole",
    "queue_rank": "whole", "queued": "flag", TRUTH: "boxes", "generation": "whole", "lineage_depth": "whole",
    "human_verified": "flag", "point": "numbers", f"{_LABELS}.near_group": "whole",
}  # fmt: skip


def is_current(name: str, contents: Contents) -> bool:
    """Whether the dataset is there and shows just this."""
    fo = voxel.connect()
    if not fo.dataset_exists(name):
        return False
    dataset = fo.load_dataset(name)
    whole = dataset.info.get("mark") == _mark(contents) and _finished(dataset) == dict(contents.runs)
    return whole and voxel_decisions.is_current(dataset, contents.decisions())


def update(name: str, contents: Contents, *, anew: bool = False) -> list[Evaluation]:
    """Make the dataset show this: whole where it is gone or its real images changed, else what is new or changed.

    Args:
        name: of the dataset.
        contents: what it is to show.
        anew: make all of it, whatever is there.

    Raises:
        UserError: the database fails.
    """
    fo = voxel.connect()
    from pymongo.errors import PyMongoError

    try:
        dataset = fo.load_dataset(name) if fo.dataset_exists(name) and not anew else None
        if dataset is not None and dataset.info.get("mark") == _mark(contents) and _can_grow(dataset, contents):
            _update_runs(fo, dataset, contents)
            _complete(fo, dataset, contents)
        else:
            dataset = _build(fo, name, contents)
    except PyMongoError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"FiftyOne's database failed while the dataset was made: {reason}. Run the command again, which mends what "
            f"is unfinished; {voxel.DOCTOR}"
        ) from error
    states = dataset.info["runs"]
    return [Evaluation(run=run, eval_key=eval_key_of(run), map50_95=states[run]["map50_95"]) for run in contents.runs]


def _mark(contents: Contents) -> str:
    return f"{LAYOUT} {contents.mark}"


def _finished(dataset: Any) -> dict[str, str]:
    """Digests of the runs that are shown completely."""
    written = set(dataset.list_evaluations())
    states = dataset.info.get("runs", {})
    return {run: state["mark"] for run, state in states.items() if state["mark"] and eval_key_of(run) in written}


def _can_grow(dataset: Any, contents: Contents) -> bool:
    """Whether what is missing can be added: a new run must be measured with the labels that its audit knew."""
    return _finished(dataset) == dict(contents.runs) or voxel_decisions.are_as_measured(dataset)


def _complete(fo: Any, dataset: Any, contents: Contents) -> None:
    """Bring up to date what hangs on all of the dataset."""
    decisions = contents.decisions()
    if voxel_decisions.is_current(dataset, decisions):
        return
    voxel_decisions.refresh(dataset, decisions)
    voxel_map.save(dataset)
    voxel_views.save_of_dataset(fo, dataset)
    voxel_workspace.save(fo, dataset, contents)
    voxel_decisions.note(dataset, decisions)


def _build(fo: Any, name: str, contents: Contents) -> Any:
    """Make the dataset beside the one that is there, which it replaces when it is complete."""
    aside = f"{name}-being-built"
    if fo.dataset_exists(aside):  # of a process that was killed
        fo.delete_dataset(aside)
    dataset = fo.Dataset(aside, persistent=True)
    dataset.default_classes = list(contents.classes)
    dataset.info = {
        "mark": _mark(contents),
        "classes": [*contents.classes],
        "rare_classes": [*contents.rare],
        "runs": {},
        "project": str(Path.cwd()),  # where the files are that decisions are written to
    }
    dataset.media_type = "image"
    voxel_samples.declare(fo, dataset, _FIELDS)
    real = contents.real()
    _add_real(dataset, real, contents)
    voxel_map.fit(dataset, [one.row for one in real])
    voxel_workspace.allow_annotation(dataset, contents.classes)
    _update_runs(fo, dataset, contents)
    _complete(fo, dataset, contents)
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    dataset.name = name
    return dataset


def _update_runs(fo: Any, dataset: Any, contents: Contents) -> None:
    """Take out the runs that are gone, changed or unfinished, and add those that are missing."""
    finished = _finished(dataset)
    kept = {run for run, mark in finished.items() if contents.runs.get(run) == mark}
    if kept != set(dataset.info["runs"]) or kept != set(contents.runs):
        voxel_decisions.outdate(dataset)
    for run in [run for run in dataset.info["runs"] if run not in kept]:
        _remove_run(fo, dataset, run)
    for run, mark in contents.runs.items():
        if run not in kept:
            _note(dataset, run, {"mark": None, "map50_95": None})  # until it is complete
            value = _add_run(fo, dataset, contents.tables(run), contents)
            _note(dataset, run, {"mark": mark, "map50_95": value})


def _note(dataset: Any, run: str, state: Mapping[str, Any] | None) -> None:
    runs = {other: known for other, known in dataset.info["runs"].items() if other != run}
    dataset.info["runs"] = runs if state is None else {**runs, run: dict(state)}
    dataset.save()


def _remove_run(fo: Any, dataset: Any, run: str) -> None:
    """Take out all of a run, also where parts of it are missing."""
    _note(dataset, run, {"mark": None, "map50_95": None})
    for view in dataset.list_saved_views():
        if view.startswith(f"{run}: "):
            dataset.delete_saved_view(view)
    if eval_key_of(run) in dataset.list_evaluations():
        dataset.delete_evaluation(eval_key_of(run))
    dataset.delete_sample_fields([path for path in _fields_of(run) if dataset.get_field(path) is not None])
    dataset.delete_samples(dataset.match(fo.ViewField("run") == run))
    _note(dataset, run, None)


def _add_run(fo: Any, dataset: Any, tables: RunTables, contents: Contents) -> float | None:
    """Add images, predictions, evaluation and views of a run; gives mAP50-95 as FiftyOne reads it back."""
    from pipeline.adapters import voxel_evaluation

    field, key = field_of(tables.run), eval_key_of(tables.run)
    base = next(iter(contents.runs))
    fields = _fields_of(tables.run)
    if tables.run == base:
        fields = {path: kind for path, kind in fields.items() if not path.startswith(("lost_", "gained_"))}
    voxel_samples.declare(fo, dataset, fields)
    _add_synthetic(dataset, tables, contents)
    voxel_map.place(dataset.match(fo.ViewField("run") == tables.run), tables.rows)
    test = dataset.match(fo.ViewField("split") == "test")
    _add_predictions(dataset, test, tables, contents.classes)
    _add_found(dataset, test, tables)
    test.evaluate_detections(
        field, gt_field=TRUTH, eval_key=key, method=voxel_evaluation.NAME, iou=tables.iou, compute_mAP=True,
        classes=list(contents.classes), progress=False,
    )  # fmt: skip
    voxel_views.add_groups(fo, dataset, tables)
    if tables.run != base:
        voxel_views.add_changes(fo, dataset, base, tables.run)
        voxel_views.save_of_run(fo, dataset, base, tables, contents.rare)
    value = float(dataset.load_evaluation_results(key, cache=False).mAP())
    return value if value >= 0 else None  # FiftyOne says -1 where no class has a label


def _fields_of(run: str) -> dict[str, str]:
    """The fields of a run and what they hold; in those of its evaluation FiftyOne would declare the same."""
    field, key = field_of(run), eval_key_of(run)
    return {
        field: "boxes",
        **{f"{key}_{counts}": "whole" for counts in ("tp", "fp", "fn")},
        f"lost_{field}": "boxes",
        f"gained_{field}": "boxes",
        f"{_LABELS}.found_{field}": "flag",
        **{
            f"{path}.{key}{part}": kind
            for path in (_LABELS, f"{field}.detections")
            for part, kind in (("", "text"), ("_id", "text"), ("_iou", "number"))
        },
    }


def _add_real(dataset: Any, real: Sequence[RealImage], contents: Contents) -> None:
    made = [voxel_samples.make(one.row, contents, outcome=one.outcome, reason=one.reason) for one in real]
    voxel_samples.insert(dataset, made)


def _add_synthetic(dataset: Any, tables: RunTables, contents: Contents) -> None:
    made = [voxel_samples.make(row, contents, outcome="synthetic", reason="") for row in tables.rows]
    voxel_samples.insert(dataset, made)


def _by_image(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Rows of a table of boxes, by the id of their image, in the order of the table."""
    rows: dict[str, list[Any]] = {}
    for row in table.itertuples():
        rows.setdefault(str(row.image_id), []).append(row)
    return rows


def _add_predictions(dataset: Any, test: Any, tables: RunTables, classes: Sequence[str]) -> None:
    by_image = _by_image(tables.predictions)
    sample_ids, image_ids, widths, heights = test.values(["_id", "image_id", "metadata.width", "metadata.height"])
    made = [
        voxel_samples.detections(
            voxel_samples.detection(
                classes[box.class_id],
                voxel_samples.place((width, height), (box.left, box.top, box.right, box.bottom)),
                confidence=float(box.confidence),
            )
            for box in by_image.get(image_id, [])
        )
        for image_id, width, height in zip(image_ids, widths, heights, strict=True)
    ]
    voxel_labels.write_fields(dataset, sample_ids, {field_of(tables.run): made})


def _add_found(dataset: Any, test: Any, tables: RunTables) -> None:
    """Write into each labelled test box whether the run found it: the views compare this with the base."""
    boxes = tables.boxes
    keys = zip(boxes["image_id"], boxes["box"], strict=True)
    found = {(str(one), int(box)): bool(hit) for (one, box), hit in zip(keys, boxes["found"], strict=True)}
    name = f"found_{field_of(tables.run)}"
    sample_ids, image_ids, ids, numbers = test.values(["_id", "image_id", f"{_LABELS}._id", f"{_LABELS}.box"])
    columns = [
        {name: [found.get((image_id, number)) for number in those]}
        for image_id, those in zip(image_ids, numbers, strict=True)
    ]
    voxel_labels.write_attributes(dataset, _LABELS, sample_ids, ids, columns)
