"""What the report tells: runs arranged by arm, and their figures as lines over generations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.core import params, paths
from pipeline.core.audits import Audit
from pipeline.core.figures import ClassFigures, Diversity, Drift, Duplication, Figure
from pipeline.core.history import Record
from pipeline.core.judgements import Judgement, Test, Verdict
from pipeline.core.params import Params
from pipeline.core.sections import Arm

NO_RARE = "no class is rare"


class MeasuredClass(Protocol):
    """One class of a run, be it retired or not."""

    @property
    def name(self) -> str:
        """Of the class."""

    @property
    def rare(self) -> bool:
        """Whether it is rare."""

    @property
    def support(self) -> int:
        """Test boxes."""

    @property
    def recall(self) -> Figure:
        """With its interval."""

    @property
    def training_boxes(self) -> int:
        """In the run's training data."""


class Measured(Protocol):
    """What is known of every run, be it retired or not: an audit has it, and so has the record of a retired run."""

    @property
    def map50_95(self) -> Figure:
        """With its interval."""

    @property
    def map50(self) -> Figure:
        """With its interval."""

    @property
    def classes(self) -> Sequence[MeasuredClass]:
        """In the order of their ids."""

    @property
    def rare(self) -> Sequence[MeasuredClass]:
        """The rare ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run: its audit, and the verdict on it; the base run has none, for it is what the others are held against."""

    audit: Audit
    judgement: Judgement | None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.audit.run

    @property
    def generation(self) -> int:
        """The run's generation."""
        return self.audit.generation

    @property
    def verdict(self) -> Verdict | None:
        """The verdict; None for the base run."""
        return None if self.judgement is None else self.judgement.verdict

    def test(self, figure: str) -> Test | None:
        """The comparison of one figure with the base run, such as ``mAP50-95`` or ``recall of NAME``."""
        return next((test for test in self.tests if test.figure == figure), None)

    @property
    def tests(self) -> list[Test]:
        """The comparisons with the base run: mAP first, then recall of each rare class."""
        tests = self.judgement.tests if self.judgement else ()
        return [test for test in tests if test.baseline == paths.BASE]

    def duplication(self, level: str) -> Duplication | None:
        """Duplication of images or of objects; None where the run has no synthetic image."""
        return next((one for one in self.audit.duplication if one.level == level), None)

    def diversity(self, name: str) -> Diversity | None:
        """Diversity of one class, or of all objects (``all``); None where the run has no synthetic image."""
        return next((one for one in self.audit.diversity if one.name == name), None)

    def drift(self, quantity: str) -> Drift | None:
        """Drift of one quantity; None where the run has no synthetic image."""
        return next((one for one in self.audit.drift if one.quantity == quantity), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRecord:
    """One arm.

    Attributes:
        name: of the arm.
        number: its place in ``params.yaml``, from 0.
        arm: policy and ratio.
        runs: all its runs, by generation, then in the order of ``params.yaml``.
        line: the base run, then the runs in params.yaml that the newest one descends from, then the newest.
        retired: the retired runs that it descends from, oldest first; they stand between the base and the others.
    """

    name: str
    number: int
    arm: Arm
    runs: tuple[RunRecord, ...]
    line: tuple[RunRecord, ...]
    retired: tuple[Record, ...] = ()

    @property
    def newest(self) -> RunRecord | None:
        """The newest run; None where the arm has no run yet."""
        return self.line[-1] if self.runs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The base run and all arms."""

    base: RunRecord
    arms: tuple[ArmRecord, ...]

    @property
    def runs(self) -> list[RunRecord]:
        """Every run: the base, then arm by arm."""
        return [self.base, *(run for arm in self.arms for run in arm.runs)]

    @property
    def classes(self) -> list[str]:
        """Class names in the order of their ids."""
        return [one.name for one in self.base.audit.classes]

    @property
    def rare(self) -> list[str]:
        """Names of the rare classes."""
        return [one.name for one in self.base.audit.rare]

    @property
    def newest(self) -> list[tuple[ArmRecord, RunRecord]]:
        """Each arm that has a run, with its newest one."""
        return [(arm, arm.newest) for arm in self.arms if arm.newest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A figure of one run."""

    generation: int
    run: str
    verdict: Verdict | None
    figure: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A figure of one arm over its generations; it starts at the base run, generation 0."""

    arm: str
    number: int
    points: tuple[Point, ...]


def arrange(
    settings: Params,
    audits: Mapping[str, Audit],
    judgements: Mapping[str, Judgement],
    retired: Mapping[str, Record] | None = None,
) -> History:
    """Arrange runs by arm.

    Args:
        settings: arms and runs.
        audits: of every run, the base included, by its name.
        judgements: of every run but the base, by its name.
        retired: records of retired runs, by their names; those measured on another test split are left out.
    """
    comparable = {name: one for name, one in (retired or {}).items() if one.test == audits[paths.BASE].test}
    records = {name: RunRecord(audit=audits[name], judgement=judgements[name]) for name in settings.runs}
    base = RunRecord(audit=audits[paths.BASE], judgement=None)
    arms = []
    for number, (name, arm) in enumerate(settings.arms.items()):
        own = [run for run, chosen in settings.runs.items() if chosen.arm == name]
        ordered = sorted(own, key=lambda run: settings.runs[run].generation)
        chain = params.ancestry(settings, ordered[-1])[::-1] if ordered else []
        arms.append(
            ArmRecord(
                name=name,
                number=number,
                arm=arm,
                runs=tuple(records[run] for run in ordered),
                line=(base, *(records[run] for run in chain)),
                retired=_line_of(settings.runs[chain[0]].previous, comparable) if chain else (),
            )
        )
    return History(base=base, arms=tuple(arms))


def _line_of(run: str, retired: Mapping[str, Record]) -> tuple[Record, ...]:
    """A retired run and those that it descends from, oldest first, as far back as there are records."""
    found: list[Record] = []
    while run in retired and retired[run] not in found:
        found.append(retired[run])
        run = retired[run].previous
    return tuple(reversed(found))


def measured(arm: ArmRecord) -> list[tuple[RunRecord | Record, Measured]]:
    """All runs of an arm's line with their figures: the base, the retired ones, then those in params.yaml."""
    found: list[tuple[RunRecord | Record, Measured]] = [(run, run.audit) for run in arm.line]
    return [found[0], *((run, run) for run in arm.retired), *found[1:]]


def lines(history: History, figure: Callable[[Measured], Figure]) -> list[Line]:
    """A figure of each arm over its generations, those of retired runs too."""
    return [
        Line(
            arm=arm.name,
            number=arm.number,
            points=tuple(
                Point(generation=run.generation, run=run.name, verdict=run.verdict, figure=figure(found))
                for run, found in measured(arm)
            ),
        )
        for arm in history.arms
    ]


def run_lines(history: History, figure: Callable[[RunRecord], Figure | None]) -> list[Line]:
    """A figure of each arm over its generations; retired runs, and those for which it is None, have no point."""
    return [
        Line(
            arm=arm.name,
            number=arm.number,
            points=tuple(
                Point(generation=run.generation, run=run.name, verdict=run.verdict, figure=found)
                for run in arm.line
                if (found := figure(run)) is not None
            ),
        )
        for arm in history.arms
    ]


def rare_recall(audit: Measured) -> Figure:
    """Mean recall over the rare classes that have test boxes; without an interval, for an audit keeps none of it."""
    values = [one.recall.value for one in audit.rare if one.recall.value is not None]
    if not values:
        return Figure(value=None, reason="no test box of a rare class" if audit.rare else NO_RARE)
    return Figure(value=sum(values) / len(values))


def recall_of(name: str) -> Callable[[Measured], Figure]:
    """The recall of one class, as a figure of an audit."""
    absent = Figure(value=None, reason="no such class in this run")
    return lambda audit: next((one.recall for one in audit.classes if one.name == name), absent)


def lost_tail_of(name: str) -> Callable[[RunRecord], Figure | None]:
    """The lost tails of one class, or of ``all`` objects; None for a run without synthetic images."""

    def figure(run: RunRecord) -> Figure | None:
        one = run.diversity(name)
        return None if one is None else one.lost_tail

    return figure


def class_figures(audit: Audit, name: str) -> ClassFigures:
    """The figures of one class."""
    return next(one for one in audit.classes if one.name == name)


def floor(history: History, figure: Callable[[Measured], Figure], margin: float) -> float | None:
    """The base run's value less the margin: below it lies a loss that matters. None where the base has no value."""
    value = figure(history.base.audit).value
    return None if value is None else max(value - margin, 0.0)


def telling(history: History, names: Sequence[str], most: int) -> list[str]:
    """At most so many classes: those whose recall fell most in any newest run; in the order of ``names``."""

    def worst(name: str) -> float:
        tests = [arm.newest.test(f"recall of {name}") for arm in history.arms if arm.newest]
        return max((test.loss for test in tests if test and test.loss is not None), default=0.0)

    chosen = set(sorted(names, key=worst, reverse=True)[:most])
    return [name for name in names if name in chosen]


def rare_first(history: History, names: Sequence[str]) -> list[str]:
    """The rare classes, then the others, each in the order of ``names``."""
    rare = set(history.rare)
    return sorted(names, key=lambda name: name not in rare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A class's share of the training boxes of a run, in [0, 1]; None where the run has no box at all."""

    name: str
    number: int
    boxes: int
    share: float | None


def class_shares(audit: Measured) -> list[Share]:
    """The share of each class in the training boxes, in class order."""
    total = sum(one.training_boxes for one in audit.classes)
    return [
        Share(
            name=one.name,
            number=number,
            boxes=one.training_boxes,
            share=one.training_boxes / total if total else None,
        )
        for number, one in enumerate(audit.classes)
    ]


def absent_classes(audit: Audit) -> list[str]:
    """Classes without one training box."""
    return [one.name for one in audit.classes if one.training_boxes == 0]
