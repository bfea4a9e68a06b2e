"""A long past, written instead of run: what hundreds of nights would have left in a project that had a few."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from pipeline import retention
from pipeline.core import audits, history, judgements, manifest, manifest_table, params, paths, synthetic_past
from pipeline.core.history import Out, Record, Weights
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Run
from tests import retention_builders
from tests.project import Project

ARM = "guarded"
_RUN = re.compile(rf"\b{ARM}-(\d+)\b")
_GENERATION = re.compile(r'("generation": ?)(\d+)')
_FILES_A_RUN = 60  # small files of a made-up run, on the remote
_EVERY = 7  # nightly.keep.every


def lay_out(project: Project, newest: int) -> None:
    """Make a project whose newest run is `guarded-K` one whose newest run is `guarded-NEWEST`.

    The first of its runs becomes the anchor, the others stay in params.yaml; what they wrote is renamed, and DVC takes
    it as it is. All runs before are retired ones: a record each in `data/history`, files on the remote, those of every
    seventh in the cache as well, portraits of their synthetic images, and a commit a night. Their figures are those of
    the anchor.

    Args:
        project: with two runs or more of the arm `guarded`, none of them retired, and a folder as the remote.
        newest: generation that the newest run is to have, more than 30.
    """
    with _inside(project.folder):
        runs = params.load().runs
        shift = newest - len(runs)
        for folder in sorted(paths.DATA.glob(f"*/{ARM}-*"), key=lambda one: -int(_number(one.name))):
            folder.rename(folder.with_name(_renamed(folder.name, shift)))
        for path in list(paths.DATA.glob(f"*/*/*/{ARM}-*")):
            path.rename(path.with_name(_renamed(path.name, shift)))
        for path in paths.DATA.rglob("*"):
            if path.is_file() and path.parts[1] in _WRITTEN:
                if path.suffix in {".csv", ".json", ".txt"}:
                    _shift(path, shift)
                elif path.name in _MANIFESTS:
                    _shift_manifest(path, shift)
        first = shift + 1
        _write_params(newest, first, shift)
        anchor = _retire_first(f"{ARM}-{first}", newest=newest)
        for generation in range(1, first):
            _retired(anchor, generation)
        _journal(shift)
        paths.DVC_LOCK.unlink()
        retention.finish(params.load())
    for command in (["dvc", "commit", "--force"], ["dvc", "push"]):
        done = project.run(*command)
        assert done.code == 0, done.output
    _commits(project, shift)


_MANIFESTS = {paths.MANIFEST, RunPaths("any").pool_manifest.name}
_WRITTEN = {"generate", "mix", "train", "audit", "confirm", "gate"}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _number(name: str) -> str:
    found = _RUN.search(name)
    assert found is not None, name
    return found[1]


def _renamed(text: str, shift: int) -> str:
    return _RUN.sub(lambda found: f"{ARM}-{int(found[1]) + shift}", text)


def _later(number: str, shift: int) -> str:
    return str(int(number) + shift) if int(number) else number


def _shift(path: Path, shift: int) -> None:
    """Rename the runs in a file, and count their generations on."""
    text = _renamed(path.read_text(), shift)
    if path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(text)))
        if rows and "generation" in rows[0]:
            column = rows[0].index("generation")
            for row in rows[1:]:
                row[column] = _later(row[column], shift)
            out = io.StringIO()
            csv.writer(out, lineterminator="\n").writerows(rows)
            text = out.getvalue()
    elif path.suffix == ".json":
        text = _GENERATION.sub(lambda found: found[1] + _later(found[2], shift), text)
        text = json.dumps(_lengthened(json.loads(text), shift), indent=2) + "\n"
    path.write_text(text)


def _shift_manifest(path: Path, shift: int) -> None:
    table = manifest_table.read(path).columns
    texts = {name: [_renamed(one, shift) for one in table[name].to_pylist()] for name in ("name", "path", "run")}
    generations = [int(_later(str(one), shift)) for one in table["generation"].to_pylist()]
    manifest_table.write(path, manifest_table.of({**table.to_pydict(), **texts, "generation": generations}))


def _lengthened(value: Any, shift: int) -> Any:
    """JSON in which class counts of all generations go back as far as they would after so many nights."""
    if isinstance(value, list):
        return [_lengthened(one, shift) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _lengthened(one, shift) for key, one in value.items()}
    if {"boxes", "shares", "half_life"} <= found.keys():
        for key in ("boxes", "shares"):
            found[key] = [found[key][0], *[found[key][1]] * shift, *found[key][1:]] if found[key][1:] else found[key]
    if isinstance(found.get("history"), list) and len(found["history"]) > 1 and "forecasts" in found:
        base, one, *_ = found["history"]
        past = [{**one, "run": f"{ARM}-{number}", "generation": number} for number in range(1, shift + 1)]
        found["history"] = [base, *past, *found["history"][1:]]
    return found


def _write_params(newest: int, first: int, shift: int) -> None:
    text = paths.PARAMS.read_text()
    value = yaml.safe_load(text)
    before = {f"{ARM}-{number - 1}": number for number in range(first, newest + 1)}
    made = {
        f"{ARM}-{number}": {"arm": ARM, "generation": number, "previous": previous}
        for previous, number in before.items()
    }
    anchor = f"{ARM}-{first}"
    value["anchors"] = {anchor: made.pop(anchor)}
    value["runs"] = made
    assert shift > 0
    paths.PARAMS.write_text(yaml.safe_dump(value, sort_keys=False))


def _retire_first(name: str, *, newest: int) -> Record:
    """Put the anchor on record."""
    here, settings = RunPaths(name), params.load()
    outs = []
    for path in here.outs:
        entry = retention_builders.commit(path)
        nfiles = entry.get("nfiles")
        outs.append(Out(path=str(path), md5=str(entry["md5"]), size=int(str(entry["size"])),
                        nfiles=None if nfiles is None else int(str(nfiles))))  # fmt: skip
    weights = str(retention_builders.commit(here.weights)["md5"])
    generation = int(_number(name))
    assert generation < newest
    found = history.record(
        Run(arm=ARM, generation=generation, previous=f"{ARM}-{generation - 1}"),
        settings.arms[ARM],
        audits.read(here.figures),
        judgements.read(here.gate),
        images_of=[name, *(row.run for row in manifest.read(here.pool_manifest) if row.origin == "synthetic")],
        weights=Weights(md5=weights, size=here.weights.stat().st_size),
        outs=outs,
    )
    history.write(found)
    synthetic_past.keep(name)
    shutil.copytree(".dvc/cache/files/md5", _remote(), dirs_exist_ok=True)
    return found


def _remote() -> Path:
    return Path("../remote/files/md5")


def _store(data: bytes, name: str, *, cached: bool) -> None:
    for root in [_remote(), *([Path(".dvc/cache/files/md5")] if cached else [])]:
        target = root / name[:2] / name[2:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _retired(anchor: Record, generation: int) -> None:
    """A run that retired long ago: its record, and files that stand for its own."""
    name, cached = f"{ARM}-{generation}", generation % _EVERY == 0
    outs = []
    for out in anchor.outs:
        path = _RUN.sub(name, out.path)
        listed = []
        for number in range(_FILES_A_RUN // len(anchor.outs)):
            data = f"{path} {number}\n".encode() * 50
            md5 = retention_builders.md5(data.decode())
            _store(data, md5, cached=cached)
            listed.append({"md5": md5, "relpath": f"{number}.txt"})
        if out.md5.endswith(".dir"):
            listing = json.dumps(listed, sort_keys=True)
            md5 = f"{retention_builders.md5(listing)}.dir"
            _store(listing.encode(), md5, cached=cached)
            outs.append(replace(out, path=path, md5=md5, nfiles=len(listed)))
        else:
            outs.append(replace(out, path=path, md5=listed[0]["md5"], nfiles=None))
    history.write(
        replace(
            anchor,
            run=name,
            generation=generation,
            images_of=(name,),
            outs=tuple(outs),
            previous=f"{ARM}-{generation - 1}" if generation > 1 else paths.BASE,
        )
    )
    kept = paths.PORTRAITS / f"{anchor.run}.npz"
    shutil.copyfile(kept, paths.PORTRAITS / f"{name}.npz")


def _journal(shift: int) -> None:
    """The newest thirty nights' records and logs."""
    folders = sorted(paths.NIGHTS.iterdir())
    for folder in folders:
        path = folder / "night.json"
        value = json.loads(_renamed(path.read_text(), shift))
        path.write_text(json.dumps({**value, "number": value["number"] + shift}))
    number = json.loads((folders[0] / "night.json").read_text())["number"]
    for ago in range(1, 31 - len(folders)):
        copy = paths.NIGHTS / f"20260101T{ago:06d}Z"
        shutil.copytree(folders[0], copy)
        value = json.loads((copy / "night.json").read_text())
        value = {**value, "number": number - ago, "name": copy.name, "runs": [f"{ARM}-{number - ago}"]}
        (copy / "night.json").write_text(json.dumps(value))


