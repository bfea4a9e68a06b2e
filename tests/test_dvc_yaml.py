"""dvc.yaml says what each stage really depends on: one file short leaves a stale cache, one too many retrains."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core import imports, paths
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from tests.imports import ROOT, closure, modules

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())
SECTIONS = {field.name for field in fields(Params)}
MAPPINGS = ("runs", "arms", "pins")  # what is taken of one is a method or an entry, no section of params.yaml
KEPT_IN_GIT = {str(one) for one in (paths.LEDGER, paths.IMPORTS, paths.CORRECTIONS, paths.HISTORY)}
COMMAND = re.compile(r"python -m pipeline\.(\w+)(?: --run (\S+))?")


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml, as written, with placeholders."""

    name: str
    module: str
    run: str | None  # base, ${key}, or None for a stage that has no runs
    foreach: str | None
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]


def _names(entries: Iterable[str | dict[str, Any]] | None) -> tuple[str, ...]:
    """Paths or params of a list in which an entry may have settings of its own."""
    return tuple(entry if isinstance(entry, str) else next(iter(entry)) for entry in entries or ())


def _stage(name: str, content: dict[str, Any]) -> Stage:
    inner = content.get("do", content)
    command = COMMAND.fullmatch(inner["cmd"])
    assert command, inner["cmd"]
    return Stage(
        name=name,
        module=command[1],
        run=command[2],
        foreach=content.get("foreach"),
        deps=_names(inner.get("deps")),
        params=_names(inner.get("params")),
        outs=sum((_names(inner.get(kind)) for kind in ("outs", "metrics", "plots")), ()),
    )


STAGES = {name: _stage(name, content) for name, content in GRAPH["stages"].items()}
each_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))


@each_stage
def test_name(stage: Stage) -> None:
    """A stage is named as its module; that of generation 0 ends in -base; all others are run for each run."""
    assert f"pipeline.{stage.module}" in modules()
    if stage.foreach:
        assert (stage.name, stage.run, stage.foreach) == (stage.module, "${key}", "${runs}")
    elif stage.run:
        assert (stage.name, stage.run) == (f"{stage.module}-base", paths.BASE)
    else:
        assert stage.name == stage.module
    assert stage.module in stage.params or stage.module == "code"


def test_every_stage_is_there() -> None:
    """Each module that starts a stage is one in dvc.yaml, and the other way round."""
    starting = {
        path.stem
        for path in (ROOT / "pipeline").glob("*.py")
        if re.search(r"^    stage\.start", path.read_text(), re.MULTILINE)
    }
    assert {stage.module for stage in STAGES.values()} == starting


@each_stage
def test_code(stage: Stage) -> None:
    """A stage depends on one file that says what its module imports; the stage that writes these, on the package."""
    declared = {dep for dep in stage.deps if dep.startswith(f"{paths.CODE}/") or dep == imports.PACKAGE}
    assert declared == ({imports.PACKAGE} if stage.module == "code" else {str(paths.code_of(stage.module))})


@each_stage
def test_other_files_of_the_package(stage: Stage) -> None:
    """What else a stage takes from the package is there, and some of its code names it."""
    code = "".join((ROOT / path).read_text() for path in closure(f"pipeline.{stage.module}"))
    for dep in stage.deps:
        if dep.startswith("pipeline/") and not dep.endswith(".py"):
            assert (ROOT / dep).exists()
            assert f'"{Path(dep).name}' in code


