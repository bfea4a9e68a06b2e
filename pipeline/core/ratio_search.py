"""Which share of real images is tried next, and with how much of alpha.

Levels are shares on a grid, from high to low. A level that is shown non-inferior leads down, any other one back up. If
every share above a sufficient one suffices too (monotony), the way to each truly inferior level is a fixed one, as long
as no error has been made: whatever lay above it on the way has been shown, for a failure there leads up, away from it.
So going down costs nothing, as in any fixed sequence, and only a failed test uses up its part of alpha. However the
tests depend on one another, the probability that any inferior level is called non-inferior is at most alpha.

Source: Maurer, Hothorn & Lehmacher 1995, Biometrie in der chemisch-pharmazeutischen Industrie 6:3-18, and Westfall &
Krishen 2001, Journal of Statistical Planning and Inference 99:25-40 (fixed sequences need no correction); Wiens 2003,
Pharmaceutical Statistics 2:211-215 (a part of alpha for what is tested after a failure).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["non-inferior", "inferior", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A level that was tried.

    Attributes:
        position: on the grid, from 0, which is the highest share.
        outcome: non-inferior: a loss of the margin is ruled out in every figure; inferior: one is shown; else open.
    """

    position: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The level to try, and the error probability that it may use."""

    position: int
    alpha: float


def following(levels: int, tried: Sequence[Tried], *, alpha: float) -> Next | None:
    """The level in the middle of what is left; None where nothing is left.

    A test gets as much of the alpha that is left as those after its failure need not: what would be tried then is
    known, however they end.

    Args:
        levels: of the grid.
        tried: so far, in order.
        alpha: of the whole search, in (0, 1).

    Raises:
        ValueError: what was tried is not what this search asks for.
    """
    above, below, left = -1, levels, alpha
    for one in tried:
        wanted = _middle(above, below, left)
        if wanted is None or wanted.position != one.position:
            raise ValueError(f"{one} is not on the way, wanted {wanted}")
        if one.outcome == "non-inferior":
            above = one.position
        else:
            below, left = one.position, left - wanted.alpha
    return _middle(above, below, left)


def smallest(tried: Sequence[Tried]) -> int | None:
    """Position of the smallest share that was shown non-inferior; None where none was."""
    return max((one.position for one in tried if one.outcome == "non-inferior"), default=None)


def largest_inferior(tried: Sequence[Tried]) -> int | None:
    """Position of the largest share that was shown inferior; None where none was."""
    return min((one.position for one in tried if one.outcome == "inferior"), default=None)


def most_tests(levels: int) -> int:
    """How many levels are tried at most.

    >>> most_tests(7)
    3
    """
    return levels.bit_length()


def _middle(above: int, below: int, left: float) -> Next | None:
    size = below - above - 1
    if size == 0:
        return None
    position = above + (size + 1) // 2
    return Next(position=position, alpha=left / (1 + most_tests(position - above - 1)))
