"""Tables of boxes: what is written is read to the last digit, and the metrics see the same boxes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import detections, labels, metrics, parquet
from pipeline.core.detections import PREDICTION_COLUMNS
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import Row, Split
from tests import builders
from tests.builders import row, sha

ENDS = st.tuples(st.floats(-10, 10_000), st.floats(-10, 10_000)).map(sorted)
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["val", "test"]),
        st.sampled_from(["0" * 64, "1" * 64, sha("a"), "e" + "0" * 63]),
        st.integers(0, 90),
        st.floats(0, 1),
        ENDS,
        ENDS,
    ).map(lambda one: (*one[:4], one[4][0], one[5][0], one[4][1], one[5][1])),
    max_size=5,
)
KNOWN = [sha("a"), sha("b")]


def predictions(*records: tuple[object, ...]) -> pd.DataFrame:
    """A table of predictions, rounded as it is written."""
    return detections.round_predictions(pd.DataFrame(list(records), columns=list(PREDICTION_COLUMNS)))


def put(rows: dict[str, list[Box]]) -> list[Row]:
    """Rows of test images of 64 by 48 pixels in the working directory, with these label files."""
    made = [row(name, split="test") for name in rows]
    for one, boxes in zip(made, rows.values(), strict=True):
        one.label_path.parent.mkdir(parents=True, exist_ok=True)
        one.label_path.write_text(labels.format_boxes(boxes))
    return made


@settings(max_examples=60)
@given(records=RECORDS)
def test_round_trip(records: list[tuple[object, ...]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Predictions are read as they were written, to the last bit; ids of digits alone stay text."""
    path = tmp_path_factory.mktemp("table") / "predictions.parquet"
    frame = predictions(*records)
    detections.write(path, frame)
    found = detections.read(path)
    assert list(found.columns) == list(PREDICTION_COLUMNS)
    assert found.to_numpy().tolist() == frame.to_numpy().tolist()


def test_rounding_single_precision() -> None:
    """What a detector gives in single precision is written in decimals, and computed from them too."""
    found = predictions(("val", sha("a"), 1, *map(np.float32, (0.1234567, 63.1234, 1.1, 63.9996, 2.2))))
    assert found.to_numpy().tolist() == [["val", sha("a"), 1, 0.123456702, 63.123, 1.1, 64.0, 2.2]]


def test_to_detections() -> None:
    """An image's number is its position; predictions on other splits are left out."""
    frame = predictions(
        ("test", sha("b"), 2, 0.9, 1, 2, 3, 4),
        ("val", sha("x"), 1, 0.8, 0, 0, 1, 1),
        ("test", sha("a"), 0, 0.7, 5, 6, 7, 8),
    )
    found = detections.to_detections(frame, [row("a", split="test"), row("b", split="test")])
    assert found.image.tolist() == [1, 0]
    assert found.class_id.tolist() == [2, 0]
    assert found.confidence.tolist() == [0.9, 0.7]
    assert found.box.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("split", "name"), [("test", "gone"), ("val", "a")], ids=["image_of_neither_split", "image_that_changed_its_split"]
)
def test_predictions_for_other_images(split: str, name: str) -> None:
    """Predictions are for the images that the splits have now: none is dropped because its image is unknown."""
    frame = predictions(("test", sha("a"), 0, 0.7, 5, 6, 7, 8), (split, sha(name), 2, 0.9, 1, 2, 3, 4))
    message = (
        rf"1 predictions, such as one for image {sha(name)} of split {split}, do not belong to the 1 images of split"
    )
    with pytest.raises(UserError, match=message):
        detections.to_detections(frame, [row("a", split="test")])


def test_truth_of_other_images() -> None:
    """Labelled boxes are on the images of the split."""
    boxes = table(("image_id", sha("gone")))
    with pytest.raises(
        UserError, match=rf"1 labelled boxes, such as one of image {sha('gone')}, are on none of the 1 "
    ):
        detections.to_truth(boxes, [row("a", split="test")])


def test_labelled_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes are those of the label files, in pixels, numbered by line from 0; a background has none."""
    monkeypatch.chdir(tmp_path)
    rows = put({"a": [builders.box(1), builders.box(0, x=0.25)], "empty": [], "b": [builders.box(3)]})
    frame = detections.labelled_boxes(rows)
    assert frame.to_numpy().tolist() == [
        [sha("a"), 0, 0, 8.0, 18.0, 24.0, 30.0],
        [sha("a"), 1, 1, 24.0, 18.0, 40.0, 30.0],
        [sha("b"), 0, 3, 24.0, 18.0, 40.0, 30.0],
    ]
    truth = detections.to_truth(frame, rows)
    assert truth.image.tolist() == [0, 0, 2]
    assert truth.class_id.tolist() == [0, 1, 3]
    path = tmp_path / "boxes.parquet"
    detections.write(path, frame.assign(found=[True, False, True]))
    assert detections.read(path)["found"].to_numpy(dtype=bool).tolist() == [True, False, True]


def test_label_file_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label file that is gone is an error, not an image without objects."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is missing; an image without objects has an empty one"):
        detections.labelled_boxes([row("a")])


def test_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No prediction and no labelled box are tables and arrays of length 0, also after they were written."""
    monkeypatch.chdir(tmp_path)
    rows = put({"empty": []})
    predicted, boxes = predictions(), detections.labelled_boxes(rows)
    detections.write(tmp_path / "predictions.parquet", predicted)
    detections.write(tmp_path / "boxes.parquet", boxes.assign(found=False))
    for seen in (predicted, detections.read(tmp_path / "predictions.parquet", classes=2, image_ids=[])):
        assert detections.to_detections(seen, rows).box.shape == (0, 4)
    for true in (boxes, detections.read(tmp_path / "boxes.parquet", classes=2, image_ids=[])):
        assert detections.to_truth(true, rows).box.shape == (0, 4)
        assert detections.to_truth(true, rows).image.dtype == np.int64


