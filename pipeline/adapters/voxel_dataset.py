"""The dataset that people review: images with their provenance, predictions and evaluation of every run, saved views.

Files are the truth and the dataset is a view of them. It remembers what each of its parts was made from, so a part
whose files are unchanged stays as it is, and one that a killed process left unfinished is made anew by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.adapters import voxel
from pipeline.core import detections
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row

TRUTH = "ground_truth"
LAYOUT = 1  # raised with every change of what is written, so that what an older version wrote is made anew


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTables:
    """What one run made.

    Attributes:
        run: its name.
        confidence: its operating point.
        iou: at which a box counts as found.
        rows: its own synthetic images.
        predictions: at the low floor, corners in pixels.
        boxes: the labelled test boxes, with ``found``.
    """

    run: str
    confidence: float
    iou: float
    rows: Sequence[Row]
    predictions: pd.DataFrame
    boxes: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the dataset is to show, read from the files only where it does not show it yet.

    Attributes:
        classes: class names by id.
        rare: names of the rare classes.
        mark: a digest of the real images, their labels, the classes and what else holds for all runs.
        real: reads the real images.
        runs: a digest of what each run made, by name, the base first.
        tables: reads what a run made.
    """

    classes: Sequence[str]
    rare: Sequence[str]
    mark: str
    real: Callable[[], Sequence[Row]]
    runs: Mapping[str, str]
    tables: Callable[[str], RunTables]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One run's evaluation as it stands in FiftyOne; mAP is read back from what was written, None without boxes."""

    run: str
    eval_key: str
    map50_95: float | None


def field_of(run: str) -> str:
    """Name of a run's predictions in the dataset: FiftyOne allows no ``-`` in the name of a field."""
    return run.replace("-", "_")


def eval_key_of(run: str) -> str:
    """Name of a run's evaluation."""
    return f"eval_{field_of(run)}"


def is_current(name: str, contents: Contents) -> bool:
    """Whether the dataset is there and shows just this."""
    fo = voxel.connect()
    if not fo.dataset_exists(name):
        return False
    dataset = fo.load_dataset(name)
    return dataset.info.get("mark") == _mark(contents) and _finished(dataset) == dict(contents.runs)


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
        if not anew and fo.dataset_exists(name) and fo.load_dataset(name).info.get("mark") == _mark(contents):
            dataset = fo.load_dataset(name)
            _update_runs(fo, dataset, contents)
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
    }
    dataset.app_config.default_visibility_labels = {"include": [TRUTH]}
    dataset.save()
    for field in ("image_id", "source_name", "split", "origin", "run", "label_digest"):
        dataset.add_sample_field(field, fo.StringField)
    dataset.add_sample_field("parents", fo.ListField, subfield=fo.StringField)
    _add_images(fo, dataset, contents.real(), contents)
    _update_runs(fo, dataset, contents)
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    dataset.name = name
    return dataset


def _update_runs(fo: Any, dataset: Any, contents: Contents) -> None:
    """Take out the runs that are gone, changed or unfinished, and add those that are missing."""
    finished = _finished(dataset)
    kept = {run for run, mark in finished.items() if contents.runs.get(run) == mark}
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
    for path in (field_of(run), f"{TRUTH}.detections.found_{field_of(run)}"):
        if dataset.get_field(path) is not None:
            dataset.delete_sample_field(path)
    dataset.delete_samples(dataset.match(fo.ViewField("run") == run))
    _note(dataset, run, None)


def _add_run(fo: Any, dataset: Any, tables: RunTables, contents: Contents) -> float | None:
    """Add images, predictions, evaluation and views of a run; gives mAP50-95 as FiftyOne reads it back."""
    from pipeline.adapters import voxel_evaluation

    field, key = field_of(tables.run), eval_key_of(tables.run)
    _add_images(fo, dataset, tables.rows, contents)
    test = dataset.match(fo.ViewField("split") == "test")
    _add_predictions(fo, test, tables, contents.classes)
    _add_found(fo, dataset, test, tables)
    test.evaluate_detections(
        field, gt_field=TRUTH, eval_key=key, method=voxel_evaluation.NAME, iou=tables.iou, compute_mAP=True,
        classes=list(contents.classes), progress=False,
    )  # fmt: skip
    base = next(iter(contents.runs))
    if tables.run != base:
        _save_views(fo, dataset, base, tables, contents.rare)
    value = float(dataset.load_evaluation_results(key, cache=False).mAP())
    return value if value >= 0 else None  # FiftyOne says -1 where no class has a label


