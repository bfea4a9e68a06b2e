"""A project with a DVC cache, dvc.lock and a remote, but without trainings: what retirement and pruning work on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from pipeline.core import audits, files, images, judgements, manifest, params, paths
from pipeline.core.figures import Figure
from pipeline.core.history import Out, Record, RetiredClass, Weights
from pipeline.core.judgements import Verdict
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Arm, Run
from tests import builders
from tests import report_builders as build
from tests.imports import ROOT

REMOTE = Path("remote")
CACHE = Path(".dvc/cache/files/md5")


def chain(arm: str, newest: int, *, oldest: int = 1) -> dict[str, Run]:
    """The runs of an arm, `ARM-N` of generation N."""
    return {
        f"{arm}-{number}": Run(arm=arm, generation=number, previous=f"{arm}-{number - 1}" if number > 1 else paths.BASE)
        for number in range(oldest, newest + 1)
    }


def settings(runs: Mapping[str, Run], anchors: Mapping[str, Run] | None = None, **keep: Any) -> Params:
    """The project's own params.yaml with the arms `tame` and `wild`, and other runs."""
    plain = params.load()
    night = replace(plain.nightly, keep=replace(plain.nightly.keep, **keep))
    arms = {"tame": Arm(policy="accumulate", ratio=0.5), "wild": Arm(policy="replace", ratio=1.0)}
    return replace(plain, arms=arms, runs=dict(runs), anchors=dict(anchors or {}), nightly=night)


def record(name: str, **changes: Any) -> Record:
    """The record of a retired run `ARM-N`; its outs have MD5s that belong to their paths."""
    arm, _, number = name.rpartition("-")
    generation = int(number)
    found = RetiredClass(
        name="lynx", rare=True, support=40, found=36, recall=Figure(value=0.9, low=0.8, high=0.95, samples=40),
        training_boxes=20,
    )  # fmt: skip
    plain = Record(
        run=name,
        arm=arm,
        generation=generation,
        previous=f"{arm}-{generation - 1}" if generation > 1 else paths.BASE,
        seed=0,
        policy=Arm(policy="accumulate", ratio=0.5),
        verdict=Verdict.HEALTHY,
        reason=f"the reason of {name}.",
        warnings=(),
        diagnosis=(),
        test=builders.sha("test"),
        map50_95=Figure(value=0.6, low=0.5, high=0.7),
        map50=Figure(value=0.8, low=0.7, high=0.9),
        classes=(found,),
        real_images=5,
        synthetic_images=5,
        lineage_depth=generation,
        images_of=(name,),
        weights=Weights(md5=md5(f"weights of {name}"), size=3),
        outs=tuple(Out(path=str(path), md5=f"{md5(str(path))}.dir", size=1, nfiles=1) for path in RunPaths(name).outs),
    )
    return replace(plain, **changes)