def test_perfect_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The labels themselves, as predictions, have an mAP of 1."""
    monkeypatch.chdir(tmp_path)
    rows = put({"a": [builders.box(0, x=0.333333, width=0.123457), builders.box(1)], "b": [builders.box(1, y=0.3)]})
    boxes = detections.labelled_boxes(rows)
    frame = boxes.assign(split="test", confidence=0.5)[list(PREDICTION_COLUMNS)]
    found = detections.to_detections(detections.round_predictions(frame), rows)
    matches = metrics.match(found, detections.to_truth(boxes, rows), images=2, classes=2)
    assert metrics.mean_average_precision(matches).map50_95 == pytest.approx(1)


def test_missing(tmp_path: Path) -> None:
    """A missing table says which command makes it."""
    with pytest.raises(UserError, match=r"boxes\.parquet is missing\. Run `uv run dvc repro`"):
        detections.read(tmp_path / "boxes.parquet")


def table(*changes: tuple[str, object], kind: str = "boxes") -> pd.DataFrame:
    """Two sound rows of a table, the second changed: columns and what is put there."""
    corners: dict[str, list[object]] = {
        "left": [1.0, 2.0],
        "top": [1.0, 2.0],
        "right": [5.0, 6.0],
        "bottom": [5.0, 6.0],
    }
    kept: dict[str, list[object]] = {"image_id": list(KNOWN), "class_id": [0, 1], **corners}
    kept |= {"split": ["val", "test"], "confidence": [0.5, 1.0]} if kind == "predictions" else {
        "box": [0, 1], "found": [True, False], "found_1": [True, True], "found_2": [False, True]
    }  # fmt: skip
    for column, value in changes:
        kept[column] = [kept[column][0], value]
    order = detections.PREDICTION_COLUMNS if kind == "predictions" else [*detections.BOX_COLUMNS, "found_1", "found_2"]
    return pd.DataFrame(kept)[list(order)]


def put_table(folder: Path, frame: pd.DataFrame) -> Path:
    """The table as a file."""
    detections.write(folder / "table.parquet", frame)
    return folder / "table.parquet"


@pytest.mark.parametrize("kind", ["predictions", "boxes"])
def test_sound_tables(kind: str, tmp_path: Path) -> None:
    """A sound table is read, its numbers in kinds of their own, also where all classes and images are said."""
    whole = table(kind=kind).astype(dict.fromkeys(["left", "top", "right", "bottom"], int))  # written without a point
    found = detections.read(put_table(tmp_path, whole), classes=2, image_ids=KNOWN)
    pd.testing.assert_frame_equal(found, table(kind=kind), check_dtype=False)
    kinds = {name: str(found[name].dtype) for name in ("class_id", "left", "bottom")}
    assert kinds == {"class_id": "int64", "left": "float64", "bottom": "float64"}


def test_found_by_seed(tmp_path: Path) -> None:
    """What each training found is a column of its own, the first training's first."""
    found = detections.found_by_seed(detections.read(put_table(tmp_path, table())))
    assert found.tolist() == [[True, True, False], [False, True, True]]
    assert detections.found_by_seed(table().drop(columns=["found_1", "found_2"])).tolist() == [[True], [False]]


WRONG: dict[str, tuple[str, tuple[str, object], str]] = {
    "image_unknown": ("predictions", ("image_id", sha("z")), f"image_id {sha('z')}, wanted one of the 2 known images"),
    "image_empty": ("boxes", ("image_id", ""), "image_id , wanted the id of an image"),
    "class_unknown": ("predictions", ("class_id", 2), "class_id 2, wanted the id of one of 2 classes, 0 to 1"),
    "class_negative": ("boxes", ("class_id", -1), "class_id -1, wanted a whole number from 0 on"),
    "box_negative": ("boxes", ("box", -1), "box -1, wanted a whole number from 0 on"),
    "score_not_a_number": ("predictions", ("confidence", float("nan")), "confidence nan, wanted a number from 0 to 1"),
    "score_infinite": ("predictions", ("confidence", float("inf")), "confidence inf, wanted a number from 0 to 1"),
    "score_over_one": ("predictions", ("confidence", 1.01), "confidence 1.01, wanted a number from 0 to 1"),
    "score_negative": ("predictions", ("confidence", -0.1), "confidence -0.1, wanted a number from 0 to 1"),
    "corner_not_a_number": ("boxes", ("top", float("nan")), "top nan, wanted a finite number of pixels"),
    "corner_infinite": ("predictions", ("right", float("inf")), "right inf, wanted a finite number of pixels"),
    "inside_out": ("predictions", ("right", 1.5), "right 1.5, wanted at least its left"),
    "upside_down": ("boxes", ("bottom", 1.5), "bottom 1.5, wanted at least its top"),
    "split_unknown": ("predictions", ("split", "train"), "split train, wanted val or test"),
}


