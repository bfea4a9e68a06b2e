"""Diversity and fidelity: the published formulas, their laws, and intervals that hold what they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from pipeline.core import diversity
from pipeline.core.diversity import fidelity, measure, vendi_score
from pipeline.core.figures import Diversity
from pipeline.core.objects import Collection, Items
from tests.builders import sha

Floats = npt.NDArray[np.float64]
NAMES = ("one", "two")
SETS = st.tuples(st.integers(1, 25), st.integers(1, 12), st.integers(0, 2**32 - 1))


def unit(number: int, width: int, *, seed: int, spread: float = 1.0) -> Floats:
    """Unit vectors around one direction, the wider apart the larger the spread."""
    vectors = np.eye(1, width) + spread * np.random.default_rng(seed).normal(size=(number, width))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float64)


@settings(max_examples=60)
@given(shape=SETS, data=st.data())
def test_vendi_score(shape: tuple[int, int, int], data: st.DataObject) -> None:
    """The score lies in [1, n], is that of the whole kernel's eigenvalues, and knows no order."""
    number, width, seed = shape
    vectors = unit(number, width, seed=seed)
    found = vendi_score(vectors)
    assert 1 <= found <= number
    values = np.linalg.eigvalsh(vectors @ vectors.T / number)
    assert found == pytest.approx(np.exp(entropy(np.clip(values, 0, None))), rel=1e-6)
    order = data.draw(st.permutations(range(number)))
    assert vendi_score(vectors[order]) == pytest.approx(found, rel=1e-9)


@settings(max_examples=30)
@given(shape=SETS, times=st.integers(1, 5))
def test_vendi_score_of_copies(shape: tuple[int, int, int], times: int) -> None:
    """Copying the whole set adds nothing; copies of one vector count as one, vectors at right angles each by itself."""
    number, width, seed = shape
    vectors = unit(number, width, seed=seed)
    assert vendi_score(np.repeat(vectors, times, axis=0)) == pytest.approx(vendi_score(vectors), rel=1e-6)
    assert vendi_score(np.repeat(vectors[:1], times, axis=0)) == pytest.approx(1, abs=1e-6)
    assert vendi_score(np.eye(number, width + number)) == pytest.approx(number)


def prdc(real: Floats, made: Floats, unseen: Floats, k: int) -> tuple[float, float, float]:
    """Coverage, density and lost tail by Euclidean distances, one by one."""
    among, across = cdist(real, real), cdist(real, made)
    radii = [sorted(row)[k] for row in among]  # the nearest is the object itself
    within = [[distance <= radius for distance in row] for row, radius in zip(across, radii, strict=True)]
    usual = np.quantile(cdist(unseen, real).min(axis=1), 0.95, method="higher")
    return (
        float(np.mean([any(row) for row in within])),
        float(np.sum(within) / (k * len(made))),
        float(np.mean(across.min(axis=1) > usual)),
    )


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 5), spread=st.floats(0.2, 2), made=st.integers(1, 40))
def test_fidelity(seed: int, k: int, spread: float, made: int) -> None:
    """Coverage, density and lost tail are those of a plain loop over distances."""
    real, others, unseen = (
        unit(n, 6, seed=seed + i, spread=s) for i, (n, s) in enumerate([(30, 1), (made, spread), (25, 1)])
    )
    found = fidelity(real @ real.T, real @ others.T, k=k, unseen=unseen @ real.T)
    assert (found.coverage, found.density, found.lost_tail) == pytest.approx(prdc(real, others, unseen, k))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(7, 60), k=st.integers(1, 5), times=st.integers(1, 3))
def test_a_set_covers_itself(seed: int, number: int, k: int, times: int) -> None:
    """A set beside itself is covered whole at density (k + 1) / k, each object lying in its own ball too; none is lost.

    Where objects are there more than k times over, their balls have no width, and still hold all their copies.
    """
    real = np.repeat(unit(number, 8, seed=seed), times, axis=0)
    similar = np.round(real @ real.T, 7)
    found = fidelity(similar, similar, k=k)
    assert found.coverage == 1
    assert found.lost_tail == 0
    assert found.density >= (k + 1) / k - 1e-9
    if times == 1:
        assert found.density == pytest.approx((k + 1) / k)


def test_exactly_the_distance_is_within() -> None:
    """A synthetic object at exactly the k-th neighbour's distance covers: `<=`, not `<`."""
    angles = np.deg2rad([0, 10, 90, 100])
    real = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    made = np.array([[np.cos(np.deg2rad(-10)), np.sin(np.deg2rad(-10))]])
    found = fidelity(np.round(real @ real.T, 7), np.round(real @ made.T, 7), k=1)
    assert (found.coverage, found.density) == (0.25, 1.0)


