"""As of which row of the ledger a run has its real images: what was decided later is for the runs that come after it.

A pin is the beginning of a row's hash. It stands for the rows up to and including that one, and no row that is added
later is among them: what a pinned run is made of follows from what never changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline.core import paths
from pipeline.core.errors import UserError
from pipeline.core.ledger import Entry


def rows(pins: Mapping[str, str], entries: Sequence[Entry]) -> dict[str, int]:
    """Number of the ledger's rows that each pin stands for, by the pinned row's hash, the oldest first.

    Args:
        pins: beginning of a row's hash, by run.
        entries: the ledger, oldest first.

    Raises:
        UserError: the ledger has no such row, or several.
    """
    found: dict[str, int] = {}
    for run, pin in pins.items():
        numbers = [number for number, entry in enumerate(entries, start=1) if entry.hash.startswith(pin)]
        if not numbers:
            raise UserError(
                f"params.yaml: pins.{run}: {paths.LEDGER} has no row whose hash begins with {pin}, and {run} is made "
                f"of the real images as of that row. Bring the ledger back from git (`git log -p {paths.LEDGER}`); or "
                f"take the line out of `pins`, and {run} is trained again on the images of today."
            )
        if len(numbers) > 1:
            raise UserError(f"params.yaml: pins.{run}: {len(numbers)} rows of {paths.LEDGER} begin with {pin}. Give "
                            "more characters of the hash.")  # fmt: skip
        found[entries[numbers[0] - 1].hash] = numbers[0]
    return dict(sorted(found.items(), key=lambda one: one[1]))


def read_row(path: Path) -> str:
    """Hash of the row that a version of the real images rests on, as `verify` writes it.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])["row"]
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        raise UserError(f"{path} names no row ({error}). Run `uv run dvc repro -f verify` to make it anew.") from None