def _is_params(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("\"'") in ("Params", "params.Params")


def _is_load(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("params.load", "load")


def _holders(function: ast.FunctionDef) -> set[str]:
    """Names that hold all parameters inside a function: arguments of that type, and what was loaded."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names = {argument.arg for argument in arguments if _is_params(argument.annotation)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and _is_load(node.value):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _chains(function: ast.FunctionDef) -> Iterator[list[str]]:
    """The attributes that a function takes of the parameters, such as ``train.device``, outermost only."""
    holders = _holders(function)
    inner = {id(node.value) for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    for node in ast.walk(function):
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        chain: list[str] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            chain.insert(0, value.attr)
            value = value.value
        if _is_load(value) or (isinstance(value, ast.Name) and value.id in holders):
            yield chain


@functools.cache
def sections_of(path: Path) -> frozenset[tuple[str, ...]]:
    """What a file reads of params.yaml: the attributes that its functions take of it."""
    tree = ast.parse((ROOT / path).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return frozenset(tuple(chain) for function in functions for chain in _chains(function))


def sections_read(module: str) -> set[str]:
    """What a stage reads of params.yaml: whole sections, or keys of those that are not its own."""
    found: set[str] = set()
    for path in closure(f"pipeline.{module}") - {Path("pipeline/core/params.py")}:
        for first, *rest in sections_of(path):
            section = "runs" if first == "run" else first
            whole = section in (module, *MAPPINGS) or not rest
            found.add(section if whole else f"{section}.{rest[0]}")
    return {one for one in found if one.split(".")[0] not in found - {one}}


@each_stage
def test_params(stage: Stage) -> None:
    """The params are the sections that the module's code reads: its own whole, of others no more than it takes."""
    wanted = sections_read(stage.module)
    assert {one.split(".")[0] for one in wanted} <= SECTIONS
    if stage.run == paths.BASE:  # generation 0 is of no arm, and params.yaml has no entry for it
        wanted -= {"runs", "arms"}
    elif stage.foreach:  # one run's entries only: a new run leaves the others as they are
        narrow = {"runs": "runs.${key}", "arms": "arms.${item.arm}"}
        wanted = {narrow.get(one, one) for one in wanted}
    assert set(stage.params) == wanted
    assert len(stage.params) == len(set(stage.params))


def known_paths(stage: Stage) -> set[str]:
    """Every path of paths.py, those of runs for the base, and for the run and its previous where there is one."""
    runs = [paths.BASE, *(["${key}", "${item.previous}"] if stage.foreach else [])]
    properties = [name for name, value in vars(RunPaths).items() if isinstance(value, property)]
    of_runs = {str(getattr(RunPaths(run), name)) for run in runs for name in properties}
    code = {str(paths.code_of(stage.module))}
    return {str(value) for value in vars(paths).values() if isinstance(value, Path)} | of_runs | code


@each_stage
def test_paths(stage: Stage) -> None:
    """Every path is one of paths.py; a place that people choose is a key of a section that the stage depends on."""
    for path in (*stage.deps, *stage.outs):
        if path.split("/")[0] == imports.PACKAGE:
            continue
        chosen = re.fullmatch(r"\$\{(\w+)(?:\.\w+)+\}", path)
        if chosen:
            assert chosen[1] in stage.params
        else:
            assert path in known_paths(stage)


def _anyones(path: str) -> str:
    """A path with the run left open; the folder of all runs is that of any."""
    return re.sub(r"\$\{(key|item\.previous)\}|(?<=/)base(?=/|$)", "*", path)


@each_stage
def test_dependencies_are_made_by_others(stage: Stage) -> None:
    """What a stage depends on under data/ is made by another stage, or kept in git."""
    others = {_anyones(out) for other in STAGES.values() if other is not stage for out in other.outs}
    same = {_anyones(out) for out in stage.outs}
    for dep in stage.deps:
        if not dep.startswith("data/") or dep in KEPT_IN_GIT:
            continue
        place = _anyones(dep)
        made = others | (same if "item.previous" in dep else set())
        assert any(place == out or place.startswith(f"{out}/") or out.startswith(f"{place}/") for out in made)


def test_outs_do_not_overlap() -> None:
    """No stage writes where another does."""
    outs = sorted(out for stage in STAGES.values() for out in stage.outs)
    assert len(outs) == len(set(outs))
    assert not [(one, two) for one in outs for two in outs if two.startswith(f"{one}/")]


def test_no_other_graph() -> None:
    """Every command of DVC reads this graph and no other: studies are projects of their own."""
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        read = {Path(one.path_in_repo) for one in repo.index.stages}
    assert read - {Path("data/anchors.dvc")} == {Path("dvc.yaml")}


def test_plots() -> None:
    """Plots read tables of the report, and their templates are there."""
    for plot in GRAPH.get("plots", []):
        ((title, settings),) = plot.items()
        assert title
        assert {Path(table).parent for table in settings["y"]} == {paths.REPORT_PLOTS}
        template = settings.get("template", "linear")
        built_in = {"simple", "linear", "confusion", "scatter", "smooth"}
        assert template in built_in or (ROOT / ".dvc" / "plots" / f"{template}.json").exists()
