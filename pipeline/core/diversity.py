"""How varied a run's synthetic objects are beside as many real training objects, and how well they cover them.

All figures depend on the number of objects, so both kinds are drawn down to one size first. Their intervals come from
random halves of the images: the spread of a figure over halves is that of the figure over whole samples (delete-half
jackknife). A bootstrap would draw objects twice, and twins are what these figures are about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigvalsh
from threadpoolctl import threadpool_limits

from pipeline.core import neighbours
from pipeline.core.figures import Diversity, Figure
from pipeline.core.objects import Collection, Items

Positions = npt.NDArray[np.int64]
Similarities = npt.NDArray[np.float64]

TAIL = 0.95  # of the distances between a real object and its nearest real one: a synthetic one farther off is no match
LEAST_UNSEEN = 20  # objects: fewer have no 95 % quantile
HALVES = 20  # for the interval
_NORMAL = 1.959963984540054  # standard deviations on each side of 95 %
_TINY = 1e-12  # eigenvalues below are rounding; x log x of them is nothing anyway


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How synthetic objects lie among real ones.

    Attributes:
        coverage: share of real objects with a synthetic one within the distance of their k-th real neighbour, [0, 1].
        density: mean number of such balls that a synthetic object lies in, over k; 0 or more, about 1 on equal sets.
        lost_tail: share of real objects whose nearest synthetic one is farther than is usual between a real object and
            the nearest of as many others, [0, 1]: farther than :data:`TAIL` of such distances. About 1 - TAIL where
            synthetic objects are like real ones.
    """

    coverage: float
    density: float
    lost_tail: float


def vendi_score(vectors: npt.NDArray[np.floating]) -> float:
    """Effective number of different vectors, in [1, n]; the similarity of two is their dot product.

    The eigenvalues are taken of the smaller of the two Gram matrices, (n, n) or (d, d): the others are 0.

    Args:
        vectors: unit vectors, shape (n, d), at least one.

    Raises:
        ValueError: no vector.

    Source: Friedman & Dieng 2023, "The Vendi Score", TMLR, eq. 1: exp of the Shannon entropy of the eigenvalues of K/n.
    """
    if len(vectors) == 0:
        raise ValueError("no vectors, wanted at least one")
    whole = vectors.astype(np.float64)
    gram = whole @ whole.T if len(whole) <= whole.shape[1] else whole.T @ whole
    return _vendi(gram, len(whole))


def _vendi(gram: npt.NDArray[np.float64], number: int) -> float:
    values = eigvalsh(gram / number, check_finite=False)
    values = values[values > _TINY]
    values = values / values.sum()
    return float(np.clip(np.exp(-(values * np.log(values)).sum()), 1, number))


def fidelity(real: Similarities, across: Similarities, *, k: int, unseen: Similarities | None = None) -> Fidelity:
    """Compute coverage, density and lost tail from cosine similarities, which order unit vectors as distances do.

    Args:
        real: of real objects with one another, shape (n, n), n > k.
        across: of real objects (rows) with synthetic ones, shape (n, m), m at least 1.
        k: neighbours, at least 1.
        unseen: of further real objects (rows), which share nothing with these, with these ones, shape (u, n). What is
            usual is learnt from them where there are :data:`LEAST_UNSEEN`, else from the real objects and one another,
            which says less where a data set repeats things.

    Raises:
        ValueError: shapes that do not fit, or too few real objects for k.

    Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", ICML, eqs. 3 and 4, with
    ``<=``: a synthetic object at exactly the k-th neighbour's distance is within it.
    """
    number = len(real)
    if real.shape != (number, number) or across.shape[:-1] != (number,) or across.size == 0:
        raise ValueError(f"similarities of shapes {real.shape} and {across.shape}, wanted (n, n) and (n, m)")
    if not 1 <= k < number:
        raise ValueError(f"k {k} for {number} real objects, wanted 1 to {number - 1}")
    others = real.copy()
    np.fill_diagonal(others, -np.inf)
    kin = others if unseen is None or len(unseen) < LEAST_UNSEEN else unseen
    usual = float(np.quantile(kin.max(axis=1), 1 - TAIL, method="lower"))
    radius = np.partition(others, number - k, axis=1)[:, number - k]
    within = across >= radius[:, None]
    return Fidelity(
        coverage=float(within.any(axis=1).mean()),
        density=float(within.sum() / (k * across.shape[1])),
        lost_tail=float((across.max(axis=1) < usual).mean()),
    )


