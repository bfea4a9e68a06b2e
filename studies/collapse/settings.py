"""The study's settings: what is varied, and what is other than in the project."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from pipeline.core import bounded, params, paths, plain_yaml, schema
from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.core.schema import require, suggestion
from pipeline.core.sections import Policy
from studies.collapse import places
from studies.collapse.places import Places

_HEAD = "# Written by `{command} plan` from the grid of params.yaml; dvc.yaml goes through it.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The real images that the whole study is about.

    Attributes:
        source: as ``ingest.source``.
        path: folder of the source, relative to the project; it may be a link.
        verified: whose labels count as verified: all that are ingested, or those that the project's ledger accepts.
        seed: of the data, which all seeds of the study share.
        title: what people call it.
    """

    source: Literal["digits", "yolo", "coco", "voc"]
    path: str
    verified: Literal["all", "ledger"]
    seed: int
    title: str

    def __post_init__(self) -> None:
        """Refuse what DVC could not depend on."""
        require(
            not Path(self.path).is_absolute(),
            f"dataset.path is {self.path!r}, wanted a folder of the project. Put a link to it into data/source",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of the grid: all combinations of its lists."""

    policies: tuple[Policy, ...]
    ratios: tuple[float | Literal["pool"], ...]
    labels: tuple[Literal["detector", "layout"], ...]
    generators: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what no arm may be."""
        for name in ("policies", "ratios", "labels", "generators"):
            require(bool(getattr(self, name)), f"{name} is empty, wanted at least one")
        for ratio in self.ratios:
            if ratio == "pool":
                require("replace" not in self.policies, "ratio pool: `replace` has no pool; give it a block of its own")
            else:
                require(0 <= ratio <= 1, f"ratio {ratio:g}, wanted a share in [0, 1], or pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All of a study's params.yaml.

    Attributes:
        name: of the study, which is that of its folder and not in the file.
    """

    dataset: Dataset
    total: Literal["all-real"] | int
    generations: int
    seeds: tuple[int, ...]
    threads: int
    crops: int
    grid: tuple[Block, ...]
    project: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse a study of nothing."""
        require(self.total == "all-real" or self.total > 0, f"total {self.total}, wanted all-real or a number over 0")
        require(self.generations >= 1, f"generations {self.generations}, wanted at least 1")
        require(len(set(self.seeds)) == len(self.seeds) > 0, f"seeds {list(self.seeds)}: wanted numbers, each once")
        require(min(self.threads, self.crops) >= 1, "threads and crops: wanted at least 1")
        require(bool(self.grid), "grid is empty, wanted at least one block")

    @property
    def places(self) -> Places:
        """Where it is."""
        return Places(name=self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One chain of generations: an arm, where its images and labels come from, and a seed."""

    policy: Policy
    ratio: float | Literal["pool"]
    labels: Literal["detector", "layout"]
    generator: str
    seed: int

    @property
    def arm(self) -> str:
        """Name without the seed: what is compared, each over all seeds.

        >>> Cell(policy="replace", ratio=0.25, labels="detector", generator="mixture", seed=1).arm
        'replace-25-detector-mixture'
        """
        if self.ratio == 0:
            return "real"
        share = self.ratio if self.ratio == "pool" else f"{100 * self.ratio:g}".replace(".", "p")
        return f"{self.policy}-{share}-{self.labels}-{_plain(self.generator)}"

    @property
    def name(self) -> str:
        """What it is called on a command line, and its stage in dvc.yaml."""
        return f"{self.arm}-{self.seed}"


def _plain(generator: str) -> str:
    """A generator's name in letters, digits and underscores; of `path/of/file.py:function` both names."""
    last = generator.rpartition("/")[2].replace(".py:", "_")
    return "".join(one if one.isascii() and one.isalnum() else "_" for one in last)


def load(name: str = "") -> Study:
    """Read a study's settings.

    Args:
        name: of the study; empty for the first.

    Raises:
        UserError: the file is missing, or something in it is unknown, missing or out of range.
    """
    path = places.named(name).params
    try:
        value = plain_yaml.load(bounded.text(path, most=plain_yaml.MOST))
    except ValueError as error:
        raise UserError(f"{path} is not valid YAML: {error}.") from None
    if isinstance(value, dict) and "name" in value:
        raise UserError(f"{path}: name: a study has the name of its folder. Take it out.")
    try:
        return dataclasses.replace(schema.section(Study, value), name=name)
    except UserError as error:
        raise UserError(str(error).replace("params.yaml:", f"{path}:", 1)) from None


def cells(study: Study) -> dict[str, Cell]:
    """The cells of the grid by name, each once.

    Equal are: all cells of a seed at the ratio 0, which train on real images alone; and, for a total that is fixed,
    `accumulate` and `accumulate-subsample` at a ratio that is a number, which are the same draw.

    Raises:
        UserError: two generators have the same name.
    """
    found: dict[str, Cell] = {}
    for seed, block in itertools.product(study.seeds, study.grid):
        product = itertools.product(block.policies, block.ratios, block.labels, block.generators)
        for policy, ratio, labels, generator in product:
            cell = _canonical(Cell(policy=policy, ratio=ratio, labels=labels, generator=generator, seed=seed))
            other = found.setdefault(cell.name, cell)
            if other != cell:
                raise UserError(
                    f"{study.places.params}: the generators {other.generator} and {cell.generator} would both be "
                    f"called {_plain(cell.generator)!r}. Rename one."
                )
    return found


def _canonical(cell: Cell) -> Cell:
    if cell.ratio == 0:  # what the generator makes is not used: the quickest one does
        return dataclasses.replace(cell, policy="replace", labels="layout", generator="mixture")
    if cell.policy == "accumulate-subsample" and cell.ratio != "pool":
        return dataclasses.replace(cell, policy="accumulate")
    return cell


def chosen(study: Study, patterns: tuple[str, ...]) -> dict[str, Cell]:
    """The cells whose names match one of the patterns, as a shell matches file names.

    Without a pattern, all of them.

    Raises:
        UserError: a pattern matches none.
    """
    import fnmatch

    found = cells(study)
    if not patterns:
        return found
    names: set[str] = set()
    for pattern in patterns:
        matching = fnmatch.filter(found, pattern)
        if not matching:
            raise UserError(
                f"no cell is called {pattern!r}{suggestion(pattern, found)}. "
                f"`{study.places.command} plan` lists all of them."
            )
        names.update(matching)
    return {name: cell for name, cell in found.items() if name in names}


def cells_text(study: Study) -> str:
    """The cells as dvc.yaml goes through them."""
    return _HEAD.format(command=study.places.command) + yaml.safe_dump(
        {"cells": {name: dataclasses.asdict(cell) for name, cell in cells(study).items()}},
        sort_keys=False,
        default_flow_style=None,
        width=120,
    )


def cell(study: Study, name: str) -> Cell:
    """One cell by name.

    Raises:
        UserError: there is no such cell.
    """
    found = cells(study)
    if name not in found:
        raise UserError(
            f"no cell {name!r} in the grid of {study.places.params}{suggestion(name, found)}. "
            f"`{study.places.command} plan` lists all of them."
        )
    return found[name]


def merged(study: Study) -> dict[str, Any]:
    """The project's params.yaml with what the study has other, still as plain values.

    Raises:
        UserError: one of the files is missing or not valid, or the study names a section that there is not.
    """
    params.load()
    value: dict[str, Any] = plain_yaml.load(bounded.text(paths.PARAMS, most=plain_yaml.MOST))
    ruled = {"arms", "runs", "pins", "anchors", "seed"} & set(study.project)
    if ruled:
        raise UserError(f"{study.places.params}: project.{min(ruled)} is the study's own business. Take it out.")
    value = _over(value, study.project, "project")
    dataset = study.dataset
    value["ingest"] |= {"source": dataset.source, "path": dataset.path}
    value |= {"seed": dataset.seed, "arms": {}, "runs": {}, "pins": {}}
    value.pop("anchors", None)
    checked(study, value)
    return value


def checked(study: Study, value: Mapping[str, Any]) -> Params:
    """The settings of one folder of the study, as its stages will read them.

    Raises:
        UserError: something in them is unknown or out of range.
    """
    try:
        return params.parse(yaml.safe_dump(dict(value), sort_keys=False))
    except UserError as error:
        raise UserError(f"{study.places.params}: project: {str(error).removeprefix('params.yaml: ')}") from None


def _over(value: dict[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    result = dict(value)
    for key, change in changes.items():
        before = result.get(key)
        inner = isinstance(before, dict) and isinstance(change, Mapping)
        result[key] = _over(before, change, f"{where}.{key}") if inner and before else change
    return result