def test_few_unseen_objects_are_not_asked() -> None:
    """With fewer than twenty unseen objects, the usual distance is that between the real ones."""
    real, made, unseen = unit(40, 6, seed=1), unit(40, 6, seed=2, spread=2), unit(20, 6, seed=3, spread=0.1)
    alone = fidelity(real @ real.T, real @ made.T, k=3)
    assert fidelity(real @ real.T, real @ made.T, k=3, unseen=unseen[:19] @ real.T) == alone
    assert fidelity(real @ real.T, real @ made.T, k=3, unseen=unseen @ real.T) != alone


@pytest.mark.parametrize(
    ("real", "across", "k", "message"),
    [
        (np.eye(3), np.ones((2, 3)), 1, "shapes"),
        (np.ones((3, 2)), np.ones((3, 3)), 1, "shapes"),
        (np.eye(3), np.ones((3, 0)), 1, "shapes"),
        (np.eye(3), np.ones((3, 3)), 3, "k 3"),
        (np.eye(3), np.ones((3, 3)), 0, "k 0"),
    ],
    ids=["other real objects", "not square", "nothing made", "k too large", "no neighbour"],
)
def test_what_cannot_be_compared(real: Floats, across: Floats, k: int, message: str) -> None:
    """Similarities that do not fit, and neighbours that are not there, are refused."""
    with pytest.raises(ValueError, match=message):
        fidelity(real, across, k=k)


def test_vendi_score_of_nothing() -> None:
    """No vectors have no score."""
    with pytest.raises(ValueError, match="no vectors"):
        vendi_score(np.zeros((0, 3)))


def items(vectors: Floats, *, a_page: int = 3, splits: tuple[str, ...] = ()) -> Items:
    """Objects with these vectors, some to an image."""
    number = len(vectors)
    return Items(
        ids=tuple(f"{sha(position // a_page)}/{position % a_page}" for position in range(number)),
        images=np.arange(number) // a_page,
        splits=splits or ("train",) * number,
        vectors=vectors.astype(np.float32),
        digests=tuple(sha(position) for position in range(number)),
        hashes=np.arange(number, dtype=np.uint64),
    )


def collection(vectors: Floats, *, a_page: int = 3, splits: tuple[str, ...] = (), every: int = 4) -> Collection:
    """A collection of objects, every fourth of class 1 and the others of class 0."""
    found = items(vectors, a_page=a_page, splits=splits)
    classes = (np.arange(len(vectors)) % every == 0).astype(np.int64)
    return Collection(images=found, objects=found, classes=classes, left_out=())


def compared(
    made: Collection, real: Collection, *, k: int = 5, limit: int = 300, seed: int = 0
) -> tuple[Diversity, ...]:
    """Synthetic beside real objects."""
    return measure(made, real, NAMES, neighbours=k, limit=limit, source=np.random.default_rng(seed))


REAL = collection(unit(360, 16, seed=1), splits=("train",) * 240 + ("val",) * 120)


def test_measure() -> None:
    """All objects come first, then each class; both kinds at the smaller size, and at the limit at most."""
    made = collection(unit(300, 16, seed=2))
    everything, one, two = compared(made, REAL)
    assert [each.name for each in (everything, one, two)] == ["all", "one", "two"]
    assert [each.samples for each in (everything, one, two)] == [240, 180, 60]
    assert [each.samples for each in compared(made, REAL, limit=50)] == [50, 50, 50]
    for each in (everything, one, two):
        for name in diversity._RANGES:
            figure = getattr(each, name)
            assert figure.samples == each.samples
            assert figure.low <= figure.value <= figure.high
            assert figure.low < figure.high


def test_like_real_ones() -> None:
    """Objects drawn as the real ones are are covered and as varied; about a twentieth of the tail is lost."""
    everything = compared(collection(unit(300, 16, seed=3)), REAL)[0]
    assert everything.vendi_synthetic.value == pytest.approx(everything.vendi_real.value, rel=0.05)
    assert everything.coverage.value == pytest.approx(1, abs=0.1)
    assert everything.density.value == pytest.approx(1, abs=0.2)
    assert everything.lost_tail.value == pytest.approx(1 - diversity.TAIL, abs=0.05)


