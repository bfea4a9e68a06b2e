"""What each module of the project imports."""

from __future__ import annotations

import functools
from pathlib import Path

from pipeline.core import imports
from pipeline.core.imports import imported

__all__ = ["ROOT", "closure", "imported", "modules"]

ROOT = Path(__file__).parent.parent


@functools.cache
def modules() -> dict[str, Path]:
    """Every module under ``pipeline``, by its dotted name."""
    return imports.modules(ROOT)


@functools.cache
def closure(name: str) -> frozenset[Path]:
    """The files of the project that a module runs, relative to its folder."""
    return imports.closure(name, ROOT)
