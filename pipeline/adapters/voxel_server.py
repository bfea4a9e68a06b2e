"""FiftyOne's server, in which every browser is on its own.

FiftyOne keeps all browsers of a server in step: where one opens an image, the others follow. For people who decide on
images that is a trap, for the image before them may change while they press the key.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from collections import defaultdict
from typing import Any


def main() -> None:
    """Serve as FiftyOne's own ``server/main.py`` does, whose path and arguments are those of this command."""
    os.environ.pop("FIFTYONE_DISABLE_SERVICES", None)  # as FiftyOne's main does, before the import
    os.environ["FIFTYONE_SERVER"] = "1"
    from fiftyone.server import mutation

    async def keep(_: str | None, event: Any) -> Any:
        return event

    mutation.dispatch_event = keep  # what one browser does
    dispatch = importlib.import_module("fiftyone.server.events.dispatch")
    dispatch.get_listeners = lambda: defaultdict(set)  # type: ignore[attr-defined]  # what one is told when it begins
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
