"""Exact and near duplicates.

Exact duplicates have one image id. Near duplicates have perceptual hashes that differ in few of their 64 bits; the
hash is imagehash's ``phash`` (sign of the low frequencies of the discrete cosine transform; Zauner 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
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
_ROWS_A_BLOCK = 1024  # bounds the memory of the distance matrix


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


def near_pairs(first: Hashes, second: Hashes, *, within: int) -> list[Pair]:
    """All pairs of one hash of each set that differ in at most ``within`` bits, sorted by position.

    With the same array given twice, each pair is there once and no hash is paired with itself.
    """
    same = first is second
    pairs = []
    for start in range(0, len(first), _ROWS_A_BLOCK):
        distance = np.bitwise_count(first[start : start + _ROWS_A_BLOCK, None] ^ second[None, :])
        for row, column in np.argwhere(distance <= within):
            if not same or start + row < column:
                pairs.append(Pair(first=int(start + row), second=int(column), distance=int(distance[row, column])))
    return pairs


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
