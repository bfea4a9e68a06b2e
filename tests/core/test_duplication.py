"""Duplication: planted copies are found, all of them and nothing else, at a threshold learnt from real data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from pipeline.core import duplication, neighbours
from pipeline.core.duplication import measure
from pipeline.core.figures import Duplication
from pipeline.core.objects import Collection, Items
from tests.builders import sha

WIDTH = 64  # dimensions: random directions in so many are nearly at right angles


def items(vectors: np.ndarray, names: Sequence[str], *, split: str = "train", images: Sequence[int] = ()) -> Items:
    """Items with these vectors, each with pixels and a hash of its own, and each on an image of its own by default."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Items(
        ids=tuple(names),
        images=np.array(images or range(len(names)), dtype=np.int64),
        splits=(split,) * len(names),
        vectors=(vectors / length).astype(np.float32),
        digests=tuple(sha(name) for name in names),
        hashes=np.array([int(sha(name)[:16], 16) for name in names], dtype=np.uint64),
    )


def joined(*parts: Items) -> Items:
    """Items one after the other, on images of their own."""
    start = np.cumsum([0, *(len(part) for part in parts[:-1])])
    return Items(
        ids=tuple(one for part in parts for one in part.ids),
        images=np.concatenate([part.images + first for part, first in zip(parts, start, strict=True)]),
        splits=tuple(one for part in parts for one in part.splits),
        vectors=np.concatenate([part.vectors for part in parts]),
        digests=tuple(one for part in parts for one in part.digests),
        hashes=np.concatenate([part.hashes for part in parts]),
    )


def drawn(prefix: str, number: int, *, seed: int, split: str = "train") -> Items:
    """Items in random directions."""
    vectors = np.random.default_rng(seed).normal(size=(number, WIDTH))
    return items(vectors, [f"{prefix}{position}" for position in range(number)], split=split)


def like(origin: Items, positions: Sequence[int], prefix: str, *, noise: float = 0.01, seed: int = 0) -> Items:
    """Slightly changed copies of items, on other images and with other pixels."""
    vectors = origin.vectors[list(positions)] + np.random.default_rng(seed).normal(
        0, noise / np.sqrt(WIDTH), (len(positions), WIDTH)
    )
    return items(vectors, [f"{prefix}{number}" for number in range(len(positions))])


def collection(found: Items) -> Collection:
    """A collection whose images are these items, and whose objects are the same."""
    return Collection(images=found, objects=found, classes=np.zeros(len(found), dtype=np.int64), left_out=())


TRAIN, TEST = drawn("t", 300, seed=1), drawn("x", 80, seed=3, split="test")
# Kin of training items, at cosines around 0.8: nearer than chance, and no copies.
VAL = replace(like(TRAIN, range(150), "v", noise=0.75, seed=2), splits=("val",) * 150)
REAL = collection(joined(TRAIN, VAL, TEST))
FRESH = drawn("s", 200, seed=4)


def objects_of(made: Items, real: Collection = REAL, *, quantile: float = 0.01) -> Duplication:
    """Duplication of objects."""
    images, objects = measure(collection(made), real, quantile=quantile, hash_distance=2)
    assert (images.level, objects.level) == ("image", "object")
    assert replace(images, level="object") == objects  # the same items at both levels here
    return objects


def test_planted_copies_are_found() -> None:
    """Groups of copies are found whole, the largest first; the rest of the set is in none."""
    planted = like(FRESH, [0] * 4 + [1] * 2 + [2], "copy")
    found = objects_of(joined(FRESH, planted))
    assert (found.items, found.near, found.groups, found.largest) == (207, 7, 3, 5)
    assert [one.items for one in found.examples] == [
        ("s0", "copy0", "copy1", "copy2", "copy3"),
        ("s1", "copy4", "copy5"),
        ("s2", "copy6"),
    ]
    assert all(one.similarity > 0.999 for one in found.examples)
    assert found.near_share.value == pytest.approx(7 / 207)
    assert found.expected.value == 0
    assert (found.exact, found.reencoded, found.copies) == (0, 0, {"train": 0, "val": 0, "test": 0})


def test_copies_of_real_items_are_counted_by_split() -> None:
    """Synthetic items near a real one are counted for its split, and shown with it, the nearest first."""
    made = joined(FRESH, like(TRAIN, [5, 6], "a"), like(VAL, [7], "b"), like(TEST, [8, 9, 10], "c", noise=0.001))
    found = objects_of(made)
    assert found.copies == {"train": 2, "val": 1, "test": 3}
    assert found.copy_share.value == pytest.approx(2 / 206)
    assert {(one.synthetic, one.real, one.split) for one in found.suspicious[:6]} == {
        ("a0", "t5", "train"), ("a1", "t6", "train"), ("b0", "v7", "val"),
        ("c0", "x8", "test"), ("c1", "x9", "test"), ("c2", "x10", "test"),
    }  # fmt: skip
    similar = [one.similarity for one in found.suspicious]
    assert len(similar) == 12
    assert similar == sorted(similar, reverse=True)
    assert {one.split for one in found.suspicious[:3]} == {"test"}


def test_exact_and_reencoded_copies() -> None:
    """Repeated pixels and repeated hashes are counted each by itself: all but the first, on other images only."""
    one = FRESH.take(np.array([0, 0, 0, 1, 2, 3]))
    made = replace(
        one,
        ids=tuple(f"e{position}" for position in range(6)),
        images=np.array([0, 0, 1, 2, 3, 4]),
        hashes=np.array([0, 0, 0, 0b11, 0b111111, 2**63], dtype=np.uint64),
    )
    found = objects_of(made)
    assert found.exact == 1  # e2 repeats e0 on another image; e1 is on the same
    assert found.reencoded == 3  # e2, e3 (two bits from e0) and e5 (one bit); e4 is four bits from e3
    assert found.near == 2  # one group: e0 and e1 are both near e2
    assert found.hash_distance == 2


