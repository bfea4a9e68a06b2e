"""What each module of the project imports, read from its source."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parent.parent


@functools.cache
def modules() -> dict[str, Path]:
    """Every module under ``pipeline``, by its dotted name."""
    found = {}
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


@functools.cache
def closure(name: str) -> frozenset[Path]:
    """The files of the project that a module runs: itself and all it imports, without empty ``__init__`` files."""
    known = modules()
    todo, seen = [name], set()
    while todo:
        current = todo.pop()
        if current in known and current not in seen:
            seen.add(current)
            todo.extend(imported(known[current]))
    return frozenset(known[one].relative_to(ROOT) for one in seen if known[one].read_text().strip())
