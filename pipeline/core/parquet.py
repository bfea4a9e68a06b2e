"""Tables in Parquet: written aside and then in their place, read with their checksums, a group of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core import bounded, files
from pipeline.core.errors import UserError

GROUP = 1 << 16  # rows that are read together
MEND = "It is made by the pipeline: run `uv run dvc repro`."

Look = Callable[[pq.ParquetFile], pa.Table]


def write(path: Path, table: pa.Table, *, few: Sequence[str]) -> None:
    """Write a table.

    Args:
        path: of the file.
        table: what it is to hold.
        few: columns of few values.
    """
    with files.writing(path) as out:
        pq.write_table(
            table, out, compression="zstd", use_dictionary=list(few), write_page_checksum=True, store_schema=False,
            row_group_size=GROUP,
        )  # fmt: skip


def read(path: Path, look: Look, *, accept: Callable[[pa.Schema], None]) -> pa.Table:
    """Read what is wanted of a table.

    Args:
        path: of the file.
        look: takes it.
        accept: raises a UserError for columns that are not those of the table.

    Raises:
        UserError: the file is missing, damaged or no table, or its columns are not accepted.
    """
    try:
        with bounded.opened(path) as file, pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            accept(parquet.schema_arrow)
            table = look(parquet)
            table.validate(full=True)
            return table
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    except (OSError, ValueError) as error:  # of the system, or of Arrow, which has its own kinds of both
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise UserError(
            f"{path} is not a table ({bounded.shown(reason)}). Run `uv run dvc repro` to make it anew."
        ) from None


def require(path: Path, found: pa.Schema, wanted: pa.Schema) -> None:
    """Refuse columns other than these, in their order.

    Raises:
        UserError: the message names both.
    """
    if not found.equals(wanted):
        known = set(wanted)
        columns = ", ".join(field.name if field in known else _described(field) for field in found)
        raise UserError(f"{path} has the columns {bounded.shown(columns)}; wanted {', '.join(wanted.names)}. {MEND}")


def required(kind: pa.DataType, name: str) -> pa.Field:
    """A column in which nothing is missing."""
    return pa.field(name, kind, nullable=False)


def _described(field: pa.Field) -> str:
    return f"{field.name} ({field.type}{', may be empty' if field.nullable else ''})"
