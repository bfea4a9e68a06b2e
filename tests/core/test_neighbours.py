"""Nearest neighbours: those of a plain double loop, with faiss and without, ties by position."""

from __future__ import annotations

import importlib.util
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from pipeline.core import neighbours
from pipeline.core.neighbours import Positions, Vectors

Method = Literal["exact", "faiss"]
each_method = pytest.mark.parametrize("method", ["exact", "faiss"])
# Few directions, so that many vectors are the same and ties are the rule.
COARSE = st.lists(st.tuples(*[st.integers(-1, 2)] * 3).filter(any), max_size=30)


def unit(rows: object) -> Vectors:
    """Unit vectors of rows of numbers."""
    vectors = np.array(rows, dtype=np.float32).reshape(-1, 3)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def random_vectors(number: int, *, seed: int, width: int = 24) -> Vectors:
    """Unit vectors in random directions."""
    vectors = np.random.default_rng(seed).normal(size=(number, width))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def brute(queries: Vectors, targets: Vectors, k: int, apart: tuple[Positions, Positions]) -> list[list[int]]:
    """Positions of the k nearest targets of each query, one by one."""
    found = []
    for own, query in zip(apart[0], queries.astype(float), strict=True):
        ranked = sorted(
            (-round(float(query @ target), 7), position)
            for position, (other, target) in enumerate(zip(apart[1], targets.astype(float), strict=True))
            if own != other
        )
        found.append([position for _, position in ranked[:k]])
    return found


@settings(max_examples=60)
@given(data=st.data(), method=st.sampled_from(["exact", "faiss"]), cells=st.sampled_from([1, 40, 1 << 22]))
def test_nearest(data: st.DataObject, method: Method, cells: int) -> None:
    """Neighbours are those of a plain double loop, whatever the method and the size of a block."""
    queries, targets = unit(data.draw(COARSE)), unit(data.draw(COARSE))
    k = data.draw(st.integers(1, 5))
    own = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(queries), max_size=len(queries))), dtype=np.int64)
    other = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(targets), max_size=len(targets))), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_CELLS_A_BLOCK", cells)
        found = neighbours.nearest(queries, targets, k=k, apart=(own, other), method=method)
    wanted = brute(queries, targets, k, (own, other))
    assert [[one for one in row if one >= 0] for row in found.positions.tolist()] == wanted
    assert ((found.positions < 0) == np.isneginf(found.similarities)).all()


@settings(max_examples=40)
@given(data=st.data(), method=st.sampled_from(["exact", "faiss"]), cells=st.sampled_from([1, 40, 1 << 22]))
def test_pairs(data: st.DataObject, method: Method, cells: int) -> None:
    """Pairs are those of a plain double loop, in its order; within one set each is there once."""
    first, second = unit(data.draw(COARSE)), unit(data.draw(COARSE))
    at_least = data.draw(st.sampled_from([-1.0, 0.0, 0.5, 0.9, 1.0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_CELLS_A_BLOCK", cells)
        for other in (second, first):
            found = [
                (int(one), int(two))
                for part in neighbours.pairs(first, other, at_least=at_least, method=method)
                for one, two in zip(part.first, part.second, strict=True)
            ]
            similar = np.round(first.astype(float) @ other.T.astype(float), 7) >= at_least
            assert found == [
                (one, two) for one, two in np.argwhere(similar).tolist() if other is not first or one < two
            ]


def test_faiss_answers_the_same() -> None:
    """With faiss and without, positions and similarities are equal to the last bit, many copies among them too."""
    some = random_vectors(400, seed=1)
    targets = np.concatenate([some, np.repeat(some[:5], 30, axis=0), random_vectors(200, seed=2)])
    groups = np.arange(len(targets)) // 3
    exact, quick = (
        neighbours.nearest(targets, targets, k=3, apart=(groups, groups), method=method)
        for method in ("exact", "faiss")
    )
    assert np.array_equal(exact.positions, quick.positions)
    assert np.array_equal(exact.similarities, quick.similarities)
    lists = [
        [
            (part.first.tolist(), part.second.tolist(), part.similarities.tolist())
            for part in neighbours.pairs(targets, some, at_least=0.4, method=method)
        ]
        for method in ("exact", "faiss")
    ]
    assert lists[0] == lists[1]
    assert sum(len(first) for first, _, _ in lists[0]) > 1000


@each_method
def test_neighbours_are_scikit_learns(method: Method) -> None:
    """Positions and cosines are those of scikit-learn's brute force search."""
    queries, targets = random_vectors(120, seed=3), random_vectors(300, seed=4)
    wanted = NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute").fit(targets).kneighbors(queries)
    found = neighbours.nearest(queries, targets, k=4, method=method)
    assert np.array_equal(found.positions, wanted[1])
    np.testing.assert_allclose(found.similarities, 1 - wanted[0], atol=1e-6)


def test_large_sets_take_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the threshold on, faiss is taken where it is installed, and not where it is missing."""
    monkeypatch.setattr(neighbours, "LARGE", 10)
    few, many = random_vectors(9, seed=5), random_vectors(10, seed=6)
    assert not neighbours._by_faiss(few, many, None)
    assert neighbours._by_faiss(many, many, None)
    assert not neighbours._by_faiss(many, many, "exact")
    assert neighbours._by_faiss(few, few, "faiss")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert not neighbours._by_faiss(many, many, None)


def test_equal_vectors_are_wholly_similar() -> None:
    """A vector's similarity with a copy of it is 1 exactly, so that a threshold of 1 finds copies."""
    vectors = random_vectors(50, seed=7, width=385)
    assert (np.diagonal(neighbours.similarities(vectors, vectors)) == 1).all()


@pytest.mark.parametrize(
    ("queries", "targets", "k", "message"),
    [
        (np.zeros((2, 3), np.float32), np.zeros((2, 4), np.float32), 1, "shapes"),
        (np.zeros(3, np.float32), np.zeros((2, 3), np.float32), 1, "shapes"),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32), 0, "k 0"),
    ],
    ids=["other widths", "no matrix", "no neighbour"],
)
def test_what_cannot_be_searched(queries: Vectors, targets: Vectors, k: int, message: str) -> None:
    """Vectors that do not fit, and no neighbours at all, are refused."""
    with pytest.raises(ValueError, match=message):
        neighbours.nearest(queries, targets, k=k)
