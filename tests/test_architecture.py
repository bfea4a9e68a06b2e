"""Imports flow one way, heavy packages stay in one file each, and nothing grows too long."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT, imported, modules

MODULES = modules()
COMMAND_LINE = {
    "pipeline.cli",
    "pipeline.cli_ratio",
    "pipeline.cli_schedule",
    "pipeline.checking",
    "pipeline.accepting",
    "pipeline.planning",
    "pipeline.ledgers",
    "pipeline.standing_by",
    "pipeline.preflight",
    "pipeline.night_steps",
    "pipeline.nightly",
    "pipeline.scheduling",
    "pipeline.retention",
    "pipeline.promoting",
    "pipeline.pinning",
    "pipeline.initialising",
    "pipeline.probing",
    "pipeline.proposal_words",
    "pipeline.ratio",
    "pipeline.ratio_folders",
    "pipeline.ratio_plan",
}
HEAVY = {
    "torch": {
        *(f"pipeline/adapters/yolo{part}.py" for part in ("", "_predictor", "_trainer")),
        *(f"pipeline/adapters/diffusion_{part}.py" for part in ("device", "model", "pipelines")),
    },
    "diffusers": {f"pipeline/adapters/diffusion_{part}.py" for part in ("device", "model")},
    "transformers": {"pipeline/adapters/diffusion_pipelines.py"},
    "safetensors": {f"pipeline/adapters/diffusion_{part}.py" for part in ("device", "kept")},
    "ultralytics": {f"pipeline/adapters/yolo{part}.py" for part in ("", "_predictor", "_trainer")},
    "fiftyone": {
        *(
            f"pipeline/adapters/voxel{part}.py"
            for part in ("", "_app", "_deciding", "_evaluation", "_exports", "_map", "_server")
        ),
        *(f"pipeline/app/{name}.py" for name in ("decisions", "looking", "verdicts")),
    },
    "matplotlib": {"pipeline/adapters/charts.py"},
    "dvc": {f"pipeline/adapters/dvc_{name}.py" for name in ("places", "probe", "store")},
    "dvc_data": {"pipeline/adapters/dvc_store.py"},
}
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "base"}
FUNCTION_LINES = 45  # without the docstring; the style guide says about 40
MODULE_LINES = 350

each_module = pytest.mark.parametrize("name", [name for name, path in MODULES.items() if path.read_text().strip()])


def layer(name: str) -> str:
    """The layer of a module: core, adapters, the App's plugin, doctor, chains, command line or stage."""
    parts = name.split(".")
    if len(parts) > 1 and parts[1] in ("core", "adapters", "app", "doctor", "chains"):
        return parts[1]
    return "command line" if name in COMMAND_LINE else "stage"


# What each layer may import. Stages are run by DVC, one process each: they never import one another.
ALLOWED = {
    "core": {"core"},
    "adapters": {"core", "adapters"},
    "app": {"core", "adapters", "app"},
    "stage": {"core", "adapters"},
    "doctor": {"core", "adapters", "doctor"},
    "chains": {"core", "chains", "stage"},  # stages one after another, in folders of their own
    "command line": {"core", "adapters", "doctor", "chains", "command line"},
}
LAZILY = {("pipeline.cli", "pipeline.review")}  # a command that opens what a stage has made


def own_imports(name: str) -> set[str]:
    """The project's modules that a module imports."""
    return {one for one in imported(MODULES[name]) if one in MODULES and MODULES[one].read_text().strip()}


@each_module
def test_imports_flow_one_way(name: str) -> None:
    """Core imports core only, adapters no stage, stages no stage and nothing of the command line."""
    wrong = {one for one in own_imports(name) if layer(one) not in ALLOWED[layer(name)] and (name, one) not in LAZILY}
    assert not wrong


@each_module
def test_no_relative_imports(name: str) -> None:
    """Imports name the whole module, so that what is said above sees all of them."""
    nodes = ast.walk(ast.parse(MODULES[name].read_text()))
    assert not [node.lineno for node in nodes if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_imports(package: str) -> None:
    """A heavy package is imported by its adapters alone, so that an upgrade touches one place."""
    found = {
        str(path.relative_to(ROOT))
        for path in MODULES.values()
        if any(one.split(".")[0] == package for one in imported(path))
    }
    assert found <= HEAVY[package]


@pytest.mark.parametrize("path", sorted({Path(*path.relative_to(ROOT).parts) for path in MODULES.values()}), ids=str)
def test_names_say_something(path: Path) -> None:
    """No file or folder has a name that admits anything."""
    assert not BANNED & {part.removesuffix(".py") for part in path.parts}


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its ``def`` to its end, without the docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


@each_module
def test_lengths(name: str) -> None:
    """Past about 40 lines in a function, or 350 in a module, a concept is waiting for its name."""
    text = MODULES[name].read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {node.name: length(node) for node in functions if length(node) > FUNCTION_LINES} == {}
    assert len(text.splitlines()) <= MODULE_LINES


def test_empty_packages() -> None:
    """Files that make a folder a package are empty, but for those of packages that do something."""
    busy = {"doctor", "app"}  # the App's plugin is told there what it has
    packages = [path for path in (ROOT / "pipeline").rglob("__init__.py") if path.parent.name not in busy]
    assert [path for path in packages if path.read_text().strip()] == []


def loaded(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after some code."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in json.loads(ended.stderr.splitlines()[-1])}


def test_core_is_light() -> None:
    """All of core, imported in one process, loads no heavy package."""
    core = [name for name in MODULES if layer(name) == "core"]
    assert len(core) > 20
    found = loaded(f"import {', '.join(core)}")
    assert "numpy" in found
    assert not found & {"torch", "ultralytics", "fiftyone", "sklearn", "matplotlib", "dvc", "mongoengine"}


def test_help_is_quick() -> None:
    """``tailwatch --help`` loads neither pandas nor NumPy: a person waits for it."""
    code = "from pipeline.cli import main\ntry: main(['--help'])\nexcept SystemExit as end: assert not end.code"
    found = loaded(code)
    assert "click" in found
    assert not found & {"pandas", "numpy", "cv2", "scipy", "yaml", "PIL", "torch", "fiftyone", "dvc"}
