"""What was seen of real images and of the objects on them, remembered: they stay, and each audit wants all of them.

An image that is there, with the labels that it had, is not looked at again: its embedding, digest and hash, and those
of its objects, follow from its bytes, its labels and this code. What is new is added as one more file; under other code
or libraries everything is looked at anew. The memory can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import imagehash
import numpy as np
import pandas as pd
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import scipy

from pipeline.core import code_mark, duplicates, embedding, images, labels, objects, parquet
from pipeline.core.embedding import Vectors
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.objects import WHOLE, Collection, Positions, Seen
from pipeline.core.parquet import required

_CODE: tuple[ModuleType, ...] = (duplicates, embedding, images, labels, objects)
_LIBRARIES: tuple[ModuleType, ...] = (cv2, imagehash, np, PIL, scipy)
_KEYS = ["image", "labels", "bytes"]
_SCHEMA = pa.schema([
    required(pa.string(), "image"),
    required(pa.string(), "labels"),
    required(pa.int64(), "bytes"),  # of the two files together: one that was cut short is not the one that was seen
    required(pa.int64(), "box"),
    required(pa.int64(), "class"),
    required(pa.string(), "digest"),
    required(pa.uint64(), "hash"),
    required(pa.binary(4 * embedding.DIMENSIONS), "vector"),
])  # fmt: skip


def collect(folder: Path, rows: Sequence[Row]) -> Collection:
    """As :func:`pipeline.core.objects.collect`, which only looks at what is not remembered, and remembers it.

    Args:
        folder: of the memory.
        rows: of a manifest; real images are remembered.

    Raises:
        UserError: an image or label file is missing or damaged.
    """
    asked = _asked(rows)
    known = list(_recall(_place(folder), asked))
    recalled = {number for one in known for number in one.rows[one.boxes == WHOLE].tolist()}
    fresh = objects.look(rows, (number for number in range(len(rows)) if number not in recalled))
    _remember(folder, asked, fresh)
    return objects.gather(rows, [*known, *fresh])


def image_vectors(folder: Path, rows: Sequence[Row]) -> Vectors:
    """Embeddings of images, shape (n, d): what is remembered of them, and a look at the others.

    Args:
        folder: of the memory, to which nothing is added.
        rows: of a manifest.

    Raises:
        UserError: an image is missing or damaged.
    """
    vectors = np.zeros((len(rows), embedding.DIMENSIONS), dtype=np.float32)
    left = np.ones(len(rows), dtype=bool)
    for one in _recall(_place(folder), _asked(rows), images_only=True):
        vectors[one.rows], left[one.rows] = one.vectors, False
    numbers = np.flatnonzero(left).tolist()
    vectors[numbers] = embedding.embed(images.read(rows[number].path) for number in numbers)
    return vectors


def _place(folder: Path) -> Path:
    """Where this code remembers."""
    return folder / hashlib.sha256(code_mark.of(_CODE, _LIBRARIES).encode()).hexdigest()[:16]


def _asked(rows: Sequence[Row]) -> pd.DataFrame:
    """The keys of the real images that are there, with the numbers of their rows."""
    found = []
    for number, row in enumerate(rows):
        if row.origin != "real":
            continue
        try:
            size = Path(row.path).stat().st_size + row.label_path.stat().st_size
        except OSError:
            continue  # which whoever reads the file says
        found.append((row.image_id, row.label_digest, size, number))
    return pd.DataFrame(found, columns=[*_KEYS, "row"])


def _recall(place: Path, asked: pd.DataFrame, *, images_only: bool = False) -> Iterator[Seen]:
    """What is remembered of the images that are asked for, each of them once; a damaged file is no memory."""
    left = asked
    for path in sorted(place.glob("*.parquet")):
        if left.empty:
            return
        accept = partial(parquet.require, path, wanted=_SCHEMA)
        try:
            known = parquet.read(path, partial(_column_table, names=[*_KEYS, "box"]), accept=accept).to_pandas()
            known["place"] = np.arange(len(known))
            found = known[(known["box"] == WHOLE) | (not images_only)].merge(left, on=_KEYS)
            found = found.sort_values(["place", "row"])
            places = found["place"].to_numpy(dtype=np.int64)
            table = parquet.read(path, partial(_taken, places=places), accept=accept)
        except UserError:
            continue
        left = left[~left["row"].isin(found["row"])]
        yield _seen(table, found["row"].to_numpy(dtype=np.int64))


def _column_table(opened: pq.ParquetFile, names: list[str]) -> pa.Table:
    return opened.read(columns=names)


def _taken(opened: pq.ParquetFile, places: Positions) -> pa.Table:
    """Rows of a file, in ascending order; one group of the file is held at a time."""
    parts, start = [_SCHEMA.empty_table()], 0
    for group in range(opened.num_row_groups):
        end = start + opened.metadata.row_group(group).num_rows
        wanted = places[(places >= start) & (places < end)] - start
        if len(wanted):
            parts.append(opened.read_row_group(group).take(wanted))
        start = end
    return pa.concat_tables(parts).combine_chunks()


def _seen(table: pa.Table, numbers: Positions) -> Seen:
    boxes, classes, hashes = (table[name].to_numpy() for name in ("box", "class", "hash"))
    parts = [np.zeros((0, embedding.DIMENSIONS), dtype=np.float32)]
    for chunk in table["vector"].chunks:
        held = np.frombuffer(chunk.buffers()[1], dtype="<f4").reshape(-1, embedding.DIMENSIONS)
        parts.append(held[chunk.offset : chunk.offset + len(chunk)])
    return Seen(
        rows=numbers,
        boxes=boxes,
        classes=classes,
        vectors=np.concatenate(parts),
        digests=tuple(table["digest"].to_pylist()),
        hashes=hashes,
    )


def _remember(folder: Path, asked: pd.DataFrame, blocks: Sequence[Seen]) -> None:
    """Add what was seen of real images as one more file, and forget what other code saw."""
    keys = asked.drop_duplicates(_KEYS).set_index("row")  # an image that is listed twice is the same both times
    keys = keys[keys.index.isin(np.concatenate([np.zeros(0, dtype=np.int64), *(one.rows for one in blocks)]))]
    if keys.empty:
        return
    tables = []
    for one in blocks:
        real = np.isin(one.rows, keys.index)
        named = keys.loc[one.rows[real]]
        vectors = np.ascontiguousarray(one.vectors[real], dtype="<f4")
        columns = [
            pa.array(named["image"]), pa.array(named["labels"]), pa.array(named["bytes"], pa.int64()),
            pa.array(one.boxes[real]), pa.array(one.classes[real]),
            pa.array(np.array(one.digests, dtype=object)[real], pa.string()), pa.array(one.hashes[real]),
            pa.Array.from_buffers(_SCHEMA.field("vector").type, len(vectors), [None, pa.py_buffer(vectors)]),
        ]  # fmt: skip
        tables.append(pa.table(columns, schema=_SCHEMA))
    place = _place(folder)
    for other in set(folder.glob("*")) - {place}:
        shutil.rmtree(other, ignore_errors=True)
    name = hashlib.sha256(keys.to_csv().encode()).hexdigest()[:16]
    parquet.write(place / f"{name}.parquet", pa.concat_tables(tables), few=["image", "labels"])
