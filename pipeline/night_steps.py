"""The steps of a night, in order, each of which can be cut off and done again."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from pipeline import pinning, preflight, promoting, retention
from pipeline.adapters import dvc_files, dvc_places, dvc_repro, git_state
from pipeline.core import (
    appending,
    audits,
    before_training,
    files,
    judgements,
    left_overs,
    night_journal,
    night_message,
    night_plan,
    night_space,
    params,
    paths,
    stage,
    verdicts,
)
from pipeline.core.errors import UserError
from pipeline.core.judgements import Verdict
from pipeline.core.judgements import Warning as EarlyWarning
from pipeline.core.night_journal import Journal, Outcome, StageTime
from pipeline.core.night_message import ArmNews, Told
from pipeline.core.night_plan import Plan
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.report_numbers import counted, listed

_OUTCOMES: dict[Verdict, Outcome] = {
    Verdict.HEALTHY: "healthy", Verdict.COLLAPSING: "collapsing", Verdict.INCONCLUSIVE: "inconclusive",
}  # fmt: skip
_IN_GIT = (
    paths.PARAMS, paths.DVC_LOCK, paths.TEST_LOCK, paths.LEDGER, paths.IMPORTS, paths.CORRECTIONS, paths.HISTORY,
    paths.ANCHORS, paths.CURRENT,
)  # fmt: skip


class StoppedEarly(Exception):  # noqa: N818 - no error: the night ends as nightly.stop_on asks
    """An early warning ended the night before it trained."""


def take(settings: Params, journal: Journal) -> tuple[Outcome, Told]:
    """Do all that a night does; gives how it ended, and what is to be told.

    Args:
        settings: params.yaml, before the night.
        journal: of the night.

    Raises:
        UserError: something has to be mended by a person.
        StoppedEarly: an early warning of ``nightly.stop_on``.
        OSError: the disk is full, or the like.
    """
    left_overs.sweep()
    retention.finish(settings)
    plan = night_plan.plan(settings, dvc_files.stage_outs(), night_journal.past()[1:])
    journal.note(resting=plan.resting)
    _require_ready(settings, journal, runs=max(len(plan.runs), 1))
    journal.enter("data")
    settings = pinning.pin(settings, dvc_files.stage_outs())
    _dvc(settings, journal, "repro", "ingest", "verify")
    stale = _fresh(settings, journal)
    settings = _append(settings, journal, plan)
    if plan.runs:
        journal.enter("mix")
        _dvc(settings, journal, "repro", *(f"mix@{run}" for run in plan.runs))
        _warn(settings, journal, stale)
        journal.enter("train")
        _dvc(settings, journal, "repro")
        journal.note(needed=night_space.taken(plan.runs))
    return _after_training(settings, journal)


def _after_training(settings: Params, journal: Journal) -> tuple[Outcome, Told]:
    journal.enter("verdicts")
    news = _news(settings)
    journal.enter("promote")
    promoting.promote_healthy(settings)
    journal.enter("push")
    faults = {"PUSH": _push(settings, journal)}
    journal.enter("commit")
    told = night_message.verdict(news, journal.night, project=Path.cwd().name)
    faults["COMMIT"] = _commit(settings, journal, told.title)
    journal.enter("prune")
    if journal.night.pushed:
        _prune(journal)
    journal.enter("done")
    told = night_message.verdict(news, journal.night, project=Path.cwd().name)
    if any(faults.values()):
        what = " AND ".join(name for name, fault in faults.items() if fault)
        body = "\n".join([*filter(None, faults.values()), told.body])
        return "failed", Told(title=f"FAILED TO {what}; {told.title}", body=body)
    return _OUTCOMES[verdicts.worst([one.judgement.verdict for one in news])], told


def _require_ready(settings: Params, journal: Journal, *, runs: int) -> None:
    """The preflight: everything that is wrong, at once."""
    last = next((night.needed for night in night_journal.past() if night.needed), None)
    found = preflight.examine(settings, last=last, runs=runs)
    for finding in found:
        if finding.status == "warning":
            journal.say(f"{finding.name}: {finding.message}")
    problems = [finding for finding in found if finding.status == "problem"]
    if problems:
        told = "\n".join(f"- {one.name}: {one.message}. {one.remedy}." for one in problems)
        raise UserError(f"nothing was started; {counted(len(problems), 'thing')} must be mended first:\n{told}")


def _dvc(settings: Params, journal: Journal, *arguments: str) -> None:
    """Run a command of DVC, with a line for each stage.

    Raises:
        UserError: it failed, or a stage went over its limit.
    """

    def tell(name: str, seconds: float | None) -> None:
        if seconds is None:
            journal.note(stage=name)
            return
        journal.note(stage=None, stages=(*journal.night.stages, StageTime(name=name, seconds=round(seconds, 3))))
        stage.report(f"{datetime.now().astimezone():%H:%M:%S}  {name:<28} {night_message.seconds(seconds):>12}")

    done = dvc_repro.run(arguments, log=journal.night.log, limit=settings.nightly.minutes, on_stage=tell)
    what = done.stage or f"dvc {arguments[0]}"
    if done.late is not None:
        raise UserError(
            f"{what} took more than its limit of {done.late:g} minutes, and was ended. See nightly.limits and "
            "nightly.limit in params.yaml; `uv run tailwatch nightly` goes on."
        )
    if done.code:
        raise UserError(f"{what} failed: {_because(done)}")


def _because(done: dvc_repro.Done) -> str:
    reason = done.fault or (f"ended by signal {-done.code}" if done.code < 0 else f"exit code {done.code}")
    if "exited with -9" in reason or "exited with 137" in reason:
        return "it was killed, most often for want of memory: lower train.batch, or stop other programs"
    return reason


def _fresh(settings: Params, journal: Journal) -> tuple[EarlyWarning, ...]:
    """Count what people have verified since the last whole night; the warning `stale` where that is too long ago."""
    before = next((night for night in night_journal.past()[1:] if night.complete), None)
    since = None if before is None else datetime.fromisoformat(before.started)
    found = before_training.fresh(datetime.now().astimezone(), since=since)
    warning = before_training.stale(found, settings.nightly)
    journal.note(fresh=found.images, newest=found.newest)
    if found.images is not None:
        stage.report(f"{counted(found.images, 'newly verified real image')} since the last night")
    if warning is None:
        return ()
    journal.note(warnings=(*journal.night.warnings, warning.text))
    stage.report(f"WARNING: {warning.text}")
    return (warning,)


def _append(settings: Params, journal: Journal, plan: Plan) -> Params:
    """Write the new runs into params.yaml and let the oldest ones leave it, in one edit; the settings after it."""
    journal.enter("append")
    journal.note(runs=plan.runs, resumed=bool(plan.resume))
    if plan.resume:
        stage.report(f"going on with {listed(plan.resume)}: in params.yaml, and not finished yet")
    for arm in plan.resting:
        stage.report(f"{arm} rests: {night_plan.newest(settings)[arm]} is COLLAPSING. {night_message.REST_ADVICE}")
    if not plan.add:
        return settings
    text = paths.PARAMS.read_bytes().decode()
    after = appending.edited(text, add=plan.add)
    if _may_retire(settings, journal):
        retired = retention.retire(params.parse(after))
        after = appending.edited(text, add=plan.add, remove=retired.leaving, anchors=retired.anchors)
        if retired.leaving:
            stage.report(f"leaving params.yaml: {listed(retired.leaving)}; data/history keeps all figures")
    files.write_bytes(paths.PARAMS, after.encode())
    settings = params.load()
    retention.finish(settings)
    return settings


def _may_retire(settings: Params, journal: Journal) -> bool:
    """Whether old runs may leave: where an earlier push failed, their files are pushed first, while DVC knows them."""
    last = next((night for night in night_journal.past()[1:] if night.pushed is not None), None)
    if last is None or last.pushed:
        return True
    if fault := _push(settings, journal):
        journal.say(f"old runs stay in params.yaml until they are pushed: {fault}")
        return False
    return True


def _warn(settings: Params, journal: Journal, stale: tuple[EarlyWarning, ...]) -> None:
    """The early warnings that are known before training.

    Raises:
        StoppedEarly: one of them is in ``nightly.stop_on``.
    """
    stages = dvc_files.stage_outs()
    untrained = [run for run in journal.night.runs if f"train@{run}" not in stages]
    stop_on = settings.nightly.stop_on
    found = tuple(
        one for run in untrained for one in before_training.warn(run, settings, copies="near-copies" in stop_on)
    )
    for one in found:
        stage.report(f"WARNING: {one.text}")
    journal.note(warnings=(*journal.night.warnings, *(one.text for one in found)))
    stopping = [one for one in (*stale, *found) if one.name in stop_on]
    if untrained and stopping:
        raise StoppedEarly(
            f"Nothing was trained: nightly.stop_on names {before_training.names_of(stopping)}. {listed(untrained)} "
            f"{'stays' if len(untrained) == 1 else 'stay'} in params.yaml, and the next night asks again."
        )


def _news(settings: Params) -> list[ArmNews]:
    """The newest run of each active arm.

    Raises:
        UserError: there is none, or a verdict or an audit is missing.
    """
    base = audits.read(RunPaths(paths.BASE).figures)
    found = night_plan.newest(settings)
    if not found:
        raise UserError("no active arm has a run; see nightly.arms and runs in params.yaml.")
    return [
        ArmNews(
            judgement=judgements.read(RunPaths(run).gate),
            audit=audits.read(RunPaths(run).figures),
            base=base,
            rests=night_plan.rests(settings, arm, run),
        )
        for arm, run in found.items()
    ]


def _push(settings: Params, journal: Journal) -> str:
    """Push to the remote, where there is one; what went wrong, or nothing."""
    places = dvc_places.read(Path())
    name = settings.nightly.remote or places.default
    if name is None:
        return ""
    started = time.monotonic()
    try:
        _dvc(settings, journal, "push", "--remote", name)
    except UserError as error:
        journal.note(pushed=False)
        return f"What was computed is here, but not on the remote {name}: {error} The next night pushes it."
    journal.note(pushed=True)
    stage.report(f"pushed to {name} in {night_message.seconds(time.monotonic() - started)}")
    return ""


def _commit(settings: Params, journal: Journal, title: str) -> str:
    """Commit and tag what the night used and made, where that is wanted; what went wrong, or nothing."""
    if not settings.nightly.commit:
        return ""
    tag = f"tailwatch/{journal.night.name}"
    try:
        short = git_state.commit(_IN_GIT, message=f"Night {journal.night.number}: {title}", tag=tag)
    except UserError as error:
        return f"What was computed is here, but not committed: {error}. The next night commits it."
    stage.report(f"committed as {short}, tagged {tag}")
    return ""


def _prune(journal: Journal) -> None:
    """Let old files leave the local cache; a remote that does not answer now is no reason to call the night failed."""
    try:
        pruned = retention.prune()
    except UserError as error:
        journal.say(f"nothing was pruned: {error}")
        return
    if pruned.removed:
        stage.report(f"pruned the files of {listed(list(pruned.removed))} from the local cache")
    if pruned.missing:
        journal.say(f"the remote lacks files of {listed(list(pruned.missing))}, so they stay here")