def measure(
    synthetic: Collection,
    real: Collection,
    names: Sequence[str],
    *,
    neighbours: int,
    limit: int,
    source: np.random.Generator,
) -> tuple[Diversity, ...]:
    """Compare synthetic with real training objects: all of them, then those of each class.

    A class with fewer than ``neighbours`` + 2 objects on either side has no figures, but the reason.

    Args:
        synthetic: of one run.
        real: images of the splits ``train``, which is compared, and ``val``, from which the usual distance is learnt.
        names: of the classes, by id.
        neighbours: k of coverage and density, at least 1.
        limit: most objects of a kind that are compared.
        source: of the draws.

    Raises:
        ValueError: fewer than one neighbour.
    """
    if neighbours < 1:
        raise ValueError(f"{neighbours} neighbours, wanted at least 1")
    train, val = real.of_split("train"), real.of_split("val")
    both = [("all", synthetic.objects, train.objects, val.objects)]
    for class_id, name in enumerate(names):
        made, true, unseen = (
            one.objects.take(np.flatnonzero(one.classes == class_id)) for one in (synthetic, train, val)
        )
        both.append((name, made, true, unseen))
    with threadpool_limits(limits=1, user_api="blas"):  # the matrices are small: a second thread mostly waits, busily
        return tuple(_compare(name, items, neighbours, limit, source) for name, *items in both)


def _compare(name: str, items: Sequence[Items], k: int, limit: int, source: np.random.Generator) -> Diversity:
    made, true, unseen = items
    number = min(len(made), len(true), limit)
    if number < k + 2:
        reason = f"{len(made)} synthetic and {len(true)} real objects, wanted at least {k + 2} of each"
        absent = Figure(value=None, samples=number, reason=reason)
        return Diversity(name=name, samples=number, **dict.fromkeys(_RANGES, absent))
    sample = _Sample.of(_drawn(made, number, source), _drawn(true, number, source), unseen)
    everything = np.arange(number)
    whole = sample.figures(everything, everything, k)
    parts = [sample.half(source) for _ in range(HALVES)]
    halves = [sample.figures(*part, k) for part in parts if len(part[1]) > k]
    figures = {key: _figure(key, value, [half[key] for half in halves], number) for key, value in whole.items()}
    return Diversity(name=name, samples=number, **figures)


def _drawn(items: Items, number: int, source: np.random.Generator) -> Items:
    return items.take(np.sort(source.choice(len(items), size=number, replace=False)))


# Least and largest value; None: the number of objects.
_RANGES: dict[str, tuple[float, float | None]] = {
    "vendi_synthetic": (1.0, None),
    "vendi_real": (1.0, None),
    "coverage": (0.0, 1.0),
    "density": (0.0, math.inf),
    "lost_tail": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sample:
    """Synthetic and real objects of one number, with the similarities that the figures of every part of them need."""

    made: Items
    true: Items
    real: Similarities
    across: Similarities
    unseen: Similarities

    @classmethod
    def of(cls, made: Items, true: Items, unseen: Items) -> _Sample:
        return cls(
            made=made,
            true=true,
            real=neighbours.similarities(true.vectors, true.vectors),
            across=neighbours.similarities(true.vectors, made.vectors),
            unseen=neighbours.similarities(unseen.vectors, true.vectors),
        )

    def half(self, source: np.random.Generator) -> tuple[Positions, Positions]:
        """Objects of a random half of the images of each kind, as many of one as of the other."""
        made, true = (_of_half(items, source) for items in (self.made, self.true))
        number = min(len(made), len(true))
        return made[:number], true[:number]

    def figures(self, made: Positions, true: Positions, k: int) -> dict[str, float]:
        """All figures of a part of the sample, more than k objects of each kind."""
        real, across = self.real[np.ix_(true, true)], self.across[np.ix_(true, made)]
        found = fidelity(real, across, k=k, unseen=self.unseen[:, true])
        return {
            "vendi_synthetic": vendi_score(self.made.vectors[made]),
            "vendi_real": vendi_score(self.true.vectors[true]),
            "coverage": found.coverage,
            "density": found.density,
            "lost_tail": found.lost_tail,
        }


def _of_half(items: Items, source: np.random.Generator) -> Positions:
    """Positions of the objects on a random half of the images, in random order of the images."""
    images = source.permutation(np.unique(items.images))
    rank = {int(image): number for number, image in enumerate(images[: (len(images) + 1) // 2])}
    chosen = [position for position, image in enumerate(items.images) if int(image) in rank]
    return np.array(sorted(chosen, key=lambda position: (rank[int(items.images[position])], position)), dtype=np.int64)


def _figure(name: str, value: float, halves: Sequence[float], samples: int) -> Figure:
    """A figure with its interval: as far on each side as figures of halves usually lie from their mean.

    The Vendi score of a half is smaller than that of the whole, so its spread is taken as a share of it.

    Source: Shao & Wu 1989, "A General Theory for Jackknife Variance Estimation", Annals of Statistics 17:1176-1197:
    with d of n left out, the variance is (n - d) / d times the mean square over the samples; with half left out, it is
    the mean square itself.
    """
    if len(halves) < HALVES // 2:
        return Figure(value=value, samples=samples)
    spread = _NORMAL * float(np.std(halves, ddof=1))
    if name.startswith("vendi"):
        spread *= value / float(np.mean(halves))
    least, most = _RANGES[name]
    high = min(value + spread, samples if most is None else most)
    return Figure(value=value, low=max(value - spread, least), high=high, samples=samples)
