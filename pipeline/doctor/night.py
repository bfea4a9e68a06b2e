"""Would a night run as params.yaml has it? Asked now, rather than at three in the morning."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from pipeline.adapters import dvc_places, notices
from pipeline.core import params, paths, schedules, timetables
from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.core.report_numbers import counted
from pipeline.core.schema import suggestion
from pipeline.doctor.finding import Finding, ok, problem, warning

_EDIT = "Correct it in params.yaml"
_EDIT_SECRET = f"{_EDIT}; variables may stand in .env, a line NAME='VALUE' each"


def check_night(folder: Path) -> list[Finding]:
    """All that can be wrong with the section `nightly` of params.yaml."""
    try:
        settings = params.load(folder / paths.PARAMS)
    except UserError as error:
        return [problem("params", str(error).rstrip("."), _EDIT)]
    now = datetime.now().astimezone()
    schedule = check_schedule(settings.nightly.schedule, settings.nightly.until, now=now)
    return [schedule, *check_settings(settings, folder), check_horizon(settings)]


def check_settings(settings: Params, folder: Path) -> list[Finding]:
    """What keeps a night from running as it is set up, whenever it begins.

    Args:
        settings: params.yaml.
        folder: of the project.
    """
    return [
        check_arms(settings),
        check_notices(settings.nightly.notify, settings.nightly.ping),
        check_remote(settings.nightly.remote, folder),
        check_budget(settings),
    ]


def check_schedule(expression: str, until: date | None, *, now: datetime) -> Finding:
    """The cron expression can be read, its time comes, and it comes before the last day.

    Args:
        expression: of cron.
        until: the last day on which a night runs; None for no end.
        now: with its time zone.
    """
    try:
        following = timetables.following(timetables.parse(expression), after=now)
    except UserError as error:
        return problem("night's schedule", str(error).rstrip("."), _EDIT)
    if until is not None and until < now.date():
        remedy = "Set nightly.until to a later day, or to null"
        return problem("night's schedule", f"nightly.until is {until}, which is past: no night runs", remedy)
    if until is not None and following.date() > until:
        message = f"the next time, {following:%Y-%m-%d %H:%M}, is after nightly.until ({until}): no night runs any more"
        return problem("night's schedule", message, "Set nightly.until to a later day, or to null")
    return ok("night's schedule", f"next at {following:%Y-%m-%d %H:%M}")


def check_arms(settings: Params) -> Finding:
    """Every arm of `nightly.arms` is there, and can go on."""
    unknown = [arm for arm in settings.nightly.arms if arm not in settings.arms]
    if unknown:
        known = f"there are: {', '.join(settings.arms)}"
        message = f"nightly.arms: no arm {unknown[0]!r}{suggestion(unknown[0], settings.arms)}; {known}"
        return problem("night's arms", message, _EDIT)
    active = settings.nightly.arms or tuple(settings.arms)
    if not active:
        return problem("night's arms", "there is no arm at all", "Add one under `arms` in params.yaml")
    return ok("night's arms", ", ".join(active))


def check_notices(addresses: Sequence[str], ping: str | None) -> Finding:
    """Every address is one that apprise knows; none of them is shown."""
    faults = [f"nightly.notify: {text}" for text in notices.check_addresses(addresses)]
    if fault := notices.check_ping(ping):
        faults.append(f"nightly.ping: {fault}")
    if faults:
        return problem("night's notices", "; ".join(faults), _EDIT_SECRET)
    if not addresses and ping is None:
        return ok("night's notices", "none: nightly.notify and nightly.ping are empty")
    told = f"{len(addresses)} of apprise" if addresses else "none of apprise"
    return ok("night's notices", f"{told}, {'a ping' if ping else 'no ping'}")


def check_remote(name: str | None, folder: Path) -> Finding:
    """The DVC remote that is named exists; whether it can be written, a night asks itself."""
    remedy = "Type: tools/uv run dvc remote add -d NAME URL"
    try:
        places = dvc_places.read(folder)
    except UserError as error:
        return problem("night's remote", str(error).rstrip("."), "Run this in the project's folder")
    wanted = name or places.default
    if wanted is None:
        return ok("night's remote", "none: results stay on this disk, and nothing can be pruned")
    if wanted not in places.remotes:
        known = ", ".join(places.remotes) or "none"
        message = f"no DVC remote {wanted!r}{suggestion(wanted, places.remotes)}; there are: {known}"
        return problem("night's remote", message, f"Correct nightly.remote in params.yaml. {remedy}")
    return ok("night's remote", wanted)


def check_budget(settings: Params) -> Finding:
    """The gates of all nights together spend no more than `gate.alpha`; the gate itself says so only after training."""
    try:
        schedules.require_budget(settings.gate)
    except UserError as error:
        return problem("night's budget", str(error).removeprefix("params.yaml ").rstrip("."), _EDIT)
    return ok("night's budget", f"gate.alpha {settings.gate.alpha:g} for {counted(settings.gate.horizon, 'night')}")


def check_horizon(settings: Params) -> Finding:
    """No arm has more generations than the nights that share the error probability."""
    newest = max((run.generation for run in settings.runs.values()), default=0)
    horizon = settings.gate.horizon
    if newest > horizon:
        message = f"gate.horizon is {horizon} nights, and there are {newest} generations: gate.alpha is spent"
        remedy = "Plan more nights in gate.horizon (docs/night.md), or begin anew: tailwatch new-baseline"
        return problem("night's horizon", message, remedy)
    if newest == horizon:
        message = f"gate.horizon is {horizon} nights, and all are spent: the next one begins a new horizon"
        return warning("night's horizon", message, "Plan more nights in gate.horizon (docs/night.md)")
    return ok("night's horizon", f"{newest} of {counted(horizon, 'night')}")
