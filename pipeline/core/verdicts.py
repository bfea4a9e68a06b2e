"""HEALTHY, COLLAPSING or INCONCLUSIVE: a run against the base run, and against the best run so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from pipeline.core import comparisons, gating, judgements, nights, reasons, schedules, settling, trends
from pipeline.core.audits import Audit
from pipeline.core.comparisons import Comparison, Side
from pipeline.core.errors import UserError
from pipeline.core.gating import Decision
from pipeline.core.judgements import Finding, Judgement, Test, Trend, Verdict
from pipeline.core.nights import Night
from pipeline.core.sections import Gate


def rare_classes(run: Audit) -> dict[int, str]:
    """Names of the rare classes by id."""
    return {class_id: one.name for class_id, one in enumerate(run.classes) if one.rare}


def first_look(night: Night, rare: Mapping[int, str], gate: Gate) -> list[Comparison]:
    """The family of the first trainings: mAP and recall of each rare class, against each baseline in turn."""
    return _family([(one.first, night.run) for one in night.baselines], rare, gate)


def judge(
    night: Night,
    base: Audit,
    run: Audit,
    gate: Gate,
    *,
    warnings: tuple[judgements.Warning, ...] = (),
    diagnosis: tuple[Finding, ...] = (),
) -> Judgement:
    """Give the verdict on a run.

    Args:
        night: tables of the run and of its baselines.
        base: audit of the base run.
        run: audit of the run.
        gate: alpha, margins and schedule.
        warnings: early warnings; those that ``gate.fail_on`` names count.
        diagnosis: passed on.

    Raises:
        UserError: the audits are of other test splits, the tables do not fit one another, a second training is missing
            where the first one looks bad and no run that it descends from has collapsed, or ``gate.level`` would spend
            more than ``gate.alpha``.
    """
    schedules.require_budget(gate)
    nights.require_same_test(base, run)
    rare, number = rare_classes(run), schedules.night_of(run.generation, gate)
    lines = _trends(run, number, list(rare.values()), gate)
    decision, tests = decide(night, rare, number, gate, falling=any(one.falling for one in lines))
    if gate.schedule == "confirm" and decision.screen.suspicious and not (night.second or night.collapsed):
        raise UserError(
            f"{run.run} looks bad and there is no second training of it. Run `uv run dvc repro`, whose stage `confirm` "
            "trains it once more."
        )
    others = reasons.other_causes(run, warnings, gate)
    verdict = Verdict.COLLAPSING if others else decision.verdict
    base_side, more = night.baselines[0].first, 0
    if night.second is not None:
        base_side, more = night.baselines[0].both, night.second.trainings
    trainings = (base_side.trainings, night.run.trainings + more)
    return Judgement(
        run=run.run,
        arm=run.arm,
        generation=run.generation,
        verdict=verdict,
        reason=reasons.reason(verdict, tests, lines, others),
        tests=tests,
        trends=lines,
        schedule=gate.schedule,
        horizon=gate.horizon,
        seeds=trainings,
        notes=reasons.notes(tests, run.generation, trainings, gate, collapsed=night.collapsed),
        warnings=warnings,
        diagnosis=diagnosis,
        lost_boxes=_lost(night.baselines[0].first, night.run, rare),
    )


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of some verdicts; INCONCLUSIVE if there is none."""
    order = (Verdict.COLLAPSING, Verdict.INCONCLUSIVE, Verdict.HEALTHY)
    return min(verdicts, key=order.index, default=Verdict.INCONCLUSIVE)


def exit_code(verdict: Verdict) -> int:
    """Exit code of a verdict: 0 healthy, 3 collapsing, 4 inconclusive; 1 is left to errors."""
    match verdict:
        case Verdict.HEALTHY:
            return 0
        case Verdict.COLLAPSING:
            return 3
        case Verdict.INCONCLUSIVE:
            return 4
        case _:
            assert_never(verdict)


def _family(pairs: Sequence[tuple[Side, Side]], rare: Mapping[int, str], gate: Gate) -> list[Comparison]:
    margins = {"map_margin": gate.map_margin, "recall_margin": gate.recall_margin, "alpha": gate.alpha}
    return [found for base, run in pairs for found in comparisons.compare(base, run, rare, **margins)]


