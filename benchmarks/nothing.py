"""Nothing to do: `dvc repro` of a large project that is up to date, beside that of the same graph of empty stages.

The project has 20,000 images and 30 runs. Its outputs are files of the right names and of a few bytes, which DVC is
told to take as they are (`dvc commit`): what is measured is how long it takes to find that nothing changed. The peer is
a graph of as many stages, with the same files in and out, written down one by one, without parameters, templates and
loops.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks import comparing
from benchmarks.comparing import Comparison
from tests.project import Project, create

ROW = "nothing"
ARMS = ("guarded", "recursive")


def _arrange(generations: int, params: dict[str, Any]) -> None:
    params["runs"] = {
        f"{arm}-{number}": {
            "arm": arm, "generation": number, "previous": f"{arm}-{number - 1}" if number > 1 else "base"
        }
        for arm in ARMS
        for number in range(1, generations + 1)
    }  # fmt: skip


def _stages(project: Project) -> Iterator[Any]:
    from dvc.repo import Repo

    with Repo(str(project.folder)) as repo:
        yield from repo.index.stages


def fill(project: Project, images: int) -> dict[str, dict[str, list[str]]]:
    """Write what the stages would have; gives what each stage has in and out."""
    graph: dict[str, dict[str, list[str]]] = {}
    for stage in _stages(project):
        deps = sorted(str(one) for one in stage.deps if not hasattr(one, "params"))
        graph[stage.name.replace("@", "-")] = {"deps": deps, "outs": [str(one) for one in stage.outs]}
    for path in sorted({path for parts in graph.values() for path in (*parts["deps"], *parts["outs"])}, reverse=True):
        if not (project.folder / path).exists():  # what is in a folder comes before the folder
            _put(project.folder / path)
    for number in range(images):
        _put(project.folder / f"data/real/images/{number:06d}.png", f"{number}")
    return graph


def _put(path: Path, text: str = "as it is") -> None:
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    else:
        path.mkdir(parents=True, exist_ok=True)
        (path / "file").write_text(text)


def peer(project: Project, graph: dict[str, dict[str, list[str]]], folder: Path) -> Project:
    """The same files under a graph of stages that do nothing."""
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("dvc.lock", ".dvc", ".git", "studies"))
    bare = Project(folder)
    for command in ("git init -q", "dvc init -q"):
        _done(bare, command)
    stages = {name: {"cmd": "true", **parts} for name, parts in graph.items()}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    return bare


def _done(project: Project, command: str) -> str:
    done = project.run(*command.split(), timeout=1800)
    if done.code:
        raise SystemExit(f"{command} in {project.folder}: {done.output}")
    return done.output


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Seconds of both."""
    images, generations = (2_000, 3) if quick else (20_000, 15)
    project = create(folder / "project", partial(_arrange, generations))
    graph = fill(project, images)
    bare = peer(project, graph, folder / "bare")
    for one in (project, bare):
        _done(one, "dvc commit -f -q")
        told = _done(one, "dvc repro")
        if "Running stage" in told:
            raise SystemExit(f"there is something to do: {told}")
    found = comparing.in_turns(
        {
            "ours": partial(comparing.run, "dvc", "repro", folder=project.folder),
            "bare": partial(comparing.run, "dvc", "repro", folder=bare.folder),
        },
        turns=5,
    )
    return [
        Comparison(
            row=ROW, what=f"dvc repro, {images:,} images and {len(ARMS) * generations} runs", unit="s",
            peer="the same graph of stages that do nothing", wanted=1.2,
            ours=[one.seconds for one in found["ours"]], theirs=[one.seconds for one in found["bare"]],
            ours_mb=comparing.peak(found["ours"]), theirs_mb=comparing.peak(found["bare"]),
        )
    ]  # fmt: skip
