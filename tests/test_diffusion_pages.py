"""Objects of a diffusion model on pages: what is cut out, and where what is drawn is put."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.adapters import diffusion_pages
from pipeline.adapters.diffusion_pages import Painted, Wanted
from pipeline.core import images, synthesis
from pipeline.core.synthesis import Example
from tests import builders


def examples(folder: Path) -> list[Example]:
    """Two images with objects of classes 0 and 2, and a background."""
    boxes = [builders.box(0, x=0.25, y=0.4, width=0.25, height=0.3), builders.box(2, x=0.7, y=0.6)]
    one = builders.example(folder, "one", boxes, seed=1)
    two = builders.example(folder, "two", boxes[:1], seed=2)
    return [one, two, builders.example(folder, "background", seed=3)]


def test_collected_objects(tmp_path: Path) -> None:
    """Each object is cut out once, at the side that is wanted, above the light that it stands in."""
    crops = diffusion_pages.collect(examples(tmp_path), side=8, rng=np.random.default_rng(0))
    assert crops.appearance.shape == (3, 8, 8, 3)
    assert sorted(crops.classes) == [0, 0, 2]
    assert np.allclose(np.exp(crops.log_size[crops.classes == 0]), (12, 12))
    assert np.allclose(np.exp(crops.log_size[crops.classes == 2]), (12, 10))
    assert sorted(crops.image_ids) == sorted([builders.sha("one")] * 2 + [builders.sha("two")])
    rims = np.concatenate([crops.appearance[:, 0], crops.appearance[:, -1]], axis=1)
    assert np.abs(np.median(rims, axis=1)).max() < 20


def test_crowded_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a class with too many objects some are taken, by chance and the same for the same chance."""
    boxes = [builders.box(0, x=x, width=0.1, height=0.1 + 0.1 * number) for number, x in enumerate((0.2, 0.5, 0.8))]
    one = builders.example(tmp_path, "one", boxes)
    monkeypatch.setattr(diffusion_pages, "_MOST_CROPS", 2)
    taken = [diffusion_pages.collect([one], side=8, rng=np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    assert [len(crops) for crops in taken] == [2] * 5
    sizes = [tuple(crops.log_size[:, 1]) for crops in taken]
    assert sizes[0] == sizes[1]
    assert len(set(sizes)) > 1


def test_no_objects(tmp_path: Path) -> None:
    """Where no example has an object, backgrounds are drawn, and nothing is asked to paint."""
    only = [builders.example(tmp_path, "background", seed=3)]

    def paint(wanted: Sequence[Wanted]) -> list[Painted]:
        assert not wanted
        return []

    assert len(diffusion_pages.collect(only, side=8, rng=np.random.default_rng(0))) == 0
    drawn = diffusion_pages.compose(only, paint, pages=2, details={}).draw([np.random.default_rng(0)])
    assert drawn[0].boxes == ()
    assert drawn[0].parents == (builders.sha("background"),)


def test_pages(tmp_path: Path) -> None:
    """Objects are painted all at once, and end on the page that asked, where their label says."""
    asked: list[int] = []

    def paint(wanted: Sequence[Wanted]) -> list[Painted]:
        asked.append(len(wanted))
        patch = np.full((8, 8, 3), -200, dtype=np.float32)
        return [Painted(patch=patch, size=(9, 7), parents=(builders.sha(one.class_id),)) for one in wanted]

    known = examples(tmp_path)
    batched = diffusion_pages.compose(known, paint, pages=5, details={"model": "flat"})
    assert batched.size == 5
    drawn = batched.draw([np.random.default_rng(seed) for seed in range(5)])
    assert asked == [sum(len(page.boxes) for page in drawn)]
    assert asked[0] > 2
    for page in drawn:
        assert page.details == {"model": "flat"}
        assert {builders.sha(box.class_id) for box in page.boxes} < set(page.parents)
        for box in page.boxes:
            place = synthesis.to_pixels(box, page.pixels)
            assert (place.width, place.height) == (9, 7)
            assert place.cut(page.pixels).mean() < 40


def test_alone_or_together(tmp_path: Path) -> None:
    """An image is the same whichever others are drawn with it: its chance is its own."""
    known = examples(tmp_path)

    def paint(wanted: Sequence[Wanted]) -> list[Painted]:
        patches = [one.rng.standard_normal((8, 8, 3)).astype(np.float32) * 40 for one in wanted]
        return [Painted(patch=patch, size=(8, 8), parents=()) for patch in patches]

    draw = diffusion_pages.compose(known, paint, pages=4, details={}).draw
    together = draw([np.random.default_rng(seed) for seed in range(4)])
    for seed in range(4):
        alone = draw([np.random.default_rng(seed)])[0]
        assert alone.boxes == together[seed].boxes
        assert np.array_equal(alone.pixels, together[seed].pixels)
    assert {page.pixels.shape for page in together} == {images.read(known[0].path).shape}
