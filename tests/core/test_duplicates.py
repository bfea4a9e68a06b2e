"""Exact and near duplicates: hashes that survive re-encoding, pairs and groups that leave nobody out."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.core import duplicates, images
from pipeline.core.duplicates import Hashes, Pair
from pipeline.core.errors import UserError
from tests.builders import Pixels, picture

HASHES = st.lists(st.integers(0, 15) | st.integers(0, 2**64 - 1), max_size=12).map(
    lambda numbers: np.array(numbers, dtype=np.uint64)
)


def distance(first: int, second: int) -> int:
    """Number of bits that differ."""
    return (int(first) ^ int(second)).bit_count()


def brute(hashes: Hashes, within: int) -> list[Pair]:
    """All near pairs, one by one."""
    return [
        Pair(first=i, second=j, distance=distance(one, other))
        for (i, one), (j, other) in itertools.combinations(enumerate(hashes.tolist()), 2)
        if distance(one, other) <= within
    ]


@given(hashes=HASHES, within=st.integers(0, 64))
def test_pairs(hashes: Hashes, within: int) -> None:
    """Pairs are those of a plain double loop, in its order."""
    assert duplicates.near_pairs(hashes, within=within) == brute(hashes, within)


@pytest.mark.parametrize("within", [0, 1, 2, 5, 9])
def test_pairs_near_the_limit(within: int) -> None:
    """Of twins that differ in one bit more, or in just so many, wherever the bits are, the right ones are found."""
    draw = np.random.default_rng(within)
    hashes = draw.integers(0, 2**63, 300, dtype=np.uint64)
    for place in range(0, 300, 2):
        bits = draw.choice(64, size=within + place // 2 % 2, replace=False)
        hashes[place + 1] = hashes[place] ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64), initial=0)
    found = duplicates.near_pairs(hashes, within=within)
    assert found == brute(hashes, within)
    assert len(found) >= 75


@given(st.data(), st.integers(0, 12))
def test_groups(data: st.DataObject, count: int) -> None:
    """Groups divide the positions; two are together exactly if a chain of pairs links them."""
    spots = st.integers(0, max(count - 1, 0))
    links = data.draw(st.lists(st.tuples(spots, spots), max_size=10)) if count else []
    found = duplicates.groups(count, [Pair(first=a, second=b, distance=1) for a, b in links])
    assert sorted(position for group in found for position in group) == list(range(count))
    assert all(group == sorted(group) for group in found)
    assert found == sorted(found, key=lambda group: group[0])
    near = np.eye(count, dtype=bool)
    for a, b in links:
        near[a, b] = near[b, a] = True
    reach = np.linalg.matrix_power(near.astype(float), max(count, 1)) > 0 if count else near
    for group in found:
        for position in group:
            assert np.flatnonzero(reach[position]).tolist() == group


def test_groups_ignore_order() -> None:
    """The order of pairs, and of the two in a pair, does not matter: 0-3-1 is a chain, 2 is alone."""
    pairs = [Pair(first=0, second=3, distance=1), Pair(first=1, second=3, distance=2)]
    turned = [Pair(first=pair.second, second=pair.first, distance=pair.distance) for pair in pairs[::-1]]
    assert duplicates.groups(4, pairs) == duplicates.groups(4, turned) == [[0, 1, 3], [2]]


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """A JPEG file of BGR pixels."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1])).save(file, format="JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize("seed", range(6))
def test_hash_is_imagehashs(seed: int) -> None:
    """The number is imagehash's own, read as hexadecimal."""
    pixels = picture(seed)
    wanted = imagehash.phash(Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1])))
    assert f"{duplicates.perceptual_hash(pixels):016x}" == str(wanted)


@pytest.mark.parametrize("quality", [95, 75, 50])
def test_re_encoding_is_near(quality: int, tmp_path: Path) -> None:
    """A PNG has the hash of its pixels, and a JPEG of it one within 4 bits, at any usual quality."""
    for seed in range(8):
        pixels = picture(seed, width=96, height=80)
        (tmp_path / "a.png").write_bytes(images.encode_png(pixels))
        (tmp_path / "a.jpg").write_bytes(jpeg(pixels, quality))
        png, other = duplicates.hash_files([str(tmp_path / "a.png"), str(tmp_path / "a.jpg")])
        assert int(png) == duplicates.perceptual_hash(pixels)
        assert distance(png, other) <= 4


def test_other_images_are_far() -> None:
    """Different pictures are far from one another: more than 10 of the 64 bits."""
    hashes = [duplicates.perceptual_hash(picture(seed)) for seed in range(8)]
    assert min(distance(one, other) for i, one in enumerate(hashes) for other in hashes[:i]) > 10


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 1, 3), np.uint8), np.full((5, 400, 3), 255, np.uint8), picture(0)[:, :2]],
    ids=["one pixel", "flat", "two columns"],
)
def test_odd_images(pixels: Pixels) -> None:
    """Tiny, flat and narrow images have a hash of 64 bits too."""
    assert 0 <= duplicates.perceptual_hash(pixels) < 2**64


def test_no_image(tmp_path: Path) -> None:
    """No files have no hashes; a missing file is an error."""
    none = duplicates.hash_files([])
    assert none.dtype == np.uint64
    assert duplicates.near_pairs(none, within=3) == []
    assert duplicates.groups(0, []) == []
    with pytest.raises(UserError, match="is missing"):
        duplicates.hash_files([str(tmp_path / "a.png")])
