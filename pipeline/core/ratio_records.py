"""What `tailwatch ratio` found, and how it is kept as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core import ratio_search
from pipeline.core.ratio_judging import FigureFound, Judgement
from pipeline.core.ratio_search import Tried

VERSION = 1  # of the JSON; raised with every change that an older reader would misread
QUESTIONS = ("share", "number")
Question = Literal["share", "number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One dose: so many of the training images are real.

    Attributes:
        share: of the training images, in [0, 1).
        real: images.
        synthetic: images, which make up the total.
    """

    share: float
    real: int
    synthetic: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelFound:
    """A level that was tried.

    Attributes:
        level: which one.
        alpha: that its test was allowed.
        judgement: what came of it.
        alone: figures of these real images without any synthetic one, for the question `number`; else empty.
    """

    level: Level
    alpha: float
    judgement: Judgement
    alone: tuple[FigureFound, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A figure that is lower at a higher share than at a lower one, beyond chance: no share falls so by itself."""

    figure: str
    higher: float
    lower: float
    loss: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one question.

    Attributes:
        question: share: of the training images, drawn from all real ones; number: real images that there are at all.
        levels: the grid, from high to low.
        tried: in the order in which they were tried.
        finished: whether the search came to its end; else the budget did.
        pairs: of tried levels that were held against each other for monotony.
        contradictions: to it.
    """

    question: Question
    levels: tuple[Level, ...]
    tried: tuple[LevelFound, ...]
    finished: bool
    pairs: int
    contradictions: tuple[Contradiction, ...]

    @property
    def smallest(self) -> Level | None:
        """The smallest level that was shown non-inferior; None where none was."""
        position = ratio_search.smallest(self._tried)
        return None if position is None else self.levels[position]

    @property
    def largest_inferior(self) -> Level | None:
        """The largest level that was shown inferior; None where none was."""
        position = ratio_search.largest_inferior(self._tried)
        return None if position is None else self.levels[position]

    @property
    def _tried(self) -> list[Tried]:
        return [Tried(position=self.levels.index(one.level), outcome=one.judgement.outcome) for one in self.tried]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What it took.

    Attributes:
        trainings: that the answer rests on, those of earlier calls too.
        new: of them, made by this call.
        grid: that all levels with all seeds would take.
        seconds: that the trainings' stages took, with generation and audit.
    """

    trainings: int
    new: int
    grid: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """All that `tailwatch ratio` says.

    Attributes:
        version: of this format.
        arm: whose policy was tried.
        policy: of the arm.
        generator: of the synthetic images.
        labels: where their boxes are from.
        generations: of each chain; the last one is judged.
        total: training images at every level.
        alpha: one-sided, of each question.
        map_margin: loss of mAP50-95 that matters.
        recall_margin: loss of recall that matters.
        max_seeds: of a level.
        rare: the rare classes that are tested.
        answers: one a question.
        cost: in trainings.
        untestable: rare classes that are not tested, with their test boxes.
        needed: test boxes that a rare class needs.
        plans: other settings with which these data were asked before, in words.
        stopped: why the budget ended the search; empty where it did not.
    """

    version: int = VERSION
    arm: str
    policy: str
    generator: str
    labels: str
    generations: int
    total: int
    alpha: float
    map_margin: float
    recall_margin: float
    max_seeds: int
    rare: tuple[str, ...]
    untestable: Mapping[str, int]
    needed: int
    answers: tuple[Answer, ...]
    cost: Cost
    plans: tuple[str, ...]
    stopped: str

    @property
    def answered(self) -> bool:
        """Whether each question has its answer, in every rare class, and nothing of the search is left."""
        return not self.untestable and all(one.finished and one.smallest is not None for one in self.answers)


def levels(shares: Sequence[float], total: int) -> tuple[Level, ...]:
    """The grid for a total, from high to low; shares that come to the same number of images are one level.

    Args:
        shares: of real images, in [0, 1).
        total: training images.
    """
    found = {math.floor(share * total + 0.5): share for share in sorted(shares)}
    return tuple(
        Level(share=share, real=real, synthetic=total - real)
        for real, share in sorted(found.items(), reverse=True)
        if real < total
    )
