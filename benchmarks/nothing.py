"""Nothing to do: `dvc repro` of a large project that is up to date, beside that of the same graph of empty stages.

The project has 20,000 images and 30 runs. Its outputs are files of the right names and of a few bytes, which DVC is
told to take as they are (`dvc commit`): what is measured is how long it takes to find that nothing changed. The peer is
a graph of as many stages, with the same files and parameters in and the same files out, written down one by one
without templates and loops. A second one, without the parameters, shows what those cost: DVC reads params.yaml for
each stage.
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
PEER = "the same graph of stages that do nothing"

Graph = dict[str, dict[str, list[str]]]  # what each stage has: deps, params, outs


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


def fill(project: Project, images: int) -> Graph:
    """Write what the stages would have; gives what each stage has in and out."""
    graph: Graph = {}
    for stage in _stages(project):
        graph[stage.name.replace("@", "-")] = {
            "deps": sorted(str(one) for one in stage.deps if not hasattr(one, "params")),
            "params": sorted(name for one in stage.deps if hasattr(one, "params") for name in one.params),
            "outs": [str(one) for one in stage.outs],
        }
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


def peer(project: Project, graph: Graph, folder: Path, *parts: str) -> Project:
    """The same files under a graph of stages that do nothing, which names these parts of each stage."""
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("dvc.lock", ".dvc", ".git", "studies"))
    bare = Project(folder)
    for command in ("git init -q", "dvc init -q"):
        _done(bare, command)
    stages = {name: {"cmd": "true", **{part: stage[part] for part in parts}} for name, stage in graph.items()}
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
    ways = {
        "ours": project,
        PEER: peer(project, graph, folder / "peer", "deps", "params", "outs"),
        f"{PEER}, without parameters": peer(project, graph, folder / "bare", "deps", "outs"),
    }
    for one in ways.values():
        _done(one, "dvc commit -f -q")
        told = _done(one, "dvc repro")
        if "Running stage" in told:
            raise SystemExit(f"there is something to do: {told}")
    found = comparing.in_turns(
        {name: partial(comparing.run, "dvc", "repro", folder=one.folder) for name, one in ways.items()}, turns=3
    )
    return [
        Comparison(
            row=ROW, what=f"dvc repro, {images:,} images and {len(ARMS) * generations} runs", unit="s",
            peer=name, wanted=1.2 if name == PEER else None,
            ours=[one.seconds for one in found["ours"]], theirs=[one.seconds for one in found[name]],
            ours_mb=comparing.peak(found["ours"]), theirs_mb=comparing.peak(found[name]),
        )
        for name in ways if name != "ours"
    ]  # fmt: skip
