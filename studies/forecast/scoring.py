"""What forecasts said, against what then happened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from pipeline.core import forecasts, futures, rng
from pipeline.core.figures import Figure
from pipeline.core.futures import Generation
from pipeline.core.statistics import clopper_pearson

NEED = 20  # boxes, as mix.min_support is by default
HORIZON = 15  # generations; histories end before
LEADS = (1, 2, 4, 8)  # generations ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One class that has enough boxes in one generation, what was said of it then, and what became of it.

    Attributes:
        scenario: of the recursion.
        seen: generations so far, the base included.
        ahead: generations that were run after it.
        fell: generations until the class had too few boxes; None if it had not until the end.
        said: generations until then by the forecast; infinite for never.
        low: near end of its 90 % interval.
        high: far end.
        chance: probability that it falls within so many generations, by the futures, one for each of `LEADS`.
        line: generations until then by a straight line through the logs of the first and the last count.
    """

    scenario: str
    seen: int
    ahead: int
    fell: int | None
    said: float
    low: float
    high: float
    chance: tuple[float, ...]
    line: float

    @property
    def covered(self) -> bool:
        """Whether the 90 % interval holds what happened; what had not happened by the end may still lie in it."""
        return self.low <= self.fell <= self.high if self.fell is not None else self.high > self.ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How good forecasts are after so many generations.

    Attributes:
        scenario: of the recursions.
        seen: generations so far, the base included.
        cases: classes of all recursions that had enough boxes then.
        fell: those that fell under the need before the end.
        coverage: share of the cases whose 90 % interval held what happened, with its own interval, as if they were
            independent.
        foretold: those of `fell` for which a generation was named.
        error: median distance of it from what happened, in generations, among those; None without any.
        line_error: that of the straight line, among those for which it names a generation.
    """

    scenario: str
    seen: int
    cases: int
    fell: int
    coverage: Figure
    foretold: int
    error: float | None
    line_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warnings:
    """How good it is to warn of what falls within so many generations; at all of whose ends what happened is known.

    Attributes:
        scenario: of the recursions.
        lead: generations ahead.
        cases: classes of all recursions and generations.
        fell: those that did fall within the lead.
        hits: share of those that were warned of by the forecast's generation.
        false_alarms: share of the others that were warned of all the same.
        near_hits: share of hits if the near end of the interval warned.
        near_false_alarms: of false alarms, likewise.
        line_hits: if the straight line warned.
        line_false_alarms: likewise.
        brier: mean squared error of the probability, in [0, 1].
        persistence_brier: that of "shares stay as they are", which never warns.
        line_brier: that of the straight line, which is sure of what it says.
    """

    scenario: str
    lead: int
    cases: int
    fell: int
    hits: float | None
    false_alarms: float | None
    near_hits: float | None
    near_false_alarms: float | None
    line_hits: float | None
    line_false_alarms: float | None
    brier: float
    persistence_brier: float
    line_brier: float


def cases(scenario: str, seed: int, history: Sequence[Generation]) -> list[Case]:
    """Forecast after each generation but the last, and note what became of each class."""
    found = []
    classes = len(history[0].training)
    for seen in range(2, len(history)):
        past, now = history[:seen], seen - 1
        source = rng.generator(seed, "forecast", scenario, str(seen))
        given = forecasts.forecast(
            past,
            [str(one) for one in range(classes)],
            need=NEED,
            horizon=HORIZON,
            policy="replace",
            generations=1,
            rng=source,
        )
        drawn = futures.draw(past, policy="replace", generations=1, rng=source)
        falls = drawn.falls(need=NEED, steps=max(LEADS), rng=source) - now
        for class_id, one in enumerate(given):
            if past[-1].training[class_id] < NEED:
                continue
            later = [after.training[class_id] < NEED for after in history[seen:]]
            found.append(
                Case(
                    scenario=scenario,
                    seen=seen,
                    ahead=len(later),
                    fell=later.index(True) + 1 if True in later else None,
                    said=_ahead(one.generation.value, now),
                    low=_ahead(one.generation.low, now),
                    high=_ahead(one.generation.high, now),
                    chance=tuple(float(np.mean(falls[:, class_id] <= lead)) for lead in LEADS),
                    line=_line(past, class_id),
                )
            )
    return found


def _ahead(generation: float | None, now: int) -> float:
    return math.inf if generation is None else generation - now


def _line(past: Sequence[Generation], class_id: int) -> float:
    """Generations until a straight line through the logs of the first and the last count is under the need."""
    first, last = past[0].training[class_id], past[-1].training[class_id]
    if last >= first:
        return math.inf
    pace = math.log(first / last) / (len(past) - 1)
    return float(math.floor(math.log(last / NEED) / pace) + 1)


def span(scenario: str, seen: int, cases: Iterable[Case]) -> Span:
    """Score the forecasts after so many generations."""
    some = [one for one in cases if one.scenario == scenario and one.seen == seen]
    covered = sum(one.covered for one in some)
    interval = clopper_pearson(covered, len(some))
    share = Figure(value=None, samples=0, reason="no class had enough boxes")
    if interval is not None:
        share = Figure(value=covered / len(some), low=interval.low, high=interval.high, samples=len(some))
    fell = [(one, one.fell) for one in some if one.fell is not None]
    errors = [abs(one.said - when) for one, when in fell if math.isfinite(one.said)]
    line = [abs(one.line - when) for one, when in fell if math.isfinite(one.line)]
    return Span(
        scenario=scenario,
        seen=seen,
        cases=len(some),
        fell=len(fell),
        coverage=share,
        foretold=len(errors),
        error=median(errors) if errors else None,
        line_error=median(line) if line else None,
    )


def warnings(scenario: str, lead: int, cases: Iterable[Case]) -> Warnings | None:
    """Score warnings of what falls within the lead; None where no history goes so far ahead."""
    some = [one for one in cases if one.scenario == scenario and one.ahead >= lead]
    if not some:
        return None
    fell = [one.fell is not None and one.fell <= lead for one in some]

    def rate(warned: Callable[[Case], bool], *, when: bool) -> float | None:
        chosen = [warned(one) for one, did in zip(some, fell, strict=True) if did is when]
        return sum(chosen) / len(chosen) if chosen else None

    def brier(chance: Callable[[Case], float]) -> float:
        return sum((chance(one) - did) ** 2 for one, did in zip(some, fell, strict=True)) / len(some)

    number = LEADS.index(lead)
    return Warnings(
        scenario=scenario,
        lead=lead,
        cases=len(some),
        fell=sum(fell),
        hits=rate(lambda one: one.said <= lead, when=True),
        false_alarms=rate(lambda one: one.said <= lead, when=False),
        near_hits=rate(lambda one: one.low <= lead, when=True),
        near_false_alarms=rate(lambda one: one.low <= lead, when=False),
        line_hits=rate(lambda one: one.line <= lead, when=True),
        line_false_alarms=rate(lambda one: one.line <= lead, when=False),
        brier=brier(lambda one: one.chance[number]),
        persistence_brier=brier(lambda _: 0.0),
        line_brier=brier(lambda one: float(one.line <= lead)),
    )
