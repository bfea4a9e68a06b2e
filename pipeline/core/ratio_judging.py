"""One level of real images beside the all-real reference: judged after each seed, ended when the verdict is clear."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from pipeline.core import clustered, comparisons, looks, statistics
from pipeline.core.comparisons import Comparison, Side
from pipeline.core.errors import UserError
from pipeline.core.ratio_search import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What decides a level.

    Attributes:
        min_seeds: seeds before the first look, 2 or more: of one, nobody knows how trainings differ by chance.
        max_seeds: seeds after which a level stays open.
        map_margin: loss of mAP50-95 that matters, in (0, 1).
        recall_margin: loss of recall of a rare class that matters, in (0, 1).
        alpha: of the whole search, one-sided; also of each band.
        levels: of the grid; the level of what is said to be inferior is divided by them.
        futile: chance of being shown under which a level is given up, in [0, 1).
    """

    min_seeds: int
    max_seeds: int
    map_margin: float
    recall_margin: float
    alpha: float
    levels: int
    futile: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what no test can be made of."""
        for name, value in (("map", self.map_margin), ("recall", self.recall_margin)):
            if not 0 < value < 1:
                raise UserError(
                    f"the margin of {name} is {value:g}, wanted a number in (0, 1): the loss from which on it matters. "
                    f"Set gate.{name}_margin in params.yaml, or --{name}-margin."
                )
        if not 0 < self.alpha < 0.5:  # noqa: PLR2004
            raise UserError(f"alpha is {self.alpha:g}, wanted a number in (0, 0.5). Set gate.alpha in params.yaml.")
        if not 2 <= self.min_seeds <= self.max_seeds:  # noqa: PLR2004
            raise UserError(
                f"{self.min_seeds} to {self.max_seeds} seeds, wanted 2 or more, the most no fewer than the least: one "
                "training cannot say how trainings differ by chance. Set --min-seeds and --seeds."
            )

    def level(self, alpha: float, seeds: int) -> float:
        """Nominal level of the look after so many seeds, where alpha is spent over all looks."""
        times = tuple(number / self.max_seeds for number in range(self.min_seeds, self.max_seeds + 1))
        return looks.levels(alpha, times)[seeds - self.min_seeds]


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureFound:
    """One figure of a level beside the reference, over the seeds so far.

    Attributes:
        figure: ``mAP50-95``, or ``recall of NAME``.
        reference: its value with real images alone, mean over seeds; None where there is none.
        value: that of the level.
        loss: reference minus value.
        low: of the loss: a repeated confidence interval, at 1 - 2 alpha, that holds whenever the level is ended.
        high: its upper end.
        margin: the loss that matters.
        samples: test boxes, or images for mAP50-95.
        excluded: whether a loss of the margin is ruled out.
        shown: whether a loss of the margin is shown.
        chance: of being ruled out after the last seed, if losses stay as they are; None where that cannot be told.
    """

    figure: str
    reference: float | None
    value: float | None
    loss: float | None
    low: float | None
    high: float | None
    margin: float
    samples: int
    excluded: bool
    shown: bool
    chance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is said of a level.

    Attributes:
        outcome: of all figures together.
        seeds: that it rests on.
        why: one sentence.
        figures: mAP50-95 first, then the rare classes.
    """

    outcome: Outcome
    seeds: int
    why: str
    figures: tuple[FigureFound, ...]


def judge_level(
    pair: Callable[[int], tuple[Side, Side]],
    rare: Mapping[int, str],
    rule: Rule,
    *,
    alpha: float,
) -> tuple[Judgement, Side, Side]:
    """Ask for one seed after another until the level's verdict is clear; gives the sides of both, too.

    Every figure has to exclude a loss of its margin, so that none needs a correction for their number (Berger 1982,
    Technometrics 24:295-300: intersection-union tests).

    Args:
        pair: reference and level of a seed, from 1; this is where trainings are made.
        rare: names of the rare classes that are tested, by id.
        rule: margins and seeds.
        alpha: that this test may use.

    Raises:
        UserError: seeds were measured on other test images.
    """
    bases, runs = pair(1)
    for seeds in range(2, rule.max_seeds + 1):
        base, run = pair(seeds)
        bases, runs = comparisons.joined(bases, base), comparisons.joined(runs, run)
        if seeds >= rule.min_seeds:
            found = look(bases, runs, rare, rule, alpha=alpha, seeds=seeds)
            if found is not None:
                return found, bases, runs
    raise AssertionError("the last look decides")


