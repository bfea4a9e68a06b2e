"""The process that keeps FiftyOne's database up and ends it, started without importing all of FiftyOne.

FiftyOne starts its ``service/main.py``, which needs two small modules of the package and imports all of it, for seconds
in which whoever wants the database waits.
"""

from __future__ import annotations

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def main() -> None:
    """Do what FiftyOne's own ``service/main.py`` does, with the arguments of this command."""
    spec = find_spec("fiftyone")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    package = ModuleType("fiftyone")  # its modules can be imported, and nothing else is
    package.__path__ = folders
    sys.modules["fiftyone"] = package
    runpy.run_path(str(Path(folders[0]) / "service" / "main.py"), run_name="__main__")


if __name__ == "__main__":
    main()
