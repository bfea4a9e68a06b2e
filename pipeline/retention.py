"""Retirement, pruning and restoring: old runs leave params.yaml, dvc.lock and the disk, and can come back.

The order of a retirement is such that a process that is killed at any point leaves a project on which everything
works, and that :func:`finish` brings to the same end: first the records in `data/history`, then params.yaml (in one
rename, by whoever appends the new runs), then `data/anchors.dvc`, dvc.lock and the folders.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters import dvc_files
from pipeline.adapters.dvc_store import Store
from pipeline.core import (
    audits,
    current,
    files,
    history,
    judgements,
    manifest,
    params,
    paths,
    retirement,
    stage,
    synthetic_past,
)
from pipeline.core.errors import UserError
from pipeline.core.history import Out, Record, Weights
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.report_numbers import counted
from pipeline.core.schema import suggestion
from pipeline.core.sections import Run

_SAID = "What runs in params.yaml read of retired ones; written by tailwatch, see docs/retention.md."


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """What a retirement asks of params.yaml: these runs leave `runs`, and `anchors` is this."""

    leaving: tuple[str, ...]
    anchors: Mapping[str, Run]


def retire(settings: Params) -> Retired:
    """Say which runs leave params.yaml, having put them on record in `data/history`.

    Called again, it writes the same. The runs leave when params.yaml is written and :func:`finish` was called.

    Args:
        settings: params.yaml as it will be, with the runs that a night appends.

    Raises:
        UserError: dvc.lock or a file of a run cannot be read.
    """
    lock = dvc_files.stage_outs()
    store = Store(settings.nightly.remote)
    last = settings.nightly.keep.last
    wanted = retirement.plan(settings, last=last, finished=settings.runs)
    found = {name: _record(name, settings, lock, store) for name in wanted.leaving}
    records = {name: one for name, one in found.items() if one is not None}
    for name in found.keys() - records.keys():
        stage.report(f"{name} stays in params.yaml: it is not finished, or its files are not those of dvc.lock")
    plan = retirement.plan(settings, last=last, finished=records)
    for one in records.values():
        history.write(one)
    return Retired(leaving=plan.leaving, anchors=plan.anchors)


def _record(name: str, settings: Params, lock: Mapping[str, Sequence[Out]], store: Store) -> Record | None:
    """What stays of a run; None where it is not finished, or its files are not those that dvc.lock names."""
    here, chosen = RunPaths(name), settings.runs[name]
    outs = [out for one in paths.RUN_STAGES for out in lock.get(f"{one}@{name}", ())]
    by_path = {Path(out.path): out for out in outs}
    if not all(path in by_path and path.exists() for path in here.outs):
        return None
    weights, audited = (
        _entry(by_path[folder], file.name, store)
        for folder, file in ((here.train, here.weights), (here.audit, here.figures))
    )
    if weights is None or audited is None or not here.figures.exists() or not here.weights.exists():
        return None
    if (files.md5_file(here.figures), files.md5_file(here.gate)) != (audited, by_path[here.gate].md5):
        return None
    rows = [*manifest.read(here.mix_manifest), *manifest.read(here.pool_manifest)]
    return history.record(
        chosen,
        settings.arms[chosen.arm],
        audits.read(here.figures),
        judgements.read(here.gate),
        images_of=[name, *(row.run for row in rows if row.origin == "synthetic")],
        weights=Weights(md5=weights, size=here.weights.stat().st_size),
        outs=outs,
    )


def _entry(out: Out, name: str, store: Store) -> str | None:
    """MD5 of a file of a folder; None where it is not known."""
    return next((one.md5 for one in store.entries(out) or () if one.path == name), None)


def finish(settings: Params) -> None:
    """Bring all else in line with params.yaml: `data/anchors.dvc`, dvc.lock, and the folders of retired runs.

    It may be called at any time, and does nothing where there is nothing to do.

    Args:
        settings: params.yaml as it is.

    Raises:
        UserError: a record is missing or damaged, or dvc.lock cannot be read.
    """
    records = history.read_all()
    gone = {name: one for name, one in records.items() if name not in settings.runs}
    needed = retirement.read_of_anchors(settings, records)
    dvc_files.write_outs(paths.ANCHORS, needed, said=_SAID)
    dvc_files.drop_stages(lambda name: retirement.run_of_stage(name) in gone)
    _clear_workspace(gone, needed, settings)


def _clear_workspace(gone: Mapping[str, Record], needed: Sequence[Out], settings: Params) -> None:
    """Remove the folders of retired runs that no stage reads, and what a person restored of them."""
    kept = {Path(out.path) for out in needed}
    there = [
        (run, out) for run, one in gone.items() for out in one.outs
        if Path(out.path) not in kept and Path(out.path).exists()
    ]  # fmt: skip
    store = Store(settings.nightly.remote)
    for run, out in there:
        path = Path(out.path)
        if lacking := _lacking(store, out):
            stage.report(
                f"{path} stays on the disk: {lacking} of its files are neither in the DVC cache nor on a remote"
            )
            continue
        if path == RunPaths(run).synthetic:
            synthetic_past.keep(run)  # its images are still known when they come back as real ones
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if there:
        paths.RESTORED.unlink(missing_ok=True)


def _lacking(store: Store, out: Out) -> int:
    """Number of an output's objects that could not be had again; with its list of files gone, that list counts."""
    objects = store.objects(out)
    if objects is None:
        return 1
    absent = set(objects) - store.cached(objects)
    return len(absent - store.on_remote(absent))


