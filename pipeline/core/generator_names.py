"""Names of generators: those that come with the project, those of installed packages, and files of the user's own."""

from __future__ import annotations

import re

from pipeline.core import paths
from pipeline.core.schema import suggestion

BUILT_IN = ("mixture", "copy_paste", "diffusion", "folder")
GROUP = "tailwatch.generators"  # of entry points
FOLDER = str(paths.GENERATORS)  # of the user's own files: a dependency of the stage `generate`
_FILE = re.compile(r"([^:]*\.py):([A-Za-z_]\w*)")


def of_packages() -> tuple[str, ...]:
    """Names that installed packages give, sorted, each once."""
    from importlib.metadata import entry_points  # it is only needed for a name that is not the project's own

    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def file_and_function(name: str) -> tuple[str, str] | None:
    """The path and the function of ``path/of/file.py:function``; None for a name of another form."""
    found = _FILE.fullmatch(name)
    return (found[1], found[2]) if found else None


def problem(name: str) -> str:
    """Why no generator can be called so, and which there are; nothing if one may be. No file is looked at."""
    if name in BUILT_IN or file_and_function(name):
        return ""
    known = (*BUILT_IN, *of_packages())
    if name in known:
        return ""
    return (
        f"generator is {name!r}{suggestion(name, known)}, wanted one of {', '.join(known)}, "
        f"or a function of your own as {FOLDER}/FILE.py:FUNCTION"
    )
