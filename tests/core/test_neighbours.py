"""Nearest neighbours: those of a plain double loop, ties by position."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from pipeline.core import neighbours
from pipeline.core.neighbours import Positions, Vectors

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
@given(data=st.data(), tile=st.sampled_from([1, 7, 2048]))
def test_nearest(data: st.DataObject, tile: int) -> None:
    """Neighbours are those of a plain double loop, whatever the size of a tile."""
    queries, targets = unit(data.draw(COARSE)), unit(data.draw(COARSE))
    k = data.draw(st.integers(1, 5))
    own = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(queries), max_size=len(queries))), dtype=np.int64)
    other = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(targets), max_size=len(targets))), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_TILE", tile)
        found = neighbours.nearest(queries, targets, k=k, apart=(own, other))
    wanted = brute(queries, targets, k, (own, other))
    assert [[one for one in row if one >= 0] for row in found.positions.tolist()] == wanted
    assert ((found.positions < 0) == np.isneginf(found.similarities)).all()


@settings(max_examples=40)
@given(data=st.data(), tile=st.sampled_from([1, 7, 2048]))
def test_pairs(data: st.DataObject, tile: int) -> None:
    """Pairs are those of a plain double loop; within one set each is there once."""
    first, second = unit(data.draw(COARSE)), unit(data.draw(COARSE))
    at_least = data.draw(st.sampled_from([-1.0, 0.0, 0.5, 0.9, 1.0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_TILE", tile)
        for other in (second, first):
            found = sorted(
                (int(one), int(two))
                for part in neighbours.pairs(first, other, at_least=at_least)
                for one, two in zip(part.first, part.second, strict=True)
            )
            similar = np.round(first.astype(float) @ other.T.astype(float), 7) >= at_least
            assert found == [
                (one, two) for one, two in np.argwhere(similar).tolist() if other is not first or one < two
            ]


def test_many_tiles_answer_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one tile and in many, positions and similarities are equal to the last bit, many copies among them too."""
    some = random_vectors(400, seed=1)
    targets = np.concatenate([some, np.repeat(some[:5], 30, axis=0), random_vectors(200, seed=2)])
    groups = np.arange(len(targets)) // 3
    found, lists = [], []
    for tile in (2048, 64):
        monkeypatch.setattr(neighbours, "_TILE", tile)
        found.append(neighbours.nearest(targets, targets, k=3, apart=(groups, groups)))
        pairs = [
            pair
            for part in neighbours.pairs(targets, some, at_least=0.4)
            for pair in zip(part.first.tolist(), part.second.tolist(), part.similarities.tolist(), strict=True)
        ]
        lists.append(sorted(pairs))
    assert np.array_equal(found[0].positions, found[1].positions)
    assert np.array_equal(found[0].similarities, found[1].similarities)
    assert lists[0] == lists[1]
    assert len(lists[0]) > 1000


def test_neighbours_do_not_rest_on_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets that single precision cannot tell apart are ranked by double precision, however many they are."""
    draw = np.random.default_rng(8)
    query = random_vectors(1, seed=9, width=385)
    targets = query + draw.normal(0, 3e-5, (500, 385)).astype(np.float32)
    targets = np.asarray(targets / np.linalg.norm(targets, axis=1, keepdims=True), dtype=np.float32)
    monkeypatch.setattr(neighbours, "_TILE", 128)
    found = neighbours.nearest(query, targets, k=5)
    assert found.positions.tolist() == brute(query, targets, 5, (np.array([0]), -1 - np.arange(500)))


def test_neighbours_are_scikit_learns() -> None:
    """Positions and cosines are those of scikit-learn's brute force search."""
    queries, targets = random_vectors(120, seed=3), random_vectors(300, seed=4)
    wanted = NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute").fit(targets).kneighbors(queries)
    found = neighbours.nearest(queries, targets, k=4)
    assert np.array_equal(found.positions, wanted[1])
    np.testing.assert_allclose(found.similarities, 1 - wanted[0], atol=1e-6)


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
