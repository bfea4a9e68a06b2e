"""Nearest neighbours among unit vectors by cosine similarity: exact, and a tile of the matrix at a time.

Single precision finds candidates. Their similarities are computed anew in double precision, and a query whose
candidates leave a doubt is searched in double precision altogether. So the answers and their order are the same
whatever the size of a tile, the library of linear algebra or the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
Similarities = npt.NDArray[np.float64]

_DECIMALS = 7  # of a similarity: two that differ by less are tied, and the earlier position goes first
_SLACK = 1e-5  # far more than single precision loses in a dot product of a few hundred terms
_SPARE = 8  # candidates beyond those wanted, for ties
_TILE = 2048  # vectors on a side of what is multiplied at a time: large enough for a library to be at its best
_DENSE = 8  # pairs of a tile are multiplied one by one where they are fewer than one of so many
_VALUES = 1 << 22  # held at a time in double precision: 32 MiB


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest:
    """The nearest targets of each query, the nearest first, ties by position.

    Attributes:
        positions: among the targets, shape (queries, k); -1 where fewer than k may be paired with the query.
        similarities: cosine, in [-1, 1], shape (queries, k); -inf where there is none.
    """

    positions: Positions
    similarities: Similarities


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of similar vectors, sorted by position: of the first, then of the second; each array of shape (pairs,)."""

    first: Positions
    second: Positions
    similarities: Similarities