def test_two_boxes_around_one_thing_are_no_copies() -> None:
    """Near items on one image do not repeat one another; on two images they do."""
    twins = like(FRESH, [0, 0], "twin")
    assert objects_of(replace(twins, images=np.array([3, 3]))).near == 0
    assert objects_of(replace(twins, images=np.array([3, 4]))).near == 1


@settings(max_examples=15)
@given(copies=st.lists(st.integers(0, 20), max_size=12))
def test_more_copies_make_a_larger_share(copies: list[int]) -> None:
    """With every copy that is added, one more item is near and the share of near items grows."""
    made = FRESH.take(np.arange(40))
    shares = [objects_of(made)]
    for number, origin in enumerate(copies):
        made = joined(made, like(FRESH, [origin], f"more{number}-", seed=number))
        shares.append(objects_of(made))
    assert [one.near for one in shares] == list(range(len(copies) + 1))
    values = [one.near_share.value or 0.0 for one in shares]
    assert values == sorted(values)
    assert len({one.threshold for one in shares}) == 1


def test_threshold_is_a_quantile_of_unseen_real_items() -> None:
    """The threshold is what the stated share of validation items reaches with its nearest training item, no more."""
    nearest = (VAL.vectors.astype(float) @ TRAIN.vectors.T.astype(float)).max(axis=1)
    for quantile in (0.02, 0.1, 0.5):
        threshold = objects_of(FRESH, quantile=quantile).threshold
        assert threshold is not None
        assert np.round(nearest, 7).tolist().count(round(threshold, 7)) == 1
        assert quantile / 2 <= np.mean(nearest >= threshold - 1e-7) <= quantile


def test_a_data_set_that_repeats_things() -> None:
    """Real training data that repeats its objects says so in `expected`, and does not blur what is near."""
    training = joined(TRAIN, like(TRAIN, range(200), "again"))
    real = collection(joined(training, VAL))
    made = joined(FRESH, like(FRESH, [0, 1], "copy"))
    found = objects_of(made, real)
    assert found.near == 2
    assert found.expected.samples == len(made)
    assert 0.1 < (found.expected.value or 0.0) < 0.4


def test_without_validation_items() -> None:
    """With few validation items, training items take their place; exact copies among them raise no threshold."""
    few = collection(joined(TRAIN, VAL.take(np.arange(20))))
    copied = joined(TRAIN, replace(TRAIN.take(np.arange(30)), ids=tuple(f"twin{one}" for one in range(30))))
    plain, twice = (objects_of(FRESH, real).threshold for real in (few, collection(copied)))
    own = TRAIN.vectors.astype(float) @ TRAIN.vectors.T.astype(float) - 2 * np.eye(len(TRAIN))
    assert plain == twice
    assert plain is not None
    assert 0.005 <= np.mean(own.max(axis=1) >= plain - 1e-7) <= 0.02  # each of the nearest two is the other's


def test_too_few_real_items() -> None:
    """With too few real items nothing says what is near: the figures are absent, with the reason; pairs are there."""
    real = collection(joined(TRAIN.take(np.arange(49)), VAL.take(np.arange(10))))
    found = objects_of(joined(FRESH, like(FRESH, [0], "copy")), real)
    assert found.threshold is None
    for figure in (found.near_share, found.expected, found.copy_share):
        assert figure.value is None
        assert "10 real validation and 49 training items, wanted at least 100" in figure.reason
    assert found.copies == {}
    assert found.examples == ()
    assert len(found.suspicious) == 12


def test_intervals_are_clopper_pearsons() -> None:
    """Shares come with the exact interval of statsmodels."""
    found = objects_of(joined(FRESH, like(FRESH, [0, 0, 1], "copy"), like(TRAIN, [0], "a")))
    for figure, count in ((found.near_share, 3), (found.copy_share, 1)):
        low, high = proportion_confint(count, 204, method="beta")
        assert (figure.low, figure.high) == pytest.approx((low, high))
        assert figure.samples == 204


def test_no_synthetic_items() -> None:
    """Without synthetic items there are no shares, and no pairs."""
    found = objects_of(FRESH.take(np.zeros(0, dtype=np.int64)))
    assert (found.items, found.near, found.groups, found.largest, found.exact) == (0, 0, 0, 0, 0)
    assert found.near_share.value is None
    assert found.near_share.reason
    assert found.suspicious == ()


def test_many_pairs_in_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are the same however the pairs are divided into parts."""
    made = joined(FRESH, like(FRESH, list(range(30)) * 3, "copy"), like(FRESH, [0] * 40, "heap"))
    whole = objects_of(made)
    assert (whole.near, whole.groups, whole.largest) == (130, 30, 44)
    monkeypatch.setattr(neighbours, "_TILE", 20)
    monkeypatch.setattr(duplication, "_LINKS", 50)
    assert objects_of(made) == whole


@pytest.mark.parametrize("quantile", [0.0, 1.0, -0.1])
def test_quantiles_out_of_range(quantile: float) -> None:
    """A quantile outside (0, 1) is refused."""
    with pytest.raises(ValueError, match="quantile"):
        duplication.calibrate(TRAIN, VAL, quantile=quantile)