def md5(text: str) -> str:
    """The MD5 of a text."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def create(newest: int, *, last: int = 2, remote: bool = True) -> None:
    """Make a project of one arm, `tame`, whose generations are all finished, in the working directory.

    The images of generation N are in the pools of N and N + 1.
    """
    arms = {"tame": {"policy": "accumulate", "ratio": 0.5}}
    text = build.settings_text(arms, {name: _plain(run) for name, run in chain("tame", newest).items()})
    write_params(yaml.safe_load(text) | {"nightly": {"keep": {"last": last, "every": 0}}, "anchors": {}})
    subprocess.run(["git", "init", "-q"], check=True)
    shutil.copy(ROOT / ".gitignore", ".gitignore")  # DVC does not look for its files where git ignores everything
    files.write_text(Path(".dvc/config"), "[core]\n    analytics = false\n")
    if remote:
        with Path(".dvc/config").open("a") as config:
            config.write(f"    remote = there\n['remote \"there\"']\n    url = {Path.cwd() / REMOTE}\n")
    stages: dict[str, Any] = {
        stage: {"foreach": "${runs}", "do": {"cmd": "false ${key}", "outs": [_out(stage, "${key}")]}}
        for stage in paths.RUN_STAGES
    }
    stages["train-base"] = {"cmd": "false base", "outs": [_out("train", "base")]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    audits.write(RunPaths("base").figures, build.audit())
    for name in chain("tame", newest):
        write_run(name)
    files.write_bytes(RunPaths("base").weights, b"the weights of base")
    lock(newest)


def _out(stage: str, run: str) -> str:
    return f"data/gate/{run}.json" if stage == "gate" else f"data/{stage}/{run}"


def _plain(run: Run) -> dict[str, object]:
    return {"arm": run.arm, "generation": run.generation, "previous": run.previous}


def write_params(value: Mapping[str, Any]) -> None:
    """Write params.yaml."""
    files.write_text(paths.PARAMS, yaml.safe_dump(dict(value), sort_keys=False))


def write_run(name: str, verdict: Verdict = Verdict.HEALTHY) -> None:
    """Write what the stages of a run leave."""
    here, run = RunPaths(name), chain("tame", int(name.rpartition("-")[2]))[name]
    rows = []
    for number in range(2):
        path = here.synthetic / "images" / f"{name}-{number}.png"
        files.write_bytes(path, images.encode_png(builders.picture(hash((run.generation, number)) % 1000)))
        files.write_text(here.synthetic / "labels" / f"{name}-{number}.txt", "")
        rows.append(
            builders.synthetic_row(
                f"{name} {number}", run=name, generation=run.generation, lineage_depth=run.generation, path=str(path)
            )
        )
    before = RunPaths(run.previous).pool_manifest
    earlier = [
        row for row in (manifest.read(before) if before.exists() else []) if row.generation >= run.generation - 1
    ]
    manifest.write(here.synthetic_manifest, rows)
    manifest.write(here.mix_manifest, [builders.row("a"), *rows])
    manifest.write(here.pool_manifest, [*earlier, *rows])
    files.write_text(here.forecasts, "{}")
    files.write_bytes(here.weights, f"the weights of {name}".encode())
    audits.write(here.figures, build.audit(name, "tame", run.generation))
    files.write_text(here.confirm / "summary.json", f'{{"run": "{name}"}}')
    judgements.write(here.gate, build.judgement(name, "tame", run.generation, verdict))


def lock(newest: int) -> None:
    """Put what is there into the cache, and write dvc.lock."""
    stages: dict[str, Any] = {"train-base": {"cmd": "false base", "outs": [commit(Path("data/train/base"))]}}
    for name in chain("tame", newest):
        for stage, path in zip(paths.RUN_STAGES, RunPaths(name).outs, strict=True):
            if path.exists():
                stages[f"{stage}@{name}"] = {"cmd": f"false {name}", "outs": [commit(path)]}
    dumped = yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False)
    paths.DVC_LOCK.write_text(dumped)


def commit(path: Path) -> dict[str, object]:
    """Put a file or a folder into the DVC cache, as DVC does; returns its entry in dvc.lock."""
    if path.is_file():
        data = path.read_bytes()
        return {"path": str(path), "hash": "md5", "md5": _store(data), "size": len(data)}
    inside = sorted(one for one in path.rglob("*") if one.is_file())
    listed = [{"md5": _store(one.read_bytes()), "relpath": one.relative_to(path).as_posix()} for one in inside]
    listing = json.dumps(sorted(listed, key=lambda one: one["relpath"]), sort_keys=True).encode()
    size = sum(one.stat().st_size for one in inside)
    return {"path": str(path), "hash": "md5", "md5": _store(listing, ".dir"), "size": size, "nfiles": len(inside)}


def _store(data: bytes, suffix: str = "") -> str:
    name = hashlib.md5(data, usedforsecurity=False).hexdigest() + suffix
    target = CACHE / name[:2] / name[2:]
    if not target.exists():
        files.write_bytes(target, data)
        target.chmod(0o444)
    return name


def push() -> None:
    """Copy the whole cache to the remote."""
    shutil.copytree(CACHE, REMOTE / "files/md5", dirs_exist_ok=True)


def cached() -> set[str]:
    """All objects in the cache."""
    return {f"{one.parent.name}{one.name}" for one in CACHE.glob("??/*")}


def tree(*folders: str) -> dict[str, str]:
    """SHA-256 of all files in some folders, by path."""
    found: Sequence[Path] = sorted(one for folder in folders for one in Path(folder).rglob("*") if one.is_file())
    return {str(one): files.sha256_file(one) for one in found if os.sep + "tmp" + os.sep not in str(one)}
