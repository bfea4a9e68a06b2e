"""The embedding: unit vectors that know a copy again, and depend on nothing but the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from pipeline.core import digits, embedding, images
from pipeline.core.images import Pixels
from pipeline.core.sources.voc import read_voc
from tests.builders import picture

BCCD = Path(__file__).parents[3] / "shared" / "data" / "bccd"
Place = tuple[int, int, int, int]  # left, top, width, height in pixels
Change = Callable[[Pixels, Place], tuple[Pixels, Place]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """One object on an image; no two of them show the same thing."""

    pixels: Pixels
    place: Place
    kind: int


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """The image after a lossy encoding."""
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def brighter(pixels: Pixels, factor: float) -> Pixels:
    """The image, brighter or darker."""
    return np.clip(np.round(pixels * factor), 0, 255).astype(np.uint8)


def smaller(pixels: Pixels, factor: float) -> Pixels:
    """The image at another size."""
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def on_another_page(pixels: Pixels, place: Place) -> tuple[Pixels, Place]:
    """The object pasted into another image."""
    x, y, width, height = place
    other = picture(x + 64 * y, width=width + 30, height=height + 20)
    other[7 : 7 + height, 11 : 11 + width] = pixels[y : y + height, x : x + width]
    return other, (11, 7, width, height)


def cut(pixels: Pixels, place: Place) -> Pixels:
    """The part of an image in a box of whole pixels, as far as the image goes."""
    x, y, width, height = place
    return pixels[max(y, 0) : y + height, max(x, 0) : x + width]


def scaled(pixels: Pixels, place: Place) -> tuple[Pixels, Place]:
    """The object on its image at nine tenths of the size."""
    x, y, width, height = (round(0.9 * edge) for edge in place)
    return smaller(pixels, 0.9), (x, y, width, height)


def moved(across: int, down: int, wider: int = 0, higher: int = 0) -> Change:
    """The same image, with the box elsewhere."""
    return lambda pixels, place: (pixels, (place[0] + across, place[1] + down, place[2] + wider, place[3] + higher))


CHANGES: dict[str, Change] = {
    "jpeg": lambda pixels, place: (jpeg(pixels, 70), place),
    "brighter": lambda pixels, place: (brighter(pixels, 1.1), place),
    "darker": lambda pixels, place: (brighter(pixels, 0.9), place),
    "on another page": on_another_page,
    "smaller": scaled,
    "box moved by a pixel": moved(1, 1),
    "box moved by two pixels": moved(2, -1),
    "box of another size": moved(-1, 0, 2, -1),
}
# Digits are 8 to 24 pixels wide: a box that is off by a pixel or two leaves out a stroke.
LEAST = {
    "digits": {
        "smaller": 0.92,
        "box moved by a pixel": 0.8,
        "box moved by two pixels": 0.6,
        "box of another size": 0.8,
    },
    "blood cells": {},
}


def pages_of_digits() -> list[Object]:
    """Digits on pages as the default source composes them, each of another identity."""
    from sklearn.datasets import load_digits

    dataset = load_digits()
    ink = dataset.images.astype(np.uint8)
    identities = {int(name): np.flatnonzero(dataset.target == name).tolist() for name in range(6)}
    style = digits.PageStyle(size=64, digit_size=(16, 24), digits_a_page=(3, 5), classes=6, tail=0.5)
    found: dict[int, Object] = {}
    for number in range(120):
        page = digits.compose(ink, identities, style, key=f"embedding/{number}")
        pixels = np.repeat(page.pixels[:, :, None], 3, axis=2)
        for one in page.digits:
            place = (one.x, one.y, one.width, one.height)
            found.setdefault(one.digit, Object(pixels=pixels, place=place, kind=one.class_id))
    return [found[digit] for digit in sorted(found)]


def blood_cells() -> list[Object]:
    """Cells on the first photographs of BCCD."""
    if not BCCD.is_dir():
        pytest.skip("BCCD is not in ../shared/data/bccd")
    cells = read_voc(BCCD)
    found = []
    for image in cells.images[:25]:
        pixels = images.read(image.path)
        for box in image.boxes:
            left, top, right, bottom = (round(edge) for edge in box.corners)
            if min(right - left, bottom - top) >= 4:
                x, y = max(left - 8, 0), max(top - 8, 0)  # the cell and a little around it: quicker than the whole
                place = (left - x, top - y, right - left, bottom - top)
                part = pixels[y : bottom + 8, x : right + 8]
                found.append(Object(pixels=part, place=place, kind=cells.classes.index(box.class_name)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Objects with their vectors, and each one's similarity with the nearest different object of its class."""

    name: str
    objects: list[Object]
    vectors: embedding.Vectors
    nearest: npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=["digits", "blood cells"])
