"""Tests and bounds whose unit is the image: what happens to one box says something of the others on its page.

Each image counts with the sum of its boxes' differences, base minus run, so boxes of one image may depend on one
another in any way; images are independent. Where no image has two discordant boxes, the sign-flip test is McNemar's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, stdtr, stdtrit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """A standard error with its degrees of freedom; of no use where those are 0."""

    value: float
    freedom: float


def sign_flip(sums: IntArray) -> float:
    """Exact one-sided p value of no loss: the share of sign assignments whose total is as large, in (0, 1].

    Args:
        sums: of the differences of each image, base minus run, whole numbers, shape (images,).

    Source: Fisher 1935, The Design of Experiments, section 21 (randomisation of paired differences); over clusters:
    Datta & Satten 2008, Biometrics 64:501-507. McNemar's exact test is the case of sums of -1, 0 and 1.
    """
    total = int(sums.sum())
    sizes = np.bincount(np.abs(sums))
    sizes[:1] = 0
    count = int(sizes.sum())
    if count == 0:
        return 1.0
    if sizes.size == 2:  # noqa: PLR2004 - only sums of -1, 0 and 1
        positive = (count + total) // 2
        return float(betainc(positive, count - positive + 1, 0.5)) if positive else 1.0
    # With B of n sums of size k positive, their total is k (2 B - n): convolve what each size adds, 2 k B.
    chances = np.ones(1)
    for size in np.flatnonzero(sizes):
        spread = np.zeros(int(size) * int(sizes[size]) + 1)
        spread[:: int(size)] = _halves(int(sizes[size]))
        chances = np.convolve(chances, spread)
    most = int(np.arange(sizes.size) @ sizes)
    return min(1.0, float(chances[(total + most) // 2 :].sum()))


def error_of_mean(absolute: FloatArray, *, images: int, boxes: int) -> Error:
    """Standard error of the mean difference of the boxes, on the safe side.

    It takes the discordance of an image where the difference stands: a lost box never makes it smaller, and it is never
    under that of independent boxes without a loss, the square root of (lost + gained), over the boxes.

    Args:
        absolute: sum of the absolute differences of each image; images without a difference may be left out.
        images: that have such boxes.
        boxes: all of them, 1 or more.

    Source: Cochran 1977, Sampling Techniques, section 9A.2, the variance of a total over clusters, about 0.
    """
    if images < 2:  # noqa: PLR2004
        return Error(value=0.0, freedom=0.0)
    return Error(value=math.sqrt(images / (images - 1) * float(absolute @ absolute)) / boxes, freedom=images - 1.0)


def add(one: Error, other: Error) -> Error:
    """Error of a sum of two independent parts.

    Source: Satterthwaite 1946, Biometrics Bulletin 2:110-114.
    """
    variance = one.value**2 + other.value**2
    if min(one.freedom, other.freedom) == 0 or variance == 0:
        return Error(value=math.sqrt(variance), freedom=min(one.freedom, other.freedom))
    parts = one.value**4 / one.freedom + other.value**4 / other.freedom
    return Error(value=math.sqrt(variance), freedom=variance**2 / parts)


def between_trainings(base: FloatArray, run: FloatArray) -> Error | None:
    """Error that training anew adds to the difference of two means; None with one training each.

    The variance is pooled: both were trained by the same recipe, whose luck differs no more for one than for the other.

    Args:
        base: the figure of each training of the base, shape (trainings,).
        run: that of each training of the run.

    Source: Student 1908, Biometrika 6:1-25, with the pooled variance of two samples.
    """
    freedom = base.size + run.size - 2
    if freedom == 0:
        return None
    squares = sum(float(((side - side.mean()) ** 2).sum()) for side in (base, run))
    return Error(value=math.sqrt(squares / freedom * (1 / base.size + 1 / run.size)), freedom=float(freedom))


def p_value(loss: float, error: Error) -> float:
    """One-sided p value of no loss by Student's t; 1.0 where the error says nothing.

    An error of 0 beside a loss comes of too few images to see how they differ, not of certainty.
    """
    if error.freedom == 0 or error.value == 0:
        return 1.0
    return float(stdtr(error.freedom, -loss / error.value))


def upper(loss: float, error: Error, alpha: float) -> float:
    """One-sided upper bound of a loss at 1 - alpha; infinite where the error says nothing."""
    if error.freedom == 0 or (error.value == 0 and loss != 0):
        return math.inf
    return loss + _deviate(error.freedom, alpha) * error.value


@lru_cache(maxsize=4096)
def _deviate(freedom: float, alpha: float) -> float:
    return -float(stdtrit(freedom, alpha))


@lru_cache(maxsize=4096)
def _halves(trials: int) -> FloatArray:
    ways, found = 1, []  # scipy.stats has this, and takes longer to import than a night's tests take
    for heads in range(trials + 1):
        found.append(ways / 2**trials)
        ways = ways * (trials - heads) // (heads + 1)
    chances = np.array(found)
    chances.setflags(write=False)
    return chances