def test_collapse_shows() -> None:
    """Ever narrower sets have ever lower scores, cover less and lose more of the tail; the real score stays."""
    found = [compared(collection(unit(300, 16, seed=4, spread=spread)), REAL)[0] for spread in (1.0, 0.3, 0.1, 0.02)]
    vendi, coverage, lost = (
        [getattr(one, name).value for one in found] for name in ("vendi_synthetic", "coverage", "lost_tail")
    )
    assert vendi == sorted(vendi, reverse=True)
    assert vendi[-1] < 1.1
    assert coverage == sorted(coverage, reverse=True)
    assert lost == sorted(lost)
    assert lost[-1] > 0.5
    assert len({one.vendi_real.value for one in found}) == 1


def test_the_same_draws_give_the_same_figures() -> None:
    """Figures follow from the generator that is passed in, and from nothing else."""
    made = collection(unit(300, 16, seed=5))
    assert compared(made, REAL, limit=100) == compared(made, REAL, limit=100)
    assert compared(made, REAL, limit=100) != compared(made, REAL, limit=100, seed=1)


@pytest.mark.parametrize(("number", "there"), [(6, False), (7, True)], ids=["one too few", "enough"])
def test_small_classes(number: int, there: bool) -> None:  # noqa: FBT001 - a case of the table
    """A class with fewer than k + 2 objects on one side has no figures, but the reason; with k + 2 it has them."""
    made = collection(unit(4 * number, 16, seed=6))
    two = compared(made, REAL)[2]
    assert two.samples == number
    for name in diversity._RANGES:
        figure = getattr(two, name)
        assert (figure.value is not None) == there
        assert bool(figure.reason) != there
    if not there:
        assert two.coverage.reason == "6 synthetic and 60 real objects, wanted at least 7 of each"


def test_nothing_made() -> None:
    """Without synthetic objects every figure is absent."""
    nothing = collection(unit(0, 16, seed=0))
    assert all(one.coverage.value is None and one.samples == 0 for one in compared(nothing, REAL))


def test_no_neighbours() -> None:
    """Fewer than one neighbour is refused."""
    with pytest.raises(ValueError, match="0 neighbours"):
        compared(REAL, REAL, k=0)


@pytest.mark.parametrize(
    ("name", "value", "halves", "ends"),
    [
        ("density", 10.0, [4.9, 5.1] * 10, (9.798910, 10.201090)),
        ("vendi_real", 10.0, [4.9, 5.1] * 10, (9.597820, 10.402180)),
        ("vendi_real", 59.9, [29.0, 31.0] * 10, (55.884942, 60.0)),
        ("vendi_real", 1.1, [1.0, 1.2] * 10, (1.0, 1.301090)),
        ("coverage", 0.95, [0.9, 1.0] * 10, (0.849455, 1.0)),
        ("lost_tail", 0.05, [0.0, 0.1] * 10, (0.0, 0.150545)),
        ("coverage", 0.5, [0.4, 0.6] * 4, (None, None)),
    ],
    ids=["spread", "score of a half", "all different", "all alike", "all covered", "none lost", "too few halves"],
)
def test_interval(name: str, value: float, halves: list[float], ends: tuple[float | None, float | None]) -> None:
    """An interval is 1.96 standard deviations of the halves to each side, within the figure's range.

    That of a Vendi score grows with the score, of which a half has less; with fewer than ten halves there is none.
    """
    found = diversity._figure(name, value, halves, 60)
    assert (found.value, found.samples) == (value, 60)
    if ends == (None, None):
        assert (found.low, found.high) == ends
    else:
        assert (found.low, found.high) == pytest.approx(ends, abs=1e-5)


@pytest.mark.slow
def test_intervals_hold_the_truth() -> None:
    """Over many draws of images with dependent objects, 95 % intervals hold the mean figure about that often.

    Objects of one image are alike, as on real pages; intervals that took them for independent would be too narrow.
    """
    source = np.random.default_rng(7)

    def draw(images: int) -> Collection:
        pages = np.repeat(source.normal(size=(images, 16)), 3, axis=0)
        vectors = np.eye(1, 16) * 2 + pages + 0.7 * source.normal(size=(3 * images, 16))
        return collection(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    found = [compared(draw(60), draw(60), limit=180, seed=seed)[0] for seed in range(150)]
    for name in ("vendi_synthetic", "vendi_real", "coverage", "density"):
        figures = [getattr(one, name) for one in found]
        truth = np.mean([figure.value for figure in figures])
        held = np.mean([figure.low <= truth <= figure.high for figure in figures])
        print(f"{name}: {held:.3f}")  # noqa: T201 - -s shows it
        assert held >= 0.85
