"""Which of many sketches may show what another shows: a search that is quick, and that leaves the judging to others.

Each known sketch is cut into 84 overlapping squares, from the whole down to 0.7 of its side. Each of them, and each
query in its four mirror images, becomes a unit vector of 8 x 8 mean grey values less their mean. What is alike after
a crop, a resizing or a change of light has nearly the same vector: one product of matrices finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pipeline.core.portraits import SIDE, Sketch

Floats = npt.NDArray[np.float32]

CELLS = 8  # a side
CUTS = ((1.0, 1), (0.9, 3), (0.8, 5), (0.7, 7))  # side of the squares as a fraction, and how many each way
LEAST = 0.8  # cosine similarity under which nothing is a candidate
MOST = 6  # candidates a query
_DECIMALS = 6  # of a similarity
_FLOOR = 1.0  # grey values: weaker contrast than this counts as little
_SKETCHES_A_BLOCK = 1024
_QUERIES_A_BLOCK = 32
_BLOCKS_KEPT = 12  # blocks of cut squares that stay in memory: 22 MB each


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A known sketch that a query may show.

    Attributes:
        position: of the known sketch.
        mirror: which of the query's mirror images shows it, see :func:`mirrored`.
        left: of the part that is shown, as a fraction of the side.
        top: likewise.
        size: of the part's side, likewise.
        similarity: cosine, in [0.8, 1].
    """

    position: int
    mirror: int
    left: float
    top: float
    size: float
    similarity: float


def mirrored(grey: Floats, mirror: int) -> Floats:
    """One of four mirror images, shape (…, side, side): 0 as it is, 1 left to right, 2 top to bottom, 3 both."""
    sideways = grey[..., ::-1] if mirror & 1 else grey
    return sideways[..., ::-1, :] if mirror & 2 else sideways


class Candidates:
    """Known sketches, made ready to be searched."""

    def __init__(self, known: Sequence[Sketch]) -> None:
        """Take the known sketches, each of shape (64, 64)."""
        self._known = np.stack(known) if known else np.zeros((0, SIDE, SIDE), dtype=np.uint8)
        self._tables: dict[int, Floats] = {}

    def find(self, queries: Sequence[Sketch]) -> list[list[Candidate]]:
        """Up to six candidates of each query, the likeliest first, then by position and mirror image."""
        found: list[list[Candidate]] = []
        for first in range(0, len(queries), _QUERIES_A_BLOCK):
            block = np.stack(queries[first : first + _QUERIES_A_BLOCK]).astype(np.float32)
            looks = np.stack([mirrored(block, mirror) for mirror in range(4)], axis=1)
            vectors = unit(means(looks, 0.0, 0.0, 1.0)).reshape(-1, CELLS * CELLS)
            some: list[list[Candidate]] = [[] for _ in block]
            for start in range(0, len(self._known), _SKETCHES_A_BLOCK):
                for query, more in enumerate(_best(vectors, self._table(start), start)):
                    some[query] += more
            found += [
                sorted(one, key=lambda found: (-found.similarity, found.position, found.mirror))[:MOST] for one in some
            ]
        return found

    def _table(self, start: int) -> Floats:
        """Vectors of the cut squares of a block of known sketches, shape (sketches, squares, cells)."""
        if start in self._tables:
            return self._tables[start]
        block = self._known[start : start + _SKETCHES_A_BLOCK].astype(np.float32)
        table = np.stack([unit(means(block, *square)) for square in squares()], axis=1)
        if len(self._tables) < _BLOCKS_KEPT:
            self._tables[start] = table
        return table


def _best(queries: Floats, table: Floats, start: int) -> list[list[Candidate]]:
    """Candidates of each query in one block: of each known sketch its best square, in each mirror image."""
    count, number, cells = table.shape
    similar = (queries @ table.reshape(-1, cells).T).reshape(-1, 4 * count, number)
    # The last bits of a product depend on its shape: what is equal has to stay equal, and goes by position then.
    best = np.round(similar.max(axis=2), _DECIMALS).reshape(-1, 4, count).transpose(0, 2, 1).reshape(-1, 4 * count)
    found = []
    for query, values in enumerate(best):
        likely = np.flatnonzero(values >= LEAST)
        likely = likely[np.argsort(-values[likely], kind="stable")][:MOST]
        some = []
        for place in likely:
            position, mirror = divmod(int(place), 4)
            left, top, size = squares()[similar[query, mirror * count + position].argmax()]
            some.append(
                Candidate(
                    position=start + position,
                    mirror=mirror,
                    left=left,
                    top=top,
                    size=size,
                    similarity=float(values[place]),
                )
            )
        found.append(some)
    return found


@cache
def squares() -> tuple[tuple[float, float, float], ...]:
    """Left, top and size of the squares that a known sketch is cut into, as fractions of its side."""
    return tuple(
        (float(left), float(top), size)
        for size, number in CUTS
        for top in np.linspace(0, 1 - size, number)
        for left in np.linspace(0, 1 - size, number)
    )


def means(sketches: Floats, left: float, top: float, size: float) -> Floats:
    """Mean grey values of the cells of one square; shape (…, cells, cells)."""
    return np.asarray(weights(top, size) @ sketches @ weights(left, size).T, dtype=np.float32)


@cache
def weights(start: float, size: float) -> Floats:
    """Weights that take the mean over each cell of a part of a line of pixels; shape (cells, 64)."""
    edges = (start + size * np.arange(CELLS + 1) / CELLS) * SIDE
    pixels = np.arange(SIDE)
    covered: npt.NDArray[np.float64] = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    some = np.clip(covered, 0, None)
    return np.asarray(some / some.sum(axis=1, keepdims=True), dtype=np.float32)


def unit(means: Floats) -> Floats:
    """Vectors of length 1 at most, less where there is hardly any contrast; the last two axes become one."""
    flat = means.reshape(*means.shape[:-2], -1)
    return scaled(flat - flat.mean(axis=-1, keepdims=True))


def scaled(centred: Floats) -> Floats:
    """Vectors of mean 0, or their transforms, made of length 1 at most; see :func:`unit`."""
    floor = _FLOOR * _FLOOR * centred.shape[-1] / 4
    return np.asarray(centred / np.sqrt((centred**2).sum(axis=-1, keepdims=True) + np.float32(floor)), dtype=np.float32)
