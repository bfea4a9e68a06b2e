"""Pages of digits: the same on every platform, with tight boxes, and no digit of one split in another."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from pipeline.core import digits
from pipeline.core.digits import IntegerStream, Page, PageStyle
from pipeline.core.errors import UserError

Gray = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def ink() -> Gray:
    """All digits of scikit-learn, shape (1797, 8, 8)."""
    images: Gray = load_digits().images.astype(np.uint8)
    return images


def test_handwritten(ink: Gray) -> None:
    """They are those that scikit-learn gives."""
    found, numbers = digits.handwritten()
    assert np.array_equal(found, ink)
    assert numbers.tolist() == load_digits().target.tolist()


def blobs() -> tuple[Gray, dict[int, list[int]]]:
    """Twelve made-up digits of three classes: a frame of ink each, so that their boxes are easily seen."""
    made = np.zeros((12, 8, 8), dtype=np.uint8)
    for number, blob in enumerate(made):
        blob[number % 3 : 8 - number % 2, 1 : 7 - number % 4] = 16
    return made, {class_id: list(range(class_id, 12, 3)) for class_id in range(3)}


STYLES = st.builds(
    lambda size, low, more, few, extra, tail: PageStyle(
        size=max(size, low + more), digit_size=(low, low + more), digits_a_page=(few, few + extra), classes=3, tail=tail
    ),
    st.integers(8, 80),
    st.integers(8, 24),
    st.integers(0, 12),
    st.integers(1, 4),
    st.integers(0, 3),
    st.floats(0, 3),
)


def identity(page: Page) -> str:
    """A page's image id, as ingest computes it."""
    return hashlib.sha256(f"{len(page.pixels)}\n".encode() + page.pixels.tobytes()).hexdigest()


# Computed by this code with NumPy 2.4.6 and scikit-learn 1.9 on x86-64 Linux: pages of the default project (seed 1,
# params.yaml as shipped). The same ids stand in data/imports/243ac51e….txt, which the ledger accepts.
GOLDEN = {
    "1/train/00000": "6862a273e0da137dcddde514dab95a92d943b3cbef071537fbc337623a243731",
    "1/train/00001": "6cdc19477f765b14991f6dccad08e07a46e669711d57ffa5e99ef43cef7681f1",
    "1/test/00000": "2eb8b97d906d2e656727b4f4df1c759c8389c9dad2abbeccb61c48a21dfd1952",
}
SHIPPED = {
    "train": PageStyle(size=64, digit_size=(16, 24), digits_a_page=(3, 5), classes=6, tail=1.1),
    "test": PageStyle(size=64, digit_size=(16, 24), digits_a_page=(3, 5), classes=6, tail=0.5),
}


@pytest.mark.parametrize("key", GOLDEN)
def test_identity_of_pages(key: str, ink: Gray) -> None:
    """A page's identity never changes: the acceptance that is committed with the project is of these ids."""
    order = [1, 3, 5, 0, 2, 6]
    targets = [order.index(digit) if digit in order else 6 for digit in map(int, load_digits().target)]
    identities = digits.split_identities(targets, [60, 15, 25], seed=1)
    split = key.split("/")[1]
    page = digits.compose(ink, identities[("train", "val", "test").index(split)], SHIPPED[split], key=key)
    assert identity(page) == GOLDEN[key]


def test_stream() -> None:
    """The bits are those of PCG64 seeded with SHA-256 of the key, whose output NumPy keeps (NEP 19)."""
    raw = np.random.PCG64(int(hashlib.sha256(b"key").hexdigest()[:32], 16)).random_raw(5)
    stream = IntegerStream("key")
    assert [stream.below(1000) for _ in range(3)] == [int(bits) % 1000 for bits in raw[:3]]
    assert int(raw[0]) == 9400542368858857124  # by NumPy 2.4.6; another number would give every page another identity
    assert stream.noise((1, 2), 8).tolist() == [[int(bits) % 17 - 8 for bits in raw[3:]]]


@given(st.lists(st.integers(), max_size=30), st.text(st.characters(codec="utf-8"), max_size=5))
def test_shuffle(items: list[int], key: str) -> None:
    """A shuffle keeps the items, is the same for the same key, and leaves its argument alone."""
    before = items.copy()
    shuffled = IntegerStream(key).shuffled(items)
    assert sorted(shuffled) == sorted(items)
    assert shuffled == IntegerStream(key).shuffled(items)
    assert items == before


@given(st.integers(-50, 50), st.integers(0, 50), st.text(st.characters(codec="utf-8"), max_size=5))
def test_between(low: int, span: int, key: str) -> None:
    """Numbers lie between the ends, and both ends are reached."""
    stream = IntegerStream(key)
    drawn = {stream.between(low, low + span) for _ in range(40 * (span + 1) if span < 3 else 40)}
    assert min(drawn) >= low
    assert max(drawn) <= low + span
    if span < 3:
        assert len(drawn) == span + 1


