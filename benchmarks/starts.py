"""How long a stage takes to start: a project of a few images, in which there is nothing to do but to start."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import comparing
from benchmarks.comparing import Comparison, Cost
from tests.project import Project, accept, create

ROW = "starts"
HEAVY = {  # stages, by the one import that they need
    "import ultralytics": ("train --run base", "audit --run base", "generate --run guarded-1"),
    "import fiftyone": ("review",),
}
LIGHT = ("ingest", "verify", "mix --run guarded-1", "gate --run guarded-1")
LIGHT_SECONDS = 1.0


def least(params: dict[str, Any]) -> None:
    """A few images and a step of training: what is left is the start."""
    params["ingest"]["digits"]["pages"] = {"train": 12, "val": 6, "test": 6}
    params["generate"].update(images=12, labels="layout")
    params["train"].update(steps=1, batch=2)
    params["audit"].update(replicates=100)
    params["runs"] = {"guarded-1": {"arm": "guarded", "generation": 1, "previous": "base"}}


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Each stage beside the one import that it needs, or beside a second."""
    project = create(folder / "project", least)
    accept(project)
    done = project.run("dvc", "repro", timeout=900)
    if done.code:
        raise SystemExit(done.output)
    turns = 3 if quick else 5
    lines = []
    for needed, stages in HEAVY.items():
        ways = {needed: partial(comparing.python, "-c", needed, folder=folder)}
        ways |= {one: partial(_stage, project, one) for one in stages}
        found = comparing.in_turns(ways, turns=turns)
        lines += [_line(one, found[one], needed, _seconds(found[needed]), 1.2, found[needed]) for one in stages]
    found = comparing.in_turns({one: partial(_stage, project, one) for one in LIGHT}, turns=turns)
    return [*lines, *(_line(one, found[one], "a second", [LIGHT_SECONDS] * turns, 1.0, None) for one in LIGHT)]


def _stage(project: Project, name: str) -> Cost:
    module, *arguments = name.split()
    return comparing.python("-m", f"pipeline.{module}", *arguments, folder=project.folder, PYTHONPATH="")


def _line(
    stage: str, costs: list[Cost], peer: str, seconds: list[float], wanted: float, beside: list[Cost] | None
) -> Comparison:
    return Comparison(
        row=ROW, what=stage.partition(" ")[0], unit="s", peer=peer, wanted=wanted, ours=_seconds(costs),
        theirs=seconds, ours_mb=comparing.peak(costs), theirs_mb=comparing.peak(beside) if beside else None,
    )  # fmt: skip


def _seconds(costs: list[Cost]) -> list[float]:
    return [one.seconds for one in costs]
