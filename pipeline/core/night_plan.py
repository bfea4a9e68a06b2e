"""Which runs a night makes: new ones, or those that an earlier night left unfinished; it follows from files alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core import appending, current, judgements
from pipeline.core.judgements import Verdict
from pipeline.core.night_journal import Night
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a night makes.

    Attributes:
        add: runs to append, by name; none where there are some to go on with.
        resume: runs that are in params.yaml already.
        resting: arms that get none, because their newest run is COLLAPSING.
    """

    add: Mapping[str, Run]
    resume: tuple[str, ...]
    resting: tuple[str, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """All that the night makes."""
        return (*self.resume, *self.add)


def active(settings: Params) -> Sequence[str]:
    """The arms that get a generation each night."""
    return settings.nightly.arms or tuple(settings.arms)


def newest(settings: Params) -> dict[str, str]:
    """The newest run of each active arm that has one, by arm."""
    chains = {arm: appending.newest_first(settings, arm) for arm in active(settings)}
    return {arm: chain[0] for arm, chain in chains.items() if chain}


def plan(settings: Params, stages: Collection[str], past: Sequence[Night]) -> Plan:
    """Say what the night is to make.

    Runs without a verdict come first, and those of a night that was cut off before it had told anybody: nothing is
    appended then, so that a night that is cut off and run again ends as one that was not.

    Args:
        settings: params.yaml.
        stages: those that dvc.lock has, such as ``gate@guarded-1``.
        past: earlier nights, the newest first.

    Raises:
        UserError: a verdict, or what an arm uses, cannot be read; or the next run's name is taken.
    """
    own = newest(settings)
    pending = [run for run in own.values() if not (RunPaths(run).gate.exists() and f"gate@{run}" in stages)]
    resting = tuple(arm for arm, run in own.items() if run not in pending and rests(settings, arm, run))
    last = next((night for night in past if night.runs), None)
    cut_off = () if last is None or last.complete else tuple(run for run in last.runs if run in settings.runs)
    if pending or cut_off:
        return Plan(add={}, resume=tuple(dict.fromkeys([*cut_off, *pending])), resting=resting)
    growing = [arm for arm in active(settings) if arm not in resting]
    return Plan(add=dict(appending.next_run(settings, arm) for arm in growing), resume=(), resting=resting)


def rests(settings: Params, arm: str, run: str) -> bool:
    """Whether an arm's newest run is COLLAPSING, and no person has said that it may go on.

    Raises:
        UserError: the verdict, or what the arm uses, cannot be read.
    """
    if settings.nightly.on_collapse == "continue" or not RunPaths(run).gate.exists():
        return False
    if judgements.read(RunPaths(run).gate).verdict is not Verdict.COLLAPSING:
        return False
    used = current.read(arm)
    return used is None or not used.now.by_hand or used.now.run != run