def _commits(project: Project, shift: int) -> None:
    """A commit for each night of the past, of its record and of a dvc.lock as large as it is; then one of what is."""
    lock = (project.folder / "dvc.lock").read_text()
    stream = []
    for generation in range(1, shift + 1):
        record = (project.folder / f"data/history/{ARM}-{generation}.json").read_text()
        stream.append(f"commit refs/heads/{_branch(project)}\n"
                      f"committer a benchmark <a@example.org> {1_700_000_000 + generation} +0000\n")  # fmt: skip
        stream.append(_data(f"Night {generation}"))
        if generation == 1:
            stream.append(f"from refs/heads/{_branch(project)}^0\n")
        for path, text in ((f"data/history/{ARM}-{generation}.json", record),
                           ("dvc.lock", re.sub(r"md5: [0-9a-f]{8}", f"md5: {generation:08x}", lock))):  # fmt: skip
            stream.append(f"M 100644 inline {path}\n{_data(text)}")
    subprocess.run(["git", "fast-import", "--quiet"], cwd=project.folder, input="".join(stream).encode(), check=True)
    for command in (["git", "reset", "-q"], ["git", "add", "."], ["git", "commit", "-qm", "the past"]):
        subprocess.run(command, cwd=project.folder, check=True)


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"


def _branch(project: Project) -> str:
    return project.run("git", "branch", "--show-current").output.strip()
