"""How much of the error probability of the horizon its nights have spent."""

from __future__ import annotations

from pipeline.core import schedules
from pipeline.core.sections import Gate

_SHAPE = 3  # of what the trends spend: alpha t^3, as :func:`pipeline.core.trends.levels` has it


def spent(gate: Gate, nights: int) -> float:
    """Part of ``gate.alpha`` that so many nights have spent, by the union bound over their chances of a false alarm.

    Without a schedule every night has all of alpha to itself, so that the sum goes over alpha from the second night on.

    Args:
        gate: schedule, level, alpha and horizon.
        nights: that are over within the horizon, 0 or more.
    """
    levels = [schedules.level(gate, night) for night in range(1, nights + 1)]
    tests = sum(one**2 for one in levels) if gate.schedule == "confirm" else sum(levels)
    whole = gate.alpha * gate.trend_share
    alone = gate.schedule == "none"
    return tests + whole * (nights if alone else (nights / gate.horizon) ** _SHAPE)
