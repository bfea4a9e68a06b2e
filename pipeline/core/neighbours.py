"""Nearest neighbours among unit vectors by cosine similarity: exact, in blocks, and by faiss where that is faster.

faiss only finds candidates, in single precision. Their similarities are computed anew in double precision, and a query
whose candidates leave a doubt is searched exactly. So the answers and their order are the same with faiss and without
it, whatever the size of a block or the number of threads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
Similarities = npt.NDArray[np.float64]
Method = Literal["exact", "faiss"]

# Queries, and targets, from which on faiss is taken where it is installed. It is some three times as fast at any size;
# below this, what it saves is no more than its import takes.
LARGE = 5_000
_DECIMALS = 7  # of a similarity: two that differ by less are tied, and the earlier position goes first
_SLACK = 1e-5  # far more than single precision loses in a dot product of a few hundred terms
_SPARE = 8  # candidates beyond those wanted, for ties
_CELLS_A_BLOCK = 1 << 22  # similarities held at a time: 32 MiB


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
    queries: Vectors,
    targets: Vectors,
    *,
    k: int = 1,
    apart: tuple[Positions, Positions] | None = None,
    method: Method | None = None,
) -> Nearest:
    """Find the k nearest targets of each query.

    Args:
        queries: unit vectors, shape (n, d).
        targets: unit vectors, shape (m, d).
        k: how many, at least 1.
        apart: a number for each query and one for each target: where the two are equal, they are not paired. It leaves
            out a vector's own self, or all that is on the same image.
        method: by default faiss for large sets where it is installed.

    Raises:
        ValueError: shapes that do not fit, or k under 1.
    """
    _check(queries, targets)
    if k < 1:
        raise ValueError(f"k {k}, wanted at least 1")
    own, other = apart or (np.arange(len(queries)), -1 - np.arange(len(targets)))
    if _by_faiss(queries, targets, method):
        return _nearest_by_faiss(queries, targets, own, other, k)
    return _nearest_exactly(queries, targets, own, other, k)


def pairs(first: Vectors, second: Vectors, *, at_least: float, method: Method | None = None) -> Iterator[Pairs]:
    """Find all pairs of one vector of each set with at least this similarity, a bounded part of the work at a time.

    With the same array given twice, each pair is there once and no vector is paired with itself.

    Args:
        first: unit vectors, shape (n, d).
        second: unit vectors, shape (m, d).
        at_least: cosine similarity, in [-1, 1].
        method: by default faiss for large sets where it is installed.

    Returns:
        Pairs whose first positions ascend from part to part.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(first, second)
    same = first is second
    index = _index(second) if _by_faiss(first, second, method) else None
    rows = max(1, _CELLS_A_BLOCK // max(len(second), 1))
    for start in range(0, len(first), rows):
        block = first[start : start + rows]
        if index is None:
            row, column, similarity = _above(block, second, at_least)
        else:
            row, column, similarity = _above_by_faiss(index, block, second, at_least)
        wanted = start + row < column if same else np.ones(len(row), dtype=bool)
        yield Pairs(first=start + row[wanted], second=column[wanted], similarities=similarity[wanted])


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


def _by_faiss(queries: Vectors, targets: Vectors, method: Method | None) -> bool:
    if method is not None or min(len(queries), len(targets)) < LARGE:
        return method == "faiss"
    return importlib.util.find_spec("faiss") is not None


def _nearest_exactly(queries: Vectors, targets: Vectors, own: Positions, other: Positions, k: int) -> Nearest:
    positions, found = _nothing(len(queries), k)
    rows = max(1, _CELLS_A_BLOCK // max(len(targets), 1))
    for start in range(0, len(queries) if len(targets) else 0, rows):
        block = slice(start, start + rows)
        similarity = similarities(queries[block], targets)
        similarity[own[block, None] == other[None, :]] = -np.inf
        _keep_best(
            np.broadcast_to(np.arange(len(targets)), similarity.shape), similarity, positions[block], found[block]
        )
    return Nearest(positions=positions, similarities=found)


def _nothing(queries: int, k: int) -> tuple[Positions, Similarities]:
    return np.full((queries, k), -1, dtype=np.int64), np.full((queries, k), -np.inf)


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


def _nearest_by_faiss(queries: Vectors, targets: Vectors, own: Positions, other: Positions, k: int) -> Nearest:
    positions, found = _nothing(len(queries), k)
    if not len(queries) or not len(targets):
        return Nearest(positions=positions, similarities=found)
    index = _index(targets)
    left_out = int(np.unique(other, return_counts=True)[1].max())
    wanted = min(k + left_out + _SPARE, len(targets))
    rows = max(1, _CELLS_A_BLOCK // (wanted * targets.shape[1]))
    unsure = []
    for start in range(0, len(queries), rows):
        block = slice(start, start + rows)
        rough, candidates = index.search(np.ascontiguousarray(queries[block]), wanted)
        candidates = np.sort(candidates, axis=1)
        similarity = _pairwise(queries[block, None], targets[candidates])
        similarity[own[block, None] == other[candidates]] = -np.inf
        _keep_best(candidates, similarity, positions[block], found[block])
        if wanted < len(targets):
            unsure.append(start + np.flatnonzero(rough[:, -1] >= found[block, k - 1] - _SLACK))
    again = np.concatenate(unsure) if unsure else np.zeros(0, dtype=np.int64)
    exact = _nearest_exactly(queries[again], targets, own[again], other, k)
    positions[again], found[again] = exact.positions, exact.similarities
    return Nearest(positions=positions, similarities=found)


def _above(block: Vectors, targets: Vectors, at_least: float) -> tuple[Positions, Positions, Similarities]:
    similarity = similarities(block, targets)
    row, column = np.nonzero(similarity >= at_least)
    return row, column, similarity[row, column]


def _above_by_faiss(
    index: Any, block: Vectors, targets: Vectors, at_least: float
) -> tuple[Positions, Positions, Similarities]:
    limits, _, column = index.range_search(np.ascontiguousarray(block), at_least - _SLACK)
    row = np.repeat(np.arange(len(block)), np.diff(limits.astype(np.int64)))
    order = np.lexsort((column, row))
    row, column = row[order], column[order]
    rows = max(1, _CELLS_A_BLOCK // targets.shape[1])
    parts = [
        _pairwise(block[row[start : start + rows]], targets[column[start : start + rows]])
        for start in range(0, len(row), rows)
    ]
    similarity = np.concatenate(parts) if parts else np.zeros(0)
    kept = similarity >= at_least
    return row[kept], column[kept], similarity[kept]


def _pairwise(first: Vectors, second: Vectors) -> Similarities:
    """Similarities along the last axis, to seven decimals."""
    product: Similarities = np.einsum("...d,...d->...", first, second, dtype=np.float64)
    return np.round(product, _DECIMALS)


def _index(targets: Vectors) -> Any:
    """An exact index of inner products; an approximate one would answer otherwise than the search without faiss."""
    import faiss

    index = faiss.IndexFlatIP(targets.shape[1])
    index.add(np.ascontiguousarray(targets))
    return index
