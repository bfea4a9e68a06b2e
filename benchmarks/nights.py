"""What a night costs, and whether it costs the same later on.

Makes a project of one arm with a very small model, five training steps, a folder as the DVC remote and
`nightly.commit`, and runs its nights for real. After each night it measures seconds, and seconds of the processor
(which other programs on the machine disturb less), of the night, of `dvc status` and of `tailwatch status`, seconds of
each stage, and the bytes of the DVC cache, the remote, the rest of the folder, dvc.lock, .git, .fiftyone and
.tailwatch. A machine is not the same an hour later: at the end night 2 and the last night are run again in turns, each
from a copy of the project as it was before. Prints one JSON object as its last line: the figures of each night, those
of the turns, and the ratios of the last night to night 2, as medians of the turns.

As a row of `python -m benchmarks`, it lays out a month of nights on small pages, and compares the next with an early
one.
`uv run python benchmarks/nights.py` runs 30 nights on the default pages. `--year` runs 365 on small pages, one step
each. `--laid-out 365` does not run them: it writes what 365 nights would have left (records of retired runs, journal,
commits, the files of retired runs on the remote) and runs the nights on top of that; the first nights are run before,
to compare with.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparing import Comparison
from tests import past_nights
from tests.project import Project, accept, create

MODEL = """# As small as a detector can be: 13 thousand parameters.
nc: 6
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2], 1, Detect, [nc]]
"""
ROW = "nights"
_MONTH = 31  # nights
GOOD = (0, 3, 4)  # exit codes of a night that came to a verdict
PLACES = {
    "cache": ".dvc/cache", "database": ".fiftyone", "git": ".git", "history": "data/history", "journal": ".tailwatch",
    "lock": "dvc.lock",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of a command: by the clock, and of the processor, its children's included."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What one night cost, with the bytes after it.

    Attributes:
        number: of the night, from 1.
        code: its exit code.
        night: `tailwatch nightly`.
        status: `dvc status` after it.
        check: `tailwatch status` after it.
        stages: seconds of each stage, by its name without the run.
        bytes: by place.
    """

    number: int
    code: int
    night: Cost
    status: Cost
    check: Cost
    stages: dict[str, float]
    bytes: dict[str, int]


def least(params: dict[str, Any]) -> None:
    """One arm and next to no training, on the default pages; the figures mean nothing."""
    params["train"].update(model="models/least.yaml", steps=5)
    params["generate"].update(labels="layout")  # so short a training finds nothing
    params["nightly"].update(on_collapse="continue", commit=True)
    params["arms"] = {"guarded": params["arms"]["guarded"]}
    params["runs"] = {}


def short(params: dict[str, Any]) -> None:
    """Small pages and one step, for many nights."""
    params["ingest"]["digits"]["pages"] = {"train": 40, "val": 12, "test": 24}
    params["generate"].update(images=24)
    params["train"].update(steps=1, batch=8)
    params["audit"].update(replicates=100)


def run(project: Project, *command: str) -> tuple[Cost, int, str]:
    """Run a command of the project's own copy of the code."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = project.run(*command, timeout=3600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall=round(time.perf_counter() - started, 2), cpu=round(cpu, 2)), done.code, done.output


def tailwatch(project: Project, *arguments: str) -> tuple[Cost, int, str]:
    """Run `tailwatch` of the project's own copy of the code, which nobody changes meanwhile."""
    return run(project, sys.executable, "-c", "from pipeline.cli import main; main()", *arguments)


def size(place: Path) -> int:
    """Bytes of a file, or of all files of a folder; 0 where it is not there."""
    if place.is_file():
        return place.stat().st_size
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(place) for name in names)


def sizes(project: Project) -> dict[str, int]:
    """Bytes by place; `workspace` is all else in the folder."""
    found = {name: size(project.folder / path) for name, path in PLACES.items()}
    found["workspace"] = size(project.folder) - sum(found.values())
    found["remote"] = size(project.folder.parent / "remote")
    return found


def make(folder: Path, *, horizon: int, small: bool) -> Project:
    """Make the project: accepted, committed, with a remote and with a base run."""

    def horizons(params: dict[str, Any]) -> None:
        params["gate"].update(horizon=horizon, level=min(params["gate"]["level"], 0.01 * (365 / horizon) ** 0.5))

    project = create(folder / "project", least, *([short] if small else []), horizons)
    (project.folder / "models" / "least.yaml").write_text(MODEL)
    accept(project)
    for command in (
        ["dvc", "remote", "add", "-d", "here", "../remote"],
        ["dvc", "repro", "confirm-base"],
        ["git", "config", "user.name", "a benchmark"],
        ["git", "config", "user.email", "a@example.org"],
        ["git", "add", "."],
        ["git", "commit", "-qm", "before the first night"],
    ):
        _, code, output = run(project, *command)
        if code:
            sys.exit(f"{' '.join(command)}: exit code {code}\n{output}")
    return project