def decide(
    night: Night, rare: Mapping[int, str], number: int, gate: Gate, *, falling: bool = False
) -> tuple[Decision, tuple[Test, ...]]:
    """Decide a night on its figures: the arithmetic of :func:`judge`.

    Args:
        night: as there.
        rare: names of the rare classes by id.
        number: of the night within the horizon.
        gate: as there.
        falling: whether a trend was shown.
    """
    first = first_look(night, rare, gate)
    evidence = [one.evidence for one in first]
    if night.second is None:
        decision = gating.decide(evidence, gate, night=number, collapsed=bool(night.collapsed), falling=falling)
        return decision, _tests(first, first, decision, gate)
    again = _family([(one.second, night.second) for one in night.baselines], rare, gate)
    whole = comparisons.joined(night.run, night.second)
    best = _family([(one.both, whole) for one in night.baselines], rare, gate)
    decision = gating.decide(
        evidence,
        gate,
        night=number,
        second=[one.evidence for one in again],
        both=[one.evidence for one in best],
        falling=falling,
    )
    return decision, _tests(first, best, decision, gate)


def _tests(first: Sequence[Comparison], best: Sequence[Comparison], decision: Decision, gate: Gate) -> tuple[Test, ...]:
    parts = zip(first, best, decision.screen.adjusted, decision.outcomes, decision.confirmed, strict=True)
    return tuple(
        Test(
            figure=found.figure,
            baseline=found.baseline,
            method=found.method,
            base=found.base,
            run=found.run,
            loss=found.evidence.loss,
            low=found.low,
            high=found.high,
            p_value=adjusted,
            level=decision.screen.level,
            confirmed=confirmed,
            margin=found.evidence.margin,
            lost=None if found.lost is None else round(found.lost),
            gained=None if found.gained is None else round(found.gained),
            samples=found.samples,
            outcome=outcome,
            settle=_settle(found, _factor(one, adjusted), decision.screen.level, gate) if outcome == "open" else None,
        )
        for one, found, adjusted, outcome, confirmed in parts
    )


def _factor(first: Comparison, adjusted: float | None) -> float:
    """What Holm multiplied a p value by; 1 where p is too small, or too large, to tell."""
    raw = first.evidence.p_value
    return max(1.0, adjusted / raw) if raw and adjusted is not None else 1.0


def _settle(found: Comparison, factor: float, level: float, gate: Gate) -> int | None:
    loss = found.evidence.loss
    if loss is None or found.base is None or found.base < found.evidence.margin:
        return None
    rule = settling.Rule(
        margin=found.evidence.margin,
        alpha=gate.alpha,
        level=level / factor,
        trainings=2 if gate.schedule == "confirm" else 1,
    )
    if found.lost is not None and found.gained is not None:
        return settling.boxes_to_settle(found.lost, found.gained, found.samples, rule)
    return None if found.error is None else settling.images_to_settle(loss, found.error, found.samples, rule)


def _trends(run: Audit, night: int, rare: Sequence[str], gate: Gate) -> tuple[Trend, ...]:
    """Falls over the line: the base, then the generations of this horizon."""
    line = [one for one in run.line if one.generation == 0 or one.generation > run.generation - night]
    series = {comparisons.MAP: ([one.map50_95 for one in line], gate.map_margin)}
    series |= {f"recall of {name}": ([one.recalls.get(name) for one in line], gate.recall_margin) for name in rare}
    whole = {
        figure: ([one for one in values if one is not None], margin)
        for figure, (values, margin) in series.items()
        if len(values) > 1 and None not in values
    }
    found = []
    for figure, (values, margin) in whole.items():
        fall = trends.fall(values, gate, figures=len(whole), margin=margin)
        found.append(
            Trend(
                figure=figure,
                values=tuple(values),
                slope=fall.slope,
                p_value=fall.p_value,
                level=fall.level,
                falling=fall.falling,
            )
        )
    return tuple(found)


def _lost(base: Side, run: Side, rare: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """Boxes that the first training of the base found and the first one of the run did not."""
    lost = base.boxes[base.found[:, 0] & ~run.found[:, 0]]
    return {
        name: tuple(f"{one.image_id}/{one.box}" for one in lost[lost["class_id"] == class_id].itertuples())
        for class_id, name in rare.items()
    }
