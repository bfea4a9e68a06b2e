"""The process that keeps FiftyOne's database up and ends it, started without importing all of FiftyOne.

FiftyOne starts its ``service/main.py``, which needs two small modules of the package and imports all of it, for seconds
in which whoever wants the database waits.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType


def main() -> None:
    """Do what FiftyOne's own ``service/main.py`` does, whose path and arguments are those of this command."""
    del sys.argv[0]
    package = ModuleType("fiftyone")  # its modules can be imported, and nothing else is
    package.__path__ = [str(Path(sys.argv[0]).parent.parent)]
    sys.modules["fiftyone"] = package
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
