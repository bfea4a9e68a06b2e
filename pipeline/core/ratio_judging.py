"""One level of real images beside the all-real reference: judged after each seed, ended when the verdict is clear."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, stdtrit

from pipeline.core import clustered, comparisons, statistics
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

    def level(self, alpha: float) -> float:
        """Level of one look: alpha is shared evenly; the union bound holds however the looks depend on one another."""
        return alpha / (1 + self.max_seeds - self.min_seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureFound:
    """One figure of a level beside the reference, over the seeds so far.

    Attributes:
        figure: ``mAP50-95``, or ``recall of NAME``.
        reference: its value with real images alone, mean over seeds; None where there is none.
        value: that of the level.
        loss: reference minus value.
        low: of the loss, at 1 - 2 alpha: an interval that holds whenever the level is ended (Jennison & Turnbull 1989,
            Journal of the Royal Statistical Society B 51:305-361: repeated confidence intervals).
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
    level = rule.level(alpha)
    number = 1
    while not statistics.rules_out(0, 0, number, margin=rule.recall_margin, alpha=level):
        number += 1
    return number


def _figures(
    base: Side, run: Side, rare: Mapping[int, str], rule: Rule, *, alpha: float, seeds: int
) -> tuple[FigureFound, ...]:
    found = comparisons.compare(
        base, run, rare, map_margin=rule.map_margin, recall_margin=rule.recall_margin, alpha=rule.alpha
    )
    return tuple(
        _figure(one, _spread(one, base, run, class_id), _net(base, run, class_id), rule, alpha=alpha, seeds=seeds)
        for one, class_id in zip(found, [None, *rare], strict=True)
    )


def _figure(
    found: Comparison, spread: _Spread | None, net: _Net | None, rule: Rule, *, alpha: float, seeds: int
) -> FigureFound:
    loss, margin = found.evidence.loss, found.evidence.margin
    unknown = FigureFound(
        figure=found.figure, reference=found.base, value=found.run, margin=margin, loss=loss, low=None, high=None,
        samples=found.samples, excluded=False, shown=False, chance=None,
    )  # fmt: skip
    if loss is None or spread is None:
        return unknown
    level = rule.level(alpha)
    wide = spread.reach(rule.level(rule.alpha))
    sighted = found.base is not None and found.base >= margin
    return replace(
        unknown, low=loss - wide, high=loss + wide,
        excluded=sighted and loss + spread.reach(level) < margin and (net is None or net.rules_out(margin, level)),
        shown=loss - spread.reach(rule.level(rule.alpha / rule.levels)) >= margin,
        chance=_chance(loss, margin, spread, share=seeds / rule.max_seeds, level=level),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """How far a loss may be off by chance: between trainings, and over the test images, which all seeds share."""

    between: clustered.Error
    images: clustered.Error

    def reach(self, level: float) -> float:
        """Half an interval, one-sided at a level.

        Satterthwaite's degrees of freedom are too many where few trainings happen to agree: with two of them, and
        trainings that differ as much as images make them, bounds at 0.01 were wrong three times as often. Each part by
        its own Student's t is on the safe side.

        Source: Howe 1974, Journal of the American Statistical Association 69:789-794.
        """
        parts = (-float(stdtrit(one.freedom, level)) * one.value for one in (self.between, self.images))
        return math.hypot(*parts)


def _spread(found: Comparison, base: Side, run: Side, class_id: int | None) -> _Spread | None:
    images = base.images
    before, after = (np.asarray(side.maps, dtype=np.float64) for side in (base, run))
    if class_id is not None:
        chosen = base.boxes["class_id"].to_numpy() == class_id
        images = base.boxes["image_id"][chosen].nunique()
        if chosen.any():
            before, after = base.found[chosen].mean(axis=0), run.found[chosen].mean(axis=0)
    between = clustered.between_trainings(before, after) if before.size and after.size else None
    if found.error is None or between is None or images < 2:  # noqa: PLR2004
        return None
    rest = math.sqrt(max(found.error**2 - between.value**2, 0.0))
    return _Spread(between=between, images=clustered.Error(value=rest, freedom=images - 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Net:
    """Boxes of a class that the reference finds more often than the level, and less often, each by how much."""

    lost: float
    gained: float
    total: int

    def rules_out(self, margin: float, level: float) -> bool:
        """Whether Tango's bound agrees: Student's is none where a handful of boxes never changes hands."""
        return self.total > 0 and statistics.rules_out(self.lost, self.gained, self.total, margin=margin, alpha=level)


def _net(base: Side, run: Side, class_id: int | None) -> _Net | None:
    if class_id is None:
        return None
    chosen = base.boxes["class_id"].to_numpy() == class_id
    difference = base.found[chosen].mean(axis=1) - run.found[chosen].mean(axis=1)
    lost, gained = float(difference.clip(min=0).sum()), float((-difference).clip(min=0).sum())
    return _Net(lost=lost, gained=gained, total=int(chosen.sum()))


def _chance(loss: float, margin: float, spread: _Spread, *, share: float, level: float) -> float:
    """Chance that the bound of all seeds lies under the margin, if losses and their spread stay as they are.

    Source: Lan & Wittes 1988, Biometrics 44:579-585 (conditional power under the present trend).
    """
    between = spread.between.value
    freedom = (spread.between.freedom + 2) / share - 2  # that of the last look
    last = _Spread(between=clustered.Error(value=between * math.sqrt(share), freedom=freedom), images=spread.images)
    room = margin - loss - last.reach(level)
    moves = between * math.sqrt(share * (1 - share))
    return float(ndtr(room / moves)) if moves else float(room > 0)
