"""How the error probability of a month of nights is shared between them.

A night is a generation; the same test split, and the same base run, serve every night, so the nights' errors depend on
one another. Every schedule here holds by the union bound, whatever that dependence is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import assert_never

from pipeline.core.errors import UserError
from pipeline.core.sections import Gate


def night_of(generation: int, gate: Gate) -> int:
    """The night of a generation within the horizon, from 1; after the last one a new horizon begins.

    Raises:
        ValueError: the generation is 0 or less: the base has no night.
    """
    if generation < 1:
        raise ValueError(f"generation {generation}, wanted 1 or more")
    return (generation - 1) % gate.horizon + 1


def level(gate: Gate, night: int) -> float:
    """Level at which the smallest Holm-adjusted p value of a night is held.

    With ``confirm``, it is that of each of the two trainings. The sum over the nights of the chances of a false alarm
    is at most ``gate.alpha`` less the part of the trends; with ``none``, each night has that to itself.
    """
    share = gate.alpha * (1 - gate.trend_share)
    match gate.schedule:
        case "confirm":
            return gate.level
        case "uniform":
            return share / gate.horizon
        case "obrien-fleming":
            return obrien_fleming(share, gate.horizon)[night - 1]
        case "none":
            return share
        case _:
            assert_never(gate.schedule)


@lru_cache(maxsize=64)
def obrien_fleming(alpha: float, horizon: int) -> tuple[float, ...]:
    """What an O'Brien-Fleming-like schedule spends on each night, one number a night; they add up to alpha.

    The test split does not grow, so no information accumulates; the increments are weights of a union bound.

    Source: Lan & DeMets 1983, Biometrika 70:659-663, alpha_1*(t) = 2 - 2 Phi(z_(alpha/2) / sqrt(t)).
    """
    from scipy.special import ndtr, ndtri  # the doctor asks for budgets, and starts where NumPy does not

    deviate = -float(ndtri(alpha / 2))
    spent = [2 * float(ndtr(-deviate / math.sqrt(night / horizon))) for night in range(1, horizon + 1)]
    return tuple(after - before for before, after in zip([0.0, *spent], spent, strict=False))


def require_budget(gate: Gate) -> None:
    """Refuse a level of confirmation that would spend more than alpha.

    Two trainings that both look bad by chance do so with probability level squared, on each night.

    Raises:
        UserError: that, times the horizon, is over alpha less the part of the trends.
    """
    share = gate.alpha * (1 - gate.trend_share)
    if gate.schedule == "confirm" and gate.horizon * gate.level**2 > share * (1 + 1e-9):
        raise UserError(
            f"params.yaml gate.level {gate.level:g}, twice a night for {gate.horizon} nights, spends "
            f"{gate.horizon * gate.level**2:.3g}; alpha leaves {share:.3g}. "
            f"Wanted a level of at most {math.sqrt(share / gate.horizon):.3g}, or fewer nights in gate.horizon."
        )
