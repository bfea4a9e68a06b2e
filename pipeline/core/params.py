"""params.yaml, read once by each stage; an unknown key is an error that says what was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.core import paths
from pipeline.core.errors import UserError
from pipeline.core.schema import UniqueKeys, section, suggestion
from pipeline.core.sections import Arm, Audit, Confirm, Gate, Generate, Ingest, Mix, Report, Review, Run, Train, Verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """All of params.yaml."""

    seed: int
    ingest: Ingest
    verify: Verify
    generate: Generate
    mix: Mix
    train: Train
    audit: Audit
    confirm: Confirm
    gate: Gate
    review: Review
    report: Report
    arms: Mapping[str, Arm]
    runs: Mapping[str, Run]

    def run(self, name: str) -> Run:
        """One run by name.

        Raises:
            UserError: there is no such run.
        """
        if name not in self.runs:
            known = ", ".join([paths.BASE, *self.runs])
            raise UserError(f"no run {name!r} in params.yaml{suggestion(name, self.runs)}; there are: {known}.")
        return self.runs[name]


def _problem(params: Params, name: str, run: Run) -> str:
    """What is wrong with a run; nothing if it descends from the base, generation by generation in one arm."""
    if name == paths.BASE or not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", name):
        return f"a run's name has letters, digits, - and _, begins with a letter or digit, and is not {paths.BASE!r}"
    if run.arm not in params.arms:
        return f"there is no arm {run.arm!r}{suggestion(run.arm, params.arms)}; there are: {', '.join(params.arms)}"
    if run.previous != paths.BASE and run.previous not in params.runs:
        return f"there is no previous run {run.previous!r}{suggestion(run.previous, params.runs)}"
    chain = ancestry(params, name)
    if len(chain) != run.generation:
        return f"generation is {run.generation}, wanted {len(chain)}, one more than the previous"
    other = next((one for one in chain if params.runs[one].arm != run.arm), None)
    return f"previous run {other!r} is of arm {params.runs[other].arm!r}, wanted {run.arm!r}" if other else ""


def ancestry(params: Params, name: str) -> list[str]:
    """The run and those that it descends from, newest first, without the base.

    Raises:
        UserError: the runs form a cycle.
    """
    chain: list[str] = []
    while name != paths.BASE:
        if name in chain:
            circle = " -> ".join([*chain[chain.index(name) :], name])
            raise UserError(f"params.yaml: runs: {circle} is a cycle; a first generation has `previous: base`.")
        chain.append(name)
        name = params.run(name).previous
    return chain


def parse(text: str) -> Params:
    """Parse the text of a params.yaml.

    Raises:
        UserError: the text is not YAML, or holds something unknown, missing or out of range.
    """
    try:
        value = yaml.load(text, UniqueKeys)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        raise UserError(f"params.yaml is not valid YAML: {error}") from None
    params = section(Params, value)
    for name, run in params.runs.items():
        if problem := _problem(params, name, run):
            raise UserError(f"params.yaml: runs.{name}: {problem}.")
    return params


def load(path: Path = paths.PARAMS) -> Params:
    """Read params.yaml.

    Raises:
        UserError: the file is missing or refused by :func:`parse`.
    """
    try:
        return parse(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is not in {Path.cwd()}; run this in the project's folder.") from None
