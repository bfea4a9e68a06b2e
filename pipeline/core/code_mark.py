"""A mark of the code that makes something, by which what is remembered of it is known to hold still."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from pipeline.core import files


def of(modules: Iterable[ModuleType], libraries: Iterable[ModuleType]) -> str:
    """The modules' source files as they are, and the versions of the libraries that they are made of."""
    sources = [files.sha256_file(Path(str(module.__file__))) for module in modules]
    return "\n".join([*sources, *(str(one.__version__) for one in libraries)])
