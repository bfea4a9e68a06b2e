"""Variables that stand in the file `.env` of the project: secrets, which git ignores and every schedule reads."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from pipeline.core import stage


def take_in(path: Path = Path(".env")) -> None:
    """Set the variables of a file that the environment lacks, so that a command by hand finds what a schedule does.

    A file that cannot be read is no reason to refuse a command that may need nothing of it: it is said, and what lacks
    its variable says so, too.

    Args:
        path: of lines ``NAME='VALUE'``; it need not be there.
    """
    try:
        found = dotenv_values(path, interpolate=False)  # systemd's EnvironmentFile replaces nothing either
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        stage.report(f"WARNING: {path} cannot be read: {reason}")
        return
    for name, value in found.items():
        if value is not None:
            os.environ.setdefault(name, value)
