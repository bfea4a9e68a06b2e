"""How much real data is enough: trainings of the user's own data, as few as an answer takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pandas as pd

from pipeline import ratio_folders, ratio_plan
from pipeline.adapters import ratio_chart
from pipeline.chains import stages, steps
from pipeline.chains.steps import Step
from pipeline.core import (
    audits,
    comparisons,
    detections,
    evaluation,
    files,
    manifest,
    metrics,
    paths,
    ratio_judging,
    ratio_monotony,
    ratio_search,
    ratio_words,
    records,
    stage,
)
from pipeline.core.comparisons import Side
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths
from pipeline.core.ratio_judging import FigureFound
from pipeline.core.ratio_monotony import Sides
from pipeline.core.ratio_records import Answer, Cost, Level, LevelFound, Question, Ratio
from pipeline.core.ratio_search import Next, Tried
from pipeline.core.ratio_words import Trial
from pipeline.ratio_plan import Plan

REPORT = paths.REPORTS / "ratio"
ANSWER, TRIALS, CURVE, RECORD = "answer.md", "trials.csv", "curve.svg", "ratio.json"
PLANS = ratio_plan.WORK / "plans.json"  # what these data were asked before
ANSWERED, OPEN = 0, 4  # exit codes

Runner = Callable[[Step], None]


class Spent(Exception):  # noqa: N818 - no error: what is there is reported
    """The budget does not reach for the next training."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """What one call may spend.

    Attributes:
        trainings: that it may make; None for any number.
        end: time.monotonic() at which it ends; None for never.
        made: trainings so far.
    """

    trainings: int | None = None
    end: float | None = None
    made: int = 0

    def require(self) -> None:
        """Ask for one training more.

        Raises:
            Spent: it is one too many, or would end too late, as far as earlier ones tell.
        """
        if self.trainings is not None and self.made >= self.trainings:
            raise Spent(f"--trainings {self.trainings} are made")
        known = ratio_plan.seconds()
        if self.end is not None and time.monotonic() + (median(known) if known else 0.0) > self.end:
            raise Spent("--minutes are over, or too few are left for another training")


@dataclass(slots=True, kw_only=True)
class Session:
    """One call of the command: makes what is missing, and remembers what it has read."""

    plan: Plan
    budget: Budget
    run: Runner
    used: dict[tuple[Path, str], Step] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    _sides: dict[tuple[Path, str], Side] = field(default_factory=dict)

    def reference(self, seed: int) -> Side:
        """The training on all real images with a seed."""
        step = self._made(ratio_folders.reference(self.plan, seed))
        return self._side(step, question="", level=None, seed=seed)

    def last(self, question: Question, level: Level, seed: int) -> tuple[Side, Side | None]:
        """The last generation of a level, and for `number` its base, which has seen no synthetic image."""
        reference = self.reference(seed)
        sides = []
        for step in ratio_folders.chain(self.plan, question, level, seed):
            sides.append(self._side(self._made(step), question=question, level=level, seed=seed))
            if sides[-1].images != reference.images:
                raise UserError(f"{step.what}: other test images than {reference.name}. Remove {ratio_plan.WORK}.")
        return sides[-1], sides[0] if question == "number" else None

    def _made(self, step: Step) -> Step:
        if not step.done:
            self.budget.require()
            stage.report(f"ratio: {step.what}")
            self.run(step)
            self.budget.made += 1
        self.used[step.folder, step.run] = step
        return step

    def _side(self, step: Step, *, question: str, level: Level | None, seed: int) -> Side:
        key = (step.folder, step.run)
        if key not in self._sides:
            self._sides[key], found = _measured(step, self.plan)
            self.trials += [
                Trial(question=question, share=level.share if level else 1.0, real=level.real if level else found.real,
                      seed=seed, generation=found.number, figure=name, value=value)
                for name, value in found.figures.items()
            ]  # fmt: skip
        return self._sides[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    number: int
    real: int
    figures: dict[str, float | None]


def here(step: Step) -> None:
    """Run a step in a process on this machine."""
    steps.execute(step, root=Path.cwd())


def find(plan: Plan, budget: Budget, run: Runner) -> Ratio:
    """Make the trainings that the answer takes, or as many as the budget has, and write what is known then.

    Raises:
        UserError: a training failed, or the budget is too small for one comparison.
    """
    _require_one_comparison(plan, budget)
    session = Session(plan=plan, budget=budget, run=run)
    answers: list[Answer] = []
    stopped = ""
    for question in plan.questions:
        answer, stopped = _search(session, question, stopped)
        answers.append(answer)
    found = _record(session, answers, stopped)
    _write(found, session.trials)
    return found


def as_text(found: Ratio) -> str:
    """The answer for people."""
    return f"{ratio_words.summary(found)}\n{REPORT / ANSWER} has all of it, {REPORT / CURVE} the curve."


def as_json() -> str:
    """The answer for programs, as it was written."""
    return (REPORT / RECORD).read_text().rstrip()


def _search(session: Session, question: Question, stopped: str) -> tuple[Answer, str]:
    plan = session.plan
    levels = plan.levels[question]
    tried: list[LevelFound] = []
    sides: list[Sides] = []
    while (wanted := _following(plan, levels, tried)) is not None and not stopped:
        try:
            found, side = _try(session, question, levels[wanted.position], wanted.alpha)
        except Spent as end:
            stopped = str(end)
            continue
        stage.report(f"ratio: {question} {found.level.share:.3g}: {found.judgement.outcome}; {found.judgement.why}")
        tried.append(found)
        sides.append(side)
    pairs, against = ratio_monotony.check(sides, plan.rare, plan.rule)
    answer = Answer(
        question=question, levels=levels, tried=tuple(tried), finished=wanted is None, pairs=pairs,
        contradictions=against,
    )  # fmt: skip
    return answer, stopped


def _following(plan: Plan, levels: Sequence[Level], tried: Sequence[LevelFound]) -> Next | None:
    outcomes = [Tried(position=levels.index(one.level), outcome=one.judgement.outcome) for one in tried]
    return ratio_search.following(len(levels), outcomes, alpha=plan.rule.alpha)


def _try(session: Session, question: Question, level: Level, alpha: float) -> tuple[LevelFound, Sides]:
    """Test one level; what was trained on its real images alone is told beside it."""
    plan = session.plan
    alone: list[Side] = []

    def pair(seed: int) -> tuple[Side, Side]:
        last, first = session.last(question, level, seed)
        if first is not None:
            alone.append(first)
        return session.reference(seed), last

    judgement, base, run = ratio_judging.judge_level(pair, plan.rare, plan.rule, alpha=alpha)
    beside: tuple[FigureFound, ...] = ()
    if alone:
        without = alone[0]
        for one in alone[1:]:
            without = comparisons.joined(without, one)
        beside = ratio_judging.describe(base, without, plan.rare, plan.rule, seeds=judgement.seeds)
    return LevelFound(level=level, alpha=alpha, judgement=judgement, alone=beside), Sides(share=level.share, side=run)


def _measured(step: Step, plan: Plan) -> tuple[Side, _Measured]:
    """A run as it is compared: all seeds with the same resamples of the test images, for these are the same."""
    outs = RunPaths(step.run)
    audit = audits.read(step.folder / outs.figures)
    test = [row for row in manifest.read(step.folder / paths.VERIFIED_HELD_OUT) if row.split == "test"]
    table = detections.read(step.folder / outs.predictions)
    evaluated = evaluation.evaluate(table, test, classes=len(audit.classes))
    drawn = evaluation.resamples(
        evaluated, test, seed=plan.settings.seed, replicates=plan.settings.audit.replicates
    )  # fmt: skip
    both = evaluation.mean_precision(metrics.average_precision(evaluated.matches, weights=drawn))
    side = comparisons.side(
        step.what, detections.read(step.folder / outs.boxes, classes=len(audit.classes)),
        pd.DataFrame({"map50_95": both[:, 0]}), audit.seed_map50_95, images=audit.test_images,
    )  # fmt: skip
    figures = {comparisons.MAP: audit.map50_95.value, "mAP50": audit.map50.value}
    figures |= {f"recall of {one.name}": one.recall.value for one in audit.classes}
    return side, _Measured(number=audit.generation, real=audit.real_images, figures=figures)


def _require_one_comparison(plan: Plan, budget: Budget) -> None:
    if budget.trainings is None or budget.trainings >= plan.least():
        return
    question = plan.questions[0]
    middle = ratio_search.following(len(plan.levels[question]), (), alpha=plan.rule.alpha)
    level = plan.levels[question][middle.position if middle else 0]
    missing = 0
    for seed in range(1, plan.rule.min_seeds + 1):
        line = [ratio_folders.reference(plan, seed), *ratio_folders.chain(plan, question, level, seed)]
        missing += sum(not one.done for one in line)
    if budget.trainings < missing:
        raise UserError(
            f"--trainings {budget.trainings}, wanted {missing} or more: one comparison takes {plan.rule.min_seeds} "
            f"seeds of the reference and of a chain of {plan.generations} generations. Raise --trainings, or lower "
            "--generations."
        )


def _record(session: Session, answers: Sequence[Answer], stopped: str) -> Ratio:
    plan = session.plan
    before = [one for one in steps.note(PLANS).get(plan.data, []) if one != plan.words()]
    files.write_json(PLANS, {**steps.note(PLANS), plan.data: [*before, plan.words()]})
    notes = [steps.note(one.folder / stages.progress(one.run))["stages"] for one in session.used.values()]
    cost = Cost(
        trainings=len(notes), new=session.budget.made, grid=plan.most(tests=False),
        seconds=round(sum(one["seconds"] for note in notes for one in note.values()), 1),
    )  # fmt: skip
    generate = plan.settings.generate
    return Ratio(
        arm=plan.arm, policy=plan.policy, generator=generate.generator, labels=generate.labels,
        generations=plan.generations, total=plan.total, alpha=plan.rule.alpha, map_margin=plan.rule.map_margin,
        recall_margin=plan.rule.recall_margin, max_seeds=plan.rule.max_seeds, rare=tuple(plan.rare.values()),
        untestable=dict(plan.untestable), needed=plan.needed, answers=tuple(answers), cost=cost, plans=tuple(before),
        stopped=stopped,
    )  # fmt: skip


def _write(found: Ratio, trials: Sequence[Trial]) -> None:
    with files.fresh_folder(REPORT) as folder:
        files.write_text(folder / ANSWER, ratio_words.page(found, curve=CURVE))
        files.write_text(folder / TRIALS, ratio_words.table(trials))
        files.write_text(folder / CURVE, ratio_chart.curve(found))
        records.write(folder / RECORD, found)