def source(request: pytest.FixtureRequest) -> Source:
    """Objects of one source."""
    objects = {"digits": pages_of_digits, "blood cells": blood_cells}[request.param]()
    vectors, kinds = vectors_of(objects), np.array([one.kind for one in objects])
    similar = vectors @ vectors.T
    similar[(kinds[:, None] != kinds) | np.eye(len(objects), dtype=bool)] = -1
    return Source(name=request.param, objects=objects, vectors=vectors, nearest=similar.max(axis=1))


def vectors_of(placed: Sequence[Object], change: Change | None = None) -> embedding.Vectors:
    """The objects embedded, after a change of their images or boxes."""
    return embedding.embed(
        cut(*(change(one.pixels, one.place) if change else (one.pixels, one.place))) for one in placed
    )


@pytest.mark.parametrize("name", CHANGES)
def test_a_copy_is_nearer_than_another_object(source: Source, name: str) -> None:
    """A changed copy of an object is nearer to it than the nearest of hundreds of others of its class, mostly.

    The table of `docs/decisions/011-the-embedding.md` comes from here (`pytest -s` prints it): the area under the ROC
    curve between an object's similarity with its copy, and with the nearest different object of its class.
    """
    copies = (source.vectors * vectors_of(source.objects, CHANGES[name])).sum(axis=1)
    area = mannwhitneyu(copies, source.nearest).statistic / len(copies) ** 2
    first = np.mean(copies > source.nearest)
    print(f"{source.name}, {name}: AUC {area:.3f}, {first:.3f} of {len(copies)} nearest")  # noqa: T201
    assert area >= LEAST[source.name].get(name, 0.99)


def test_the_same_on_every_machine() -> None:
    """Similarities are those of the machine on which they were first computed."""
    vectors = vectors_of(pages_of_digits()[:5])
    np.testing.assert_allclose(vectors @ vectors[0], [1, 0.600857, 0.386315, 0.467911, 0.393321], atol=2e-6)


SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))


@settings(max_examples=30)
@given(size=SIZES, seed=st.integers(0, 5), flat=st.booleans())
def test_unit_vectors(size: tuple[int, int], seed: int, flat: bool) -> None:  # noqa: FBT001 - hypothesis draws it
    """Every image of at least one pixel has a vector of length 1, flat and tiny ones too."""
    pixels = np.full((*size, 3), 40 * seed, np.uint8) if flat else picture(seed, width=size[1], height=size[0])
    vectors = embedding.embed([pixels])
    assert vectors.shape == (1, embedding.DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-6)


def test_nothing_but_the_image_matters() -> None:
    """An image's vector is the same to the last bit, alone or among others, in any place."""
    pictures = [picture(seed, width=20 + seed, height=30) for seed in range(150)]
    together, backwards = embedding.embed(pictures), embedding.embed(reversed(pictures))
    assert np.array_equal(together, backwards[::-1])
    assert all(np.array_equal(embedding.embed([one])[0], together[number]) for number, one in enumerate(pictures))


def test_flat_images_are_alike() -> None:
    """Flat images differ in nothing but their colour: grey ones are the same, a red one is not."""
    grey, lighter, red = (
        np.full((9, 12, 3), colour, np.uint8) for colour in ((60, 60, 60), (200, 200, 200), (0, 0, 255))
    )
    same, also, other = embedding.embed([grey, lighter, red])
    assert np.array_equal(same, also)
    assert float(same @ other) < 0.9


def test_colour_and_direction_tell_images_apart() -> None:
    """The negative of an image, its mirror image, and the same in other colours are other images."""
    plain = picture(3, width=64, height=64)
    changed = [255 - plain, plain[:, ::-1], plain[:, :, [2, 0, 1]] // 2 + np.array([90, 0, 20], np.uint8)]
    vectors = embedding.embed([plain, *(np.ascontiguousarray(one) for one in changed)])
    assert (vectors[1:] @ vectors[0] < 0.9).all()


def test_no_images() -> None:
    """No images have no vectors, of the usual width."""
    assert embedding.embed([]).shape == (0, embedding.DIMENSIONS)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)], ids=["grey", "four channels", "no pixel"])
def test_what_is_no_image(shape: tuple[int, ...]) -> None:
    """An array that is no colour image is refused."""
    with pytest.raises(ValueError, match="shape"):
        embedding.embed([np.zeros(shape, np.uint8)])


def test_png_and_pixels_are_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A lossless file has the vector of its pixels."""
    pixels = picture(4)
    path = tmp_path_factory.mktemp("embedding") / "a.png"
    path.write_bytes(images.encode_png(pixels))
    assert np.array_equal(embedding.embed([images.read(path)]), embedding.embed([pixels]))
