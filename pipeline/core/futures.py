"""What may become of the classes' training boxes, drawn many times over from the generations so far.

A generator draws classes as often as they are in what it was fitted to, and what it draws and how its output is
labelled favours some classes over others. So the boxes of class c on the synthetic images of generation g + 1 are

    overdispersed Poisson, of mean  (all synthetic boxes) x (training share of c in generation g) x (rate of c),

where all synthetic boxes are as many an image as generation g has, times a growth. A rate of 1 keeps the share up to
chance (Wright-Fisher drift: chance adds up over generations); a rate under 1 shrinks it by that factor each generation.
Real images that stay in the training data are a floor under all of it. Rates are estimated together, drawn to 1 as far
as the classes agree on that; futures are drawn from what remains open. In a future, rates wander: the more they differ
between classes, the less they stay as they are from generation to generation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from pipeline.core.manifest_table import Table
from pipeline.core.sections import Policy

FUTURES = 1000
HALVING_LIMIT = 200  # generations: a share that takes longer to halve is called steady
_SPREADS = np.geomspace(0.02, 1.5, 40)  # of the rates about 1, as standard deviations: all are equally likely before
_WANDER = 0.5  # step of the log of a rate from generation to generation, in spreads; chosen by docs/forecasts.md
_PRIOR_WEIGHT = 4.0  # observations that an overdispersion of 1 is worth

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one generation was trained on; boxes by class id.

    Attributes:
        run: its name.
        generation: 0 for the base.
        training: boxes on all training images.
        real: those on real training images.
        synthetic: boxes on all synthetic images that were made for this generation; noughts for the base.
        images: all training images.
        made: synthetic images that were made for this generation.
        used: synthetic images, of any generation, that it was trained on.
    """

    run: str
    generation: int
    training: tuple[int, ...]
    real: tuple[int, ...]
    synthetic: tuple[int, ...]
    images: int
    made: int
    used: int


