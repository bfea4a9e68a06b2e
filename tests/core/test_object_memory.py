"""What was seen of real images once is not looked at again, as long as nothing that it depends on has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import embedding, images, labels, object_memory, objects
from pipeline.core.errors import UserError
from pipeline.core.images import Pixels
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.objects import Collection, Items
from tests.builders import box, picture, row, synthetic_row

MEMORY = Path("memory")


def stored(made: Row, seed: int, boxes: Sequence[Box]) -> Row:
    """An image and its labels on the disk."""
    path = Path(made.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.label_path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode_png(picture(seed)))
    made.label_path.write_text(labels.format_boxes(boxes))
    return replace(made, label_digest=labels.digest(boxes))


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Three images: with objects, one of which is too narrow to show anything; without; and with one."""
    monkeypatch.chdir(tmp_path)
    return [
        stored(row("a"), 1, [box(1), box(0, x=0.3), box(0, width=0.01)]),
        stored(row("b", split="val"), 2, []),
        stored(row("c", split="test"), 3, [box(2, width=0.5)]),
    ]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The image files that are read."""
    read: list[str] = []
    really = images.read

    def noted(path: Path | str) -> Pixels:
        read.append(str(path))
        return really(path)

    monkeypatch.setattr(images, "read", noted)
    return read


def _told(items: Items) -> tuple[object, ...]:
    return items.ids, items.images.tolist(), items.splits, items.vectors.tobytes(), items.digests, items.hashes.tolist()


def told(found: Collection) -> tuple[object, ...]:
    """All of a collection, to the bit."""
    return _told(found.images), _told(found.objects), found.classes.tolist(), found.left_out


def test_what_is_remembered_is_what_was_seen(rows: list[Row], looks: list[str]) -> None:
    """To the bit, in any order, with new images among them; and nothing is read for it."""
    new = stored(row("d"), 4, [box(), box(1)])
    wanted = [told(objects.collect(some)) for some in (rows, rows[::-1], [rows[2], new, rows[0]])]
    assert rows[0].image_id in wanted[0][3][0]  # type: ignore[index]  # an object is left out
    looks.clear()
    assert told(object_memory.collect(MEMORY, rows)) == wanted[0]
    assert looks == [one.path for one in rows]
    assert told(object_memory.collect(MEMORY, rows)) == wanted[0]
    assert told(object_memory.collect(MEMORY, rows[::-1])) == wanted[1]
    assert len(looks) == 3
    assert told(object_memory.collect(MEMORY, [rows[2], new, rows[0]])) == wanted[2]
    assert looks[3:] == [new.path]
    object_memory.collect(MEMORY, [new, *rows])
    assert looks[4:] == []


def test_blocks_and_groups(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are looked at, written and read at a time."""
    wanted = told(objects.collect(rows))
    monkeypatch.setattr(objects, "_IMAGES_A_BLOCK", 2)
    monkeypatch.setattr("pipeline.core.parquet.GROUP", 2)
    assert told(object_memory.collect(MEMORY, rows)) == wanted
    assert told(object_memory.collect(MEMORY, rows)) == wanted


def test_an_image_that_is_listed_twice(rows: list[Row]) -> None:
    """It is there twice, the first time and from memory."""
    twice = [rows[0], rows[1], rows[0]]
    wanted = told(objects.collect(twice))
    assert [told(object_memory.collect(MEMORY, twice)) for _ in range(3)] == [wanted] * 3


def test_other_labels_are_looked_at(rows: list[Row], looks: list[str]) -> None:
    """Labels are part of what is remembered: objects follow from them."""
    object_memory.collect(MEMORY, rows)
    looks.clear()
    changed = stored(row("a"), 1, [box(2)])
    assert told(object_memory.collect(MEMORY, [changed, *rows[1:]])) == told(objects.collect([changed, *rows[1:]]))
    assert looks[0] == changed.path


def test_a_file_that_was_cut_short_is_no_memory(rows: list[Row]) -> None:
    """Damage is told as it is without a memory."""
    object_memory.collect(MEMORY, rows)
    path = Path(rows[0].path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="is damaged"):
        object_memory.collect(MEMORY, rows)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        object_memory.collect(MEMORY, rows)


def test_a_damaged_memory_is_made_anew(rows: list[Row], looks: list[str]) -> None:
    """Nobody is told: nothing is lost but time."""
    wanted = told(object_memory.collect(MEMORY, rows))
    (kept,) = MEMORY.glob("*/*.parquet")
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 255
    kept.write_bytes(data)
    looks.clear()
    assert told(object_memory.collect(MEMORY, rows)) == wanted
    assert len(looks) == 3
    assert told(object_memory.collect(MEMORY, rows)) == wanted
    assert len(looks) == 3


def test_other_code_remembers_nothing(rows: list[Row], looks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it saw takes the place of what the former code saw."""
    object_memory.collect(MEMORY, rows)
    former = list(MEMORY.iterdir())
    monkeypatch.setattr(object_memory, "_CODE", (objects,))
    looks.clear()
    object_memory.collect(MEMORY, rows)
    assert len(looks) == 3
    assert len(former) == len(list(MEMORY.iterdir())) == 1
    assert former != list(MEMORY.iterdir())


def test_synthetic_images_are_not_remembered(rows: list[Row], looks: list[str]) -> None:
    """Each generation has its own."""
    made = stored(synthetic_row(), 5, [box()])
    for _ in range(2):
        assert told(object_memory.collect(MEMORY, [*rows, made])) == told(objects.collect([*rows, made]))
    looks.clear()
    object_memory.collect(MEMORY, [made])
    assert looks == [made.path]


def test_no_images() -> None:
    """Nothing is asked for, and nothing is written."""
    assert len(object_memory.collect(MEMORY, []).images) == 0
    assert not MEMORY.exists()


def test_image_vectors(rows: list[Row], looks: list[str]) -> None:
    """Of images with and without memory, in their order."""
    made = stored(synthetic_row(), 5, [])
    asked = [rows[2], made, rows[0]]
    wanted = embedding.embed(images.read(one.path) for one in asked)
    assert np.array_equal(object_memory.image_vectors(MEMORY, asked), wanted)
    object_memory.collect(MEMORY, rows)
    looks.clear()
    assert np.array_equal(object_memory.image_vectors(MEMORY, asked), wanted)
    assert looks == [made.path]
    assert object_memory.image_vectors(MEMORY, []).shape == (0, embedding.DIMENSIONS)
