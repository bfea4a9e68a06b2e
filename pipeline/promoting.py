"""Which weights are in use: HEALTHY runs come into use by themselves, others by hand, and a person can go back."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.adapters import dvc_files
from pipeline.adapters.dvc_store import Store
from pipeline.core import current, history, judgements, params, paths
from pipeline.core.current import NIGHTLY, Current, Promotion
from pipeline.core.errors import UserError
from pipeline.core.history import Out, Weights
from pipeline.core.judgements import Verdict
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.schema import suggestion


def promote_healthy(settings: Params) -> tuple[Current, ...]:
    """Promote the newest run of each arm where it is HEALTHY, and say what each arm uses now.

    A run that a person took back stays back. Called again, it changes nothing.

    Args:
        settings: params.yaml.

    Raises:
        UserError: a verdict or the weights cannot be read.
    """
    store = Store(settings.nightly.remote)
    found = []
    for arm in settings.arms:
        before = current.read(arm)
        own = [name for name, run in settings.runs.items() if run.arm == arm]
        newest = max(own, key=lambda name: settings.runs[name].generation, default=None)
        if (
            newest is not None
            and current.is_file_name(arm)
            and RunPaths(newest).gate.exists()
            and _is_due(newest, before)
        ):
            one = _promotion(newest, settings, store, by=NIGHTLY, reason="")
            if one.verdict is Verdict.HEALTHY:
                before = current.promoted(before, arm, one)
                current.write(before)
        if before is not None:
            _follow(before, store)
            found.append(before)
    return tuple(found)


def _is_due(run: str, before: Current | None) -> bool:
    return before is None or (run != before.now.run and run not in before.withdrawn)


def promote(run: str, *, reviewer: str, reason: str) -> Current:
    """Use a run's weights, because a person says so; it may be retired.

    Args:
        run: its name.
        reviewer: who says so.
        reason: why; wanted where the run is not HEALTHY.

    Raises:
        UserError: there is no such run, it has no verdict yet, no reason is given where one is wanted, or its weights
            are nowhere to be had.
    """
    settings = params.load()
    store = Store(settings.nightly.remote)
    _require_name(reviewer)
    one = _promotion(run, settings, store, by=reviewer, reason=reason)
    if one.verdict is not Verdict.HEALTHY and not reason.strip():
        raise UserError(f"{run} is {one.verdict}. Say with --reason TEXT why it is to be used.")
    return _use(current.promoted(current.read(_arm(run, settings)), _arm(run, settings), one), store)


def rollback(arm: str | None, *, reviewer: str, reason: str) -> Current:
    """Go back to the weights that an arm used before.

    Args:
        arm: its name; None where there is one arm only that uses any.
        reviewer: who goes back.
        reason: why.

    Raises:
        UserError: there is no such arm, none is named where there are several, it used nothing before, or those weights
            are nowhere to be had.
    """
    settings = params.load()
    _require_name(reviewer)
    used = current.read_all(settings.arms)
    if arm is None and len(used) > 1:
        raise UserError(f"which arm? There are: {', '.join(used)}.")
    name = arm or next(iter(used), "")
    if name not in settings.arms and arm:
        raise UserError(f"no arm {arm!r}{suggestion(arm, settings.arms)}; there are: {', '.join(settings.arms)}.")
    if name not in used:
        raise UserError(f"no run{f' of {arm}' if arm else ''} was promoted yet: there is nothing to go back from.")
    time = datetime.now(UTC).isoformat(timespec="seconds")
    after = current.rolled_back(used[name], by=reviewer, reason=reason, time=time)
    return _use(after, Store(settings.nightly.remote))


def _require_name(reviewer: str) -> None:
    if not reviewer.strip() or reviewer == NIGHTLY:
        raise UserError(f"the reviewer is {reviewer!r}: wanted a person's name. Give one with --reviewer NAME.")


def _use(one: Current, store: Store) -> Current:
    """Make this what an arm uses; its weights are sought first, so that nothing changes where they are missing."""
    weights = one.now.weights
    if store.fetch([weights.md5]):
        where = "cache and remote lack" if store.has_remote else "cache lacks, and there is no remote with,"
        raise UserError(f"the DVC {where} the weights of {one.now.run} (MD5 {weights.md5}). Nothing was changed.")
    current.write(one)
    _follow(one, store)
    return one


def _follow(one: Current, store: Store) -> None:
    """Bring the weights and DVC's file beside them in line with the JSON, which is written first.

    Raises:
        UserError: the weights are nowhere to be had, or damaged.
    """
    weights = one.now.weights
    target = current.weights_path(one.arm)
    out = Out(path=str(target), md5=weights.md5, size=weights.size)
    said = f"The weights of {one.now.run}; written by tailwatch, see docs/retention.md."
    changed = dvc_files.write_outs(current.tracking_path(one.arm), [out], said=said)
    if target.exists() and not changed:
        return
    if store.fetch([weights.md5]) or store.check_out(out, target):
        raise UserError(
            f"the weights of {one.now.run} (MD5 {weights.md5}) are missing or damaged in the DVC cache, and the remote "
            f"does not have them: {target} is not up to date."
        )


def _arm(run: str, settings: Params) -> str:
    return settings.runs[run].arm if run in settings.runs else history.read(run).arm


def _promotion(run: str, settings: Params, store: Store, *, by: str, reason: str) -> Promotion:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    if run in settings.runs:
        if not RunPaths(run).gate.exists():
            raise UserError(f"{run} has no verdict yet. Run `uv run dvc repro` first.")
        verdict, generation = judgements.read(RunPaths(run).gate).verdict, settings.runs[run].generation
        weights = _weights(run, store)
    else:
        known = {**settings.runs, **history.retired(settings.runs)}
        if run not in known:
            raise UserError(f"no run {run!r}{suggestion(run, known)}; there are: {', '.join(known)}.")
        past = history.read(run)
        verdict, generation, weights = past.verdict, past.generation, past.weights
    return Promotion(
        run=run, generation=generation, verdict=verdict, by=by, reason=reason, time=time, weights=weights
    )  # fmt: skip


def _weights(run: str, store: Store) -> Weights:
    """The weights of a run in params.yaml, as dvc.lock knows them."""
    here = RunPaths(run)
    outs = dvc_files.stage_outs().get(f"train@{run}", ())
    out = next((one for one in outs if one.path == str(here.train)), None)
    entries = (store.entries(out) if out else None) or ()
    md5 = next((one.md5 for one in entries if one.path == here.weights.name), None)
    if md5 is None or not here.weights.exists():
        raise UserError(f"{paths.DVC_LOCK} does not know the weights of {run}. Run `uv run dvc repro` first.")
    return Weights(md5=md5, size=here.weights.stat().st_size)