def night(project: Project) -> Night:
    """Run one night, and measure it."""
    cost, code, output = tailwatch(project, "nightly")
    if code not in GOOD:
        sys.exit(f"a night ended with exit code {code}:\n{output}")
    newest = max((project.folder / ".tailwatch/nights").glob("*/night.json"), key=lambda path: path.stat().st_mtime)
    record = json.loads(newest.read_text())
    stages: dict[str, float] = {}
    for one in record["stages"]:
        name = one["name"].partition("@")[0]
        stages[name] = round(stages.get(name, 0) + one["seconds"], 2)
    status, _, said = run(project, "dvc", "status")
    if "up to date" not in said:
        sys.exit(f"after the night something is out of date:\n{said}")
    check, _, _ = tailwatch(project, "status")
    done = Night(number=record["number"], code=code, night=cost, status=status, check=check, stages=stages,
                 bytes=sizes(project))  # fmt: skip
    sys.stderr.write(f"{json.dumps(asdict(done))}\n")
    return done


def copied(project: Project, folder: Path) -> Project:
    """The project and its remote as they are, in another folder, where DVC has looked at every file once."""
    shutil.rmtree(folder, ignore_errors=True)
    for one in (project.folder, project.folder.parent / "remote"):
        shutil.copytree(one, folder / one.name, symlinks=True)
    copy = Project(folder / project.folder.name)
    run(copy, "dvc", "status")
    return copy


def in_turns(early: Project, late: Project, folder: Path, *, turns: int) -> list[tuple[Night, Night]]:
    """Run the next night of both projects in turns, each time from a copy."""
    return [(night(copied(early, folder / "turn")), night(copied(late, folder / "turn"))) for _ in range(turns)]


def ratios(turns: Sequence[tuple[Night, Night]]) -> dict[str, float]:
    """Of the late night to the early one: the median of the turns."""
    found: dict[str, float] = {}
    for what in ("night", "status", "check"):
        for kind in ("wall", "cpu"):
            values = [getattr(getattr(late, what), kind) / getattr(getattr(early, what), kind) for early, late in turns]
            found[f"{what} {kind}"] = round(statistics.median(values), 3)
    for what in ("report", "review"):
        found[f"{what} wall"] = round(statistics.median(b.stages.get(what, 0) / a.stages[what] for a, b in turns), 3)
    return found


def compare(folder: Path, *, quick: bool) -> list[Comparison]:  # noqa: ARG001 - a night is as long in both
    """Seconds of a night after a month beside those of the third; the month is written, not run."""
    project = make(folder, horizon=100, small=True)
    for _ in range(2):
        night(project)
    early = copied(project, folder / "early")
    past_nights.lay_out(project, _MONTH)
    turns = in_turns(early, project, folder, turns=2)
    return [
        Comparison(row=ROW, what=f"night {turns[0][1].number}", unit="s", peer=f"night {turns[0][0].number}",
                   ours=[late.night.wall for _, late in turns], theirs=[one.night.wall for one, _ in turns],
                   wanted=1.15)
    ]  # fmt: skip


def main() -> None:
    """Run the nights that are asked for."""
    parser = argparse.ArgumentParser(description="What a night costs.")
    parser.add_argument("--nights", type=int, help="nights to run (default 30, of a year 365)")
    parser.add_argument("--year", action="store_true", help="small pages and one step a training")
    parser.add_argument(
        "--laid-out", type=int, default=0, metavar="N", help="nights of a past that is written, not run"
    )
    parser.add_argument("--folder", type=Path, help="where the projects are made, and stay")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="times that early and late are compared")
    arguments = parser.parse_args()
    number = arguments.nights or (365 if arguments.year else 30)
    with tempfile.TemporaryDirectory() as temporary:
        small = arguments.year or arguments.laid_out > 0
        folder = arguments.folder or Path(temporary)
        project = make(folder, horizon=max(30, number, arguments.laid_out + number), small=small)
        nights = [night(project)]
        early = copied(project, folder / "early")
        nights += [night(project) for _ in range(number - 2)]
        if arguments.laid_out:
            past_nights.lay_out(project, arguments.laid_out)
            nights.append(night(project))
        turns = in_turns(early, project, folder, turns=arguments.turns)
    told = {"nights": nights, "turns": [one for pair in turns for one in pair]}
    told_as = {name: [asdict(one) for one in some] for name, some in told.items()}
    print(json.dumps({**told_as, "ratios": ratios(turns)}))  # noqa: T201


if __name__ == "__main__":
    main()
