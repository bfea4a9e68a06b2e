"""Everything that knows FiftyOne: the dataset that people review, and the database under it.

Files are the truth and the database is a view: :func:`build` makes the dataset anew from what the stages wrote.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core import detections, labels, paths
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row

TRUTH = "ground_truth"
_DOCTOR = "`uv run tailwatch doctor` says what is wrong and how to mend it."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTables:
    """What the audit of one run wrote.

    Attributes:
        run: its name.
        confidence: its operating point.
        predictions: at the low floor.
        boxes: the labelled test boxes, with ``found``.
    """

    run: str
    confidence: float
    predictions: pd.DataFrame
    boxes: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One run's evaluation as it stands in FiftyOne; mAP is read back from what was written."""

    run: str
    eval_key: str
    map50_95: float


def field_of(run: str) -> str:
    """Name of a run's predictions in the dataset: FiftyOne allows no ``-`` in the name of a field."""
    return run.replace("-", "_")


def eval_key_of(run: str) -> str:
    """Name of a run's evaluation."""
    return f"eval_{field_of(run)}"


def connect() -> Any:
    """Import FiftyOne and connect to its database; gives the module.

    The embedded MongoDB keeps its files in the project's folder, so that two clones never share one;
    ``FIFTYONE_DATABASE_URI`` points at another server.

    Raises:
        UserError: the database does not start or does not answer.
    """
    own = not os.environ.get("FIFTYONE_DATABASE_URI")
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
    os.environ["FIFTYONE_DATABASE_DIR"] = str(paths.DATABASE.absolute())
    if own:
        os.environ["FIFTYONE_DATABASE_VALIDATION"] = "false"  # the bundled server's age is known, and said in the docs
        _check_mongod()
    import fiftyone as fo

    logging.getLogger("fiftyone").setLevel(logging.WARNING)
    try:
        if own:
            _own_database(fo)
        fo.list_datasets()
    except Exception as error:
        where = "FiftyOne's MongoDB does not start" if own else "the MongoDB at FIFTYONE_DATABASE_URI does not answer"
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{where}: {reason}. {_DOCTOR}") from error
    return fo


