"""How the nights stand: the last and the next one, the verdicts so far, who holds the project, how fresh data is."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.core import (
    audits,
    before_training,
    current,
    history,
    judgements,
    night_budget,
    night_journal,
    night_plan,
    params,
    project_lock,
    schedules,
    timetables,
)
from pipeline.core.errors import UserError
from pipeline.core.night_charts import LEGEND, Mark, chart
from pipeline.core.night_journal import Night
from pipeline.core.night_message import seconds
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.report_numbers import ABSENT, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStanding:
    """One arm: its generations, oldest first, and what it uses.

    Attributes:
        arm: its name.
        marks: one a generation.
        current: run whose weights are in use, with who promoted it; empty where none is.
        rests: whether its newest run is COLLAPSING and nobody has said that it may go on.
    """

    arm: str
    marks: tuple[Mark, ...]
    current: str
    rests: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that `tailwatch status` shows.

    Attributes:
        now: with its time zone.
        nights: the newest first.
        following: when the next night begins; None where none does.
        why_none: why none does; empty where one does.
        holder: who has the project, or shares it, in words; empty where nobody does.
        running: whether somebody has it alone, which a night does.
        arms: the active ones.
        newest: days since the newest real image was verified; None where that is not known.
        stale_days: of params.yaml.
        spent: nights of the horizon that are over, at most all.
        horizon: nights that share alpha.
        alpha: the error probability of all of them.
        used: part of it that was spent, in [0, alpha].
    """

    now: datetime
    nights: tuple[Night, ...]
    following: datetime | None
    why_none: str
    holder: str
    running: bool
    arms: tuple[ArmStanding, ...]
    newest: float | None
    stale_days: float
    spent: int
    horizon: int
    alpha: float
    used: float


def look() -> Standing:
    """Read how the nights stand; nothing is locked, and a night that runs is not disturbed.

    Raises:
        UserError: params.yaml, or a file that it names, is refused.
    """
    settings = params.load()
    now = datetime.now().astimezone()
    following, why_none = _following(settings, now)
    holder = project_lock.holder()
    arms = tuple(_arm(settings, arm) for arm in night_plan.active(settings) if arm in settings.arms)
    generation = max((len(one.marks) for one in arms), default=0)
    spent = schedules.night_of(generation, settings.gate) if generation else 0
    newest = None
    with contextlib.suppress(UserError):
        newest = before_training.fresh(now, since=None).days
    return Standing(
        now=now,
        nights=tuple(night_journal.past()),
        following=following,
        why_none=why_none,
        holder=str(holder) if holder else ", ".join(project_lock.sharers()),
        running=holder is not None,
        arms=arms,
        newest=newest,
        stale_days=settings.nightly.stale_days,
        spent=spent,
        horizon=settings.gate.horizon,
        alpha=settings.gate.alpha,
        used=night_budget.spent(settings.gate, spent),
    )


def _following(settings: Params, now: datetime) -> tuple[datetime | None, str]:
    until = settings.nightly.until
    following = timetables.following(timetables.parse(settings.nightly.schedule), after=now)
    if until is not None and following.date() > until:
        return None, f"none: nightly.until is {until}"
    return following, ""


def _arm(settings: Params, arm: str) -> ArmStanding:
    retired = {one.run: one for one in history.retired(settings.runs).values() if one.arm == arm}
    marks = {
        one.generation: Mark(verdict=one.verdict, recall=_mean([each.recall.value for each in one.rare]))
        for one in retired.values()
    }
    for run, chosen in settings.runs.items():
        if chosen.arm == arm:
            marks[chosen.generation] = _mark(run)
    used = current.read(arm)
    newest = night_plan.newest(settings).get(arm)
    return ArmStanding(
        arm=arm,
        marks=tuple(marks[number] for number in sorted(marks)),
        current=f"{used.now.run}, {used.now.verdict}, promoted by {used.now.by}" if used else "",
        rests=newest is not None and night_plan.rests(settings, arm, newest),
    )


def _mark(run: str) -> Mark:
    """A run in params.yaml; without a verdict where it has none yet."""
    here = RunPaths(run)
    if not here.gate.exists() or not here.figures.exists():
        return Mark(verdict=None, recall=None)
    return Mark(
        verdict=judgements.read(here.gate).verdict,
        recall=_mean([one.recall.value for one in audits.read(here.figures).rare]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def columns() -> int:
    """Width of the terminal; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def as_text(standing: Standing, *, width: int) -> str:
    """How the nights stand, as plain text.

    Args:
        standing: what was read.
        width: columns of the terminal, 40 or more.
    """
    lines = [*_last(standing), f"next night    {_next(standing)}", f"project       {standing.holder or 'free'}"]
    lines += [f"fresh data    {_fresh(standing)}", f"false alarms  {_budget(standing)}"]
    for one in standing.arms:
        lines += ["", *_shown(one, width)]
    if standing.arms:
        lines += ["", LEGEND]
    return "\n".join(lines)


def _last(standing: Standing) -> list[str]:
    if not standing.nights:
        return ["last night    none so far: `uv run tailwatch nightly`"]
    night = standing.nights[0]
    when = datetime.fromisoformat(night.started).astimezone(standing.now.tzinfo)
    if night.outcome is None or night.ended is None:
        return [f"last night    {when:%Y-%m-%d %H:%M}, {_unfinished(night, standing)}"]
    first, *rest = night.message.splitlines() or [""]
    told = f"last night    {when:%Y-%m-%d %H:%M}, {seconds(night.seconds)}, exit code {night.exit_code}"
    unsaid = [note for note in night.notes if note not in night.message]  # such as a message that was not sent
    return [told, *(f"              {line}" for line in (first, *rest[:3], *unsaid))]


def _unfinished(night: Night, standing: Standing) -> str:
    where = f"{night.phase}{f', {night.stage}' if night.stage else ''}"
    since = (standing.now - datetime.fromisoformat(night.started)).total_seconds()
    if standing.running:
        return f"running for {seconds(max(since, 0))}: {where}"
    return f"cut off in: {where}; the next one goes on from there"


def _next(standing: Standing) -> str:
    if standing.following is None:
        return standing.why_none
    hours = (standing.following - standing.now).total_seconds()
    return f"{standing.following:%Y-%m-%d %H:%M}, in {seconds(hours)}, where a scheduler is set up"


def _fresh(standing: Standing) -> str:
    if standing.newest is None:
        return "no real image is verified yet"
    age = f"newest verified image {counted(int(standing.newest), 'day')} old"
    return age + (f": stale, over {standing.stale_days:g}" if standing.newest > standing.stale_days else "")


def _budget(standing: Standing) -> str:
    share = standing.used / standing.alpha
    return (
        f"{standing.spent} of {counted(standing.horizon, 'night')}, {standing.used:.3f} of {standing.alpha:g} spent "
        f"({share:.0%})"
    )


def _shown(one: ArmStanding, width: int) -> list[str]:
    rests = "  rests: a person has to look" if one.rests else ""
    head = f"{one.arm}: {counted(len(one.marks), 'generation')}, current {one.current or ABSENT}{rests}"
    return [head, *chart(one.marks, width=width)]
