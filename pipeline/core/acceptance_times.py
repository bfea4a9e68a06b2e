"""When each image was accepted, ISO 8601 in UTC: a table of images beside a manifest."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from pipeline.core import files, manifest_table
from pipeline.core.errors import UserError

_LINE = re.compile(rb"[0-9a-f]{64},[ -+\--~]*")
_BLOCK = 1 << 22  # bytes that are read at once
_HEADER = "image_id,time\n"
_COLUMNS = {"image_id": pa.string(), "time": pa.string()}


def write(path: Path, times: Mapping[str, str]) -> None:
    """Write the times, by image id, sorted by it."""
    files.write_text(path, _HEADER + "".join(f"{image_id},{times[image_id]}\n" for image_id in sorted(times)))


def read(path: Path) -> dict[str, str]:
    """Read the times, by image id.

    Raises:
        UserError: the table is missing, or a line is no image and time.
    """
    return {
        image_id: time
        for lines in _lines(path)
        for image_id, time in zip(lines["image_id"].to_pylist(), lines["time"].to_pylist(), strict=True)
    }


def keep(path: Path, images: pa.ChunkedArray, out: Path) -> None:
    """Write those lines of a table that are of these images.

    Args:
        path: the table.
        images: their ids.
        out: the new table.

    Raises:
        UserError: the table is missing, or a line is no image and time.
    """
    wanted = np.sort(manifest_table.digests(images), kind="stable")
    with files.writing(out) as file:
        file.write(_HEADER.encode())
        for lines in _lines(path):
            found = manifest_table.digests(lines["image_id"])
            places = np.minimum(np.searchsorted(wanted, found), max(len(wanted) - 1, 0))
            kept = lines.filter(pa.array(wanted[places] == found)) if len(wanted) else lines.slice(0, 0)
            csv.write_csv(kept, file, csv.WriteOptions(include_header=False, quoting_style="none"))


def _lines(path: Path) -> Iterator[pa.Table]:
    """Some lines after others."""
    if not path.exists():
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.")
    if path.stat().st_size <= len(_HEADER):
        return
    with contextlib.suppress(pa.ArrowInvalid):  # a line has more or fewer than two fields, or is no text
        for lines in csv.open_csv(
            path,
            csv.ReadOptions(column_names=list(_COLUMNS), skip_rows=1, block_size=_BLOCK),
            csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(column_types=_COLUMNS, strings_can_be_null=False),
        ):
            if not manifest_table.are_digests(lines["image_id"]).all():
                break
            yield pa.Table.from_batches([lines])
        else:
            return
    raise UserError(f"{path} line {_odd_line(path)}: wanted an image id and a time. Run `uv run dvc repro` to mend it.")


def _odd_line(path: Path) -> int:
    lines = path.read_bytes().split(b"\n")[1:]
    return next((number for number, line in enumerate(lines, start=2) if not _LINE.fullmatch(line)), len(lines) + 1)
