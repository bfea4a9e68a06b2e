"""params.yaml, read once by each stage; an unknown key is an error that says what was meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core import bounded, paths, plain_yaml
from pipeline.core.errors import UserError
from pipeline.core.generate_settings import Generate
from pipeline.core.masking import masked
from pipeline.core.night_settings import Nightly
from pipeline.core.schema import section, suggestion
from pipeline.core.sections import Arm, Audit, Confirm, Gate, Ingest, Mix, Report, Review, Run, Train, Verify

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]*")


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
    anchors: Mapping[str, Run] = field(default_factory=dict)  # retired runs that those in `runs` descend from
    pins: Mapping[str, str] = field(default_factory=dict)  # rows of the ledger as of which runs have their real images
    nightly: Nightly = field(default_factory=Nightly)

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
    if name == paths.BASE or not _NAME.fullmatch(name):
        return f"a run's name has letters, digits, - and _, begins with a letter or digit, and is not {paths.BASE!r}"
    if run.arm not in params.arms:
        return f"there is no arm {run.arm!r}{suggestion(run.arm, params.arms)}; there are: {', '.join(params.arms)}"
    if run.previous != paths.BASE and run.previous not in {*params.runs, *params.anchors}:
        return f"there is no previous run {run.previous!r}{suggestion(run.previous, params.runs)}"
    chain = ancestry(params, name)
    root = params.runs[chain[-1]].previous
    before = params.anchors.get(root)
    wanted = len(chain) + (before.generation if before else 0)
    if wanted != run.generation:
        return f"generation is {run.generation}, wanted {wanted}, one more than the previous"
    arms = {one: params.runs[one].arm for one in chain} | ({root: before.arm} if before else {})
    other = next((one for one, arm in arms.items() if arm != run.arm), None)
    return f"previous run {other!r} is of arm {arms[other]!r}, wanted {run.arm!r}" if other else ""


def _anchor_problem(params: Params, name: str, anchor: Run) -> str:
    """What is wrong with an anchor; nothing if it is a retired run of an arm."""
    if name == paths.BASE or name in params.runs:
        return "it is no retired run; a run is either in `runs` or an anchor"
    if anchor.arm not in params.arms:
        return f"there is no arm {anchor.arm!r}{suggestion(anchor.arm, params.arms)}"
    return "" if anchor.generation >= 1 else f"generation is {anchor.generation}, wanted 1 or more"


def _pin_problem(name: str, pin: str) -> str:
    """What is wrong with a pin; nothing if it may name a row of the ledger. Pins of retired runs may linger."""
    if name != paths.BASE and not _NAME.fullmatch(name):
        return "it is no name of a run"
    if not re.fullmatch(f"[0-9a-f]{{{paths.PIN},64}}", pin):
        return f"{bounded.shown(pin)}, wanted the first {paths.PIN} or more digits of the hash of a row of the ledger"
    return ""


def ancestry(params: Params, name: str) -> list[str]:
    """The run and those in `runs` that it descends from, newest first: back to the base, or to an anchor.

    Raises:
        UserError: the runs form a cycle.
    """
    chain: list[str] = []
    while name != paths.BASE and (not chain or name not in params.anchors):
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
        value = plain_yaml.load(text)
    except ValueError as error:
        raise UserError(f"params.yaml is not valid YAML: {masked(str(error))}.") from None
    try:
        params = section(Params, value)
    except UserError as error:
        raise UserError(masked(str(error))) from None
    for name, run in params.anchors.items():
        if problem := _anchor_problem(params, name, run):
            raise UserError(f"params.yaml: anchors.{name}: {problem}. `uv run tailwatch nightly` writes the anchors.")
    for name, pin in params.pins.items():
        if problem := _pin_problem(name, pin):
            raise UserError(f"params.yaml: pins.{name}: {problem}. `uv run tailwatch nightly` writes the pins.")
    for name, run in params.runs.items():
        if problem := _problem(params, name, run):
            raise UserError(f"params.yaml: runs.{name}: {problem}.")
    return params


def load(path: Path = paths.PARAMS) -> Params:
    """Read params.yaml.

    Raises:
        UserError: the file is missing or refused by :func:`parse`.
    """
    if not path.exists():
        raise UserError(f"{path} is not in {Path.cwd()}; run this in the project's folder.")
    try:
        text = bounded.text(path, most=plain_yaml.MOST)
    except ValueError as error:
        raise UserError(f"{path} {error}. Restore it, for instance with `git checkout -- {path}`.") from None
    return parse(text)
