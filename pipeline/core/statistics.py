"""The intervals and tests behind a verdict.

A box is lost when the base run found it and the run did not, and gained the other way round; losses are positive. What
cannot be computed is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, ndtri


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapLoss:
    """Loss of a run against its base, from paired bootstrap replicates.

    `p_value` in (0, 1] is one-sided: small when the run lost. `interval` holds the loss (base minus run) and is None
    without replicates. `replicates` were used, `undefined` were left out because a figure did not exist in them.
    """

    p_value: float
    interval: Interval | None
    replicates: int
    undefined: int


def clopper_pearson(successes: int, trials: int, *, confidence: float = 0.95) -> Interval | None:
    """Give the exact interval of a proportion, two-sided; None without trials.

    Raises:
        ValueError: counts that cannot be, or a confidence outside (0, 1).

    Source: Clopper & Pearson 1934, Biometrika 26:404-413, as quantiles of the beta distribution.
    """
    _check_confidence(confidence)
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials, wanted 0 to as many as trials")
    if trials == 0:
        return None
    tail = (1 - confidence) / 2
    failures = trials - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return Interval(low=low, high=high)


def mcnemar_loss(lost: int, gained: int) -> float:
    """Exact one-sided p value of the hypothesis that losses are no likelier than gains; 1.0 without either.

    It is P(X >= lost) for X binomial with lost + gained trials of probability 1/2.

    Raises:
        ValueError: a negative count.

    Source: McNemar 1947, Psychometrika 12:153-157; exact form: Liddell 1983, J. Epidemiol. Community Health 37:82-84.
    """
    _check_pairs(lost, gained, lost + gained)
    return _mcnemar(lost, gained)


def paired_loss_interval(lost: int, gained: int, total: int, *, confidence: float) -> Interval:
    """Give the score interval of the loss, (lost - gained) / total, two-sided; within [-1, 1].

    Its upper end at confidence 1 - 2 * alpha is the one-sided upper bound at 1 - alpha.

    Args:
        lost: boxes that only the base found.
        gained: boxes that only the run found.
        total: all boxes, 1 or more.
        confidence: two-sided, in (0, 1).

    Raises:
        ValueError: counts that cannot be, or a confidence outside (0, 1).

    Source: Tango 1998, Statistics in Medicine 17:891-908, the score statistic with the constrained maximum likelihood
    estimate of the smaller cell.
    """
    _check_confidence(confidence)
    _check_pairs(lost, gained, total)
    if total < 1:
        raise ValueError(f"{total} boxes, wanted 1 or more")
    deviate = -float(ndtri((1 - confidence) / 2))
    # the loss of the mirrored table is the negative of this one's
    return Interval(low=-_upper_loss(gained, lost, total, deviate), high=_upper_loss(lost, gained, total, deviate))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p values for their number, by name, in the order given; compare each with alpha itself.

    Raises:
        ValueError: a p value outside [0, 1].

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    for name, value in p_values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"p value {value} of {name}, wanted 0 to 1")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def bootstrap_loss(
    base: npt.NDArray[np.float64], run: npt.NDArray[np.float64], *, confidence: float = 0.95
) -> BootstrapLoss:
    """Test and bound the loss of a run against its base from paired replicates.

    p = (1 + number of replicates without a loss) / (replicates + 1); the interval is that of the percentiles.

    Args:
        base: (replicates,) the figure of the base in each resample; NaN where it does not exist.
        run: (replicates,) the figure of the run in the same resamples.
        confidence: of the interval, two-sided, in (0, 1).

    Raises:
        ValueError: arrays of other shapes, or a confidence outside (0, 1).

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 13 and 16; the added one: Davison &
    Hinkley 1997, Bootstrap Methods and their Application, eq. 4.11.
    """
    _check_confidence(confidence)
    if base.ndim != 1 or base.shape != run.shape:
        raise ValueError(f"replicates of shapes {base.shape} and {run.shape}, wanted (replicates,) twice")
    loss = base - run
    defined = loss[np.isfinite(loss)]
    interval = None
    if defined.size:
        low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
        interval = Interval(low=float(low), high=float(high))
    return BootstrapLoss(
        p_value=(1 + int(np.count_nonzero(defined <= 0))) / (defined.size + 1),
        interval=interval,
        replicates=defined.size,
        undefined=loss.size - defined.size,
    )


def boxes_to_settle(
    lost: int, gained: int, total: int, *, margin: float, alpha: float, factor: float = 1.0, limit: int = 100_000
) -> int | None:
    """Tell how many test boxes would settle the verdict if the rates of loss and gain stayed as they are.

    It is settled when a loss of the margin is ruled out (the one-sided upper bound at 1 - alpha lies under it) or shown
    (the estimated loss reaches it and factor * McNemar's p is at most alpha).

    Args:
        lost: boxes that only the base found, so far.
        gained: boxes that only the run found, so far.
        total: boxes so far, 1 or more.
        margin: the loss of recall that matters, in (0, 1).
        alpha: error probability, one-sided, in (0, 0.5).
        factor: what a p value is multiplied by for being one of several, 1 or more.
        limit: the most boxes worth naming.

    Returns:
        The smallest number from `total` up; None when it would be over the limit. Counts are scaled as real numbers,
        so that rounding them does not make the answer jump. The search doubles and halves, which supposes that what
        is settled stays settled with more boxes at the same rates: a scan in the tests finds it so; it is not proved.

    Raises:
        ValueError: counts or numbers outside their ranges.
    """
    _check_pairs(lost, gained, total)
    if total < 1:
        raise ValueError(f"{total} boxes, wanted 1 or more")
    if not 0 < margin < 1 or not 0 < 2 * alpha < 1 or factor < 1:
        raise ValueError(f"margin {margin}, alpha {alpha}, factor {factor}; wanted (0, 1), (0, 0.5), 1 or more")
    deviate = -float(ndtri(alpha))

    def settled(boxes: int) -> bool:
        more_lost, more_gained = lost * boxes / total, gained * boxes / total
        if (lost - gained) / total >= margin:
            return factor * _mcnemar(more_lost, more_gained) <= alpha
        return _upper_loss(more_lost, more_gained, boxes, deviate) < margin

    return _smallest(settled, start=total, limit=limit)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}, wanted a fraction in (0, 1)")


def _check_pairs(lost: int, gained: int, total: int) -> None:
    if lost < 0 or gained < 0 or lost + gained > total:
        raise ValueError(f"{lost} lost and {gained} gained of {total}, wanted 0 or more, together at most all")


def _mcnemar(lost: float, gained: float) -> float:
    """P(X >= lost), X binomial of lost + gained halves, as a beta integral: defined for real counts too."""
    return float(betainc(lost, gained + 1, 0.5)) if lost > 0 else 1.0


def _upper_loss(lost: float, gained: float, total: float, deviate: float) -> float:
    """Upper end of Tango's interval: the largest loss at which the score statistic is no less than -deviate."""
    if lost >= total:
        return 1.0
    goal = deviate / math.hypot(1, deviate)
    root = brentq(
        lambda loss: _score(loss, lost, gained, total) + goal, (lost - gained) / total, 1.0, xtol=1e-13, rtol=1e-13
    )
    return float(root)


def _score(loss: float, lost: float, gained: float, total: float) -> float:
    """Tango's statistic T at a hypothetical loss, as T / sqrt(1 + T^2): finite where the variance is zero."""
    distance = lost - gained - total * loss
    if distance == 0:
        return 0.0  # the estimate itself; 0 / 0 where no box is discordant, or all are
    linear = (2 * total - lost + gained) * loss - lost - gained
    constant = -gained * loss * (1 - loss)
    root = math.sqrt(max(linear**2 - 8 * total * constant, 0.0))
    # the constrained estimate of gained / total, written so that no two near numbers are subtracted
    smaller = -2 * constant / (linear + root) if linear > 0 else (root - linear) / (4 * total)
    variance = max(total * (2 * smaller + loss * (1 - loss)), 0.0)
    return distance / math.hypot(distance, math.sqrt(variance))


def _smallest(holds: Callable[[int], bool], *, start: int, limit: int) -> int | None:
    """Find the smallest number in [start, limit] that holds, given that all larger ones do too; None without one."""
    if holds(start):
        return start
    low, high = start, start  # low never holds
    while not holds(high):
        if high >= limit:
            return None
        low, high = high, min(2 * high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
