"""Differences of figures that have intervals: how much one lies over another, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.core.figures import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A difference with its interval, at the confidence of the figures it comes from."""

    value: float
    low: float
    high: float

    def reaches(self, margin: float) -> bool:
        """Whether it is shown to be over nought, and its estimate is at least the margin."""
        return self.low > 0 and self.value >= margin


def difference(one: Figure, other: Figure) -> Contrast | None:
    """Subtract the other figure from the one; None where either has no value or no interval.

    The two are taken to be independent. Figures on the same images mostly go up and down together, so that the interval
    of their difference is too wide rather than too narrow.

    Source: Zou & Donner 2008, Statistics in Medicine 27:1693-1702 (square-and-add; the variance of an estimate is
    recovered from its interval, on each side by itself); of two proportions: Newcombe 1998, Statistics in Medicine
    17:873-890, method 10.
    """
    if one.value is None or one.low is None or one.high is None:
        return None
    if other.value is None or other.low is None or other.high is None:
        return None
    value = one.value - other.value
    return Contrast(
        value=value,
        low=value - math.hypot(one.value - one.low, other.high - other.value),
        high=value + math.hypot(one.high - one.value, other.value - other.low),
    )


def as_figure(contrast: Contrast | None) -> Figure:
    """A difference as a figure, so that differences can be compared in their turn."""
    if contrast is None:
        return Figure(value=None, reason="one of the two figures has no value or no interval")
    return Figure(value=contrast.value, low=contrast.low, high=contrast.high)
