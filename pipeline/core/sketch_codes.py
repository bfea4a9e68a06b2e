"""Known sketches in one byte a number: which of them may be candidates, without missing one.

A code is the vector of a cut square (see :mod:`pipeline.core.candidates`) in the basis of the discrete cosine
transform, rounded. What rounding can do to a similarity is known and allowed for. In this basis a mirror image changes
signs only, by whether a frequency is even or odd each way: one look at four kinds of frequencies holds a query against
a square in all four mirror images. Source of the transform: Ahmed, Natarajan & Rao 1974, IEEE Trans. Comput. C-23(1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import fft

from pipeline.core import candidates
from pipeline.core.candidates import CELLS, CUTS, Floats

Values = npt.NDArray[np.int8]
Pairs = npt.NDArray[np.bool_]

SQUARES = sum(number * number for _, number in CUTS)
_LARGEST = 127
_SLACK = 1e-4  # of a similarity: far more than single precision loses in 64 terms
_SKETCHES_A_BLOCK = 8  # what is computed of so many stays in the processor's own memory
_SKETCHES_ENCODED = 256
_QUERIES_A_BLOCK = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Codes:
    """Codes of known sketches.

    Attributes:
        values: shape (sketches, 64, 84): frequencies, by kind, of each square.
        steps: what one unit of a code is worth, by frequency, shape (64,).
        error: by how much a similarity from codes may be off.
    """

    values: Values
    steps: Floats
    error: float


def encode(known: npt.NDArray[np.uint8]) -> Codes:
    """Encode known sketches.

    Args:
        known: shape (sketches, 64, 64).
    """
    steps = np.full(CELLS * CELLS, 1e-9, dtype=np.float32)
    for _, vectors in _blocks(known):
        steps = np.maximum(steps, np.abs(vectors).max(axis=(0, 1)) / _LARGEST)
    values = np.zeros((len(known), CELLS * CELLS, SQUARES), dtype=np.int8)
    worst = 0.0
    for first, vectors in _blocks(known):
        rounded = np.rint(vectors / steps)
        worst = max(worst, float(np.linalg.norm(vectors - rounded * steps, axis=-1).max()))
        values[first : first + len(vectors)] = rounded.transpose(0, 2, 1)
    return Codes(values=values, steps=np.asarray(steps, dtype=np.float32), error=worst + _SLACK)


def _blocks(known: npt.NDArray[np.uint8]) -> Iterator[tuple[int, Floats]]:
    for first in range(0, len(known), _SKETCHES_ENCODED):
        yield first, _vectors(known[first : first + _SKETCHES_ENCODED].astype(np.float32))


def looks(queries: npt.NDArray[np.uint8]) -> Floats:
    """Sketches that are asked for, as vectors of frequencies; shape (queries, 64).

    Args:
        queries: shape (queries, 64, 64).
    """
    found = np.empty((len(queries), CELLS * CELLS), dtype=np.float32)
    for first in range(0, len(queries), _SKETCHES_ENCODED):
        block = slice(first, first + _SKETCHES_ENCODED)
        vectors = candidates.unit(candidates.means(queries[block].astype(np.float32), 0.0, 0.0, 1.0))
        found[block] = _frequencies(vectors.reshape(-1, CELLS, CELLS))
    return found


def likely(asked: Floats, codes: Codes, *, at_least: Floats) -> Pairs:
    """Pairs of a query and a known sketch that may be so similar; no pair that is so similar is left out.

    Args:
        asked: what :func:`looks` makes of the queries.
        codes: of the known sketches.
        at_least: cosine similarity wanted, by query, shape (queries,).

    Returns:
        Whether they may be, shape (queries, known sketches).
    """
    found = np.zeros((len(asked), len(codes.values)), dtype=bool)
    for first in range(0, len(asked), _QUERIES_A_BLOCK):
        block = slice(first, first + _QUERIES_A_BLOCK)
        _hold(asked[block] * codes.steps, codes.values, at_least[block] - np.float32(codes.error), found[block])
    return found


def _hold(asked: Floats, values: Values, limits: Floats, found: Pairs) -> None:
    """Hold queries against all codes, and write down who reaches the limit."""
    kinds = [np.ascontiguousarray(kind) for kind in np.split(asked, 4, axis=1)]
    for start in range(0, len(values), _SKETCHES_A_BLOCK):
        block = values[start : start + _SKETCHES_A_BLOCK]
        known = block.transpose(1, 0, 2).astype(np.float32, order="C").reshape(4, -1, len(block) * SQUARES)
        best = _best_mirror(*(kind @ other for kind, other in zip(kinds, known, strict=True)))
        rows = np.flatnonzero(best.max(axis=1) >= limits)
        if len(rows):
            reached = best[rows] >= limits[rows, None]
            found[rows, start : start + len(block)] = reached.reshape(len(rows), len(block), SQUARES).any(axis=2)


def _best_mirror(even: Floats, sideways: Floats, upright: Floats, both: Floats) -> Floats:
    """The highest of the four sums that the signs of mirror images give; writes over what it is given.

    A mirror image left to right changes the sign of ``sideways`` and ``both``, one top to bottom of ``upright`` and
    ``both``.
    """
    found: Floats = sideways + upright
    np.subtract(sideways, upright, out=sideways)
    np.abs(found, out=found)
    np.abs(sideways, out=sideways)
    found += both
    sideways -= both
    np.maximum(found, sideways, out=found)
    found += even
    return found


@cache
def _order() -> npt.NDArray[np.int64]:
    """The 64 frequencies by kind: even both ways, odd sideways, odd upright, odd both ways."""
    upright, sideways = np.divmod(np.arange(CELLS * CELLS), CELLS)
    return np.argsort(sideways % 2 + 2 * (upright % 2), kind="stable")


def _frequencies(vectors: Floats) -> Floats:
    """Vectors of cells, shape (…, 8, 8), in the basis of the cosine transform, by kind; shape (…, 64)."""
    turned = fft.dctn(vectors, axes=(-2, -1), norm="ortho")
    return np.asarray(turned.reshape(*vectors.shape[:-2], -1)[..., _order()], dtype=np.float32)


def _vectors(known: Floats) -> Floats:
    """The vectors of all cut squares, by frequency; shape (sketches, 84, 64).

    As in :mod:`pipeline.core.candidates`, but for the last bits: all squares of a size at once, and the transform is
    part of the means.
    """
    found = []
    for size, number in CUTS:
        turning = _turning(size, number)
        there = (turning @ known @ turning.T).reshape(-1, number, CELLS, number, CELLS).transpose(0, 1, 3, 2, 4)
        found.append(there.reshape(len(known), number * number, -1)[..., _order()])
    means: Floats = np.concatenate(found, axis=1).astype(np.float32, copy=False)
    means[..., 0] = 0  # the mean of all cells
    return candidates.scaled(means)


@cache
def _turning(size: float, number: int) -> Floats:
    """What takes a line of pixels to the frequencies of its parts of one size; shape (8 x number, 64)."""
    parts = [candidates.weights(float(start), size) for start in np.linspace(0, 1 - size, number)]
    return np.concatenate([fft.dct(part.astype(np.float64), axis=0, norm="ortho") for part in parts]).astype(np.float32)
