"""What each module of the project imports, read from its source and not by running it."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

PACKAGE = "pipeline"


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package in a folder, by its dotted name."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, also inside functions.

    Raises:
        SyntaxError: it is not Python.
    """
    return _names(path.read_bytes(), str(path))


@functools.cache
def _names(source: bytes, where: str) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source, where)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def closure(name: str, root: Path) -> frozenset[Path]:
    """The files that a module runs, relative to the folder: itself and all it imports, but no empty ``__init__``.

    Raises:
        SyntaxError: one of them is not Python.
    """
    known = modules(root)
    todo, seen = [name], set()
    while todo:
        current = todo.pop()
        if current in known and current not in seen:
            seen.add(current)
            todo.extend(imported(known[current]))
    return frozenset(known[one].relative_to(root) for one in seen if known[one].read_bytes().strip())
