"""Copy and paste by its rules: masks, blends, light, places, edges, occlusion, rare classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.core import blending, copy_paste, cutting, images, labels, params, placing
from pipeline.core.generate_settings import CopyPaste, Generate
from pipeline.core.labels import Box
from pipeline.core.placing import Page, Rules
from pipeline.core.synthesis import Drawn, Example, PixelBox
from tests import builders
from tests.imports import ROOT

BLENDS: dict[str, Callable[..., None]] = {
    "soft": blending.soft,
    "multiband": blending.multiband,
    "poisson": blending.poisson,
}
each_blend = pytest.mark.parametrize("blend", BLENDS.values(), ids=BLENDS)


def settings(**changes: Any) -> Generate:
    """The project's own settings of copy_paste, changed as asked."""
    plain = params.load(ROOT / "params.yaml").generate
    return replace(plain, generator="copy_paste", copy_paste=replace(plain.copy_paste, **changes))


def drawn(examples: Sequence[Example], chosen: Generate, *, count: int) -> list[Drawn]:
    """Some pages."""
    draw = copy_paste.fit(examples, chosen, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    return [draw(rng) for _ in range(count)]


def disc(folder: Path, name: str, centres: Sequence[tuple[int, int]], *, radius: int = 12, seed: int = 0) -> Example:
    """Discs on a page of 96 x 80 pixels, each with its box."""
    pixels = builders.picture(seed, width=96, height=80)
    boxes = []
    for x, y in centres:
        cv2.circle(pixels, (x, y), radius, (30, 30, 210), cv2.FILLED)
        side = 2 * radius + 1
        box = Box(class_id=0, x=(x + 0.5) / 96, y=(y + 0.5) / 80, width=side / 96, height=side / 80)
        boxes.append(labels.rounded(box))
    path = folder / f"{name}.png"
    path.write_bytes(images.encode_png(pixels))
    return Example(image_id=builders.sha(name), path=path, boxes=tuple(boxes))


def cut(examples: Sequence[Example], **changes: Any) -> list[cutting.Cutout]:
    """The objects of class 0."""
    return cutting.collect(examples, settings(**changes).copy_paste, np.random.default_rng(0))[0]


@pytest.mark.parametrize(
    "centres", [[(48, 40)], [(48, 40), (74, 40)], [(12, 12)]], ids=["alone", "beside another", "in the corner"]
)
def test_masks(centres: list[tuple[int, int]], tmp_path: Path) -> None:
    """A disc is found in its box, whatever stands beside it and where the image ends."""
    found = next(
        one
        for one in cut([disc(tmp_path, "a", centres)])
        if one.centre[0] == pytest.approx(centres[0][0] / 96, abs=0.01)
    )
    assert found.mask is not None
    truth = np.zeros(found.mask.shape, dtype=np.uint8)
    middle = found.margin + 12
    cv2.circle(truth, (middle, middle), 12, 1, cv2.FILLED)
    own = found.mask > 127
    assert (own & (truth > 0)).sum() / (own | (truth > 0)).sum() > 0.85


def test_no_mask(tmp_path: Path) -> None:
    """Where nothing sets an object apart, or it fills the image, its box is all there is; or where that is asked."""
    hidden = replace(disc(tmp_path, "a", []), boxes=(builders.box(0, width=0.3, height=0.3),))
    whole = replace(disc(tmp_path, "b", [], seed=1), boxes=(builders.box(0, width=1, height=1),))
    flat = tmp_path / "flat.png"
    flat.write_bytes(images.encode_png(np.full((40, 40, 3), 90, dtype=np.uint8)))
    plain = Example(image_id=builders.sha("flat"), path=flat, boxes=(builders.box(0),))
    assert [one.mask for one in cut([whole, plain])] == [None, None]
    assert cut([hidden], masks="box")[0].mask is None
    assert cut([disc(tmp_path, "c", [(48, 40)])], masks="box")[0].mask is None


def test_masks_repeat(tmp_path: Path) -> None:
    """Masks do not hang on which thread found them, or after what."""
    examples = [disc(tmp_path, f"{number}", [(30, 40), (70, 40)], seed=number) for number in range(4)]
    first, second = cut(examples), cut(examples)
    assert any(one.mask is not None for one in first)
    for one, two in zip(first, second, strict=True):
        assert one.centre == two.centre
        assert (one.mask is None) == (two.mask is None)
        if one.mask is not None and two.mask is not None:
            assert np.array_equal(one.mask, two.mask)


def test_memory(tmp_path: Path) -> None:
    """Rare objects are kept when the memory does not take all."""
    common = [disc(tmp_path, f"{number}", [(30, 40)], radius=28, seed=number) for number in range(12)]
    for one in common:  # the same, five times as large
        large = cv2.resize(images.read(one.path), None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
        one.path.write_bytes(images.encode_png(np.asarray(large, dtype=np.uint8)))
    rare = disc(tmp_path, "rare", [(48, 40)])
    rare = replace(rare, boxes=(replace(rare.boxes[0], class_id=1),))
    found = cutting.collect([*common, rare], settings(memory=2, masks="box").copy_paste, np.random.default_rng(0))
    assert len(found[1]) == 1
    assert 1 <= len(found[0]) < 12
    assert sum(one.pixels.nbytes for one in found[0]) <= 2 << 20


@each_blend
def test_same_stays_same(blend: Callable[..., None]) -> None:
    """A patch that shows what is there already changes nothing, wherever its mask lies."""
    page = builders.picture(0, width=60, height=48)
    under = page.copy()
    opacity = np.zeros((48, 60), dtype=np.float32)
    cv2.ellipse(opacity, (33, 20), (15, 11), 0, 0, 360, 1, cv2.FILLED)
    blend(under, page, opacity)
    assert np.abs(under.astype(int) - page).max() <= 1


@each_blend
def test_rim_stays(blend: Callable[..., None]) -> None:
    """At the rim of the part that is looked at the page is as it was, so that no edge shows."""
    page, patch = builders.picture(0, width=60, height=48), builders.picture(1, width=60, height=48)
    under = page.copy()
    opacity = np.zeros((48, 60), dtype=np.float32)
    opacity[12:36, 12:48] = 1
    blend(under, patch, opacity)
    for line in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.array_equal(under[line], page[line])
    assert not np.array_equal(under[20:28, 20:40], page[20:28, 20:40])


def test_soft_is_the_mask() -> None:
    """Opaque parts are the patch, clear ones the page, and half of both lies between."""
    under = np.full((1, 3, 3), 100, dtype=np.uint8)
    blending.soft(under, np.full((1, 3, 3), 200, dtype=np.uint8), np.array([[0, 0.5, 1]], dtype=np.float32))
    assert under[0, :, 0].tolist() == [100, 150, 200]


def test_poisson_keeps_differences() -> None:
    """An object in other light takes the level of the page, its own contrast kept."""
    page = np.full((40, 40, 3), 120, dtype=np.uint8)
    patch = np.full((40, 40, 3), 60, dtype=np.uint8)
    patch[15:25, 15:25] += 30
    opacity = np.zeros((40, 40), dtype=np.float32)
    opacity[8:32, 8:32] = 1
    blending.poisson(page, patch, opacity)
    assert page[20, 20, 0] - page[10, 10, 0] == pytest.approx(30, abs=3)
    assert page[10, 10, 0] == pytest.approx(120, abs=4)


@pytest.mark.parametrize(("height", "width"), [(5, 9), (24, 31), (97, 64)])
def test_poisson_solves_its_equation(height: int, width: int) -> None:
    """What is added to the page has the Laplacian of the patch's gradients under the mask, and none at the rim."""
    rng = np.random.default_rng(height)
    planes = rng.normal(0, 10, (3, height, width)).astype(np.float32)
    found = np.pad(blending._from_laplacian(planes), ((0, 0), (1, 1), (1, 1)))
    laplacian = np.diff(found, n=2, axis=1)[:, :, 1:-1] + np.diff(found, n=2, axis=2)[:, 1:-1]
    assert np.allclose(laplacian, planes, atol=1e-2)


def test_poisson_is_near_opencvs() -> None:
    """On a page with light and an object in another light, it comes to what OpenCV's own does."""
    rng = np.random.default_rng(4)
    page, patch = (
        cv2.resize(rng.uniform(low, high, (4, 4, 3)).astype(np.float32), (80, 80), interpolation=cv2.INTER_CUBIC)
        .clip(0, 255).astype(np.uint8)
        for low, high in ((110, 150), (80, 100))
    )  # fmt: skip
    cv2.circle(patch, (40, 40), 20, (200, 120, 60), cv2.FILLED)
    opacity = np.zeros((80, 80), dtype=np.float32)
    cv2.circle(opacity, (40, 40), 28, 1.0, cv2.FILLED)
    mask = (opacity > 0).astype(np.uint8) * np.uint8(255)
    theirs = cv2.seamlessClone(patch, page, cv2.dilate(mask, np.ones((17, 17), np.uint8)), (40, 40), cv2.NORMAL_CLONE)
    blending.poisson(page, patch, opacity)
    apart = np.abs(page.astype(np.int16) - theirs)
    assert apart.mean() < 3
    assert apart.max() < 20


@pytest.mark.parametrize(
    ("level", "light", "moved"),
    [
        pytest.param(125, None, 25, id="with surroundings"),
        pytest.param(240, None, 30, id="with surroundings, no further"),
        pytest.param(110, (107.0, 0.0), 10, id="alone"),
        pytest.param(240, (107.0, 0.0), 20, id="no further"),
    ],
)
def test_light(level: int, light: tuple[float, float] | None, moved: int) -> None:
    """The object is as much lighter as its new surroundings are; what comes without its own is moved so far only."""
    patch = np.full((30, 30, 3), 100, dtype=np.uint8)
    patch[10:20, 10:20] = 60
    lit = blending.matched(patch, np.full((30, 30, 3), level, dtype=np.uint8), light)
    assert int(lit[15, 15].mean()) - 60 == pytest.approx(moved, abs=4)


def test_light_of_the_surroundings(tmp_path: Path) -> None:
    """The light about an object is that of what is beside it, without other objects."""
    page = disc(tmp_path, "a", [(30, 40), (54, 40)])
    pixels = images.read(page.path)
    pixels[(pixels != (30, 30, 210)).any(axis=2)] = 150
    page.path.write_bytes(images.encode_png(pixels))
    level = float(cv2.cvtColor(np.full((1, 1, 3), 150, dtype=np.uint8), cv2.COLOR_BGR2LAB)[0, 0, 0])
    assert {one.light[0] for one in cut([page])} == {level}
    assert max(one.light[1] for one in cut([page])) < 1


def road(count: int = 60) -> list[Example]:
    """Objects that are small far up and large low down, all of them standing between 0.5 and 0.9."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        foot = rng.uniform(0.5, 0.9)
        size = 0.4 * (foot - 0.4)
        box = builders.box(0, x=rng.uniform(0.2, 0.8), y=foot - size / 2, width=size, height=size)
        made.append(Example(image_id=builders.sha(number), path=Path(), boxes=(box,)))
    return made


def test_size_goes_with_position() -> None:
    """Objects are as large as those that stand near, and none stands where none does."""
    places = placing.learn(road())[0]
    rng = np.random.default_rng(1)
    found = np.array([places.draw(rng, page) for page in range(400)])
    assert found[:, 1].min() > 0.4
    assert found[:, 1].max() < 1.0
    assert np.abs(found[:, 2] - 0.4 * (found[:, 1] - 0.4)).mean() < 0.03
    assert np.corrcoef(found[:, 1], found[:, 2])[0, 1] > 0.8


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_places(count: int) -> None:
    """One, two or three objects are enough to say where such objects stand."""
    places = placing.learn(road(count))[0]
    found = np.array([places.draw(np.random.default_rng(seed), 0) for seed in range(50)])
    nearest = np.abs(found[:, None, :2] - places.feet[None]).max(axis=2).min(axis=1)
    assert nearest.max() < 0.25
    assert len(np.unique(found[:, 0])) == 50


RULES = Rules(occlusion=0.2, truncated=0.0, most_truncated=0.5)
NO_EDGE = (False, False, False, False)


@pytest.mark.parametrize(
    ("edges", "wanted"),
    [
        pytest.param((True, False, False, False), (0, None), id="left"),
        pytest.param((False, True, False, False), (None, 0), id="top"),
        pytest.param((False, False, True, False), (80, None), id="right"),
        pytest.param((False, False, True, True), (80, 60), id="right and bottom"),
    ],
)
def test_half_objects_stay_at_their_edge(
    edges: tuple[bool, bool, bool, bool], wanted: tuple[int | None, int | None]
) -> None:
    """What the edge of its image cut off goes to the same edge of the page."""
    box = Page(100, 80, RULES).place(np.random.default_rng(0), (20, 20), (0.5, 0.5), edges, jitter=np.zeros(2))
    assert box is not None
    assert wanted[0] in (None, box.x)
    assert wanted[1] in (None, box.y)


def test_truncation() -> None:
    """Objects over the edge show at least the share that is asked for, and the label is of what shows."""
    rules = replace(RULES, truncated=1.0, occlusion=1.0)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(100):
        page = Page(100, 80, rules)
        box = page.place(rng, (20, 30), (rng.uniform(0.1, 0.9), 0.6), NO_EDGE, jitter=np.zeros(2))
        assert box is not None
        seen = page.visible(box)
        assert min(seen.x, seen.y) >= 0
        assert seen.x + seen.width <= 100
        assert seen.y + seen.height <= 80
        shares.append(seen.width * seen.height / (20 * 30))
    assert min(shares) >= 0.5
    assert np.mean(np.array(shares) < 1) > 0.8


def test_hidden_by_several() -> None:
    """What several objects cover together counts, though none of them covers too much."""
    page = Page(100, 100, replace(RULES, occlusion=0.3))
    page.taken = [PixelBox(x=40, y=40, width=20, height=20), PixelBox(x=35, y=30, width=9, height=40)]
    assert placing._hidden(page.taken[0], page.taken) == pytest.approx(0.2)
    assert page._is_free(PixelBox(x=59, y=35, width=10, height=20))
    assert not page._is_free(PixelBox(x=56, y=35, width=20, height=40))


def tailed(folder: Path, counts: Sequence[int]) -> list[Example]:
    """Images with one object each, so many of each class."""
    classes = [class_id for class_id, count in enumerate(counts) for _ in range(count)]
    return [
        builders.example(folder, f"{number}", [builders.box(class_id, width=0.2, height=0.2)], seed=number)
        for number, class_id in enumerate(classes)
    ]


@pytest.mark.parametrize(("boost", "share"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)], ids=["none", "half", "full"])
def test_rare_boost(boost: float, share: float, tmp_path: Path) -> None:
    """Without a boost classes are as frequent as in the data, with a full one all equally."""
    chosen = settings(rare_boost=boost, masks="box", max_repeats=1000)
    pages = drawn(tailed(tmp_path, [18, 2]), chosen, count=400)
    found = Counter(box.class_id for page in pages for box in page.boxes)
    assert found[1] / found.total() == pytest.approx(share, abs=0.07)


def test_repeats_are_capped(tmp_path: Path) -> None:
    """No object is pasted more often than allowed: others take its place, and in the end pages stay empty."""
    pages = drawn(tailed(tmp_path, [5, 2]), settings(rare_boost=1.0, masks="box", max_repeats=4), count=60)
    found = [Counter(box.class_id for page in part for box in page.boxes) for part in (pages[:12], pages)]
    assert found[1] == {0: 5 * 4, 1: 2 * 4}
    assert found[0].total() == 12


def test_backgrounds_repeat(tmp_path: Path) -> None:
    """A page is the same whether the memory keeps backgrounds or makes each of them anew."""
    examples = tailed(tmp_path, [3])
    many = drawn(examples, settings(masks="box"), count=10)
    model = copy_paste._Backgrounds(examples, 0, 7)
    assert np.array_equal(model.copy_of(1), model.copy_of(1))
    assert model._kept == {}
    assert len({page.pixels.tobytes() for page in many}) == 10


def test_defaults() -> None:
    """A params.yaml of old, without the newer keys, has the settings that the project ships."""
    old = CopyPaste(scale=(0.8, 1.2), rotate=10, brightness=0.15, colour=0.05, blend="soft")
    assert old == settings().copy_paste
