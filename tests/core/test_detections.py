"""Tables of boxes: what is written is read to the last digit, and the metrics see the same boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import detections, labels, metrics
from pipeline.core.detections import PREDICTION_COLUMNS
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from tests import builders
from tests.builders import row, sha

CORNERS = st.floats(-10, 10_000)
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["val", "test"]),
        st.sampled_from(["0" * 64, "1" * 64, sha("a"), "e" + "0" * 63]),
        st.integers(0, 90),
        st.floats(0, 1),
        CORNERS,
        CORNERS,
        CORNERS,
        CORNERS,
    ),
    max_size=5,
)


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


@settings(max_examples=60, deadline=None)
@given(records=RECORDS)
def test_round_trip(records: list[tuple[object, ...]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Predictions are read as they were written, to the last bit; ids of digits alone stay text."""
    path = tmp_path_factory.mktemp("table") / "predictions.csv"
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
    """An image's number is its position; predictions on other images are left out."""
    frame = predictions(
        ("test", sha("b"), 2, 0.9, 1, 2, 3, 4),
        ("val", sha("x"), 1, 0.8, 0, 0, 1, 1),
        ("test", sha("a"), 0, 0.7, 5, 6, 7, 8),
    )
    found = detections.to_detections(frame, [row("a"), row("b")])
    assert found.image.tolist() == [1, 0]
    assert found.class_id.tolist() == [2, 0]
    assert found.confidence.tolist() == [0.9, 0.7]
    assert found.box.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


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
    path = tmp_path / "boxes.csv"
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
    for frame in (predictions(), detections.labelled_boxes(rows).assign(confidence=0.5)):
        detections.write(tmp_path / "table.csv", frame)
        again = detections.read(tmp_path / "table.csv")
        for table in (frame, again):
            assert detections.to_detections(table, rows).box.shape == (0, 4)
            assert detections.to_truth(table, rows).image.dtype == np.int64


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
    with pytest.raises(UserError, match=r"boxes\.csv is missing\. Run `uv run dvc repro`"):
        detections.read(tmp_path / "boxes.csv")
