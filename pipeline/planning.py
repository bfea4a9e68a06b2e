"""How many test boxes the gate needs to see a loss, told before anything is collapsing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core import audits, comparisons, judgements, nights, params, paths, schedules, settling
from pipeline.core.audits import Audit
from pipeline.core.comparisons import Comparison, Side
from pipeline.core.errors import UserError
from pipeline.core.judgements import Verdict
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.schema import suggestion
from pipeline.core.sections import Gate

ENOUGH, MORE = 0, 4  # exit codes
UNKNOWN = 0.2  # share of discordant boxes where nothing is known of a class


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPlan:
    """What one class needs.

    Attributes:
        name: of the class.
        boxes: labelled test boxes now.
        discordant: share of the boxes that only one of two healthy trainings finds.
        source: where that share is from.
        to_show: test boxes in all with which the loss is shown on a night, with the power asked for; where it exceeds
            the margin, also with an estimate that reaches it. None: more than are worth naming.
        to_rule_out: test boxes in all with which a healthy night rules a loss of the margin out, with the same power.
    """

    name: str
    boxes: int
    discordant: float
    source: str
    to_show: int | None
    to_rule_out: int | None

    @property
    def more(self) -> int | None:
        """Test boxes that are missing to show the loss; None: more than are worth naming."""
        return None if self.to_show is None else max(self.to_show - self.boxes, 0)

    @property
    def more_to_rule_out(self) -> int | None:
        """Test boxes that are missing to rule a loss of the margin out; None: more than are worth naming."""
        return None if self.to_rule_out is None else max(self.to_rule_out - self.boxes, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the classes need to see a loss.

    Attributes:
        loss: of recall that is to be seen.
        power: chance of seeing it on a night.
        margin: ``gate.recall_margin``.
        schedule: of the gate.
        horizon: nights.
        level: at which one of the night's tests is held, at worst: the smallest step of Holm.
        trainings: that have to show the loss.
        classes: one each.
    """

    loss: float
    power: float
    margin: float
    schedule: str
    horizon: int
    level: float
    trainings: int
    classes: tuple[ClassPlan, ...]


def plan(name: str | None = None, *, loss: float, power: float) -> Plan:
    """Say how many test boxes each rare class, or one class, needs.

    Args:
        name: of a class, rare or not; None: all rare ones.
        loss: of recall, in (0, 1).
        power: in (0.5, 1).

    Raises:
        UserError: there is no audit of the base run yet, no such class, or no rare class; or a number is out of range.
    """
    if not 0 < loss < 1 or not 0.5 < power < 1:  # noqa: PLR2004
        raise UserError(f"loss {loss:g} and power {power:g}: wanted numbers in (0, 1) and in (0.5, 1).")
    settings = params.load()
    gate = settings.gate
    schedules.require_budget(gate)
    base = audits.read(RunPaths(paths.BASE).figures)
    chosen = _chosen(base, name)
    rule = gate_rule(gate, rare=len(base.rare), power=power)
    pairs = _healthy_pairs(base, chosen, settings)
    classes = tuple(_plan_class(base, class_id, pairs, loss=loss, rule=rule) for class_id in chosen)
    return Plan(
        loss=loss, power=power, margin=gate.recall_margin, schedule=gate.schedule, horizon=gate.horizon,
        level=rule.level, trainings=rule.trainings, classes=classes,
    )  # fmt: skip


def gate_rule(gate: Gate, *, rare: int, power: float) -> settling.Rule:
    """What settles the recall of one of so many rare classes, at the smallest step of Holm.

    Args:
        gate: its settings.
        rare: rare classes.
        power: chance of seeing a loss on a night, in (0.5, 1).
    """
    family = 2 * (1 + rare)  # against the base, and against the best run so far
    return settling.Rule(
        margin=gate.recall_margin,
        alpha=gate.alpha,
        level=schedules.level(gate, gate.horizon) / family,
        trainings=2 if gate.schedule == "confirm" else 1,
        power=power,
    )


def exit_code(found: Plan) -> int:
    """0: there are enough test boxes to see the loss; 4: more are needed, or it is under the margin and not called."""
    return ENOUGH if found.loss >= found.margin and all(one.more == 0 for one in found.classes) else MORE