def nearest(
    queries: Vectors, targets: Vectors, *, k: int = 1, apart: tuple[Positions, Positions] | None = None
) -> Nearest:
    """Find the k nearest targets of each query.

    Args:
        queries: unit vectors, shape (n, d).
        targets: unit vectors, shape (m, d).
        k: how many, at least 1.
        apart: a number for each query and one for each target: where the two are equal, they are not paired. It leaves
            out a vector's own self, or all that is on the same image.

    Raises:
        ValueError: shapes that do not fit, or k under 1.
    """
    _check(queries, targets)
    if k < 1:
        raise ValueError(f"k {k}, wanted at least 1")
    positions, found = _nothing(len(queries), k)
    if not len(queries) or not len(targets):
        return Nearest(positions=positions, similarities=found)
    own, other = apart or (np.arange(len(queries)), -1 - np.arange(len(targets)))
    left_out = int(np.unique(other, return_counts=True)[1].max()) if apart else 0
    wanted = min(k + left_out + _SPARE, len(targets))
    unsure = []
    for start in range(0, len(queries), _TILE):
        block = queries[start : start + _TILE]
        candidates, least = _candidates(block, targets, wanted)
        rows = max(1, _VALUES // (wanted * targets.shape[1]))
        for first in range(0, len(block), rows):
            chosen = candidates[first : first + rows]
            part = slice(start + first, start + first + len(chosen))
            similarity = _pairwise(queries[part, None], targets[chosen])
            similarity[own[part, None] == other[chosen]] = -np.inf
            _keep_best(chosen, similarity, positions[part], found[part])
            if wanted < len(targets):
                doubtful = least[first : first + rows] >= found[part, k - 1] - _SLACK
                unsure.append(part.start + np.flatnonzero(doubtful))
    again = np.concatenate(unsure) if unsure else np.zeros(0, dtype=np.int64)
    positions[again], found[again] = _nearest_in_double(queries[again], targets, own[again], other, k)
    return Nearest(positions=positions, similarities=found)


def pairs(first: Vectors, second: Vectors, *, at_least: float) -> Iterator[Pairs]:
    """Find all pairs of one vector of each set with at least this similarity, a bounded part of the work at a time.

    With the same array given twice, each pair is there once and no vector is paired with itself.

    Args:
        first: unit vectors, shape (n, d).
        second: unit vectors, shape (m, d).
        at_least: cosine similarity, in [-1, 1].

    Returns:
        Parts of the pairs, none of them empty.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(first, second)
    same = first is second
    for start in range(0, len(first), _TILE):
        block = first[start : start + _TILE]
        for begin in range(start if same else 0, len(second), _TILE):
            targets = second[begin : begin + _TILE]
            row, column = _where(block @ targets.T >= np.float32(at_least - _SLACK))
            if same and begin == start:
                row, column = row[row < column], column[row < column]
            similarity = _similarities_of(block, targets, row, column)
            kept = similarity >= at_least
            if kept.any():
                yield Pairs(first=start + row[kept], second=begin + column[kept], similarities=similarity[kept])


def similarities(first: Vectors, second: Vectors) -> Similarities:
    """Cosine similarities of all vectors of one set with all of another, shape (n, m), to seven decimals.

    Rounded, because the last bits of a product depend on the library and on the shape: vectors that are equal get a
    similarity of exactly 1, and equal distances compare as equal.
    """
    product: Similarities = np.matmul(first, second.T, dtype=np.float64)
    return np.round(product, _DECIMALS)


def _check(queries: Vectors, targets: Vectors) -> None:
    if queries.ndim != 2 or targets.ndim != 2 or queries.shape[1] != targets.shape[1]:  # noqa: PLR2004 - (n, d)
        raise ValueError(f"vectors of shapes {queries.shape} and {targets.shape}, wanted (n, d) and (m, d)")


def _where(wanted: npt.NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """Row and column of what is true, which numpy finds faster along a line than in a matrix."""
    return np.divmod(np.flatnonzero(wanted), wanted.shape[1])


def _nothing(queries: int, k: int) -> tuple[Positions, Similarities]:
    return np.full((queries, k), -1, dtype=np.int64), np.full((queries, k), -np.inf)


def _candidates(queries: Vectors, targets: Vectors, wanted: int) -> tuple[Positions, Vectors]:
    """The targets that single precision finds nearest.

    Args:
        queries: shape (n, d).
        targets: shape (m, d).
        wanted: how many, at most m.

    Returns:
        Their positions, ascending along each row, shape (n, wanted), and the least similarity of each row, shape (n,).
    """
    tile = max(_TILE, wanted)
    product = queries @ targets[:tile].T
    at = np.argpartition(product, product.shape[1] - wanted, axis=1)[:, product.shape[1] - wanted :]
    best = np.take_along_axis(product, at, axis=1)
    for start in range(tile, len(targets), tile):
        product = queries @ targets[start : start + tile].T
        row, column = _where(product > best.min(axis=1)[:, None])
        if len(row):
            changed, counts = np.unique(row, return_counts=True)
            line = np.repeat(np.arange(len(changed)), counts)
            place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
            new = np.full((len(changed), int(counts.max())), -np.inf, dtype=np.float32)
            new_at = np.zeros(new.shape, dtype=np.int64)
            new[line, place], new_at[line, place] = product[row, column], start + column
            both, both_at = np.hstack([best[changed], new]), np.hstack([at[changed], new_at])
            kept = np.argpartition(both, both.shape[1] - wanted, axis=1)[:, both.shape[1] - wanted :]
            best[changed] = np.take_along_axis(both, kept, axis=1)
            at[changed] = np.take_along_axis(both_at, kept, axis=1)
    return np.sort(at, axis=1), best.min(axis=1)


def _keep_best(candidates: Positions, similarity: Similarities, positions: Positions, found: Similarities) -> None:
    """Write the best candidates of each row into ``positions`` and ``found``; candidates ascend along each row."""
    k = min(found.shape[1], similarity.shape[1])
    last = np.partition(similarity, similarity.shape[1] - k, axis=1)[:, similarity.shape[1] - k]
    chosen, tied = similarity > last[:, None], similarity == last[:, None]
    room = k - np.count_nonzero(chosen, axis=1)
    chosen |= tied & (np.cumsum(tied, axis=1) <= room[:, None])
    at = np.nonzero(chosen)[1].reshape(-1, k)
    best = np.take_along_axis(similarity, at, axis=1)
    order = np.argsort(-best, axis=1, kind="stable")
    found[:, :k] = np.take_along_axis(best, order, axis=1)
    named = np.take_along_axis(candidates, np.take_along_axis(at, order, axis=1), axis=1)
    positions[:, :k] = np.where(np.isfinite(found[:, :k]), named, -1)


def _nearest_in_double(
    queries: Vectors, targets: Vectors, own: Positions, other: Positions, k: int
) -> tuple[Positions, Similarities]:
    """Search all targets in double precision."""
    positions, found = _nothing(len(queries), k)
    rows = max(1, _VALUES // len(targets))
    for start in range(0, len(queries), rows):
        block = slice(start, start + rows)
        similarity = similarities(queries[block], targets)
        similarity[own[block, None] == other[None, :]] = -np.inf
        _keep_best(
            np.broadcast_to(np.arange(len(targets)), similarity.shape), similarity, positions[block], found[block]
        )
    return positions, found


def _similarities_of(first: Vectors, second: Vectors, row: Positions, column: Positions) -> Similarities:
    """Similarities of some pairs of a tile, in double precision, to seven decimals."""
    if len(row) * _DENSE > len(first) * len(second):
        return similarities(first, second)[row, column]
    rows = max(1, _VALUES // first.shape[1])
    parts = [
        _pairwise(first[row[start : start + rows]], second[column[start : start + rows]])
        for start in range(0, len(row), rows)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _pairwise(first: Vectors, second: Vectors) -> Similarities:
    """Similarities along the last axis, to seven decimals."""
    product: Similarities = np.einsum("...d,...d->...", first, second, dtype=np.float64)
    return np.round(product, _DECIMALS)
