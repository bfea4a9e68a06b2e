"""Generators: what they draw fits the page, comes from the examples, and is the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import copy_paste, images, mixture, page_model, synthesis
from pipeline.core.generate_settings import CopyPaste, Generate, Mixture
from pipeline.core.labels import Box
from pipeline.core.synthesis import Drawn, Example, Fit, PixelBox
from tests import builders
from tests.builders import example

PARAMS = Generate(
    generator="mixture",
    labels="layout",
    confidence=0.25,
    images=1,
    mixture=Mixture(crop=8, components=4, clusters=2),
    copy_paste=CopyPaste(scale=(0.8, 1.2), rotate=30, brightness=0.15, colour=0.05, blend="soft", max_occlusion=0.1),
)
BOXES, POISSON, BANDS = (
    replace(PARAMS, copy_paste=replace(PARAMS.copy_paste, **changes))  # type: ignore[arg-type]  # of its fields
    for changes in ({"masks": "box"}, {"blend": "poisson"}, {"blend": "multiband"})
)
PATCHES = replace(PARAMS, mixture=replace(PARAMS.mixture, backgrounds="patches"))
GENERATORS: dict[str, tuple[Fit, Generate]] = {
    "mixture": (mixture.fit, PARAMS),
    "mixture patches": (mixture.fit, PATCHES),
    "copy_paste soft": (copy_paste.fit, PARAMS),
    "copy_paste boxes": (copy_paste.fit, BOXES),
    "copy_paste poisson": (copy_paste.fit, POISSON),
    "copy_paste multiband": (copy_paste.fit, BANDS),
}
each_generator = pytest.mark.parametrize(("fit", "params"), GENERATORS.values(), ids=GENERATORS)


def crowd(folder: Path, *, count: int = 6) -> list[Example]:
    """Images of classes 0 and 2, the last one a background."""
    made = []
    for number in range(count - 1):
        boxes = [
            builders.box(0, x=0.3, y=0.3 + 0.05 * number, width=0.2, height=0.25),
            builders.box(2, x=0.7, y=0.6, width=0.25, height=0.2 + 0.02 * number),
        ]
        made.append(example(folder, f"page {number}", boxes, seed=number))
    return [*made, example(folder, "background", seed=count)]


def drawn(fit: Fit, params: Generate, examples: Sequence[Example], *, count: int = 12, seed: int = 0) -> list[Drawn]:
    """Some pages of a generator that was fitted to the examples."""
    draw = fit(examples, params, np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 1)
    return [draw(rng) for _ in range(count)]


def check(pages: Sequence[Drawn], examples: Sequence[Example]) -> None:
    """What holds of every drawn page."""
    ids = {one.image_id for one in examples}
    sizes = {images.read(one.path).shape for one in examples}
    classes = {box.class_id for one in examples for box in one.boxes}
    most = max(len(one.boxes) for one in examples)
    for page in pages:
        assert page.pixels.dtype == np.uint8
        assert page.pixels.shape in sizes
        assert {box.class_id for box in page.boxes} <= classes
        assert len(page.boxes) <= most
        assert all(min(box.corners()) >= -1e-6 and max(box.corners()) <= 1 + 1e-6 for box in page.boxes)
        assert page.parents == tuple(sorted(set(page.parents)))
        assert 1 <= len(page.parents) <= 1 + len(page.boxes)
        assert set(page.parents) <= ids


@each_generator
def test_pages(fit: Fit, params: Generate, tmp_path: Path) -> None:
    """Boxes lie inside the frame, absent classes stay absent, parents are examples, sorted and each once."""
    examples = crowd(tmp_path)
    pages = drawn(fit, params, examples, count=30)
    check(pages, examples)
    assert {box.class_id for page in pages for box in page.boxes} == {0, 2}
    assert any(len(page.parents) > 1 for page in pages)


@each_generator
def test_same_seed_same_pages(fit: Fit, params: Generate, tmp_path: Path) -> None:
    """The seed alone decides the pixels, boxes and parents."""
    examples = crowd(tmp_path)
    first, second, other = (drawn(fit, params, examples, count=5, seed=seed) for seed in (0, 0, 1))
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one.pixels, two.pixels)
        assert (one.boxes, one.parents) == (two.boxes, two.parents)
    assert any(not np.array_equal(one.pixels, two.pixels) for one, two in zip(first, other, strict=True))


@each_generator
@pytest.mark.parametrize("objects", [1, 2, 3, 25])
def test_few_objects(fit: Fit, params: Generate, objects: int, tmp_path: Path) -> None:
    """A class with one, two or three objects can be fitted and drawn; so can one whose objects are all alike."""
    box = builders.box(1, x=0.4, width=0.3)
    examples = [example(tmp_path, f"page {number}", [box]) for number in range(objects)]
    pages = drawn(fit, params, examples)
    check(pages, examples)
    assert {box.class_id for page in pages for box in page.boxes} == {1}


@each_generator
def test_only_backgrounds(fit: Fit, params: Generate, tmp_path: Path) -> None:
    """From images without objects come images without objects, with the scene as only parent."""
    examples = [example(tmp_path, f"page {number}", seed=number) for number in range(2)]
    pages = drawn(fit, params, examples)
    check(pages, examples)
    assert all(page.boxes == () and len(page.parents) == 1 for page in pages)


@each_generator
def test_page_smaller_than_any_object(fit: Fit, params: Generate, tmp_path: Path) -> None:
    """An object that does not fit on a page is left out, and its image is then no parent."""
    large = example(tmp_path, "large", [builders.box(0, width=0.8, height=0.8)], width=60, height=60)
    small = example(tmp_path, "small", width=9, height=7)
    pages = drawn(fit, params, [large, small], count=25)
    check(pages, [large, small])
    tiny = [page for page in pages if page.pixels.shape == (7, 9, 3)]
    assert tiny
    assert all(page.boxes == () and len(page.parents) == 1 for page in tiny)
    if params is not PATCHES:  # whose pages are nobody's
        assert {page.parents for page in tiny} == {(small.image_id,)}


@each_generator
@pytest.mark.parametrize("pixels", [1, 2, 3, 4, 5])
def test_tiny_objects(fit: Fit, params: Generate, pixels: int, tmp_path: Path) -> None:
    """Objects of a few pixels, also in corners, are cut and drawn like others."""
    side = pixels / 40
    boxes = [
        builders.box(0, x=side / 2, y=side / 2, width=side, height=side),
        builders.box(0, x=1 - side / 2, y=1 - side / 2, width=side, height=side),
        builders.box(0, width=side, height=side),
    ]
    examples = [example(tmp_path, "page", boxes, width=40, height=40)]
    pages = drawn(fit, params, examples)
    check(pages, examples)
    assert all(page.boxes for page in pages if len(page.parents) == 1)


@each_generator
def test_object_as_large_as_its_page(fit: Fit, params: Generate, tmp_path: Path) -> None:
    """A close-up, all of it object, can be fitted; what is drawn of it fits the page."""
    examples = [example(tmp_path, "close", [builders.box(0, width=1, height=1)], width=16, height=16)]
    same_size = replace(params, copy_paste=replace(params.copy_paste, scale=(1.0, 1.0), rotate=0))
    pages = drawn(fit, same_size, examples)
    check(pages, examples)
    assert all(len(page.boxes) == 1 for page in pages)


@pytest.mark.parametrize("params", [PARAMS, POISSON], ids=["soft", "poisson"])
@pytest.mark.parametrize("limit", [0.0, 0.1, 0.5])
def test_occlusion_limit(params: Generate, limit: float, tmp_path: Path) -> None:
    """No object, as it is labelled after its rotation, covers more of another than the limit."""
    boxes = [builders.box(0, x=0.2 + 0.15 * number, width=0.3, height=0.3) for number in range(5)]
    examples = [example(tmp_path, "page", boxes)]
    chosen = replace(params, copy_paste=replace(params.copy_paste, rotate=45, max_occlusion=limit))
    crowded = 0
    for page in drawn(copy_paste.fit, chosen, examples, count=25):
        places = [synthesis.to_pixels(box, page.pixels) for box in page.boxes]
        shares = [one.covered_by(other) for one in places for other in places if one is not other]
        assert max(shares, default=0) <= limit
        crowded += any(0 < share <= limit for share in shares)
    assert crowded or limit == 0


def test_parents_of_copies(tmp_path: Path) -> None:
    """The parents of a pasted page are its scene and the images that its objects were cut from."""
    source = example(tmp_path, "source", [builders.box(0)])
    scenes = [example(tmp_path, f"scene {number}", seed=number + 1) for number in range(3)]
    for page in drawn(copy_paste.fit, PARAMS, [source, *scenes], count=30):
        if page.boxes:
            assert source.image_id in page.parents


def test_untouched_background(tmp_path: Path) -> None:
    """An image without objects is its own background, pixel by pixel."""
    plain = example(tmp_path, "plain")
    rng = np.random.default_rng(0)
    assert np.array_equal(synthesis.background(plain, rng), images.read(plain.path))


@pytest.mark.parametrize(
    ("box", "size"),
    [
        pytest.param(builders.box(2), (48, 40), id="small page"),
        pytest.param(builders.box(2, x=0.1, y=0.1, width=0.2, height=0.2), (48, 40), id="corner"),
        pytest.param(builders.box(2, width=0.5, height=0.5), (400, 300), id="page that is filled at a smaller size"),
        pytest.param(builders.box(2, x=0.45, width=0.9, height=1), (48, 40), id="nearly all of the page"),
        pytest.param(builders.box(2, x=0.47375, width=0.9475, height=1), (800, 40), id="all but three columns"),
    ],
)
def test_objects_are_filled_in(box: Box, size: tuple[int, int], tmp_path: Path) -> None:
    """Where an object was, the page looks like its surroundings: nothing of its colour is left unlabelled."""
    page = example(tmp_path, "page", [box], width=size[0], height=size[1])
    before = images.read(page.path)
    colour = np.array([80, 30, 200])
    assert (np.abs(before.astype(int) - colour).max(axis=2) <= 2).sum() > 50
    after = synthesis.background(page, np.random.default_rng(0))
    assert after.shape == before.shape
    assert (np.abs(after.astype(int) - colour).max(axis=2) <= 40).sum() == 0


def test_all_object(tmp_path: Path) -> None:
    """An image that is all object becomes flat, of its mean colour."""
    page = example(tmp_path, "page", [builders.box(2, width=1, height=1)])
    found = synthesis.background(page, np.random.default_rng(0))
    assert np.array_equal(np.unique(found.reshape(-1, 3), axis=0), [[80, 30, 200]])


PLACES = st.builds(
    PixelBox, x=st.integers(0, 39), y=st.integers(0, 29), width=st.integers(1, 40), height=st.integers(1, 30)
).filter(lambda box: box.x + box.width <= 40 and box.y + box.height <= 30)
PAGE = np.zeros((30, 40, 3), dtype=np.uint8)


@given(PLACES, st.integers(0, 5))
def test_pixel_boxes_round_trip(place: PixelBox, class_id: int) -> None:
    """The label of a place leads back to the same pixels."""
    label = synthesis.to_label(place, class_id, PAGE)
    assert synthesis.to_pixels(label, PAGE) == place
    assert label.class_id == class_id


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_to_pixels_stays_inside(x: float, y: float, width: float, height: float) -> None:
    """Any label inside the frame is at least one pixel, inside the image."""
    corners = (max(x - width / 2, 0), max(y - height / 2, 0), min(x + width / 2, 1), min(y + height / 2, 1))
    box = Box(
        class_id=0,
        x=(corners[0] + corners[2]) / 2,
        y=(corners[1] + corners[3]) / 2,
        width=max(corners[2] - corners[0], 1e-6),
        height=max(corners[3] - corners[1], 1e-6),
    )
    place = synthesis.to_pixels(box, PAGE)
    assert min(place.width, place.height) >= 1
    assert place.cut(PAGE).shape[:2] == (place.height, place.width)


@given(PLACES, PLACES)
def test_covered_by(one: PixelBox, other: PixelBox) -> None:
    """The covered share is that of the pixels that both have."""
    mask = np.zeros(PAGE.shape[:2], dtype=int)
    mask[other.y : other.y + other.height, other.x : other.x + other.width] = 1
    inside = mask[one.y : one.y + one.height, one.x : one.x + one.width]
    assert one.covered_by(other) == pytest.approx(inside.mean())


@settings(max_examples=40)
@given(st.lists(PLACES, max_size=5), st.integers(1, 45), st.integers(1, 35), st.sampled_from([0.0, 0.2, 1.0]))
def test_place(taken: list[PixelBox], width: int, height: int, occlusion: float) -> None:
    """A place lies inside the page and respects the limit both ways; what is larger than the page gets none."""
    layout = synthesis.Layout(
        counts=np.array([1]), classes=np.array([0]), centres=np.array([[0.5, 0.5]]), occlusion=occlusion
    )
    place = layout.place(np.random.default_rng(0), (width, height), PAGE, taken)
    if place is None:
        assert width > 40 or height > 30 or taken
        return
    assert (place.width, place.height) == (width, height)
    assert place.cut(PAGE).shape[:2] == (height, width)
    assert all(max(place.covered_by(old), old.covered_by(place)) <= occlusion for old in taken)


def test_layout_of_pages(tmp_path: Path) -> None:
    """Pages have as many objects as the examples, of classes as often, and occlusion as in the data."""
    side_by_side = [builders.box(0, x=0.25), builders.box(1, x=0.75)]
    overlapping = [builders.box(1, x=0.5), builders.box(1, x=0.625)]
    examples = [example(tmp_path, "a", side_by_side), example(tmp_path, "b", overlapping), example(tmp_path, "c")]
    layout = synthesis.fit_layout(examples)
    assert layout.occlusion == pytest.approx(0.5, abs=1e-5)
    assert synthesis.fit_layout(examples, occlusion=0.1).occlusion == 0.1
    assert synthesis.fit_layout(examples[2:]).occlusion == 0
    rng = np.random.default_rng(0)
    pages = [layout.classes_of_a_page(rng) for _ in range(600)]
    assert {len(page) for page in pages} == {0, 2}
    assert np.mean([len(page) == 2 for page in pages]) == pytest.approx(2 / 3, abs=0.08)
    assert np.mean([class_id for page in pages for class_id in page]) == pytest.approx(3 / 4, abs=0.06)


def test_sizes_stay_reasonable(tmp_path: Path) -> None:
    """Sizes are drawn on a logarithm, so one far draw could ask for terabytes: none is over twice the largest seen."""
    boxes = [builders.box(0, width=side, height=side) for side in (0.1, 0.2, 0.5)]
    examples = [example(tmp_path, f"page {number}", [box]) for number, box in enumerate(boxes)]
    crops = mixture._collect(examples, 8, np.random.default_rng(0))[0]
    model = mixture._fit_class(crops, PARAMS.mixture, seed=0)
    components = model.features.shape[1]
    far = SimpleNamespace(
        weights_=np.ones(1), means_=np.full((1, components), 40.0), covariances_=np.ones((1, components))
    )
    _, size, _ = replace(model, mixture=far).draw(np.random.default_rng(0))
    assert max(size) <= 2 * 24


@pytest.mark.parametrize("fit", [mixture.fit, copy_paste.fit], ids=["mixture", "copy_paste"])
def test_examples_stay_as_they_are(fit: Callable[..., object], tmp_path: Path) -> None:
    """Neither fitting nor drawing writes to the examples' files."""
    examples = crowd(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    drawn(fit, PARAMS, examples, count=3)  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def variety(pages: Sequence[images.Pixels]) -> float:
    """How much pages differ from one another, seen from afar."""
    small = [cv2.resize(page, (8, 8), interpolation=cv2.INTER_AREA) for page in pages]
    return float(np.std(small, axis=0).mean())


def test_drawn_backgrounds(tmp_path: Path) -> None:
    """Pages of the model are as light as the examples and copies of none; over generations they grow more alike."""
    examples = [example(tmp_path, f"page {number}", seed=number, width=64, height=48) for number in range(24)]
    pages = real = [images.read(one.path) for one in examples]
    spreads, grains = [], []
    for generation in range(4):
        spreads.append(variety(pages))
        grains.append(np.mean([cv2.Laplacian(page, cv2.CV_64F).std() for page in pages]))
        model = page_model.fit(examples, np.random.default_rng(generation))
        rng = np.random.default_rng(10 + generation)
        made = [model.draw(rng) for _ in examples]
        assert {parent for _, parent in made} <= {one.image_id for one in examples}
        pages = [page for page, _ in made]
        assert np.mean(pages) == pytest.approx(np.mean(real), abs=12)
        assert min(np.abs(page.astype(float) - other).mean() for page in pages for other in real) > 3
        examples = [replace(one, path=tmp_path / f"{generation}-{number}.png") for number, one in enumerate(examples)]
        for one, page in zip(examples, pages, strict=True):
            one.path.write_bytes(images.encode_png(page))
    assert max(grains[1:]) < 0.8 * grains[0]
    assert spreads[0] > spreads[1] > spreads[3]
