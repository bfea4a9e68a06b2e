"""How fresh the training data is: who looked at what, when, and how deep the rest lies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import freshness
from pipeline.core.errors import UserError
from tests.builders import row, sha, synthetic_row

NAMES = ["one", "two"]
START = datetime(2026, 1, 1, tzinfo=UTC)


def after(days: float) -> str:
    """A time so many days after the start."""
    return (START + timedelta(days=days)).isoformat()


def test_times_of_acceptance() -> None:
    """Newest, oldest and median are of the images' own times; share and count of all training images."""
    rows = [row(name) for name in "abc"]
    times = {one.image_id: after(days) for one, days in zip(rows, (0, 9, 5), strict=True)}
    found = freshness.measure([*rows, synthetic_row()], times | {sha("not trained on"): after(99)}, NAMES)
    assert (found.verified, found.share.value, found.share.samples) == (3, 0.75, 4)
    assert found.oldest == "2026-01-01T00:00:00+00:00"
    assert found.median == "2026-01-06T00:00:00+00:00"
    assert found.newest == "2026-01-10T00:00:00+00:00"


def test_share_has_no_interval() -> None:
    """All training images are counted, so the share is no estimate; it says so."""
    share = freshness.measure([synthetic_row()], {}, NAMES).share
    assert (share.value, share.low, share.high) == (0.0, None, None)
    assert "not sampled" in share.reason


def test_nothing_at_all() -> None:
    """Without training images there is no share, and without verified ones no time."""
    found = freshness.measure([], {}, NAMES)
    assert (found.share.value, found.newest, found.oldest, found.median) == (None, None, None, None)
    assert found.share.reason
    assert found.depths == {"one": {}, "two": {}}


def test_a_verified_image_without_time() -> None:
    """An image that counts as verified, though nothing says when, is named: the tables do not belong together."""
    with pytest.raises(UserError, match=r"image b .* nothing says when.*dvc repro"):
        freshness.measure([row("a"), row("b")], {sha("a"): after(0)}, NAMES)


@pytest.mark.parametrize("time", ["yesterday", "2026-01-01T00:00:00"], ids=["no time", "no offset"])
def test_a_time_that_is_none(time: str) -> None:
    """What is no moment is shown, with what is wanted."""
    with pytest.raises(UserError, match=f"was verified at '{time}', wanted ISO 8601"):
        freshness.measure([row()], {row().image_id: time}, NAMES)


def test_other_time_zones() -> None:
    """Times are compared as moments, and given in UTC."""
    times = {sha("a"): "2026-01-01T12:00:00+05:00", sha("b"): "2026-01-01T08:00:00+00:00"}
    found = freshness.measure([row("a"), row("b")], times, NAMES)
    assert (found.oldest, found.newest) == ("2026-01-01T07:00:00+00:00", "2026-01-01T08:00:00+00:00")


def test_depths_of_boxes() -> None:
    """Boxes are counted by class and lineage depth; a class without a box is there, and empty."""
    rows = [
        synthetic_row("s", boxes=((0, 2),)),
        synthetic_row("t", boxes=((0, 1),), lineage_depth=10),
        synthetic_row("u", boxes=((0, 3),), lineage_depth=2),
    ]
    found = freshness.measure(rows, {}, NAMES)
    assert found.depths == {"one": {"1": 2, "2": 3, "10": 1}, "two": {}}
    assert list(found.depths["one"]) == ["1", "2", "10"]


@settings(max_examples=25)
@given(boxes=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(0, 5)), max_size=8))
def test_depths_hold_every_box(boxes: list[tuple[int, int, int]]) -> None:
    """No training box is left out or counted twice."""
    rows = [
        synthetic_row(f"s{number}", boxes=((0, first), (1, second)), lineage_depth=depth)
        for number, (depth, first, second) in enumerate(boxes)
    ]
    found = freshness.measure(rows, {}, NAMES).depths
    assert sum(found["one"].values()) == sum(first for _, first, _ in boxes)
    assert sum(found["two"].values()) == sum(second for _, _, second in boxes)


def test_days_since() -> None:
    """Days are between moments, whatever the offsets."""
    now = datetime.fromisoformat("2026-01-04T02:00:00+02:00")
    assert freshness.days_since("2026-01-01T12:00:00+00:00", now) == 2.5


def test_days_since_without_offset() -> None:
    """A time without its offset is no moment."""
    with pytest.raises(ValueError, match="offset to UTC"):
        freshness.days_since("2026-01-01T12:00:00", datetime(2026, 1, 4, tzinfo=UTC))
