"""Finished runs keep their real images: before new decisions are taken in, each is pinned to the row it was made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from pipeline.core import appending, files, ledger, params, paths
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths


def pin(settings: Params, stages: Collection[str]) -> Params:
    """Pin finished runs, the base and the anchors in params.yaml, where the ledger has rows that they do not know.

    Called again, it changes nothing; where nobody decided anything, it changes nothing either.

    Args:
        settings: params.yaml as it is.
        stages: those that dvc.lock has, such as ``gate@guarded-1``.

    Returns:
        The settings after it.

    Raises:
        UserError: the ledger or params.yaml cannot be read, or `pins` cannot be edited line by line.
    """
    if not paths.LEDGER.exists():
        return settings
    entries = ledger.read(paths.LEDGER)
    known = {entry.hash for entry in entries}
    rows = {run: _noted(RunPaths(run).mix_summary) for run in _finished(settings, stages)}
    # Rows that were written anew, after a merge of two ledgers, are known by no one: that run follows the ledger.
    noted = {run: row for run, row in rows.items() if row in known and row is not None}
    every = wanted(settings, noted, newest=entries[-1].hash if entries else ledger.GENESIS)
    if every == settings.pins:
        return settings
    text = appending.edited(paths.PARAMS.read_bytes().decode(), add={}, pins=every)
    files.write_bytes(paths.PARAMS, text.encode())
    return params.load()


def wanted(settings: Params, noted: Mapping[str, str], *, newest: str) -> dict[str, str]:
    """All that `pins` is to hold before the ledger's new rows are taken in.

    A finished run that has none gets the row that its mixture was made of, where the ledger has grown since. Only then
    do pins go of which no run and no anchor is left: each change makes `verify` and the mixtures run.

    Args:
        settings: params.yaml as it is.
        noted: hash of the row that each finished run's mixture was made of, by run, the base among them.
        newest: hash of the ledger's newest row.

    Returns:
        The pins as they are, where there is nothing to pin.
    """
    fresh = {run: row[: paths.PIN] for run, row in noted.items() if run not in settings.pins and row != newest}
    if not fresh:
        return dict(settings.pins)
    both = {**settings.pins, **fresh}
    return {run: both[run] for run in (paths.BASE, *settings.anchors, *settings.runs) if run in both}


def clear() -> bool:
    """Take all pins out of params.yaml, for a new baseline; returns whether there were any.

    Raises:
        UserError: params.yaml cannot be read, or `pins` cannot be edited line by line.
    """
    text = paths.PARAMS.read_bytes().decode()
    after = appending.edited(text, add={}, pins={})
    files.write_bytes(paths.PARAMS, after.encode())
    return after != text


def _finished(settings: Params, stages: Collection[str]) -> list[str]:
    """The base, the anchors and the runs that have all they can have, as far as dvc.lock knows."""
    base = [paths.BASE] if f"confirm-{paths.BASE}" in stages else []
    runs = [run for run in settings.runs if f"gate@{run}" in stages and RunPaths(run).gate.exists()]
    return [*base, *settings.anchors, *runs]


def _noted(summary: Path) -> str | None:
    """Hash of the row that a mixture was made of, from its summary; None where that is not there or not known."""
    try:
        row = msgspec.json.decode(summary.read_bytes(), type=dict[str, object]).get("ledger")
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return row if isinstance(row, str) else None
