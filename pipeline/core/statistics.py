"""The intervals and tests behind a verdict.

A box is lost when the base run found it and the run did not, and gained the other way round; losses are positive. What
cannot be computed is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincinv, ndtri

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapError:
    """Standard error of a loss, from paired bootstrap replicates.

    `value` is None with too few replicates. `replicates` were used, `undefined` were left out because a figure did not
    exist in them.
    """

    value: float | None
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


def mcnemar_loss(lost: float, gained: float) -> float:
    """Exact one-sided p value of the hypothesis that losses are no likelier than gains; 1.0 without either.

    It is P(X >= lost) for X binomial with lost + gained trials of probability 1/2; as a beta integral it is defined for
    expected counts too, which need not be whole.

    Raises:
        ValueError: a negative count.

    Source: McNemar 1947, Psychometrika 12:153-157; exact form: Liddell 1983, J. Epidemiol. Community Health 37:82-84.
    """
    _check_pairs(lost, gained, lost + gained)
    return float(betainc(lost, gained + 1, 0.5)) if lost > 0 else 1.0


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


def rules_out(lost: float, gained: float, total: float, *, margin: float, alpha: float) -> bool:
    """Tell whether a loss of the margin is ruled out: whether Tango's one-sided upper bound at 1 - alpha lies under it.

    One evaluation of the score where the bound itself needs a search. Arguments as for :func:`paired_loss_interval`,
    but counts may be expected ones, which need not be whole.

    Raises:
        ValueError: counts that cannot be.
    """
    _check_pairs(lost, gained, total)
    if total < 1:
        raise ValueError(f"{total} boxes, wanted 1 or more")
    if (lost - gained) / total >= margin:
        return False
    deviate = -float(ndtri(alpha))
    return _score(margin, lost, gained, total) < -deviate / math.hypot(1, deviate)


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Adjust p values for their number, by name, in the order given; compare each with alpha itself.

    Raises:
        ValueError: a p value outside [0, 1].

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    for name, value in p_values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"p value {value} of {name}, wanted 0 to 1")
    adjusted: dict[Name, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def bootstrap_error(base: npt.NDArray[np.float64], run: npt.NDArray[np.float64], *, least: int = 30) -> BootstrapError:
    """Standard error of the loss of a run against its baseline, from paired replicates.

    The share of replicates without a loss can be no smaller than one over their number; with this error and Student's t
    a p value can be as small as a month of nights needs it. Losses of mAP over some hundred images are near enough to
    normal for that (`docs/verdict.md` has the skewness that was measured).

    Args:
        base: (replicates,) the figure of the baseline in each resample; NaN where it does not exist.
        run: (replicates,) the figure of the run in the same resamples.
        least: replicates under which there is no error to be told.

    Raises:
        ValueError: arrays of other shapes.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13.3.
    """
    if base.ndim != 1 or base.shape != run.shape:
        raise ValueError(f"replicates of shapes {base.shape} and {run.shape}, wanted (replicates,) twice")
    loss = base - run
    defined = loss[np.isfinite(loss)]
    value = float(defined.std(ddof=1)) if defined.size >= least else None
    return BootstrapError(value=value, replicates=defined.size, undefined=loss.size - defined.size)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}, wanted a fraction in (0, 1)")


def _check_pairs(lost: float, gained: float, total: float) -> None:
    if lost < 0 or gained < 0 or lost + gained > total:
        raise ValueError(f"{lost} lost and {gained} gained of {total}, wanted 0 or more, together at most all")


def _upper_loss(lost: float, gained: float, total: float, deviate: float) -> float:
    """Upper end of Tango's interval: the largest loss at which the score statistic is no less than -deviate."""
    from scipy.optimize import brentq  # takes longer to import than most stages that never ask take to compute

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
