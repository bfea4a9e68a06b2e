"""Tables of predicted and labelled boxes, and their form for the metrics.

A table that was read is known to be sound: columns, kinds of numbers, ranges and, where the caller can say which there
are, classes and images.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import files, labels
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.metrics import Detections, Truth

PREDICTION_COLUMNS = ("split", "image_id", "class_id", "confidence", "left", "top", "right", "bottom")
# A run of several trainings has found_1, found_2, … too: what its further trainings found.
BOX_COLUMNS = ("image_id", "box", "class_id", "left", "top", "right", "bottom", "found")

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
_CORNERS = ["left", "top", "right", "bottom"]
_SPLITS = ("val", "test")
_TEXTS = {"split": str, "image_id": str}
_FIRST_LINE = 2  # of a CSV file, after its header
_MEND = "Run `uv run dvc repro -f` to make it anew."


def round_predictions(frame: pd.DataFrame) -> pd.DataFrame:
    """Predictions as they are written: confidence to 1e-9, corners to a thousandth of a pixel.

    Figures are computed from these, so that anyone who reads the table gets the same ones.
    """
    digits = {"confidence": 9, "left": 3, "top": 3, "right": 3, "bottom": 3}
    # In single precision, 0.7 would be a little less than the 0.7 that is read from the file.
    return frame.astype(dict.fromkeys(digits, np.float64)).round(digits)[list(PREDICTION_COLUMNS)]


def write(path: Path, frame: pd.DataFrame) -> None:
    """Write a table of predictions or boxes."""
    files.write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def read(path: Path, *, classes: int | None = None, image_ids: Collection[str] | None = None) -> pd.DataFrame:
    """Read a table of predictions or boxes; which of them it is follows from its columns.

    Args:
        path: of the table.
        classes: number of classes, to refuse ids from there on; None: not checked.
        image_ids: of all images that the table may speak of; None: not checked.

    Returns:
        The columns of :data:`PREDICTION_COLUMNS`, or of :data:`BOX_COLUMNS` and ``found_1``, ``found_2`` and so on. Ids
        of classes and boxes are int64, confidences and corners float64, ``found`` is bool.

    Raises:
        UserError: it is missing, is no such table, or holds what cannot be (see :func:`check`).
    """
    try:
        frame = pd.read_csv(path, dtype=_TEXTS)
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    except ValueError as error:  # no header, ragged lines, not UTF-8
        raise UserError(f"{path} is no table of boxes: {str(error).strip()}. {_MEND}") from None
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what a line has before the named columns as an index
        raise UserError(f"{path} has lines longer than its header of {len(frame.columns)} columns. {_MEND}")
    check(frame, path, classes=classes, image_ids=image_ids)
    kinds = {name: _kind(name) for name in frame.columns if name not in _TEXTS}
    return frame.astype(kinds)


def check(
    frame: pd.DataFrame, path: Path, *, classes: int | None = None, image_ids: Collection[str] | None = None
) -> None:
    """Refuse a table of predictions or boxes that holds what cannot be.

    Refused are: other columns; an empty or unknown image id; class or box ids that are not whole numbers from 0 on, and
    unknown classes; confidences that are no numbers in [0, 1]; corners that are not finite, and boxes inside out;
    splits other than val and test; ``found`` that is neither True nor False; and a labelled box that is there twice.

    Args:
        frame: the table as it is in the file.
        path: of the file, for the message.
        classes: number of classes; None: any.
        image_ids: that may occur; None: any.

    Raises:
        UserError: with the line of the first wrong row.
    """
    _check_columns(list(frame.columns), path)
    refuse = partial(_refuse, frame, path)
    refuse("image_id", frame["image_id"].isna(), "the id of an image")
    if image_ids is not None:
        refuse("image_id", ~frame["image_id"].isin(list(image_ids)), f"one of the {len(image_ids)} known images")
    number = {name: _numbers(frame[name]) for name in frame.columns if _kind(name) in {np.int64, np.float64}}
    for name in _CORNERS:
        refuse(name, ~np.isfinite(number[name]), "a finite number of pixels")
    refuse("right", number["right"] < number["left"], "at least its left")
    refuse("bottom", number["bottom"] < number["top"], "at least its top")
    refuse("class_id", ~_whole(number["class_id"]), "a whole number from 0 on")
    if classes is not None:
        refuse("class_id", number["class_id"] >= classes, f"the id of one of {classes} classes, 0 to {classes - 1}")
    if "confidence" in frame:
        refuse("split", ~frame["split"].isin(_SPLITS), "val or test")
        refuse("confidence", ~((number["confidence"] >= 0) & (number["confidence"] <= 1)), "a number from 0 to 1")
        return
    refuse("box", ~_whole(number["box"]), "a whole number from 0 on")
    refuse("box", frame.duplicated(["image_id", "box"]), "every box of an image once")
    for name in frame.columns[len(BOX_COLUMNS) - 1 :]:
        refuse(name, ~frame[name].astype(str).isin(["True", "False"]), "True or False")


def found_by_seed(frame: pd.DataFrame) -> BoolArray:
    """Which labelled boxes each training of a run found, shape (boxes, trainings): ``found``, ``found_1`` and so on."""
    columns = [name for name in frame.columns if _kind(name) is np.bool_]
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


def _kind(column: str) -> type[np.generic]:
    if column in {"class_id", "box"}:
        return np.int64
    if column.startswith("found"):
        return np.bool_
    return np.str_ if column in _TEXTS else np.float64


def _numbers(column: pd.Series) -> FloatArray:
    """A column as numbers, NaN for what is none."""
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)


def _whole(number: FloatArray) -> BoolArray:
    return np.asarray(np.isfinite(number) & (number >= 0) & (np.floor(number) == number))


def _check_columns(columns: list[str], path: Path) -> None:
    further = [f"found_{number}" for number in range(1, len(columns) - len(BOX_COLUMNS) + 1)]
    wanted = [*PREDICTION_COLUMNS] if "confidence" in columns else [*BOX_COLUMNS, *further]
    absent = [name for name in wanted if name not in columns]
    unknown = [name for name in columns if name not in wanted]
    faults = [f"lacks {', '.join(absent)}"] * bool(absent) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
    if columns != wanted:
        got = " and ".join(faults) or "has its columns in another order"
        raise UserError(f"{path} {got}; wanted the columns {', '.join(wanted)}. {_MEND}")


def _refuse(frame: pd.DataFrame, path: Path, column: str, wrong: npt.ArrayLike, wanted: str) -> None:
    rows = np.flatnonzero(np.asarray(wrong, dtype=bool))
    if rows.size:
        got, more = frame[column].iloc[rows[0]], f", and so in {rows.size - 1} more lines" if rows.size > 1 else ""
        raise UserError(f"{path} line {rows[0] + _FIRST_LINE}: {column} {got}, wanted {wanted}{more}. {_MEND}")
