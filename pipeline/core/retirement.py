"""Which runs leave params.yaml, what the others go on reading of them, and whose files may leave the local cache.

Nothing here reads or writes: the rules are functions of names and records, so that they can be held to their promises.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipeline.core import paths
from pipeline.core.errors import UserError
from pipeline.core.history import Out, Record
from pipeline.core.judgements import Verdict
from pipeline.core.night_settings import Keep
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a retirement changes in params.yaml.

    Attributes:
        leaving: runs that leave `runs`, arm by arm, the oldest first.
        anchors: all of `anchors` as it has to be then.
    """

    leaving: tuple[str, ...]
    anchors: Mapping[str, Run]


def plan(settings: Params, *, last: int, finished: Collection[str]) -> Plan:
    """Let the newest runs of each arm stay, and all that are not finished: of those nothing could be kept.

    Args:
        settings: as they will be, with the runs that a night appends.
        last: runs of an arm that stay, 1 or more.
        finished: runs that have a verdict and all their files.
    """
    leaving: list[str] = []
    for arm in settings.arms:
        own = [name for name, run in settings.runs.items() if run.arm == arm]
        ordered = sorted(own, key=lambda name: settings.runs[name].generation)
        leaving += [name for name in ordered[:-last] if name in finished]
    return Plan(leaving=tuple(leaving), anchors=_anchors(settings, leaving))


def _anchors(settings: Params, leaving: Collection[str]) -> dict[str, Run]:
    """The retired runs that one which stays has as its previous, in the order of those."""
    known = {**settings.anchors, **settings.runs}
    staying = [run for name, run in settings.runs.items() if name not in leaving]
    roots = dict.fromkeys(run.previous for run in staying)
    return {name: known[name] for name in roots if name in settings.anchors or name in leaving}


def read_of_anchors(settings: Params, records: Mapping[str, Record]) -> tuple[Out, ...]:
    """What stages of the runs in params.yaml read of retired ones, by path.

    Of an anchor: its mix, weights, audit and confirmation. Of each retired run whose synthetic images its mix names:
    those images. The pool of a run holds no image that is not its own or in the pool of the run before, so that is all.

    Raises:
        UserError: a retired run has no record.
    """
    found: dict[str, Out] = {}
    for name in settings.anchors:
        anchor, here = _known(records, name), RunPaths(name)
        wanted = [(name, path) for path in (here.mix, here.train, here.audit, here.confirm)]
        wanted += [(run, RunPaths(run).synthetic) for run in anchor.images_of if run not in settings.runs]
        for run, path in wanted:
            out = _known(records, run).out(path)
            if out is None:
                raise UserError(f"{RunPaths(run).history} does not say which version of {path} {name} used: {_GIT}")
            found[out.path] = out
    return tuple(found[path] for path in sorted(found))


_GIT = "bring that file back from git."


def _known(records: Mapping[str, Record], run: str) -> Record:
    if run not in records:
        raise UserError(f"{RunPaths(run).history} is missing, and runs in params.yaml need files of {run}: {_GIT}")
    return records[run]


def kept(
    settings: Params, records: Mapping[str, Record], keep: Keep, *, current: Collection[str] = ()
) -> dict[str, str]:
    """The retired runs whose files stay in the local cache, each with the reason.

    Args:
        settings: the runs and anchors of params.yaml.
        records: of all retired runs.
        keep: the rule.
        current: runs whose weights are in use.
    """
    reasons: dict[str, str] = {}
    used = {run for anchor in settings.anchors if anchor in records for run in records[anchor].images_of}
    for name, one in records.items():
        if name in settings.runs or name in settings.anchors:
            reasons[name] = "a run in params.yaml descends from it"
        elif name in used:
            reasons[name] = "a run in params.yaml may train on its images"
        elif name in current:
            reasons[name] = "its weights are in use"
        elif keep.every and one.generation % keep.every == 0:
            reasons[name] = f"nightly.keep.every: {keep.every}"
        elif keep.healthy and one.verdict is Verdict.HEALTHY:
            reasons[name] = "nightly.keep.healthy"
    for arm in {one.arm for one in records.values()}:
        for name in _newest(settings, records, arm, keep.last):
            reasons.setdefault(name, f"nightly.keep.last: {keep.last}")
    return reasons


def _newest(settings: Params, records: Mapping[str, Record], arm: str, last: int) -> list[str]:
    """Of an arm's newest runs, those in params.yaml counted too, the retired ones."""
    generations = {name: run.generation for name, run in settings.runs.items() if run.arm == arm}
    generations |= {name: one.generation for name, one in records.items() if one.arm == arm}
    newest = sorted(generations, key=lambda name: generations[name])[-last:]
    return [name for name in newest if name not in settings.runs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What may be removed from the local cache.

    Attributes:
        removable: objects, by the run that they go with; of one that several runs share, the first.
        missing: objects that the remote lacks, by run; all files of these runs stay.
    """

    removable: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, tuple[str, ...]]


def prune(candidates: Mapping[str, Collection[str]], *, protected: Collection[str], remote: Collection[str]) -> Pruning:
    """Say which objects may be removed: those that the remote has, and that nothing else needs.

    A run of which the remote lacks even one object keeps all that it has: it could not be restored.

    Args:
        candidates: objects of each retired run that is not kept.
        protected: objects of all that is kept.
        remote: objects that the remote has.
    """
    missing = {run: tuple(sorted(set(objects) - set(remote))) for run, objects in candidates.items()}
    missing = {run: objects for run, objects in missing.items() if objects}
    taken = set(protected).union(*(candidates[run] for run in missing))
    removable: dict[str, tuple[str, ...]] = {}
    for run, objects in candidates.items():
        if run not in missing:
            removable[run] = tuple(sorted(set(objects) - taken))
            taken |= set(objects)
    return Pruning(removable=removable, missing=missing)


def run_of_stage(name: str) -> str | None:
    """The run of a stage in dvc.lock; None for one that has no run of params.yaml.

    >>> run_of_stage("train@guarded-3"), run_of_stage("train-base")
    ('guarded-3', None)
    """
    stage, at, run = name.partition("@")
    return run if at and stage in paths.RUN_STAGES else None
