"""YOLO boxes: what is written can be read again, and what cannot be is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import labels
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from tests import builders

SIDES = st.integers(1, 10**6).map(lambda millionths: millionths / 10**6)
PLACES = st.integers(0, 10**6).map(lambda millionths: millionths / 10**6)
WRITTEN = st.builds(Box, class_id=st.integers(0, 99), x=PLACES, y=PLACES, width=SIDES, height=SIDES)
FRACTIONS = st.floats(0, 1)


@given(st.lists(WRITTEN, max_size=6))
def test_parse_undoes_format(boxes: list[Box]) -> None:
    """Boxes that are written and read again are the same, sorted."""
    lines = labels.format_boxes(boxes).splitlines()
    assert [labels.parse_line(line) for line in lines] == sorted(boxes)


@given(st.lists(WRITTEN, max_size=6), st.randoms(use_true_random=False))
def test_digest_ignores_order(boxes: list[Box], random: object) -> None:
    """The order in which boxes are listed makes no other version; one box more does."""
    shuffled = boxes.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert labels.digest(shuffled) == labels.digest(boxes)
    assert labels.digest([*boxes, builders.box()]) != labels.digest(boxes)


@given(left=FRACTIONS, top=FRACTIONS, right=FRACTIONS, bottom=FRACTIONS)
def test_corners_round_trip(left: float, top: float, right: float, bottom: float) -> None:
    """A box made from corners has them again, to a millionth, and can be written; a thin one is refused."""
    try:
        made = labels.from_corners(3, (left, top, right, bottom))
    except ValueError:
        assert min(right - left, bottom - top) <= 1e-6
        return
    assert made.corners() == pytest.approx((left, top, right, bottom), abs=1.1e-6)
    assert labels.parse_line(labels.format_boxes([made])) == made


@given(WRITTEN, st.floats(0, 0.4))
def test_what_sticks_out_is_cut_off(box: Box, tolerance: float) -> None:
    """Within the tolerance the box is cut to the frame, and never grows; beyond it, it is refused."""
    corners = box.corners()
    outside = max(-corners[0], -corners[1], corners[2] - 1, corners[3] - 1)
    try:
        made = labels.from_corners(box.class_id, corners, tolerance=tolerance)
    except ValueError:
        thin = min(min(corners[2], 1) - max(corners[0], 0), min(corners[3], 1) - max(corners[1], 0)) <= 1e-6
        assert thin or outside > tolerance
        return
    assert outside <= tolerance + 1e-9
    assert made.width <= box.width + 1e-6
    assert made.height <= box.height + 1e-6
    assert min(made.corners()) >= -1e-6
    assert max(made.corners()) <= 1 + 1e-6


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        pytest.param((0.5, 0.1, 0.5, 0.2), "zero or negative area: width 0", id="no width"),
        pytest.param((0.6, 0.1, 0.5, 0.2), "zero or negative area: width -0.1", id="mirrored"),
        pytest.param((0.1, 0.1, math.nan, 0.2), "finite", id="nan"),
        pytest.param((-math.inf, 0.1, 0.3, 0.2), "finite", id="infinite"),
        pytest.param(
            (-0.02, 0.1, 0.3, 0.2), "outside the frame by 0.02 of its size, wanted at most 0.01", id="outside"
        ),
        pytest.param((1.0, 0.1, 1.005, 0.2), "no area inside the frame", id="beside the frame"),
        pytest.param((0.1, 0.1, 0.1000001, 0.2), "zero or negative area: width 0", id="too thin to write"),
    ],
)
def test_corners_refused(corners: tuple[float, ...], reason: str) -> None:
    """Corners that enclose nothing, or lie outside, are refused with a reason."""
    with pytest.raises(ValueError, match=reason):
        labels.from_corners(0, corners, tolerance=0.01)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("", "0 fields, wanted 5", id="empty"),
        pytest.param("0 0.5 0.5 0.1", "4 fields, wanted 5", id="four fields"),
        pytest.param("0 0.5 0.5 0.1 0.1 0.9", "6 fields, wanted 5", id="with a confidence"),
        pytest.param("zero 0.5 0.5 0.1 0.1", "'zero 0.5 0.5 0.1 0.1', wanted a whole number", id="name for id"),
        pytest.param("0.0 0.5 0.5 0.1 0.1", "wanted a whole number and four fractions", id="fraction for id"),
        pytest.param("-1 0.5 0.5 0.1 0.1", "class id -1", id="negative id"),
        pytest.param("0 0.5 0.5 1.27 0.1", "wanted fractions", id="too wide"),
        pytest.param("0 -0.1 0.5 0.1 0.1", "wanted fractions", id="negative centre"),
        pytest.param("0 0.5 0.5 0 0.1", "width 0, height 0.1", id="no width"),
        pytest.param("0 0.5 nan 0.1 0.1", "finite", id="nan"),
    ],
)
def test_line_refused(line: str, reason: str) -> None:
    """A line that is no box says why."""
    with pytest.raises(ValueError, match=reason):
        labels.parse_line(line)


def test_read(tmp_path: Path) -> None:
    """A label file gives its boxes; an empty one is an image without objects."""
    path = tmp_path / "a.txt"
    path.write_text(labels.format_boxes([builders.box(1), builders.box(0)]))
    assert [box.class_id for box in labels.read(path)] == [0, 1]
    path.write_text("")
    assert labels.read(path) == []


def test_read_missing(tmp_path: Path) -> None:
    """A missing label file is an error, never an image without objects."""
    with pytest.raises(UserError, match=r"a\.txt is missing; an image without objects has an empty one.*dvc checkout"):
        labels.read(tmp_path / "a.txt")


def test_read_broken(tmp_path: Path) -> None:
    """A broken line is named with its file and number."""
    path = tmp_path / "0412.txt"
    path.write_text("0 0.5 0.5 0.1 0.1\n0 0.5 0.5 1.27 0.1\n")
    with pytest.raises(UserError, match=r"0412\.txt line 2: box .*1\.27.*wanted fractions"):
        labels.read(path)
