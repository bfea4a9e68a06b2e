"""Planted labels are wrong in one way that a person can see, and are known again when they are answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import labels, plants
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.plants import Plant
from tests.builders import sha


def box(class_id: int, x: float, y: float, size: float = 0.2) -> Box:
    """A square box."""
    return labels.rounded(Box(class_id=class_id, x=x, y=y, width=size, height=size))


BOXES = st.lists(
    st.builds(box, st.integers(0, 2), st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.05, 0.3)),
    max_size=5,
    unique=True,
)


def make(boxes: list[Box], seed: int, *, classes: int = 3, known: frozenset[str] = frozenset()) -> Plant | None:
    """Break labels with a generator of this seed."""
    return plants.make(sha("a"), boxes, classes=classes, known=known, rng=np.random.default_rng(seed))


@settings(max_examples=60)
@given(boxes=BOXES, seed=st.integers(0, 1000))
def test_exactly_one_thing_is_wrong(boxes: list[Box], seed: int) -> None:
    """One box is left out, has another class, is moved by half its size, or is invented; the others stay."""
    plant = make(boxes, seed)
    assert plant is not None
    assert plant.label_digest == labels.digest(plant.boxes) != labels.digest(boxes)
    lost, new = set(boxes) - set(plant.boxes), set(plant.boxes) - set(boxes)
    if plant.breakage == "left out":
        assert (len(lost), len(new)) == (1, 0)
        return
    (added,) = new
    if plant.breakage == "invented":
        assert not lost
        return
    (before,) = lost
    if plant.breakage == "other class":
        assert added.class_id != before.class_id
        assert (added.x, added.y, added.width, added.height) == (before.x, before.y, before.width, before.height)
    else:
        moved = (abs(added.x - before.x) / before.width, abs(added.y - before.y) / before.height)
        assert sorted(moved) == pytest.approx([0, 0.5], abs=1e-4)
        assert (added.width, added.height) == pytest.approx((before.width, before.height), abs=1e-5)


def test_every_breakage_is_made() -> None:
    """Over some images, labels are broken in each of the four ways."""
    made = [make([box(0, 0.3, 0.3), box(1, 0.7, 0.7)], seed) for seed in range(40)]
    assert {plant.breakage for plant in made if plant} == {"left out", "other class", "shifted", "invented"}


def test_without_a_box() -> None:
    """On an image without objects the only mistake to plant is an invented one; with one class, no other class is."""
    assert {plant.breakage for seed in range(10) if (plant := make([], seed))} == {"invented"}
    one = {plant.breakage for seed in range(40) if (plant := make([box(0, 0.5, 0.5)], seed, classes=1))}
    assert one == {"left out", "shifted", "invented"}


def test_never_a_version_of_the_labels() -> None:
    """Labels that some person gave the image are not planted as broken, even where they are."""
    boxes = [box(0, 0.5, 0.5, 0.9)]  # so large that nothing fits beside it
    first = {seed: make(boxes, seed, classes=1) for seed in range(20)}
    emptied = labels.digest([])
    assert emptied in {plant.label_digest for plant in first.values() if plant}
    again = [make(boxes, seed, classes=1, known=frozenset({emptied})) for seed in range(20)]
    assert emptied not in {plant.label_digest for plant in again if plant}
    assert any(again)


def test_same_seed_same_plant() -> None:
    """The same generator breaks the same labels in the same way, in whatever order the boxes are given."""
    boxes = [box(0, 0.3, 0.3), box(1, 0.7, 0.7), box(2, 0.5, 0.2)]
    assert make(boxes, 5) == make(boxes[::-1], 5)
    assert make(boxes, 5) != make(boxes, 6)


def test_kept_beside_those_that_are_kept(tmp_path: Path) -> None:
    """Two reviewers' plants are known at the same time, and come back as they were."""
    path = tmp_path / "plants.json"
    assert plants.read(path) == {}
    first, second = make([box(0, 0.5, 0.5)], 1), make([box(1, 0.5, 0.5)], 2)
    assert first
    assert second
    plants.keep(path, [first])
    plants.keep(path, [second])
    assert plants.read(path) == {(one.image_id, one.label_digest): one for one in (first, second)}


def test_damaged(tmp_path: Path) -> None:
    """A file that is no list of plants is refused, with what to do."""
    path = tmp_path / "plants.json"
    path.write_text('[{"image_id": 3}]')
    with pytest.raises(UserError, match=r"plants\.json cannot be read: .*tailwatch review"):
        plants.read(path)
