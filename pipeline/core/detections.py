"""Tables of predicted and labelled boxes, and their form for the metrics.

On the disk they are Parquet. A table that was read is known to be sound: columns, kinds of numbers, ranges and, where
the caller can say which there are, classes and images.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core import labels, parquet
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row, Split
from pipeline.core.metrics import Detections, Truth

PREDICTION_COLUMNS = ("split", "image_id", "class_id", "confidence", "left", "top", "right", "bottom")
# A run of several trainings has found_1, found_2, … too: what its further trainings found.
BOX_COLUMNS = ("image_id", "box", "class_id", "left", "top", "right", "bottom", "found")

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
_CORNERS = ["left", "top", "right", "bottom"]
_SPLITS = ("val", "test")
_FEW = ["split", "image_id", "class_id"]  # columns of few values
_KINDS = {"split": pa.string(), "image_id": pa.string(), "class_id": pa.int64(), "box": pa.int64()}


def round_predictions(frame: pd.DataFrame) -> pd.DataFrame:
    """Predictions as they are written: confidence to 1e-9, corners to a thousandth of a pixel.

    Figures are computed from these, so that anyone who reads the table gets the same ones.
    """
    digits = {"confidence": 9, "left": 3, "top": 3, "right": 3, "bottom": 3}
    # In single precision, 0.7 would be a little less than the 0.7 that is read from the file.
    return frame.astype(dict.fromkeys(digits, np.float64)).round(digits)[list(PREDICTION_COLUMNS)]


def write(path: Path, frame: pd.DataFrame) -> None:
    """Write a table of predictions or boxes."""
    schema = _schema(list(frame.columns))
    # What is no number stays one that is none: a table with gaps could not be told from a damaged one.
    columns = [pa.array(frame[field.name], field.type, from_pandas=False) for field in schema]
    table = pa.Table.from_arrays(columns, schema=schema)
    parquet.write(path, table, few=[name for name in _FEW if name in frame])


def read(
    path: Path,
    *,
    classes: int | None = None,
    image_ids: Collection[str] | None = None,
    split: Split | None = None,
    at_least: float = 0.0,
) -> pd.DataFrame:
    """Read a table of predictions or boxes; which of them it is follows from its columns.

    Args:
        path: of the table.
        classes: number of classes, to refuse ids from there on; None: not checked.
        image_ids: of all images that the table may speak of; None: not checked.
        split: of the predictions that are wanted; None: of both.
        at_least: confidence of the predictions that are wanted. Most that are kept are weak.

    Returns:
        The columns of :data:`PREDICTION_COLUMNS`, or of :data:`BOX_COLUMNS` and ``found_1``, ``found_2`` and so on. Ids
        of classes and boxes are int64, confidences and corners float64, ``found`` is bool.

    Raises:
        UserError: it is missing, is no such table, or holds what cannot be (see :func:`check`).
    """

    def wanted(file: pq.ParquetFile) -> pa.Table:
        # A part at a time, so that what is not wanted never fills the memory.
        parts, first = [file.schema_arrow.empty_table()], 1
        for group in range(file.num_row_groups):
            part = file.read_row_group(group)
            check(part.to_pandas(), path, classes=classes, image_ids=image_ids, first=first)
            first += len(part)
            parts.append(_chosen(part, split, at_least))
        return pa.concat_tables(parts)

    frame: pd.DataFrame = parquet.read(path, wanted, accept=partial(_accept, path)).to_pandas()
    if "box" in frame:
        _refuse(frame, path, 1, "box", frame.duplicated(["image_id", "box"]), "every box of an image once")
    return frame


def check(
    frame: pd.DataFrame,
    path: Path,
    *,
    classes: int | None = None,
    image_ids: Collection[str] | None = None,
    first: int = 1,
) -> None:
    """Refuse rows of predictions or boxes that cannot be.

    Refused are: an empty or unknown image id; class or box ids below 0, and unknown classes; confidences that are no
    numbers in [0, 1]; corners that are not finite, and boxes inside out; and splits other than val and test.

    Args:
        frame: rows of the table.
        path: of the file, for the message.
        classes: number of classes; None: any.
        image_ids: that may occur; None: any.
        first: the number of the first row, for the message.

    Raises:
        UserError: with the number of the first wrong row.
    """
    refuse = partial(_refuse, frame, path, first)
    refuse("image_id", frame["image_id"] == "", "the id of an image")
    if image_ids is not None:
        refuse("image_id", ~frame["image_id"].isin(list(image_ids)), f"one of the {len(image_ids)} known images")
    for name in _CORNERS:
        refuse(name, ~np.isfinite(frame[name]), "a finite number of pixels")
    refuse("right", frame["right"] < frame["left"], "at least its left")
    refuse("bottom", frame["bottom"] < frame["top"], "at least its top")
    refuse("class_id", frame["class_id"] < 0, "a whole number from 0 on")
    if classes is not None:
        refuse("class_id", frame["class_id"] >= classes, f"the id of one of {classes} classes, 0 to {classes - 1}")
    if "confidence" in frame:
        refuse("split", ~frame["split"].isin(_SPLITS), "val or test")
        refuse("confidence", ~frame["confidence"].between(0, 1), "a number from 0 to 1")
    else:
        refuse("box", frame["box"] < 0, "a whole number from 0 on")


def _chosen(part: pa.Table, split: Split | None, at_least: float) -> pa.Table:
    if split is not None:
        part = part.filter(pc.field("split") == split)
    return part.filter(pc.field("confidence") >= at_least) if at_least > 0 else part


def found_by_seed(frame: pd.DataFrame) -> BoolArray:
    """Which labelled boxes each training of a run found, shape (boxes, trainings): ``found``, ``found_1`` and so on."""
    columns = [name for name in frame.columns if name.startswith("found")]
    return frame[columns].to_numpy(dtype=np.bool_)


def to_detections(frame: pd.DataFrame, rows: Sequence[Row]) -> Detections:
    """The predictions for these images; an image's number is its position in ``rows``.

    Predictions of other splits are left out. A table without splits must be about these images alone.

    Raises:
        UserError: a prediction of the images' split is for none of them, or one for them is of another split.
    """
    numbers = pd.Index([row.image_id for row in rows])
    image = numbers.get_indexer(pd.Index(frame["image_id"], dtype=object))
    known = image >= 0
    splits = {row.split for row in rows}
    wanted = frame["split"].isin(splits).to_numpy(dtype=bool) if "split" in frame else np.ones(len(frame), dtype=bool)
    strange = np.flatnonzero(known != wanted)
    if strange.size:
        where = frame["image_id"].iloc[strange[0]]
        split = frame["split"].iloc[strange[0]] if "split" in frame else "any"
        raise UserError(
            f"{strange.size} predictions, such as one for image {where} of split {split}, do not belong to the "
            f"{len(rows)} images of split {', '.join(sorted(splits)) or 'none'}; wanted their present splits. "
            "Run `uv run dvc repro` to predict anew."
        )
    return Detections(
        image=image[known].astype(np.int64),
        class_id=frame["class_id"].to_numpy(dtype=np.int64)[known],
        confidence=frame["confidence"].to_numpy(dtype=np.float64)[known],
        box=frame[_CORNERS].to_numpy(dtype=np.float64)[known],
    )


def labelled_boxes(rows: Sequence[Row]) -> pd.DataFrame:
    """The labelled boxes of these images, corners in pixels; ``box`` is the line of the label file, from 0."""
    records = []
    for row in rows:
        for number, box in enumerate(labels.read(row.label_path)):
            left, top, right, bottom = box.corners()
            corners = (left * row.width, top * row.height, right * row.width, bottom * row.height)
            records.append((row.image_id, number, box.class_id, *(round(corner, 3) for corner in corners)))
    return pd.DataFrame(records, columns=list(BOX_COLUMNS[:-1]))


def to_truth(frame: pd.DataFrame, rows: Sequence[Row]) -> Truth:
    """The labelled boxes as truth; an image's number is its position in ``rows``.

    Raises:
        UserError: a box is of none of these images.
    """
    image = pd.Index([row.image_id for row in rows]).get_indexer(pd.Index(frame["image_id"], dtype=object))
    if (image < 0).any():
        strange = frame["image_id"].iloc[np.flatnonzero(image < 0)[0]]
        raise UserError(
            f"{(image < 0).sum()} labelled boxes, such as one of image {strange}, are on none of the {len(rows)} "
            "images of the split; wanted boxes of these alone. Run `uv run dvc repro` to measure anew."
        )
    return Truth(
        image=image.astype(np.int64),
        class_id=frame["class_id"].to_numpy(dtype=np.int64),
        box=frame[_CORNERS].to_numpy(dtype=np.float64).reshape(-1, 4),
    )


def _schema(columns: Sequence[str]) -> pa.Schema:
    """The table that has these columns."""
    found = {name: pa.bool_() for name in columns if name.startswith("found")}
    kinds = _KINDS | found
    return pa.schema([parquet.required(kinds.get(name, pa.float64()), name) for name in columns])


def _accept(path: Path, schema: pa.Schema) -> None:
    """Refuse columns of neither table."""
    further = [f"found_{number}" for number in range(1, len(schema) - len(BOX_COLUMNS) + 1)]
    wanted = PREDICTION_COLUMNS if "confidence" in schema.names else (*BOX_COLUMNS, *further)
    parquet.require(path, schema, _schema(wanted))


def _refuse(frame: pd.DataFrame, path: Path, first: int, column: str, wrong: npt.ArrayLike, wanted: str) -> None:
    rows = np.flatnonzero(np.asarray(wrong, dtype=bool))
    if rows.size:
        got, more = frame[column].iloc[rows[0]], f", and so in {rows.size - 1} more rows" if rows.size > 1 else ""
        raise UserError(f"{path} row {rows[0] + first}: {column} {got}, wanted {wanted}{more}. {parquet.MEND}")