def as_json(found: Plan) -> str:
    """The plan for programs."""
    value = dataclasses.asdict(found)
    for entry, one in zip(value["classes"], found.classes, strict=True):
        entry |= {"more": one.more, "more_to_rule_out": one.more_to_rule_out}
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_text(found: Plan) -> str:
    """The plan for people."""
    twice = "two trainings have to show it" if found.trainings > 1 else "one training has to show it"
    head = (
        f"To see a loss of {found.loss:g} of recall on a night, with {found.power:.0%} power. {found.horizon} nights "
        f"by schedule {found.schedule}: {twice}, each at {found.level:.2g} at worst."
    )
    lines = [head, "", *(line for one in found.classes for line in _say(one, found)), ""]
    if found.loss <= found.margin:
        how_often = "on about half of the nights" if found.loss == found.margin else "by chance only"
        lines.append(
            f"A run is COLLAPSING only where the estimate reaches gate.recall_margin ({found.margin:g}): a loss of "
            f"{found.loss:g} does so {how_often}, with any number of boxes. These show that there is a loss."
        )
    lines.append("Training noise that moves a whole class at once is not in these numbers; `train.seeds` measures it.")
    return "\n".join(lines)


def _say(one: ClassPlan, found: Plan) -> list[str]:
    rule_out = _say_need(one.to_rule_out, one.more_to_rule_out)
    return [
        f"{one.name}: {_say_need(one.to_show, one.more)}; it has {one.boxes}.",
        f"  To call a healthy night HEALTHY (a loss of {found.margin:g} ruled out), it {rule_out}.",
        f"  Reckoned with {one.discordant:.1%} of its boxes changing hands between healthy trainings: {one.source}.",
    ]


def _say_need(need: int | None, more: int | None) -> str:
    if need is None:
        return f"needs more than {settling.LIMIT:,} test boxes"
    return f"needs {more} more test boxes, {need} in all" if more else f"has enough test boxes, {need} do"


def _chosen(base: Audit, name: str | None) -> list[int]:
    names = [one.name for one in base.classes]
    if name is not None:
        if name not in names:
            raise UserError(f"no class {name!r}{suggestion(name, names)}; there are: {', '.join(names)}.")
        return [names.index(name)]
    rare = [class_id for class_id, one in enumerate(base.classes) if one.rare]
    if not rare:
        raise UserError(
            "no class is rare: name one with --class, or see audit.rare_share and audit.rare_classes in params.yaml."
        )
    return rare


def _plan_class(
    base: Audit, class_id: int, pairs: Sequence[tuple[str, dict[int, Comparison]]], *, loss: float, rule: settling.Rule
) -> ClassPlan:
    one = base.classes[class_id]
    discordant, source = _discordant(base, class_id, pairs)
    lossy = min(discordant + loss, 1.0)
    called = settling.boxes_needed(loss, lossy, rule) if loss > rule.margin else None
    return ClassPlan(
        name=one.name,
        boxes=one.support,
        discordant=discordant,
        source=source,
        to_show=called if loss > rule.margin else settling.boxes_to_show(loss, lossy, rule),
        to_rule_out=settling.boxes_to_rule_out(0.0, discordant, rule),
    )


def _discordant(base: Audit, class_id: int, pairs: Sequence[tuple[str, dict[int, Comparison]]]) -> tuple[float, str]:
    """Share of the boxes of a class that change hands between healthy trainings, and where it is from."""
    found = [(name, one[class_id]) for name, one in pairs if one[class_id].samples]
    if found:
        changed = sum((one.lost or 0.0) + (one.gained or 0.0) for _, one in found)
        boxes = sum(one.samples for _, one in found)
        return (changed + 1) / (boxes + 1), f"base beside {', '.join(name for name, _ in found)}"
    recall = base.classes[class_id].recall.value
    if recall is None:
        return UNKNOWN, "an assumption, for there is no test box of it"
    spread = max(2 * recall * (1 - recall), 1 / (base.classes[class_id].support + 1))
    return spread, "an assumption from its recall, for there is no second training and no HEALTHY run yet"


def _healthy_pairs(base: Audit, chosen: Sequence[int], settings: Params) -> list[tuple[str, dict[int, Comparison]]]:
    """The base beside its own second training, and beside each run that was found HEALTHY."""
    names = dict.fromkeys(chosen, "")
    found = []
    for run in settings.runs:
        here = RunPaths(run)
        if here.gate.exists() and judgements.read(here.gate).verdict is Verdict.HEALTHY:
            night = nights.load(base, audits.read(here.figures), confirmed=False)
            found.append((run, _by_class(night.baselines[0].first, night.run, names, settings.gate)))
    there = RunPaths(paths.BASE)
    second = nights.second(there, base) if nights.summary_path(there).exists() else None
    if second is not None:
        found.insert(0, ("its own second training", _by_class(nights.first(base), second, names, settings.gate)))
    return found


def _by_class(base: Side, run: Side, names: dict[int, str], gate: Gate) -> dict[int, Comparison]:
    found = comparisons.compare(
        base, run, names, map_margin=gate.map_margin, recall_margin=gate.recall_margin, alpha=gate.alpha
    )
    return dict(zip(names, found[1:], strict=True))
