"""A steady fall over the generations of an arm, each of them within the margin.

Under a healthy arm the order of its values is chance, so the rank of each new value among those before it is uniform
and independent of all earlier ranks. That holds given the test split and whatever it favours, so the dependence of the
nights on one split does no harm here. Kendall's S then walks by independent steps, and the chance that it ever crosses
a boundary within the horizon is computed exactly.

Source: Mann 1945, Econometrica 13:245-259; independent sequential ranks: Renyi 1962, Ann. Fac. Sci. Univ.
Clermont-Ferrand 8:7-13; the recursion: Armitage, McPherson & Rowe 1969, J. R. Stat. Soc. A 132:235-244.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipeline.core.sections import Gate

FloatArray = npt.NDArray[np.float64]
_SHAPE = 3  # of the spending: alpha times the cube of the share of the horizon, near O'Brien-Fleming's but not as late


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """A trend of one figure.

    Attributes:
        slope: change a generation, the median of the pairwise slopes.
        p_value: of no fall, one-sided, exact, times the number of figures, at most 1.
        level: at which it is held on this night.
        falling: p_value is at most the level, and the slope over the horizon adds up to the margin.
    """

    slope: float
    p_value: float
    level: float
    falling: bool


def fall(values: Sequence[float], gate: Gate, *, figures: int, margin: float) -> Fall:
    """Test a figure for a steady fall.

    Args:
        values: one a generation, the base first; 2 or more, at most ``gate.horizon + 1``.
        gate: its alpha, trend_share, horizon and schedule are used; with ``none``, a night has the level to itself.
        figures: tested on this night.
        margin: the fall that matters, over the whole horizon.

    Raises:
        ValueError: another number of values, or of figures.
    """
    if not 2 <= len(values) <= gate.horizon + 1 or figures < 1:  # noqa: PLR2004
        raise ValueError(f"{len(values)} values of {figures} figures, wanted 2 to {gate.horizon + 1}, of 1 or more")
    share = gate.alpha * gate.trend_share
    alone = gate.schedule == "none"
    level = share if alone else figures * levels(share / figures, gate.horizon)[len(values) - 2]
    p_value = min(1.0, figures * mann_kendall(values))
    change = slope(values)
    # A limit p value is computed by the same sums as the level, so it is equal to it and not merely near.
    return Fall(
        slope=change,
        p_value=p_value,
        level=level,
        falling=0 < level >= p_value and -change * gate.horizon >= margin,
    )


def mann_kendall(values: Sequence[float]) -> float:
    """Exact one-sided p value of no fall: the share of orders of the values that fall as much, in (0, 1].

    A tie does not count as a fall: broken by chance it could only add to them, so p is on the safe side.

    Source: Mann 1945, Econometrica 13:245-259; Kendall 1975, Rank Correlation Methods, chapter 5.
    """
    return float(_tails(len(values))[_falls(values)])


def slope(values: Sequence[float]) -> float:
    """Median of the slopes between all pairs of values, a generation.

    Source: Sen 1968, J. Am. Stat. Assoc. 63:1379-1389.
    """
    line = np.asarray(values, dtype=np.float64)
    first, later = np.triu_indices(line.size, k=1)
    return float(np.median((line[later] - line[first]) / (later - first)))


@lru_cache(maxsize=256)
def levels(alpha: float, horizon: int) -> tuple[float, ...]:
    """Levels of the test on each night, from 1, such that a healthy arm is ever called falling with at most alpha.

    A night with so few values that even a perfect fall is no evidence has level 0, and leaves what it might have spent
    to later nights.

    Source: Kim & DeMets 1987, Biometrika 74:149-154, the spending alpha t^3.
    """
    walk = np.ones(1)  # chance of each number of falling pairs, among the orders that no boundary has stopped
    free = np.ones(1)  # the same among all orders
    spent, found = 0.0, []
    for night in range(1, horizon + 1):
        # a new value falls below 0 to `night` of the earlier ones, each as likely
        walk, free = _joined(walk, night), _joined(free, night)
        tails = np.cumsum(walk[::-1])[::-1]
        allowed = alpha * (night / horizon) ** _SHAPE - spent
        stop = int(np.count_nonzero(tails > allowed))  # tails fall, so this is the first that may be spent
        if stop == walk.size:
            found.append(0.0)
            continue
        spent += float(tails[stop])
        found.append(float(_right(free)[stop]))
        walk = walk[:stop]
    return tuple(found)


def _falls(values: Sequence[float]) -> int:
    """Pairs of which the later value is the smaller."""
    line = np.asarray(values, dtype=np.float64)
    first, later = np.triu_indices(line.size, k=1)
    return int(np.count_nonzero(line[later] < line[first]))


@lru_cache(maxsize=256)
def _tails(count: int) -> FloatArray:
    """Chance of at least so many falling pairs among `count` values in chance order, by their number."""
    chances: FloatArray = np.ones(1)
    for step in range(1, count):
        chances = _joined(chances, step)
    tails = _right(chances)
    tails.setflags(write=False)
    return tails


def _right(chances: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(np.cumsum(chances[::-1])[::-1], 1.0))


def _joined(chances: FloatArray, earlier: int) -> FloatArray:
    """The chances of each number of falling pairs with one value more, which falls below 0 to `earlier` ones.

    A convolution with equal weights is a difference of sums; with a year of nights it is a hundred times as quick. The
    sums run from the right, where the chances are smallest: there is the p value, and it keeps all its digits.
    """
    sums = np.concatenate([np.cumsum(chances[::-1])[::-1], [0.0]])
    place = np.arange(chances.size + earlier)
    window = sums[np.maximum(place - earlier, 0)] - sums[np.minimum(place + 1, chances.size)]
    return np.asarray(np.maximum(window, 0.0) / (earlier + 1))