def _check_mongod() -> None:
    """Fail at once where mongod cannot even start; FiftyOne would wait a minute.

    Raises:
        UserError: mongod is missing or cannot run here.
    """
    package = find_spec("fiftyone")
    found = (
        [Path(folder) / "db" / "bin" / "mongod" for folder in (package.submodule_search_locations or [])]
        if package
        else []
    )
    mongod = next((path for path in found if path.is_file()), None)
    if mongod is None:
        raise UserError(f"FiftyOne's MongoDB is not installed. Run `uv sync --reinstall`, or {_DOCTOR}")
    try:
        asked = subprocess.run([mongod, "--version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"FiftyOne's MongoDB cannot be run: {error}. {_DOCTOR}") from None
    if asked.returncode != 0:
        reason = (asked.stderr.strip() or asked.stdout.strip()).splitlines()
        raise UserError(f"FiftyOne's MongoDB cannot be run: {reason[-1] if reason else asked.returncode}. {_DOCTOR}")


def _own_database(fo: Any) -> None:
    """Give this project's database a service of its own.

    FiftyOne joins whatever database service of the same name the user already runs, also that of another clone. And
    MongoDB before 6.0.27 reads out memory to whoever sends it zlib-compressed messages (CVE-2025-14847).
    """
    from fiftyone.core import service
    from fiftyone.core.odm import database

    if getattr(service.DatabaseService, "of_project", False) or database._db_service is not None:  # noqa: SLF001
        return
    folder = Path(fo.config.database_dir)
    folder.mkdir(parents=True, exist_ok=True)
    parent = service.DatabaseService

    class ProjectDatabase(parent):  # type: ignore[misc, valid-type]  # FiftyOne has no types
        of_project = True
        service_name = f"db-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"

        @property
        def command(self) -> list[str]:
            return [
                *super().command,
                "--bind_ip", "127.0.0.1",
                "--networkMessageCompressors", "snappy,zstd",
                "--wiredTigerCacheSizeGB", "0.25",
            ]  # fmt: skip

    service.DatabaseService = ProjectDatabase


def fingerprint(name: str) -> str | None:
    """What the dataset was built from; None where there is no dataset."""
    fo = connect()
    return fo.load_dataset(name).info.get("fingerprint") if fo.dataset_exists(name) else None


def build(
    name: str, rows: Sequence[Row], classes: Sequence[str], rare: Sequence[str], runs: Sequence[RunTables], *, mark: str
) -> list[Evaluation]:
    """Make the dataset anew: images with their provenance, predictions and evaluation of every run, saved views.

    Args:
        name: of the dataset; one of that name is replaced, when the new one is complete.
        rows: the images.
        classes: class names by id.
        rare: names of the rare classes.
        runs: the base first.
        mark: what it is built from, kept as ``info["fingerprint"]``.
    """
    fo = connect()
    from pymongo.errors import PyMongoError

    try:
        return _build(fo, name, rows, classes, rare, runs, mark)
    except PyMongoError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"FiftyOne's database failed while the dataset was built: {reason}. The dataset of before is as it was. "
            f"Run the command again; {_DOCTOR}"
        ) from error


def _build(
    fo: Any,
    name: str,
    rows: Sequence[Row],
    classes: Sequence[str],
    rare: Sequence[str],
    runs: Sequence[RunTables],
    mark: str,
) -> list[Evaluation]:
    aside = f"{name}-being-built"
    if fo.dataset_exists(aside):  # of a process that was killed
        fo.delete_dataset(aside)
    dataset = fo.Dataset(aside, persistent=True)
    dataset.default_classes = list(classes)
    found = {table.run: _found(table) for table in runs}
    dataset.add_samples((_sample(fo, row, classes, rare, found) for row in rows), progress=False)
    evaluations = [_evaluate(fo, dataset, table, rows, classes) for table in runs]
    _save_views(fo, dataset, rare, runs)
    dataset.info = {"fingerprint": mark, "classes": list(classes), "rare_classes": list(rare)}
    dataset.save()
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    dataset.name = name
    return evaluations


def _found(table: RunTables) -> dict[tuple[str, int], bool]:
    boxes = table.boxes
    keys = zip(boxes["image_id"], boxes["box"], strict=True)
    return {(str(image_id), int(box)): bool(hit) for (image_id, box), hit in zip(keys, boxes["found"], strict=True)}


def _sample(
    fo: Any, row: Row, classes: Sequence[str], rare: Sequence[str], found: Mapping[str, Mapping[tuple[str, int], bool]]
) -> Any:
    boxes = []
    for number, box in enumerate(labels.read(row.label_path)):
        left, top, _, _ = box.corners()
        name = classes[box.class_id]
        hits = {
            f"found_{field_of(run)}": hit
            for run, table in found.items()
            if (hit := table.get((row.image_id, number))) is not None
        }
        corner_and_size = [left, top, box.width, box.height]
        boxes.append(fo.Detection(label=name, bounding_box=corner_and_size, rare=name in rare, box=number, **hits))
    return fo.Sample(
        filepath=str(Path(row.path).absolute()),
        tags=[row.split, row.origin, *([row.run] if row.run else [])],
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
        **{TRUTH: fo.Detections(detections=boxes)},
    )


def _evaluate(fo: Any, dataset: Any, table: RunTables, rows: Sequence[Row], classes: Sequence[str]) -> Evaluation:
    """Write the run's test predictions, and their evaluation."""
    from pipeline.adapters import voxel_evaluation

    field, key = field_of(table.run), eval_key_of(table.run)
    test = dataset.match(fo.ViewField("split") == "test")
    by_id = {row.image_id: row for row in rows if row.split == "test"}
    shown = [by_id[image_id] for image_id in test.values("image_id")]
    place_of = {row.image_id: number for number, row in enumerate(shown)}
    predicted = table.predictions[table.predictions["split"] == "test"]
    found = detections.to_detections(_by_image(predicted, place_of), shown)
    truth = detections.to_truth(_by_image(table.boxes, place_of), shown)
    labels_of: list[list[Any]] = [[] for _ in shown]
    columns = zip(found.image, found.class_id, found.confidence, found.box, strict=True)
    for number, class_id, confidence, (left, top, right, bottom) in columns:
        width, height = shown[number].width, shown[number].height
        place = [left / width, top / height, (right - left) / width, (bottom - top) / height]
        labels_of[number].append(
            fo.Detection(label=classes[class_id], bounding_box=place, confidence=float(confidence))
        )
    test.set_values(field, [fo.Detections(detections=one) for one in labels_of])
    value = voxel_evaluation.evaluate(
        test, pred_field=field, gt_field=TRUTH, eval_key=key, found=found, truth=truth, classes=classes
    )
    return Evaluation(run=table.run, eval_key=key, map50_95=value)


def _by_image(table: pd.DataFrame, place_of: Mapping[str, int]) -> pd.DataFrame:
    """The table in the order of the dataset's images; within an image as it is."""
    return table.iloc[np.argsort([place_of[image_id] for image_id in table["image_id"]], kind="stable")]


def _save_views(fo: Any, dataset: Any, rare: Sequence[str], runs: Sequence[RunTables]) -> None:
    """Save what people look for, each view with the fields that it needs: all predictions at once hide the images."""
    value = fo.ViewField
    dataset.app_config.default_visibility_labels = {"include": [TRUTH]}
    base, *others = runs
    test = dataset.match(value("split") == "test")
    names = ", ".join(rare) or "none"
    for table in others:
        run, field = table.run, field_of(table.run)
        sure = test.filter_labels(field, value("confidence") >= table.confidence, only_matches=False)
        before, now = value(f"found_{field_of(base.run)}"), value(f"found_{field}")
        lost, gained = (before == True) & (now == False), (before == False) & (now == True)  # noqa: E712 - expressions
        rare_lost = lost & (value("rare") == True)  # noqa: E712 - an expression
        for word, change, text in (
            ("lost boxes", lost, f"Test boxes that {base.run} found and {run} did not"),
            ("gained boxes", gained, f"Test boxes that {run} found and {base.run} did not"),
            ("lost rare boxes", rare_lost, f"Test boxes of rare classes ({names}) that {run} lost"),
        ):
            view = sure.filter_labels(TRUTH, change).select_fields([TRUTH, field])
            dataset.save_view(f"{run}: {word}", view, description=text)
        pages = dataset.match((value("run") == run) & (value("origin") == "synthetic")).select_fields(TRUTH)
        dataset.save_view(f"{run}: synthetic images", pages, description=f"What {run} generated, and its labels")


def launch(name: str, *, port: int, browser: bool) -> None:
    """Serve the App on localhost until it is closed or Ctrl-C.

    Raises:
        UserError: the port is taken.
    """
    fo = connect()
    dataset = fo.load_dataset(name)
    os.environ["BROWSER"] = os.environ.get("BROWSER", "") if browser else "true"
    session = fo.launch_app(dataset, address="127.0.0.1", port=port, auto=False)
    if browser:
        session.open()
    print(f"FiftyOne App: http://127.0.0.1:{port}  (Ctrl-C ends it)", flush=True)  # noqa: T201
    try:
        session.wait(-1)
    except KeyboardInterrupt:
        pass
    finally:
        session.close()