def count(run: str, generation: int, rows: Table, newest: Table, *, classes: int) -> Generation:
    """Count one generation.

    Args:
        run: its name.
        generation: its number; 0 for the base.
        rows: all its training images.
        newest: the synthetic images that were made for it, trained on or not.
        classes: number of classes.
    """
    real = rows.equal("origin", "real")
    return Generation(
        run=run,
        generation=generation,
        training=tuple(rows.class_counts(classes)),
        real=tuple(rows.class_counts(classes, real)),
        synthetic=tuple(newest.class_counts(classes)),
        images=len(rows),
        made=len(newest),
        used=len(rows) - int(real.sum()),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rates:
    """Rates of change a generation: gamma distributions, mixed over how far rates are spread about 1.

    Attributes:
        seen: boxes that were counted over all generations, shape (rates,).
        expected: those expected at a rate of 1, shape (rates,).
        dispersion: variance of a count over its mean, 1 or more.
        weights: of each of the spreads, shape (spreads,); they sum to 1.
    """

    seen: Floats
    expected: Floats
    dispersion: float
    weights: Floats

    def spreads(self, number: int, rng: np.random.Generator) -> Floats:
        """Draw how far rates are spread about 1, as standard deviations, shape (number, 1)."""
        return np.asarray(_SPREADS[rng.choice(len(_SPREADS), size=(number, 1), p=self.weights)])

    def draw(self, spreads: Floats, rng: np.random.Generator) -> Floats:
        """Draw rates from what is known of them at these spreads, shape (number, rates)."""
        prior = spreads**-2.0
        shape = prior + self.seen / self.dispersion
        return np.asarray(rng.standard_gamma(shape) / (prior + self.expected / self.dispersion))


def class_rates(history: Sequence[Generation]) -> Rates:
    """Estimate by what factor the share of each class changes a generation.

    Without the spread about 1, the rate is seen / expected: the Poisson regression of counts on a constant, with the
    log of the expectation as offset. Its overdispersion is Pearson's, held to 1 by a few imagined observations.

    Args:
        history: two or more generations.

    Source: McCullagh & Nelder 1989, Generalized Linear Models, section 6.2 (overdispersed Poisson); gamma-Poisson
    shrinkage: Clayton & Kaldor 1987, Biometrics 43:671-681.
    """
    before = np.array([shares(one.training) for one in history[:-1]])
    counts = np.array([one.synthetic for one in history[1:]], dtype=np.float64)
    expected = counts.sum(axis=1, keepdims=True) * before
    seen, total = counts.sum(axis=0), expected.sum(axis=0)
    fitted = expected * np.divide(seen, total, out=np.zeros_like(seen), where=total > 0)
    used = fitted > 0
    pearson = float(((counts - fitted)[used] ** 2 / fitted[used]).sum())
    free = int(used.sum()) - int((seen > 0).sum())
    return _rates(seen, total, max((_PRIOR_WEIGHT + pearson) / (_PRIOR_WEIGHT + free), 1.0))


def growth(history: Sequence[Generation]) -> Rates:
    """Estimate by what factor the boxes on a synthetic image change a generation: one rate, as of one class of all.

    Args:
        history: two or more generations.
    """
    seen = float(sum(sum(one.synthetic) for one in history[1:]))
    pairs = itertools.pairwise(history)
    expected = sum(after.made * sum(before.training) / max(before.images, 1) for before, after in pairs)
    return _rates(np.array([seen]), np.array([expected]), 1.0)


def _rates(seen: Floats, expected: Floats, dispersion: float) -> Rates:
    """Weigh each spread by how well it explains all counts: negative binomials, the rates summed out."""
    known = expected > 0
    number, mean, prior = seen[known] / dispersion, expected[known] / dispersion, (_SPREADS**-2.0)[:, None]
    log = gammaln(prior + number) - gammaln(prior) + prior * np.log(prior) - (prior + number) * np.log(prior + mean)
    # A count's own factor is the same for all spreads; log mean too, but it keeps the terms small.
    total = (log + number * np.log(mean)).sum(axis=1)
    weights = np.exp(total - total.max())
    return Rates(seen=seen, expected=expected, dispersion=dispersion, weights=np.asarray(weights / weights.sum()))


def shares(counts: Sequence[int]) -> Floats:
    """Shares of the counts; noughts where there is nothing at all."""
    total = sum(counts)
    return np.array(counts, dtype=np.float64) / total if total else np.zeros(len(counts))


@dataclass(slots=True, kw_only=True, eq=False)
class _State:
    """Where futures stand: boxes by class, each (futures, classes).

    `pool` is of the synthetic images that may be drawn; `parts` are its generations, the oldest first, each with the
    number of its images, so that the oldest can leave it.
    """

    training: Floats
    pool: Floats
    parts: tuple[tuple[Floats, int], ...]

    def shares(self) -> Floats:
        total = self.training.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(self.training, total, out=np.zeros_like(self.training), where=total > 0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Futures:
    """Generations to come, each like the newest one: as many images, by the same policy, with the same real ones.

    Attributes:
        history: two or more generations, the base first.
        policy: of the arm: which synthetic images are trained on.
        generations: whose synthetic images may be drawn, the newest so many; a `replace` arm has one.
        dispersion: variance of a class's boxes over their mean, 1 or more.
        rates: of the classes in each future, at first, shape (futures, classes).
        spreads: of the rates in each future, shape (futures, 1).
        growths: of the boxes an image, shape (futures, 1).
    """

    history: Sequence[Generation]
    policy: Policy
    generations: int
    dispersion: float
    rates: Floats
    spreads: Floats
    growths: Floats

    def falls(self, *, need: int, steps: int, rng: np.random.Generator) -> Floats:
        """Generation in which each class first has fewer than `need` training boxes; infinite if in none.

        Args:
            need: training boxes.
            steps: generations that are looked ahead.
            rng: draws the futures.

        Returns:
            Shape (futures, classes).
        """
        state, now = self._start(), self.history[-1].generation
        falls = np.where(state.training < need, float(now), np.inf)
        rates = self.rates
        for generation in range(now + 1, now + 1 + steps):
            rates = rates * np.exp(_WANDER * self.spreads * rng.standard_normal(rates.shape))
            state = self._step(state, rates, rng)
            falls = np.where((state.training < need) & np.isinf(falls), generation, falls)
        return falls

    def halvings(self) -> Floats:
        """Generations until the expected training share of each class is half of the present one, (futures, classes).

        Rates stay as they are, and between two generations the share shrinks evenly, by factors. Infinite where it does
        not halve within :data:`HALVING_LIMIT` generations, as where real images hold it up, and where there is nothing
        to halve.
        """
        state = self._start()
        before = state.shares()
        goal = before / 2
        found = np.full(before.shape, np.inf)
        for number in range(HALVING_LIMIT):
            state = self._step(state, self.rates, None)
            now = state.shares()
            crossed = (now <= goal) & np.isinf(found) & (goal > 0)
            if crossed.any():
                fall = np.log(before[crossed] / np.maximum(now[crossed], 1e-300))
                found[crossed] = number + np.log(before[crossed] / goal[crossed]) / fall
            before = now
        return found

    def _start(self) -> _State:
        futures = len(self.rates)
        parts = [(np.array(one.synthetic, dtype=np.float64), one.made) for one in self.history[-self.generations :]]
        return _State(
            training=np.tile(np.array(self.history[-1].training, dtype=np.float64), (futures, 1)),
            pool=np.tile(np.sum([boxes for boxes, _ in parts], axis=0), (futures, 1)),
            parts=tuple((np.tile(boxes, (futures, 1)), images) for boxes, images in parts),
        )

    def _step(self, state: _State, rates: Floats, rng: np.random.Generator | None) -> _State:
        """The next generation, drawn; or, without a generator, as expected."""
        last = self.history[-1]
        weights = state.training * rates
        total = weights.sum(axis=1, keepdims=True)
        boxes = self.growths * state.training.sum(axis=1, keepdims=True) * last.made / max(last.images, 1)
        mean = boxes * np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        made = mean if rng is None else _overdispersed(mean, self.dispersion, rng)
        parts = (*state.parts, (made, last.made))
        kept = 1 if self.policy == "replace" else self.generations
        pool = made if kept == 1 else state.pool + made
        for boxes, _ in parts[:-kept] if kept > 1 else ():
            pool = np.maximum(pool - boxes, 0.0)
        parts = parts[-kept:]
        pooled = sum(images for _, images in parts)
        share = min(last.used / pooled, 1.0) if pooled else 0.0
        taken = pool * share if rng is None or share == 1 else rng.binomial(pool.astype(np.int64), share)
        return _State(training=np.array(last.real) + taken, pool=pool, parts=parts)


def draw(
    history: Sequence[Generation],
    *,
    policy: Policy,
    generations: int,
    rng: np.random.Generator,
    number: int = FUTURES,
) -> Futures:
    """Estimate the rates of the classes and draw as many futures; their parameters are those of :class:`Futures`.

    Raises:
        ValueError: fewer than two generations.
    """
    if len(history) < 2:  # noqa: PLR2004 - a rate is of one generation to the next
        raise ValueError(f"{len(history)} generations, wanted two or more")
    rates, growths = class_rates(history), growth(history)
    spreads = rates.spreads(number, rng)
    return Futures(
        history=history,
        policy=policy,
        generations=generations,
        dispersion=rates.dispersion,
        rates=rates.draw(spreads, rng),
        spreads=spreads,
        growths=growths.draw(growths.spreads(number, rng), rng),
    )


def _overdispersed(mean: Floats, dispersion: float, rng: np.random.Generator) -> Floats:
    """Counts of a mean, with a variance of mean x dispersion; nothing comes of nothing."""
    if dispersion > 1:
        mean = rng.standard_gamma(mean / (dispersion - 1)) * (dispersion - 1)
    return rng.poisson(mean).astype(np.float64)
