"""Why each arm has its verdict: what the evidence supports, early warnings, and the tests and trends behind it."""

from __future__ import annotations

from pipeline.core import paths
from pipeline.core.judgements import Finding, Judgement, Test, Trend
from pipeline.core.report_numbers import ABSENT, counted, p_value, shown, significant
from pipeline.core.report_page import Cell, Diagnosis, Fold, PlainBlock, Points, Table, TableRow, Why
from pipeline.core.report_tables import tone
from pipeline.core.reporting import ArmRecord, History

_OUTCOMES = {
    "loss": ("✕ loss", "shown, the margin or more"),
    "no loss": ("✓ no loss", "of the margin or more"),
    "open": ("? open", "neither shown nor excluded"),
}


def whys(history: History) -> tuple[Why, ...]:
    """Why, for each arm that has a run."""
    return tuple(
        _why(arm, newest.judgement, tone=newest.judgement.verdict.lower())
        for arm, newest in history.newest
        if newest.judgement
    )


def _why(arm: ArmRecord, judgement: Judgement, *, tone: str) -> Why:
    supported = [one for one in judgement.diagnosis if one.supported]
    return Why(
        arm=arm.name,
        number=arm.number,
        tone=tone,
        supported=tuple(Diagnosis(name=one.name, evidence=one.evidence, advice=one.advice) for one in supported),
        unsupported="" if supported else _unsupported(judgement.diagnosis),
        warnings=tuple((one.name, one.text) for one in judgement.warnings),
        folds=(*_method(judgement), *_not_supported(judgement)),
    )


def _unsupported(findings: tuple[Finding, ...]) -> str:
    if not findings:
        return "No diagnosis was made."
    names = [one.name for one in findings]
    return f"The evidence supports none of {', '.join(names[:-1])} or {names[-1]}."


def _method(judgement: Judgement) -> tuple[Fold, ...]:
    blocks: list[PlainBlock] = [tests_table(judgement)]
    if judgement.trends:
        blocks.append(trends_table(judgement))
    blocks.append(Points(title="Of the method", points=(_seeds(judgement), *judgement.notes)))
    trends = f", {counted(len(judgement.trends), 'trend')}" if judgement.trends else ""
    return (Fold(title=f"The {counted(len(judgement.tests), 'test')} behind it{trends}", blocks=tuple(blocks)),)


def _seeds(judgement: Judgement) -> str:
    base, run = judgement.seeds
    return f"Rests on {counted(base, 'training')} of the base run and {counted(run, 'training')} of {judgement.run}."


def _not_supported(judgement: Judgement) -> tuple[Fold, ...]:
    others = [one for one in judgement.diagnosis if not one.supported]
    if not others:
        return ()
    lists = tuple(Points(title=one.name.capitalize(), points=one.evidence or (ABSENT,)) for one in others)
    return (Fold(title=f"What the evidence does not support ({len(others)})", blocks=lists),)


def tests_table(judgement: Judgement) -> Table:
    """The comparisons of a run with the base run, then with the best run so far."""
    return Table(
        label=f"Tests of {judgement.run}",
        columns=("Figure", "Outcome", "Baseline → run", "Loss", "Chance", "Second training", "To settle it"),
        rows=tuple(_test_row(test) for test in judgement.tests),
    )


def _test_row(test: Test) -> TableRow:
    outcome, meaning = _OUTCOMES[test.outcome]
    boxes = () if test.lost is None else (f"{test.lost} boxes lost, {test.gained} gained",)
    samples = f"{test.samples:,} test {'images' if test.lost is None else 'boxes'}"
    span = () if test.low is None or test.high is None else (f"{test.low:.3f} to {test.high:.3f}",)
    against = "the base run" if test.baseline == paths.BASE else f"{test.baseline}, the best so far"
    chance = Cell(text=ABSENT, notes=("nothing to test",)) if test.p_value is None else (
        Cell(text=p_value(test.p_value), notes=(f"held at {significant(test.level, 2)}", test.method))
    )  # fmt: skip
    settle = () if test.settle is None else (f"now {test.samples:,}",)
    return TableRow(
        name=test.figure,
        notes=(f"against {against}",),
        cells=(
            Cell(text=outcome, notes=(meaning,), tone=tone(test)),
            Cell(text=f"{shown(test.base)} → {shown(test.run)}", notes=(samples, *boxes)),
            Cell(text=shown(test.loss), notes=(*span, f"margin {test.margin:g}")),
            chance,
            Cell(text={None: "none", True: "lost too", False: "not lost"}[test.confirmed]),
            Cell(text=ABSENT if test.settle is None else f"{test.settle:,}", notes=settle),
        ),
    )  # fmt: skip


def trends_table(judgement: Judgement) -> Table:
    """The figures of an arm over its generations."""
    return Table(
        label=f"Trends up to {judgement.run}",
        columns=("Figure", "Falling", "A generation", "Chance", "Values"),
        rows=tuple(_trend_row(trend) for trend in judgement.trends),
    )


def _trend_row(trend: Trend) -> TableRow:
    return TableRow(
        name=trend.figure,
        cells=(
            Cell(text="✕ yes" if trend.falling else "not shown", tone="loss" if trend.falling else ""),
            Cell(text=f"{trend.slope:+.4f}", notes=("median of the slopes",)),
            Cell(text=p_value(trend.p_value), notes=(f"held at {significant(trend.level, 2)}",)),
            Cell(text=" → ".join(shown(value) for value in trend.values)),
        ),
    )
