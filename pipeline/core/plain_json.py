"""JSON that other people wrote, read within bounds: each key of an object once, and no more than fits into memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil

from pipeline.core import bounded

_MEMORY = 10  # bytes of memory that a byte of JSON takes once it is read, numbers and short lists for the most part


def read(path: Path) -> Any:
    """The value that a file of JSON holds; NaN and the infinities are read, as Python's writer writes them.

    Raises:
        ValueError: it is no plain file, too large for the memory that is free, no JSON, or has a key twice in an
            object; the message says which, without the path.
    """
    data = bounded.read(path, most=psutil.virtual_memory().available // _MEMORY)
    try:
        return json.loads(data, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} column {error.colno}: {error.msg}, wanted JSON") from None
    except RecursionError:
        reason = "it is nested too deeply"
    except MemoryError:
        reason = "it does not fit into memory"
    except ValueError as error:  # no text, a number of thousands of digits, a key that is there twice
        reason = str(error)[:300]
    raise ValueError(f"is not JSON: {reason}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are each there once; JSON itself would let the last one win."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"key {bounded.shown(name)} is there twice in an object")
            seen.add(name)
    return found
