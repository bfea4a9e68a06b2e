"""Exact and near duplicates.

Exact duplicates have one image id. Near duplicates have perceptual hashes that differ in few of their 64 bits; the
hash is imagehash's ``phash`` (sign of the low frequencies of the discrete cosine transform; Zauner 2010).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.core import images

Hashes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]
_BITS = 64  # of a hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two near duplicates: positions in the two sets, and the distance in bits."""

    first: int
    second: int
    distance: int


class Link(Protocol):
    """Two positions that belong together."""

    @property
    def first(self) -> int:
        """One position."""

    @property
    def second(self) -> int:
        """The other."""


def perceptual_hash(pixels: npt.NDArray[np.uint8]) -> int:
    """Perceptual hash of an image.

    Args:
        pixels: BGR, shape (height, width, 3).
    """
    bits = imagehash.phash(Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]))).hash
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")


def hash_files(paths: Sequence[str]) -> Hashes:
    """Perceptual hashes of image files, shape (n,)."""
    return np.array([perceptual_hash(images.read(path)) for path in paths], dtype=np.uint64)


def near_pairs(hashes: Hashes, *, within: int) -> list[Pair]:
    """All pairs of hashes that differ in at most ``within`` bits, sorted by position, the smaller one first.

    Two that differ in k bits are equal in one of k + 1 parts at least, so only hashes that share a part are compared
    (Norouzi, Punjani & Fleet 2012, Fast search in Hamming space with multi-index hashing): about as many as there are
    hashes, where all against all are their square.

    Args:
        hashes: shape (n,).
        within: largest distance, in bits, 0 to 64.
    """
    edges = np.linspace(0, _BITS, within + 2).astype(int) if within < _BITS else np.array([0, 0])
    found = [np.empty((0, 2), dtype=np.int64)]
    for low, high in itertools.pairwise(edges.tolist()):
        part = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(part, kind="stable")
        for first, second in _equal(part[order]):
            ends = np.stack([order[first], order[second]], axis=1)
            near = np.bitwise_count(hashes[ends[:, 0]] ^ hashes[ends[:, 1]]) <= within
            found.append(np.sort(ends[near], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    distances = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
    listed = zip(pairs.tolist(), distances.tolist(), strict=True)
    return [Pair(first=first, second=second, distance=distance) for (first, second), distance in listed]


def _equal(ordered: Hashes) -> Iterator[tuple[Positions, Positions]]:
    """Positions of all pairs of equal values in a sorted array, those next to each other first."""
    first = np.arange(len(ordered) - 1) if len(ordered) else np.empty(0, dtype=np.int64)
    apart = 1
    while len(first):
        first = first[first + apart < len(ordered)]
        first = first[ordered[first] == ordered[first + apart]]
        yield first, first + apart
        apart += 1


def groups(count: int, pairs: Sequence[Link]) -> list[list[int]]:
    """Connected groups of positions 0 to count - 1, each sorted, in the order of their first member, with singles."""
    ends = np.array([(pair.first, pair.second) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    return [members.tolist() for members in connected(count, ends[:, 0], ends[:, 1])]


def connected(count: int, first: Positions, second: Positions) -> list[Positions]:
    """Connected groups of positions 0 to count - 1, each sorted, in the order of their first member, with singles.

    Args:
        count: number of positions.
        first: one end of each link, shape (links,).
        second: the other end.
    """
    if count == 0:
        return []
    leader = first_of_group(count, first, second)
    order = np.argsort(leader, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(leader[order])) + 1)


def first_of_group(count: int, first: Positions, second: Positions) -> Positions:
    """The first member of each position's connected group, shape (count,); see :func:`connected`."""
    links = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(count, count))
    member_of = connected_components(links, directed=False)[1]
    starts = np.unique(member_of, return_index=True)[1]
    leader: Positions = starts[member_of]
    return leader