def _add_images(fo: Any, dataset: Any, rows: Sequence[Row], contents: Contents) -> None:
    boxes = _by_image(detections.labelled_boxes(rows))
    samples = (_sample(fo, row, boxes.get(row.image_id, []), contents) for row in rows)
    if rows:
        dataset.add_samples(samples, progress=False)


def _by_image(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Rows of a table of boxes, by the id of their image, in the order of the table."""
    rows: dict[str, list[Any]] = {}
    for row in table.itertuples():
        rows.setdefault(str(row.image_id), []).append(row)
    return rows


def _sample(fo: Any, row: Row, boxes: Iterable[Any], contents: Contents) -> Any:
    made = []
    for box in boxes:
        name = contents.classes[box.class_id]
        place = _place(row.width, row.height, box)
        made.append(fo.Detection(label=name, bounding_box=place, rare=name in contents.rare, box=int(box.box)))
    return fo.Sample(
        filepath=str(Path(row.path).absolute()),
        tags=[row.split, row.origin, *([row.run] if row.run else [])],
        metadata=fo.ImageMetadata(width=row.width, height=row.height),
        image_id=row.image_id,
        source_name=row.name,
        split=row.split,
        origin=row.origin,
        generation=row.generation,
        run=row.run or None,
        parents=list(row.parents),
        lineage_depth=row.lineage_depth,
        human_verified=row.human_verified,
        label_digest=row.label_digest,
        **{TRUTH: fo.Detections(detections=made)},
    )


def _place(width: int, height: int, box: Any) -> list[float]:
    """FiftyOne's left, top, width and height in fractions of the image, from corners in pixels."""
    left, top = box.left / width, box.top / height
    return [left, top, (box.right - box.left) / width, (box.bottom - box.top) / height]


def _add_predictions(fo: Any, test: Any, tables: RunTables, classes: Sequence[str]) -> None:
    predicted = tables.predictions[tables.predictions["split"] == "test"]
    by_image = _by_image(predicted)
    image_ids, widths, heights = test.values(["image_id", "metadata.width", "metadata.height"])
    labels_of = []
    for image_id, width, height in zip(image_ids, widths, heights, strict=True):
        made = [
            fo.Detection(
                label=classes[box.class_id],
                bounding_box=_place(width, height, box),
                confidence=float(box.confidence),
            )
            for box in by_image.get(image_id, [])
        ]
        labels_of.append(fo.Detections(detections=made))
    test.set_values(field_of(tables.run), labels_of)


def _add_found(fo: Any, dataset: Any, test: Any, tables: RunTables) -> None:
    """Write into each labelled test box whether the run found it: the views compare this with the base."""
    from pipeline.adapters import voxel_labels

    boxes = tables.boxes
    keys = zip(boxes["image_id"], boxes["box"], strict=True)
    found = {(str(one), int(box)): bool(hit) for (one, box), hit in zip(keys, boxes["found"], strict=True)}
    labels = f"{TRUTH}.detections"
    name = f"found_{field_of(tables.run)}"
    dataset.add_sample_field(f"{labels}.{name}", fo.BooleanField)
    sample_ids, image_ids, ids, numbers = test.values(["_id", "image_id", f"{labels}._id", f"{labels}.box"])
    columns = [
        {name: [found.get((image_id, number)) for number in those]}
        for image_id, those in zip(image_ids, numbers, strict=True)
    ]
    voxel_labels.write_attributes(dataset, labels, sample_ids, ids, columns)


def _save_views(fo: Any, dataset: Any, base: str, tables: RunTables, rare: Sequence[str]) -> None:
    """Save what people look for, each view with the fields that it needs: all predictions at once hide the images."""
    value = fo.ViewField
    run, field = tables.run, field_of(tables.run)
    sure = dataset.match(value("split") == "test").filter_labels(
        field, value("confidence") >= tables.confidence, only_matches=False
    )
    before, now = value(f"found_{field_of(base)}"), value(f"found_{field}")
    lost, gained = (before == True) & (now == False), (before == False) & (now == True)  # noqa: E712 - expressions
    rare_lost = lost & (value("rare") == True)  # noqa: E712 - an expression
    for word, change, text in (
        ("lost boxes", lost, f"Test boxes that {base} found and {run} did not"),
        ("gained boxes", gained, f"Test boxes that {run} found and {base} did not"),
        ("lost rare boxes", rare_lost, f"Test boxes of rare classes ({', '.join(rare) or 'none'}) that {run} lost"),
    ):
        view = sure.filter_labels(TRUTH, change).select_fields([TRUTH, field])
        dataset.save_view(f"{run}: {word}", view, description=text)
    pages = dataset.match((value("run") == run) & (value("origin") == "synthetic")).select_fields(TRUTH)
    dataset.save_view(f"{run}: synthetic images", pages, description=f"What {run} generated, and its labels")
