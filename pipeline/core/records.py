"""Typed records as JSON: written from frozen dataclasses, and checked against them when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pipeline.core import files
from pipeline.core.errors import UserError

Record = TypeVar("Record")


def write(path: Path, record: Any) -> None:
    """Write a record as JSON; NaN is refused."""
    files.write_json(path, msgspec.to_builtins(record))


def read(path: Path, kind: type[Record], version: int) -> Record:
    """Read a record.

    Raises:
        UserError: it is missing, of another version, or not such a record.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    try:
        found = msgspec.json.decode(raw, type=_Versioned).version
        if found == version:
            return msgspec.json.decode(raw, type=kind)
        reason = f"it has version {found}, wanted {version}"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is one
        reason = str(error)
    except RecursionError:
        reason = "it is nested too deeply"
    raise UserError(f"{path} cannot be read: {reason}. Run `uv run dvc repro -f` to make it anew.")


def schema(kind: type[Any]) -> dict[str, Any]:
    """JSON Schema of a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}


class _Versioned(msgspec.Struct):
    version: int