@pytest.mark.parametrize(("kind", "change", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_tables(kind: str, change: tuple[str, object], message: str, tmp_path: Path) -> None:
    """What cannot be is refused, with the file and row, what it is, what it should be, and what to do."""
    path = put_table(tmp_path, table(change, kind=kind))
    whole = rf"^{re.escape(f'{path} row 2: {message}. {parquet.MEND}')}$"
    with pytest.raises(UserError, match=whole):
        detections.read(path, classes=2, image_ids=KNOWN)


def test_several_wrong_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of several wrong rows is named, and how many there are; rows are counted through the whole file."""
    path = put_table(tmp_path, table(kind="predictions").assign(confidence=7.0))
    with pytest.raises(UserError, match=r"row 1: confidence 7\.0, wanted a number from 0 to 1, and so in 1 more rows"):
        detections.read(path)
    monkeypatch.setattr(parquet, "GROUP", 1)
    path = put_table(tmp_path, table(("confidence", 7.0), kind="predictions"))
    with pytest.raises(UserError, match=r"row 2: confidence 7\.0"):
        detections.read(path)


def test_a_box_that_is_there_twice(tmp_path: Path) -> None:
    """A labelled box has one row: the second is refused."""
    path = put_table(tmp_path, table(("image_id", sha("a")), ("box", 0)))
    with pytest.raises(UserError, match="row 2: box 0, wanted every box of an image once"):
        detections.read(path)


COLUMNS: dict[str, tuple[pa.Table, str]] = {
    name: (pa.Table.from_pandas(frame), message)
    for name, frame, message in [
        ("absent", table(kind="predictions").drop(columns="right"), "wanted split, image_id, class_id, confidence, le"),
        ("unknown", table(kind="predictions").assign(area=1.0), "area (double, may be empty)'; wanted split, image_id"),
        ("training_left_out", table().drop(columns="found_1"), "wanted image_id, box, class_id, left, top, right, bot"),
        ("neither_table", pd.DataFrame({"a": [1]}), "has the columns 'a (int64, may be empty)'; wanted image_id, box,"),
        ("another_order", table()[["found", *table().columns.drop("found")]], "found, found_1, found_2. It is made by"),
        ("class_of_a_half", table(("class_id", 0.5)), "class_id (double, may be empty)"),
        ("class_by_name", table(("class_id", "cat")).astype({"class_id": str}), "found_2. It is made by the pipeline"),
        ("gaps", table(), "image_id (string, may be empty), "),
    ]
}


@pytest.mark.parametrize(("columns", "message"), COLUMNS.values(), ids=COLUMNS.keys())
def test_wrong_columns(columns: pa.Table, message: str, tmp_path: Path) -> None:
    """A table with other columns, or with gaps, is refused, and they are named."""
    pq.write_table(columns, tmp_path / "table.parquet", store_schema=False)
    with pytest.raises(UserError, match=rf"^{re.escape(str(tmp_path / 'table.parquet'))} has the columns ") as refused:
        detections.read(tmp_path / "table.parquet")
    assert message in str(refused.value)


@pytest.mark.parametrize("damage", ["empty", "cut off", "a bit"])
def test_files_that_are_no_tables(damage: str, tmp_path: Path) -> None:
    """A file that was cut off, changed or is no table is refused by its name."""
    path = put_table(tmp_path, table())
    data = bytearray(path.read_bytes())
    data[40] ^= 4
    path.write_bytes({"empty": b"", "cut off": bytes(data[:-9]), "a bit": bytes(data)}[damage])
    with pytest.raises(UserError, match=r"table\.parquet is not a table .* Run `uv run dvc repro` to make it anew"):
        detections.read(path)


@pytest.mark.parametrize("group", [1, 2, 1 << 16])
def test_only_what_is_wanted(group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions of a split, and strong ones, are those of the whole table, whatever is read together."""
    monkeypatch.setattr(parquet, "GROUP", group)
    whole = pd.concat([table(kind="predictions"), table(("confidence", 0.1), kind="predictions")], ignore_index=True)
    path = put_table(tmp_path, whole)
    asked: list[tuple[Split | None, float]] = [("test", 0.0), (None, 0.5), ("val", 0.6), ("test", 0.2)]
    for split, at_least in asked:
        wanted = whole[(whole["confidence"] >= at_least) & ((whole["split"] == split) | (split is None))]
        found = detections.read(path, split=split, at_least=at_least)
        assert found.to_numpy().tolist() == wanted.to_numpy().tolist()