def look(base: Side, run: Side, rare: Mapping[int, str], rule: Rule, *, alpha: float, seeds: int) -> Judgement | None:
    """Judge a level after so many seeds; None where another seed is worth its trainings.

    Arguments as for :func:`judge_level`, with the trainings of all seeds side by side.
    """
    figures = _figures(base, run, rare, rule, alpha=alpha, seeds=seeds)
    if all(one.excluded for one in figures):
        why = "a loss of the margin is ruled out in every figure"
        return Judgement(outcome="non-inferior", seeds=seeds, why=why, figures=figures)
    lost = [one.figure for one in figures if one.shown]
    if lost:
        why = f"a loss of the margin is shown: {', '.join(lost)}"
        return Judgement(outcome="inferior", seeds=seeds, why=why, figures=figures)
    worst = min(figures, key=lambda one: (one.excluded, 1.0 if one.chance is None else one.chance))
    if seeds == rule.max_seeds:
        why = f"after {seeds} seeds a loss of the margin is neither ruled out nor shown: {worst.figure}"
        return Judgement(outcome="open", seeds=seeds, why=why, figures=figures)
    if worst.chance is not None and worst.chance < rule.futile:
        why = (
            f"given up after {seeds} seeds: if losses stay as they are, {rule.max_seeds} would rule a loss of the "
            f"margin out in {worst.figure} with a chance of {worst.chance:.0%}"
        )
        return Judgement(outcome="open", seeds=seeds, why=why, figures=figures)
    return None


def describe(base: Side, run: Side, rare: Mapping[int, str], rule: Rule, *, seeds: int) -> tuple[FigureFound, ...]:
    """The figures of trainings beside the reference, where nothing is decided; arguments as for :func:`look`."""
    return _figures(base, run, rare, rule, alpha=rule.alpha, seeds=seeds)


def boxes_needed(rule: Rule, *, alpha: float) -> int:
    """Fewest test boxes of a class with which a loss of the margin could be ruled out, if none at all were lost.

    Args:
        rule: its recall margin and looks.
        alpha: of the test.
    """
    level = rule.level(alpha, rule.max_seeds)
    number = 1
    while not statistics.rules_out(0, 0, number, margin=rule.recall_margin, alpha=level):
        number += 1
    return number


def _figures(
    base: Side, run: Side, rare: Mapping[int, str], rule: Rule, *, alpha: float, seeds: int
) -> tuple[FigureFound, ...]:
    margins = {"map_margin": rule.map_margin, "recall_margin": rule.recall_margin}
    ruling, band = rule.level(alpha, seeds), rule.level(rule.alpha, seeds)
    showing = rule.level(rule.alpha / rule.levels, seeds)
    final = rule.level(alpha, rule.max_seeds)
    tests, bands, lows = (
        comparisons.compare(base, run, rare, **margins, alpha=level) for level in (ruling, band, showing)
    )
    values = [_values(base, run, None), *(_values(base, run, class_id) for class_id in rare)]
    enough = [True, *(_enough(base, run, class_id, rule, ruling) for class_id in rare)]
    return tuple(
        FigureFound(
            figure=test.figure, reference=test.base, value=test.run, loss=test.evidence.loss, low=wide.low,
            high=wide.high, margin=test.evidence.margin, samples=test.samples,
            excluded=test.evidence.excluded and sure,
            shown=low.low is not None and low.low >= low.evidence.margin,
            chance=_chance(test, one, share=seeds / rule.max_seeds, level=final),
        )
        for test, wide, low, one, sure in zip(tests, bands, lows, values, enough, strict=True)
    )  # fmt: skip


def _values(base: Side, run: Side, class_id: int | None) -> tuple[Sequence[float], Sequence[float]]:
    """The figure of each training: mAP50-95, or the recall of a class."""
    if class_id is None:
        return base.maps, run.maps
    chosen = base.boxes["class_id"].to_numpy() == class_id
    if not chosen.any():
        return (), ()
    return base.found[chosen].mean(axis=0).tolist(), run.found[chosen].mean(axis=0).tolist()


def _enough(base: Side, run: Side, class_id: int, rule: Rule, level: float) -> bool:
    """Whether Tango's bound over boxes agrees: Student's is no bound where a handful of boxes never changes hands."""
    chosen = base.boxes["class_id"].to_numpy() == class_id
    difference = base.found[chosen].mean(axis=1) - run.found[chosen].mean(axis=1)
    lost, gained = float(difference.clip(min=0).sum()), float((-difference).clip(min=0).sum())
    total = int(chosen.sum())
    return total > 0 and statistics.rules_out(lost, gained, total, margin=rule.recall_margin, alpha=level)


def _chance(
    found: Comparison, values: tuple[Sequence[float], Sequence[float]], *, share: float, level: float
) -> float | None:
    """Chance that the bound of all seeds lies under the margin, if losses and their spread stay as they are.

    Source: Lan & Wittes 1988, Biometrics 44:579-585 (conditional power under the present trend).
    """
    before, after = (np.asarray(side, dtype=np.float64) for side in values)
    between = clustered.between_trainings(before, after) if before.size and after.size else None
    if found.evidence.loss is None or found.error is None or between is None:
        return None
    images = max(found.error**2 - between.value**2, 0.0)
    whole = math.sqrt(images + between.value**2 * share)
    room = found.evidence.margin - found.evidence.loss + float(ndtri(level)) * whole
    moves = between.value * math.sqrt(share * (1 - share))
    return float(ndtr(room / moves)) if moves else float(room > 0)
