"""What runs in folders of their own rest on, as digests: settings and code of the project's stages, and files.

The project's dvc.yaml says which code and which settings each of its stages reads, and a test holds it to that. So what
depends on these stages depends on no more than they do.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core import bounded, files, imports, plain_yaml
from pipeline.core.errors import UserError

GRAPH = Path("dvc.yaml")
_OWN = {"runs", "arms", "pins", "seed"}  # the business of each folder, and in its key
_MADE = ("data/", "reports/")  # by stages
_MODULE = re.compile(r"python -m ([\w.]+)")
_NAMED = re.compile(r"\$\{([\w.]+)\}")  # a file or folder that settings name
_ELSEWHERE = {"ingest.path", "train.model"}  # that whoever asks digests in another place
_CACHED = "__pycache__"  # what Python leaves in a folder of code that was imported


def collect(names: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What some stages of the project read: settings, the digests of their code, and that of the model they start from.

    Args:
        names: of the stages, as in dvc.yaml.
        settings: those that they will read, as plain values.

    Raises:
        UserError: dvc.yaml lacks a stage.
    """
    graph = plain_yaml.load(bounded.text(GRAPH, most=plain_yaml.MOST))["stages"]
    found = [_stage(graph, name) for name in names]
    keys = sorted({key for one in found for key in one.get("params", []) if key.split(".")[0] not in _OWN})
    code = sorted({path for one in found for path in (*_code(one["cmd"]), *_beside(one.get("deps", []), settings))})
    trains = any(one.startswith("train") for one in names)
    return {
        "settings": {key: _value(settings, key) for key in keys},
        "code": {str(path): _digest(path) for path in code},
        "model": _digest(Path(settings["train"]["model"])) if trains else "",
    }


def key(*parts: object) -> str:
    """A digest of plain values, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def tree(path: Path) -> str:
    """A digest of a file, or of all files in a folder with their names; of what is not there, the empty one.

    Bytecode is left out: it comes with the first import.
    """
    if path.is_file():
        return files.sha256_file(path)
    found = sorted(one for one in path.rglob("*") if one.is_file() and _CACHED not in one.relative_to(path).parts)
    return key([(str(one.relative_to(path)), files.sha256_file(one)) for one in found])


def _stage(graph: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name not in graph:
        raise UserError(f"{GRAPH} has no stage {name!r}, which is to run.")
    found: dict[str, Any] = graph[name].get("do", graph[name])
    return found


def _code(command: str) -> Iterator[Path]:
    """The files of the project that a stage's command runs."""
    module = _MODULE.match(command)
    if module:
        yield from imports.closure(module[1], Path())


def _beside(deps: Sequence[str | dict[str, Any]], settings: Mapping[str, Any]) -> Iterator[Path]:
    """The dependencies that the pipeline does not make: folders of code, and what settings name."""
    for one in deps:
        path = one if isinstance(one, str) else next(iter(one))
        named = _NAMED.fullmatch(path)
        if named and named[1] not in _ELSEWHERE and isinstance(value := _value(settings, named[1]), str):
            yield Path(value)
        elif not path.startswith(_MADE) and "${" not in path:
            yield Path(path)


def _digest(path: Path) -> str:
    return tree(path) if path.exists() else ""


def _value(settings: Mapping[str, Any], key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
