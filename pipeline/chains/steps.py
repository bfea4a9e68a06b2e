"""Runs in folders of their own, each a small project in which the project's own stages run.

A folder is made of links to what it shares with others, a params.yaml, and what its stages write. What a run rests on
is digested into its key; a run whose key is another one is made anew, with all that follow it. So what was cut off goes
on where it was, and nothing is taken from other settings or other code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.chains import stages
from pipeline.core import cores, files, locks, paths, processes, stage
from pipeline.core.errors import UserError

LOG = "log.txt"  # in a folder: what its stages said
_LINES = 12  # of the log that an error quotes
_LINKED = ("models", "generators")  # folders of the project that settings may name


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One run: a base, or one generation of a chain.

    Attributes:
        folder: in which it runs, relative to the project's.
        run: its name there.
        key: digest of all that it rests on.
        threads: cores that it computes on.
        what: what it is, for people.
    """

    folder: Path
    run: str
    key: str
    threads: int
    what: str

    @property
    def done(self) -> bool:
        """Whether all its stages have ended, on the same inputs."""
        noted = note(self.folder / stages.progress(self.run))
        wanted = stages.outs(self.run)
        there = all((self.folder / out).exists() for out in wanted.values())
        return noted.get("key") == self.key and set(noted.get("stages", {})) == set(wanted) and there


def run_name(number: int) -> str:
    """A generation's run; equal in all folders, so that they draw equal random numbers where they do the same."""
    return f"g{number}" if number else paths.BASE


def runs(arm: str, generations: int) -> dict[str, dict[str, Any]]:
    """The `runs` of a params.yaml that has one chain.

    A seed of its own each: how much trainings differ by chance is part of what is measured.

    Args:
        arm: of the chain.
        generations: after the base.
    """
    return {
        run_name(number): {"arm": arm, "generation": number, "previous": run_name(number - 1), "seed": number}
        for number in range(1, generations + 1)
    }


def locked(folder: Path, what: str) -> AbstractContextManager[None]:
    """Have a folder for oneself: two engines at once would write into each other's."""
    return locks.held(folder.with_name(f"{folder.name}.lock"), what, wait=stage.report)


def execute(step: Step, *, root: Path, folder: Path | None = None) -> None:
    """Run the stages of a step that are not done; ends with this process, however that ends.

    Args:
        step: what to run; its folder is ready.
        root: where the package `pipeline` is.
        folder: another folder than the step's, where that is on another machine.

    Raises:
        UserError: a stage failed; the message has its last words.
    """
    where = (folder or step.folder).absolute()
    threads = str(step.threads)
    environment = {
        **os.environ, "PYTHONPATH": str(root.absolute()), cores.THREADS_VARIABLE: threads, "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
    }  # fmt: skip
    with (where / LOG).open("ab") as log:
        code = subprocess.run(  # noqa: S603 - this Python, with a module of the project
            [sys.executable, "-m", "pipeline.chains.stages", "--run", step.run],
            cwd=where, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False,
            preexec_fn=processes.ending_with_us(),
        ).returncode  # fmt: skip
    if code:
        text = (where / LOG).read_text(errors="replace").strip().splitlines()[-_LINES:]
        said = next((line for line in reversed(text) if line.startswith("error: ")), "")
        raise UserError(
            f"{step.what}: {said.removeprefix('error: ') or ' / '.join(text)} (exit code {code}; the log is "
            f"{step.folder / LOG}). Mend that and run the same command again: it goes on with this generation."
        )


def note(path: Path) -> dict[str, Any]:
    """What a small JSON file says; nothing where it is missing or damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def clear(line: Sequence[Step]) -> None:
    """Remove what runs have from other inputs, and note their keys: from the first such run on, all that follow."""
    stale = False
    for step in line:
        noted = step.folder / stages.progress(step.run)
        stale = stale or note(noted).get("key") != step.key
        if stale:
            for out in stages.outs(step.run).values():
                shutil.rmtree(step.folder / out, ignore_errors=True)
            files.write_json(noted, {"key": step.key, "stages": {}})


def link(source: Path, folder: Path, shared: tuple[str, ...]) -> None:
    """Show in a folder what it shares with another one, and the project's own models and generators."""
    for name, target in [*((one, source / one) for one in shared), *((one, Path(one)) for one in _LINKED)]:
        shown = folder / name
        if not shown.is_symlink() and target.exists():
            shown.parent.mkdir(parents=True, exist_ok=True)
            aside = shown.with_name(f".{shown.name}.{os.getpid()}.link")
            aside.unlink(missing_ok=True)
            aside.symlink_to(os.path.relpath(target.absolute(), shown.parent.absolute()), target_is_directory=True)
            aside.replace(shown)


def settle(folder: Path, value: Mapping[str, Any]) -> None:
    """Write a folder's params.yaml."""
    files.write_text(folder / paths.PARAMS, yaml.safe_dump(dict(value), sort_keys=False))