@settings(max_examples=50)
@given(
    targets=st.lists(st.integers(0, 3), min_size=1, max_size=120),
    shares=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
def test_identities_are_disjoint(targets: list[int], shares: list[int], seed: int) -> None:
    """Every digit is in one split, under its own class, and each split has its share, to the digit."""
    try:
        splits = digits.split_identities(targets, shares, seed=seed)
    except UserError:
        assert min(Counter(targets).values()) * min(shares) < sum(shares)
        return
    found = [index for split in splits for members in split.values() for index in members]
    assert sorted(found) == list(range(len(targets)))
    assert all(
        targets[index] == class_id for split in splits for class_id, members in split.items() for index in members
    )
    for class_id, total in Counter(targets).items():
        for split, share in zip(splits, shares, strict=True):
            assert abs(len(split[class_id]) - total * share / sum(shares)) < 1


def test_share_too_small() -> None:
    """A share that leaves a split without a digit of some class is refused before any page is made."""
    with pytest.raises(UserError, match=r"shares \[1, 99\] of ingest\.digits\.identities leave split 1 none of the 50"):
        digits.split_identities([0] * 500 + [1] * 50, [1, 99], seed=0)


def test_zipf() -> None:
    """Weights fall by the power of the rank; without a tail all classes are alike."""
    assert digits.zipf_weights(4, 1.0) == [1000, 500, 333, 250]
    assert digits.zipf_weights(3, 0.0) == [1000, 1000, 1000]


def bilinear(digit: Gray, size: int) -> npt.NDArray[np.float64]:
    """Bilinear upscaling in floating point, written anew: pixel centres, edges repeated; ink from 0 to 255."""
    result = np.empty((size, size))
    for y in range(size):
        for x in range(size):
            down = min(max((y + 0.5) * 8 / size - 0.5, 0.0), 7.0)
            across = min(max((x + 0.5) * 8 / size - 0.5, 0.0), 7.0)
            top, left = min(int(down), 6), min(int(across), 6)
            v, u = down - top, across - left
            corners = digit[top : top + 2, left : left + 2].astype(float)
            result[y, x] = (
                corners[0, 0] * (1 - v) * (1 - u)
                + corners[0, 1] * (1 - v) * u
                + corners[1, 0] * v * (1 - u)
                + corners[1, 1] * v * u
            )
    return result * 255 / 16


@pytest.mark.parametrize("size", [8, 9, 16, 21, 24, 40])
def test_upscale_is_bilinear(size: int, ink: Gray) -> None:
    """The integers are those of bilinear interpolation, rounded down."""
    for digit in ink[:6]:
        found = digits.upscale(digit, size)
        difference = bilinear(digit, size) - found
        assert difference.min() >= -1e-9
        assert difference.max() < 1
        assert found.min() >= 0
        assert found.max() <= 255


def compose(style: PageStyle, key: str) -> Page:
    """A page of blobs."""
    made, identities = blobs()
    return digits.compose(made, identities, style, key=key)


@settings(max_examples=150)
@given(STYLES, st.integers(0, 10**6).map(str))
def test_boxes(style: PageStyle, key: str) -> None:
    """Digits lie inside the page and do not overlap; there are no more than asked for, and at least one."""
    page = compose(style, key)
    assert 1 <= len(page.digits) <= style.digits_a_page[1]
    covered = np.zeros((style.size, style.size), dtype=int)
    for placed in page.digits:
        assert min(placed.x, placed.y) >= 0
        assert min(placed.width, placed.height) >= 1
        assert max(placed.x + placed.width, placed.y + placed.height) <= style.size
        assert placed.digit in blobs()[1][placed.class_id]
        covered[placed.y : placed.y + placed.height, placed.x : placed.x + placed.width] += 1
    assert covered.max() == 1
    assert page.pixels.shape == (style.size, style.size)


@settings(max_examples=40)
@given(STYLES, st.integers(0, 10**6).map(str))
def test_same_key_same_page(style: PageStyle, key: str) -> None:
    """The key alone decides what a page looks like."""
    first, second = compose(style, key), compose(style, key)
    assert np.array_equal(first.pixels, second.pixels)
    assert first.digits == second.digits
    assert not np.array_equal(first.pixels, compose(style, f"{key}x").pixels)


@pytest.mark.parametrize("number", range(8))
def test_boxes_are_tight(number: int, ink: Gray) -> None:
    """Each side of a box touches ink, and there is hardly any outside: paper is 192 or lighter, ink darker."""
    style = PageStyle(size=64, digit_size=(16, 24), digits_a_page=(3, 5), classes=10, tail=0.0)
    targets = [int(digit) for digit in load_digits().target]
    (identities,) = digits.split_identities(targets, [1], seed=0)
    page = digits.compose(ink, identities, style, key=f"tight/{number}")
    rest = page.pixels.astype(int)
    paper = int(np.median(rest))
    for placed in page.digits:
        inside = rest[placed.y : placed.y + placed.height, placed.x : placed.x + placed.width].copy()
        rest[placed.y : placed.y + placed.height, placed.x : placed.x + placed.width] = paper
        # The faintest ink that counts takes 3/16 of at least 130 grey values away; the grain is 8 either way.
        for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
            assert side.min() <= paper - 3 * 130 // 16 + 8 + 2
    assert rest.min() >= paper - 8 - 2  # outside the boxes there is grain only; faint rims are cut off with the box


def test_digit_as_large_as_the_page() -> None:
    """A digit may fill its page: then there is one place for it."""
    style = PageStyle(size=16, digit_size=(16, 16), digits_a_page=(1, 1), classes=1, tail=0.0)
    full = np.full((1, 8, 8), 16, dtype=np.uint8)
    (placed,) = digits.compose(full, {0: [0]}, style, key="full").digits
    assert (placed.x, placed.y, placed.width, placed.height) == (0, 0, 16, 16)


def test_tail() -> None:
    """With a long tail the first class is the commonest and the last the rarest; without one they are alike."""

    def counts(tail: float) -> list[int]:
        style = PageStyle(size=40, digit_size=(8, 8), digits_a_page=(3, 3), classes=3, tail=tail)
        found = Counter(placed.class_id for number in range(150) for placed in compose(style, str(number)).digits)
        return [found[class_id] for class_id in range(3)]

    first, second, third = counts(2.0)
    assert first > 2 * second > 2 * third
    assert max(counts(0.0)) < 1.4 * min(counts(0.0))
