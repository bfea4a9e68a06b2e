"""Copies under another guise are found, and what only looks alike is not."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.core import alignment, files, images, impostors, manifest, paths, portraits
from pipeline.core.alignment import Fit
from pipeline.core.errors import UserError
from pipeline.core.impostors import Known
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths
from pipeline.core.portraits import Portrait
from studies.impostors.changes import CHANGES, cropped
from tests.builders import Pixels, row, sha, synthetic_row


def scene(seed: int, *, width: int = 160, height: int = 120, things: int = 7) -> Pixels:
    """Discs of many sizes and colours on a noisy ground: BGR."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), rng.integers(190, 230), dtype=np.uint8)
    for _ in range(things):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        colour = [int(one) for one in rng.integers(20, 180, 3)]
        cv2.circle(pixels, centre, int(rng.integers(8, 24)), colour, -1, cv2.LINE_AA)
    return np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def portrait(pixels: Pixels, name: str = "asked") -> Portrait:
    """A portrait whose id follows from its name."""
    return portraits.portrait(pixels, image_id=sha(name), name=name)


@cache
def known() -> Known:
    """Forty scenes, named by their seeds."""
    return Known(portrait(scene(seed), str(seed)) for seed in range(40))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(change: str) -> None:
    """Whatever was done to it, a copy is found, and named by what it copies."""
    rng = np.random.default_rng(1)
    for seed in range(5):
        match = known().find(CHANGES[change](scene(seed), rng))
        assert match is not None
        assert match.name == str(seed)
        assert impostors.CORRELATION <= match.correlation <= 1


def test_other_images_are_not_flagged() -> None:
    """Scenes of the same kind, none of which is known, are copies of nothing."""
    others = [portrait(scene(seed), str(seed)) for seed in range(100, 180)]
    assert known().find_each(others) == [None] * 80


def test_one_object_more_is_another_image() -> None:
    """Two images of one place, of which one shows an object that the other lacks, are not copies."""
    plain = scene(3, width=64, height=64, things=5)
    more = plain.copy()
    cv2.circle(more, (20, 40), 9, (0, 0, 0), -1, cv2.LINE_AA)
    assert Known([portrait(plain)]).find(plain) is not None
    assert Known([portrait(plain)]).find(more) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda one: one, "the same pixels, correlation 1.000", id="same-pixels"),
        pytest.param(lambda one: one[:, ::-1], "mirrored left to right, correlation", id="mirrored"),
        pytest.param(lambda one: one[::-1, ::-1], "turned upside down, correlation", id="turned"),
        pytest.param(lambda one: one[12:108, 16:144], "cropped to 80% x 80%, correlation", id="cropped"),
        pytest.param(
            lambda one: cv2.copyMakeBorder(one, 20, 9, 0, 31, cv2.BORDER_CONSTANT, value=(255, 255, 255)),
            "inside a border, correlation",
            id="bordered",
        ),
    ],
)
def test_words(change: object, words: str) -> None:
    """A finding says what it is a copy of, and what was done to it."""
    match = known().find(np.ascontiguousarray(change(scene(5))))  # type: ignore[operator]
    assert str(match).startswith(f"copy of 5: {words}")


@pytest.mark.parametrize(
    ("correlation", "difference", "copy"),
    [
        pytest.param(0.94, 0.4, True, id="at-the-limits"),
        pytest.param(0.93, 0.1, False, id="too-little-alike"),
        pytest.param(0.99, 0.41, False, id="different-in-one-place"),
    ],
)
def test_is_copy(correlation: float, difference: float, copy: bool) -> None:  # noqa: FBT001 - a parameter
    """A copy is alike as a whole, and nowhere different."""
    fit = Fit(correlation=correlation, difference=difference, place=alignment.start(0, 0, 1))
    assert impostors.is_copy(fit) is copy


def test_nothing_to_go_by() -> None:
    """Flat images are copies by their pixels alone; and among no images there is none to copy."""
    grey = np.full((40, 60, 3), 120, dtype=np.uint8)
    flat = Known([portrait(grey)])
    assert flat.find(grey) is not None
    assert flat.find(grey[:30]) is None
    assert Known([]).find(grey) is None
    assert Known([]).find_each([]) == []


