"""A verdict in words: its reason, and what a reader has to know of the method."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.core import judgements
from pipeline.core.audits import Audit
from pipeline.core.judgements import Test, Trend, Verdict
from pipeline.core.sections import Gate

_ONE_EACH = 2  # trainings of the base and of the run together


def other_causes(run: Audit, warnings: Sequence[judgements.Warning], gate: Gate) -> list[str]:
    """What makes a run COLLAPSING without a test: too many near duplicates, and warnings that are to fail it."""
    causes = [
        f"{one.near} of {one.items} synthetic images repeat another one "
        f"({one.near / one.items:.0%}, limit {gate.max_duplicates:.0%})"
        for one in run.duplication
        if one.level == "image" and one.items and one.near / one.items > gate.max_duplicates
    ]
    return causes + [f"{one.text.rstrip('.')} ({one.name}, in gate.fail_on)" for one in warnings
                     if one.name in gate.fail_on]  # fmt: skip


def reason(verdict: Verdict, tests: Sequence[Test], trends: Sequence[Trend], others: Sequence[str]) -> str:
    """Why a verdict is what it is, in a sentence or two."""
    if verdict is Verdict.COLLAPSING:
        falls = [_say_fall(one) for one in trends if one.falling]
        return "; ".join([*(_say_loss(one) for one in tests if one.outcome == "loss"), *falls, *others]) + "."
    if verdict is Verdict.INCONCLUSIVE:
        return "; ".join(_say_open(one) for one in tests if one.outcome == "open") + "."
    return _say_healthy(tests)


def notes(
    tests: Sequence[Test], generation: int, trainings: tuple[int, int], gate: Gate, *, collapsed: str = ""
) -> tuple[str, ...]:
    """What a reader has to know of the method; `collapsed` as in :class:`pipeline.core.nights.Night`."""
    found = []
    if collapsed and any(one.outcome == "loss" for one in tests):
        found.append(
            f"It was not trained a second time to confirm the loss: it descends from {collapsed}, whose loss two "
            "trainings showed."
        )
    if sum(trainings) == _ONE_EACH:
        found.append(
            "The base and the run were trained once each: the variance between trainings is not in the intervals. "
            "`train.seeds` of 2 or more puts it there."
        )
    unconfirmed = list(dict.fromkeys(one.figure for one in tests if one.confirmed is False))
    if unconfirmed:
        found.append(f"A second training did not confirm a loss of {', '.join(unconfirmed)}.")
    if generation > gate.horizon:
        found.append(
            f"Generation {generation} is past the horizon of {gate.horizon} nights: a new horizon, with an alpha of "
            "its own, began after it."
        )
    if gate.schedule == "none":
        chance = 1 - (1 - gate.alpha) ** gate.horizon
        found.append(
            f"Every night has the whole alpha: over {gate.horizon} independent nights a healthy arm would raise a "
            f"false alarm with probability {chance:.0%}."
        )
    return tuple(found)


def _say_fall(trend: Trend) -> str:
    return (
        f"{trend.figure} fell steadily, by {-trend.slope:.3f} a generation, from {trend.values[0]:.3f} to "
        f"{trend.values[-1]:.3f} (p = {trend.p_value:.2g}, level {trend.level:.2g})"
    )


def _say_loss(test: Test) -> str:
    boxes = "" if test.lost is None else f", {test.lost} of {test.samples} boxes lost and {test.gained} gained"
    again = ", and again in a second training" if test.confirmed else ""
    return (
        f"{test.figure} fell from {test.base:.3f} in {test.baseline} to {test.run:.3f} "
        f"(p = {test.p_value:.2g}{again}{boxes})"
    )


def _say_open(test: Test) -> str:
    what = "images" if test.lost is None else "boxes"
    if test.base is None or test.loss is None:
        return f"{test.figure} cannot be measured: there is no test box of it; verify test images that have some"
    if test.base < test.margin:
        where = f"only {test.base:.3f} in {test.baseline}"
        return f"{test.figure} is {where}: there is no loss of {test.margin:g} to be seen"
    if test.low is None or test.high is None:
        return f"a loss of {test.figure} has no error to be told: its test boxes are on too few images; verify more"
    settle = f"{test.settle} test {what} would settle it (now {test.samples})" if test.settle else (
        "the loss is too near the margin for any number of test " + what
    )  # fmt: skip
    shown = "shown once and not confirmed" if test.confirmed is False else "neither shown nor ruled out"
    against = "" if test.baseline == "base" else f" against {test.baseline}"
    return (
        f"a loss of {test.margin:g} in {test.figure}{against} is {shown}: {test.loss:.3f} "
        f"({test.low:.3f} to {test.high:.3f}); {settle}"
    )


def _say_healthy(tests: Sequence[Test]) -> str:
    largest = _largest([one for one in tests if one.lost is None])
    recalls = [one for one in tests if one.lost is not None]
    words = ""
    if recalls:
        worst = _largest(recalls)
        words = (
            f"no rare class lost {worst.margin:g} of recall (largest possible loss: {worst.high:.3f}, "
            f"{worst.figure}), and "
        )
    return f"{words}mAP50-95 lost at most {largest.high:.3f} (margin {largest.margin:g})."


def _largest(tests: Sequence[Test]) -> Test:
    return max(tests, key=lambda one: -math.inf if one.high is None else one.high)
