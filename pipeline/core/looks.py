"""Levels for looking at results while they come in: after each seed a trial may end, and alpha still holds.

The statistic of k of K seeds is taken as a sum with independent increments at the time k / K. What all seeds share, the
luck of the test images, only makes the looks depend on one another more, and so the levels safe (Slepian's inequality).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm

FloatArray = npt.NDArray[np.float64]
_NODES = 160  # of the quadrature between two looks
_FAR = 9.0  # standard deviations beyond which nothing is left


@lru_cache(maxsize=512)
def levels(alpha: float, times: tuple[float, ...]) -> tuple[float, ...]:
    """Nominal one-sided level of each look; a trial that ends at the first p value under its level errs with alpha.

    Alpha is spent as ``alpha * log(1 + (e - 1) * time)``: nearly evenly, so that a clear result ends a trial early.

    Args:
        alpha: in (0, 0.5).
        times: share of the information at each look, rising, in (0, 1]; the last is 1.

    Raises:
        ValueError: numbers out of range.

    Source: Lan & DeMets 1983, Biometrika 70:659-663, alpha_2* (like Pocock's); the recursion of Armitage, McPherson &
    Rowe 1969, Journal of the Royal Statistical Society A 132:235-244.

    >>> from scipy.special import ndtri
    >>> [round(float(-ndtri(one)), 2) for one in levels(0.025, (0.2, 0.4, 0.6, 0.8, 1.0))]
    [2.44, 2.43, 2.41, 2.4, 2.39]
    """
    if not 0 < alpha < 0.5 or not times or times[-1] != 1 or not _rises((0.0, *times)):  # noqa: PLR2004
        raise ValueError(f"alpha {alpha} and times {times}: wanted (0, 0.5), and times that rise in (0, 1] to 1")
    spent = [alpha * math.log1p((math.e - 1) * time) for time in times]
    bounds: list[float] = []
    points, masses = np.zeros(1), np.ones(1)  # where the sum may be before the next look, and with what probability
    for number, time in enumerate(times):
        step = math.sqrt(time - (times[number - 1] if number else 0.0))
        exits = spent[number] - (spent[number - 1] if number else 0.0)
        bound = _bound(points, masses, step, exits)
        bounds.append(float(ndtr(-bound / math.sqrt(time))))
        points, masses = _onwards(points, masses, step, bound, math.sqrt(time))
    return tuple(bounds)


def _bound(points: FloatArray, masses: FloatArray, step: float, exits: float) -> float:
    """What the sum goes beyond at this look with that probability."""

    def excess(bound: float) -> float:
        return float(masses @ ndtr((points - bound) / step)) - exits

    return float(brentq(excess, float(points.min()) - _FAR, float(points.max()) + _FAR, xtol=1e-12))


def _onwards(
    points: FloatArray, masses: FloatArray, step: float, bound: float, spread: float
) -> tuple[FloatArray, FloatArray]:
    """Where the sum may be after a look that did not end the trial: nodes of Gauss-Legendre, and their masses."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = (bound + _FAR * spread) / 2
    there = bound - half + half * nodes
    density = norm.pdf((there[:, None] - points[None, :]) / step) @ masses / step
    return there, density * weights * half


def _rises(values: Sequence[float]) -> bool:
    return all(before < after for before, after in itertools.pairwise(values))