def _kept(settings: Params, records: Mapping[str, Record]) -> dict[str, str]:
    """The retired runs that keep their files, with the reason."""
    in_use = {one.now.run for one in current.read_all(settings.arms).values()}
    return retirement.kept(settings, records, settings.nightly.keep, current=in_use)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What left the local cache, or would leave it.

    Attributes:
        removed: bytes by run.
        missing: objects that the remote lacks, and that could not be brought there, by run whose files stay therefore.
        kept: retired runs that keep their files, with the reason.
        refused: why nothing at all is removed; empty where that is not so.
        dry_run: nothing was removed.
    """

    removed: Mapping[str, int]
    missing: Mapping[str, int]
    kept: Mapping[str, str]
    refused: str = ""
    dry_run: bool


def prune(*, dry_run: bool = False) -> Pruned:
    """Remove the files of retired runs that `nightly.keep` does not name from the local cache, if the remote has them.

    What it lacks is brought there first: files of runs that retired before they were pushed, of which `dvc push` does
    not know any more, and files that it lost.

    Args:
        dry_run: say what would be removed, and remove nothing.

    Raises:
        UserError: the remote does not answer, or a file of the project cannot be read.
    """
    settings = params.load()
    records = history.retired(settings.runs)
    kept = _kept(settings, records)
    store = Store(settings.nightly.remote)
    # Of a run that was pruned, the lists of files are gone too: it is not asked for again every night.
    there = {run: one for run, one in records.items() if run not in kept and store.cached(out.md5 for out in one.outs)}
    if not there:
        return Pruned(removed={}, missing={}, kept=kept, dry_run=dry_run)
    if refused := _refusal(store):
        return Pruned(removed={}, missing={}, kept=kept, refused=refused, dry_run=dry_run)
    candidates = {run: _objects(one, store) for run, one in there.items()}
    protected = {one for out in store.tracked() for one in store.objects(out) or ()}
    protected |= {
        one for run in kept for out in records[run].outs if store.cached([out.md5]) for one in store.objects(out) or ()
    }
    wanted = {one for objects in candidates.values() for one in objects}
    pruning = retirement.prune(candidates, protected=protected, remote=store.on_remote(wanted))
    if pruning.missing and not dry_run:
        store.push([out for run in pruning.missing for out in there[run].outs])
        pruning = retirement.prune(candidates, protected=protected, remote=store.on_remote(wanted))
    removed = {run: store.size(objects) for run, objects in pruning.removable.items()}
    if not dry_run:
        _clear_workspace({run: there[run] for run in removed}, retirement.read_of_anchors(settings, records), settings)
        store.delete(one for objects in pruning.removable.values() for one in objects)
    missing = {run: len(objects) for run, objects in pruning.missing.items()}
    return Pruned(removed=removed, missing=missing, kept=kept, dry_run=dry_run)


def _refusal(store: Store) -> str:
    """Why nothing may be removed; empty where it may."""
    if not store.has_remote:
        return (
            "there is no DVC remote, so these files are nowhere else. Add one with `uv run dvc remote add -d NAME URL`,"
            " push with `uv run dvc push`, then prune again"
        )
    if store.is_shared:
        return "other projects share the DVC cache, and may need these files"
    return ""


def _objects(one: Record, store: Store) -> set[str]:
    """All objects of a run; where a list of files is nowhere, it stands for what it named."""
    found: set[str] = set()
    for out in one.outs:
        found.update(store.objects(out) or (out.md5,))
    return found


def as_text(pruned: Pruned) -> str:
    """What was pruned, for people."""
    lines = [f"{run}: stays ({reason})" for run, reason in pruned.kept.items()]
    word = "would remove" if pruned.dry_run else "removed"
    lines += [f"{run}: {word} {_megabytes(size)} from the local cache" for run, size in pruned.removed.items()]
    way = "would be brought there first" if pruned.dry_run else "could not be brought there, so it stays whole"
    lines += [
        f"{run}: the remote lacks {counted(number, 'file')} of it, which {way}"
        for run, number in pruned.missing.items()
    ]
    if pruned.refused:
        lines.append(f"Nothing is removed: {pruned.refused}.")
    total = sum(pruned.removed.values())
    if pruned.removed:
        lines.append(f"In all {_megabytes(total)}; `uv run tailwatch restore RUN` brings a run back.")
    return "\n".join(lines) or "No retired run has files in the local cache that could leave it."


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def restore(run: str) -> tuple[Path, ...]:
    """Bring the files of a retired run back into the workspace, from the DVC cache or the remote, and check them.

    DVC does not look at them there, and the next night takes them away again.

    Args:
        run: its name.

    Returns:
        Where they are.

    Raises:
        UserError: there is no such retired run, or some of its files are nowhere to be had.
    """
    settings = params.load()
    records = history.retired(settings.runs)
    if run in settings.runs:
        raise UserError(f"{run} is in params.yaml: `uv run dvc checkout` brings its files back.")
    if run not in records:
        known = ", ".join(records) or "none"
        raise UserError(f"no retired run {run!r}{suggestion(run, records)}; there are: {known}.")
    needed = {Path(out.path) for out in retirement.read_of_anchors(settings, records)}
    store = Store(settings.nightly.remote)
    one = records[run]
    store.fetch([out.md5 for out in one.outs])
    absent = store.fetch(_objects(one, store))
    if absent:
        where = "the DVC cache and the remote" if store.has_remote else "the DVC cache, and there is no remote"
        raise UserError(f"{len(absent)} files of {run} are missing in {where}; the first is {min(absent)}.")
    outs = [out for out in one.outs if Path(out.path) not in needed]
    _hide(outs)
    for out in outs:
        if damaged := store.check_out(out, Path(out.path)):
            raise UserError(
                f"{', '.join(damaged[:3])}{' and more' if len(damaged) > 3 else ''}: damaged in the DVC cache. Remove "  # noqa: PLR2004
                "them there, and restore again: the remote may have them whole."
            )
    return tuple(Path(out.path) for out in one.outs)


def _hide(outs: Sequence[Out]) -> None:
    """Keep restored files out of DVC's sight: the report would depend on them."""
    before = paths.RESTORED.read_text().splitlines() if paths.RESTORED.exists() else []
    patterns = [f"/{Path(out.path).relative_to(paths.DATA).as_posix()}" for out in outs]
    files.write_text(paths.RESTORED, "".join(f"{line}\n" for line in dict.fromkeys([*before, *patterns])))
