"""Collections of images and objects: named as the manifest and the label files have them, every file read once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import duplicates, embedding, images, labels, objects
from pipeline.core.errors import UserError
from pipeline.core.images import Pixels
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from tests.builders import box, picture, row, sha


def stored(name: str, boxes: list[Box], *, split: str = "train", pixels: Pixels | None = None) -> Row:
    """An image and its labels on the disk."""
    made = row(name, split=split, path=f"data/real/images/{name}.png")
    path = Path(made.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.label_path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode_png(picture(len(name)) if pixels is None else pixels))
    made.label_path.write_text(labels.format_boxes(boxes))
    return made


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_collect() -> None:
    """Images and objects have their ids, classes, splits, vectors, digests and hashes, in the order of the rows."""
    first = stored("a", [box(1), box(0, x=0.3)])
    second = stored("bb", [], split="val")
    third = stored("ccc", [box(2, width=0.5)], split="val")
    found = objects.collect([first, second, third])
    assert found.images.ids == (sha("a"), sha("bb"), sha("ccc"))
    assert found.images.splits == ("train", "val", "val")
    assert found.objects.ids == (f"{sha('a')}/0", f"{sha('a')}/1", f"{sha('ccc')}/0")
    assert found.classes.tolist() == [0, 1, 2]
    assert found.objects.images.tolist() == [0, 0, 2]
    assert found.objects.splits == ("train", "train", "val")
    assert found.left_out == ()
    pixels = images.read(first.path)
    crop = pixels[15:25, 8:20]  # box(0, x=0.3) on an image of 48 x 40 pixels
    assert np.array_equal(found.objects.vectors[0], embedding.embed([crop])[0])
    assert np.array_equal(
        found.images.vectors, embedding.embed(images.read(one.path) for one in (first, second, third))
    )
    assert found.objects.hashes[0] == duplicates.perceptual_hash(crop)
    assert found.objects.digests[0] == hashlib.sha256(b"10 12\n" + crop.tobytes()).hexdigest()


def test_files_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many objects there are, each image and label file is opened once."""
    rows = [stored(name, [box(), box(1)]) for name in ("a", "bb", "ccc")]
    opened: list[Path] = []
    read_image, read_labels = images.read, labels.read

    def image(path: Path | str) -> Pixels:
        opened.append(Path(path))
        return read_image(path)

    def boxes(path: Path) -> list[Box]:
        opened.append(path)
        return read_labels(path)

    monkeypatch.setattr(images, "read", image)
    monkeypatch.setattr(labels, "read", boxes)
    objects.collect(rows)
    assert sorted(opened) == sorted([*(Path(one.path) for one in rows), *(one.label_path for one in rows)])


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection is the same whatever the number of images at a time."""
    rows = [stored("x" * number, [box()]) for number in range(1, 6)]
    whole = objects.collect(rows)
    monkeypatch.setattr(objects, "_IMAGES_A_BLOCK", 2)
    parts = objects.collect(rows)
    assert np.array_equal(whole.objects.vectors, parts.objects.vectors)
    assert whole.images.ids == parts.images.ids


def test_tiny_objects_are_left_out() -> None:
    """An object less than two pixels wide or high is left out and named; one of two pixels is there."""
    found = objects.collect(
        [stored("a", [box(0, width=1 / 48), box(1, height=1 / 40), box(2, width=2 / 48, height=2 / 40)])]
    )
    assert found.classes.tolist() == [2]
    assert found.left_out == (f"{sha('a')}/0", f"{sha('a')}/1")
    assert found.of_split("train").left_out == found.left_out
    assert found.of_split("val").left_out == ()


@pytest.mark.parametrize(
    ("x", "y", "size", "shape"),
    [
        (0.5, 0.5, 0.5, (20, 24)),
        (0.0, 0.0, 0.5, (10, 12)),
        (1.0, 1.0, 0.5, (10, 12)),
        (1.0, 1.0, 1e-6, (1, 1)),
        (0.5, 0.5, 1e-6, (1, 1)),
        (0.5, 0.5, 1.0, (40, 48)),
    ],
    ids=[
        "inside",
        "over the first corner",
        "over the last corner",
        "nothing at the corner",
        "nothing",
        "whole image",
    ],
)
def test_crops_stay_on_the_image(x: float, y: float, size: float, shape: tuple[int, int]) -> None:
    """What sticks out of the image is cut off, and a pixel is always left."""
    found = objects.crop(picture(1), Box(class_id=0, x=x, y=y, width=size, height=size))
    assert found.shape == (*shape, 3)


def test_of_split() -> None:
    """A split's images keep their objects, and a collection divides into its splits."""
    rows = [
        stored(f"{split}-{number}", [box(number)], split=split) for split in ("train", "val") for number in range(3)
    ]
    whole = objects.collect(rows)
    parts = [whole.of_split(split) for split in ("train", "val", "test")]
    assert [len(part.images) for part in parts] == [3, 3, 0]
    assert tuple(one for part in parts for one in part.objects.ids) == whole.objects.ids
    assert [part.classes.tolist() for part in parts] == [[0, 1, 2], [0, 1, 2], []]
    assert np.array_equal(parts[1].objects.vectors, whole.objects.vectors[3:])


def test_no_images() -> None:
    """No rows make an empty collection."""
    found = objects.collect([])
    assert len(found.images) == len(found.objects) == 0
    assert found.objects.vectors.shape == (0, embedding.DIMENSIONS)


def test_equal_pixels_in_another_shape_are_not_equal() -> None:
    """Digests know the shape: the same bytes as another rectangle are another picture."""
    flat = np.full((4, 9, 3), 7, np.uint8)
    first = stored("a", [], pixels=flat)
    second = stored("bb", [], pixels=flat.reshape(9, 4, 3))
    found = objects.collect([first, second])
    assert len(set(found.images.digests)) == 2


def test_missing_files() -> None:
    """A missing image or label file is an error that names it."""
    kept = stored("a", [box()])
    kept.label_path.unlink()
    with pytest.raises(UserError, match=r"a\.txt is missing"):
        objects.collect([kept])
    with pytest.raises(UserError, match=r"b\.png is missing"):
        objects.collect([row("b", path="data/real/images/b.png")])