@given(seed=st.integers(0, 39), mirror=st.integers(0, 3), share=st.floats(0.8, 1), draw=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_any_crop_of_any_mirror_image(seed: int, mirror: int, share: float, draw: int) -> None:
    """A crop of a mirror image, anywhere in it, is found."""
    pixels = scene(seed)[:: -1 if mirror & 2 else 1, :: -1 if mirror & 1 else 1]
    match = known().find(cropped(pixels, share, np.random.default_rng(draw)))
    assert match is not None
    assert match.name == str(seed)


def test_exempt_pairs_are_not_compared() -> None:
    """What is exempt is not found, not even with the same pixels; the next best is."""
    first, again = portrait(scene(1), "first"), portrait(scene(1), "again")
    both = Known([first, again])
    found = both.find_each([first], exempt=lambda query, other: query == other)[0]
    assert found is not None
    assert found.name == "again"
    assert Known([first]).find_each([first], exempt=lambda query, other: query == other) == [None]


def test_the_answer_does_not_depend_on_company() -> None:
    """Each image gets the same answer alone and among others."""
    asked = [portrait(scene(seed)[:100], str(seed)) for seed in range(30, 50)]
    together = known().find_each(asked)
    alone = [known().find_each([one])[0] for one in asked]
    assert [one and one.name for one in together] == [one and one.name for one in alone]
    assert [one is not None for one in together] == [seed < 40 for seed in range(30, 50)]


def with_metadata(kind: str) -> bytes:
    """A file of another format that carries the mark in its metadata."""
    file = io.BytesIO()
    image = Image.fromarray(scene(0))
    if kind == "JPEG":
        image.save(file, format=kind, comment=f"{images.SYNTHETIC_MARK}=…".encode())
    else:
        image.save(file, format=kind, tiffinfo={270: f"{images.SYNTHETIC_MARK} of a run"})
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_mark_in_metadata(kind: str) -> None:
    """The mark counts wherever a converter puts it; a plain file has none."""
    assert impostors.is_marked(with_metadata(kind))
    assert not impostors.is_marked(images.encode_png(scene(0)))
    assert impostors.is_marked(images.encode_png(scene(0), {images.SYNTHETIC_MARK: "{}"}))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder as the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(one: Row, pixels: Pixels) -> Row:
    """Write a row's image; a synthetic one is named by its pixels, as the project does it."""
    changed = replace(one, image_id=portraits.pixel_digest(pixels)) if one.origin == "synthetic" else one
    files.write_bytes(Path(changed.path), images.encode_png(pixels))
    return changed


def made(*rows: Row) -> None:
    """Write the manifests of the runs that made these images."""
    for run in {one.run for one in rows}:
        manifest.write(RunPaths(run).synthetic_manifest, [one for one in rows if one.run == run])


def test_a_project_without_synthetic_images(project: Path) -> None:
    """Nothing is held against nothing: no image is read, and nothing is put on record."""

    def never() -> Portrait:
        raise AssertionError("an image was asked for")

    assert impostors.screen(never() for _ in range(1)) == {}
    impostors.require_real([row()])
    assert not paths.STATE.exists()


def test_require_real(project: Path) -> None:
    """A mirrored copy is refused by name, with the run and the image that it copies; others pass."""
    made(child := put(synthetic_row(), scene(1)))
    good = put(row("good"), scene(2))
    bad = put(row("bad"), scene(1)[:, ::-1])
    impostors.require_real([good, child])
    with pytest.raises(
        UserError, match=rf"bad is a copy of synthetic image {child.image_id[:12]} of run guarded-1: mi"
    ):
        impostors.require_real([good, bad])


def test_a_parent_is_no_copy_of_its_child(project: Path) -> None:
    """An image is not held against what was made from it, in whatever generation."""
    parent = put(row("a"), scene(1))
    child = put(synthetic_row("s", parents=(parent.image_id,)), scene(1)[:, ::-1].copy())
    path = "data/generate/guarded-2/images/t.png"
    grown = synthetic_row("t", run="guarded-2", generation=2, parents=(child.image_id,), lineage_depth=2, path=path)
    grandchild = put(grown, scene(1)[:110])
    made(child, grandchild)
    impostors.require_real([parent])
    with pytest.raises(UserError, match="stranger"):
        impostors.require_real([put(row("stranger"), scene(1)[5:])])


def test_what_a_synthetic_image_has_from_its_parent(project: Path) -> None:
    """A new view of a parent's scene is no copy of the child that has the same background; a copy of the child is."""
    still = scene(1)
    parent = put(row("a"), still)
    pasted = still.copy()
    cv2.circle(pasted, (80, 60), 3, (60, 60, 60), -1, cv2.LINE_AA)
    child = put(synthetic_row("s", parents=(parent.image_id,)), pasted)
    made(child)
    manifest.write(paths.REAL_MANIFEST, [parent])
    noise = np.random.default_rng(5).normal(0, 4, still.shape)
    later = np.clip(still + noise, 0, 255).astype(np.uint8)
    assert Known([portrait(pasted)]).find(later) is not None
    impostors.require_real([put(row("later"), later)])
    with pytest.raises(UserError, match="again"):
        impostors.require_real([put(row("again"), CHANGES["JPEG at quality 95"](pasted, np.random.default_rng(1)))])
