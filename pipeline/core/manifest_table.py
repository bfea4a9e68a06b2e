"""A manifest by columns: what a million images need, where a Python object each would take a gigabyte and minutes.

On the disk it is Parquet, which pandas, DuckDB and Polars read, whole or by columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core import bounded, parquet
from pipeline.core.errors import UserError
from pipeline.core.parquet import required

SPLITS = ("train", "val", "test")
ORIGINS = ("real", "synthetic")


_COUNT = pa.struct([required(pa.int32(), "class_id"), required(pa.int32(), "number")])
SCHEMA = pa.schema(
    [
        required(kind, name)
        for name, kind in {
            "image_id": pa.string(),
            "name": pa.string(),
            "path": pa.string(),
            "split": pa.string(),
            "origin": pa.string(),
            "generation": pa.int32(),
            "run": pa.string(),
            "parents": pa.list_(required(pa.string(), "element")),
            "lineage_depth": pa.int32(),
            "human_verified": pa.bool_(),
            "label_digest": pa.string(),
            "width": pa.int32(),
            "height": pa.int32(),
            "boxes": pa.list_(required(_COUNT, "element")),
            "generator": pa.string(),
            "generator_version": pa.string(),
        }.items()
    ]
)
_FEW = ["split", "origin", "run", "generator", "generator_version"]  # columns of few values
_SHA256 = r"\A[0-9a-f]{64}\z"
_STEP_UP = r"\A/|(\A|/)\.\.(/|\z)"  # a path from the root, or through a parent

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes of all images, an entry for each image and class; all of shape (entries,).

    Attributes:
        image: position in the manifest.
        class_id: of the boxes.
        number: how many.
    """

    image: Integers
    class_id: Integers
    number: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of a manifest by columns.

    Attributes:
        columns: of :data:`SCHEMA`.
        sound: it is known that all rows can be; see :func:`check`.
    """

    columns: pa.Table
    sound: bool = False

    def __len__(self) -> int:
        """Number of images."""
        return int(self.columns.num_rows)

    def __add__(self, other: Table) -> Table:
        """The rows of both, one after another."""
        return Table(pa.concat_tables([self.columns, other.columns]), self.sound and other.sound)

    def take(self, positions: npt.ArrayLike) -> Table:
        """The rows at these positions, in their order."""
        chosen = np.asarray(positions, dtype=np.int64)
        if len(chosen) == len(self) and np.array_equal(chosen, np.arange(len(self))):
            return self
        return Table(self.columns.take(pa.array(chosen)), self.sound)

    def numbers(self, name: str) -> Integers:
        """A column of whole numbers, shape (images,)."""
        return np.asarray(self.columns[name].to_numpy(), dtype=np.int64)

    def equal(self, name: str, value: str) -> Bools:
        """Where a column of text is this, shape (images,)."""
        return _mask(pc.equal(self.columns[name], value))

    def texts(self, name: str) -> list[str]:
        """A column of text."""
        return list(self.columns[name].to_pylist())

    def sorted(self, name: str) -> Iterator[list[str]]:
        """A column of text in order, some of it after other."""
        column = self.columns[name].combine_chunks()
        order = pc.array_sort_indices(column)
        starts = range(0, len(order), parquet.GROUP)
        return (column.take(order.slice(start, parquet.GROUP)).to_pylist() for start in starts)

    def among(self, name: str, values: Sequence[str]) -> Bools:
        """Where a column of text is one of these, shape (images,)."""
        return _mask(pc.is_in(self.columns[name], value_set=pa.array(values, pa.string())))

    def boxes(self) -> Boxes:
        """All boxes."""
        column = self.columns["boxes"].combine_chunks()
        flat = column.flatten()
        return Boxes(
            image=np.asarray(pc.list_parent_indices(column), dtype=np.int64),
            class_id=np.asarray(flat.field("class_id"), dtype=np.int64),
            number=np.asarray(flat.field("number"), dtype=np.int64),
        )

    def verified(self, positions: npt.ArrayLike) -> Table:
        """The same rows, those at these positions human-verified."""
        marks = _mask(self.columns["human_verified"])
        marks[np.asarray(positions, dtype=np.int64)] = True
        place = SCHEMA.get_field_index("human_verified")
        columns = self.columns.set_column(place, SCHEMA.field(place), pa.chunked_array([pa.array(marks)]))
        return Table(columns, self.sound)

    def class_counts(self, classes: int, where: Bools | None = None) -> list[int]:
        """Number of boxes of each class over all rows, or over some, by class id.

        Raises:
            UserError: an image has boxes of a class that there is not.
        """
        boxes = self.boxes()
        beyond = np.flatnonzero(boxes.class_id >= classes)
        if beyond.size:
            name = self.columns["name"][int(boxes.image[beyond[0]])].as_py()
            raise UserError(
                f"image {name} has boxes of class {boxes.class_id[beyond[0]]}, and there are {classes} classes, from 0 "
                "on. Run `uv run dvc repro` to make the manifest anew."
            )
        number = boxes.number if where is None else boxes.number * where[boxes.image]
        return [int(one) for one in np.bincount(boxes.class_id, weights=number, minlength=classes)]


def of(columns: Mapping[str, Sequence[Any]]) -> Table:
    """A table of lists, by the names of :data:`SCHEMA`."""
    arrays = []
    for field in SCHEMA:
        values = columns[field.name]
        try:
            arrays.append(pa.array(values, field.type))
        except UnicodeEncodeError:
            # A name may hold bytes that are no text; they are escaped, for a name is there only to be read by people.
            arrays.append(pa.array([one.encode(errors="backslashreplace").decode() for one in values], field.type))
    return Table(pa.Table.from_arrays(arrays, schema=SCHEMA))


def write(path: Path, table: Table) -> None:
    """Write a manifest, sorted by split, generation and image id, aside and then in its place.

    Raises:
        ValueError: a row cannot be; nothing is written.
    """
    if not table.sound:
        check(table)
    parquet.write(path, _sorted(table).columns, few=_FEW)


def read(path: Path) -> Table:
    """Read a manifest.

    Raises:
        UserError: the file is missing or is not a manifest; the message names the row.
    """
    table = _read(path, _all)
    try:
        check(table)
    except ValueError as error:
        raise UserError(f"{path}: {error}. {parquet.MEND}") from None
    return Table(table.columns, sound=True)


def _all(file: pq.ParquetFile) -> pa.Table:
    # At once, it would hold twice as much for a while; and Arrow keeps what it does not use any more.
    groups = [file.read_row_group(group, use_threads=False) for group in range(file.num_row_groups)]
    pa.default_memory_pool().release_unused()
    return pa.concat_tables([SCHEMA.empty_table(), *groups])


def find(path: Path, image_id: str) -> Table:
    """The rows of one image, without reading those of the others.

    Raises:
        UserError: the file is missing or is not a manifest.
    """

    def look(file: pq.ParquetFile) -> pa.Table:
        found = [SCHEMA.empty_table()]
        for group in range(file.num_row_groups):
            here = pc.equal(file.read_row_group(group, columns=["image_id"])["image_id"], image_id)
            if pc.any(here).as_py():
                found.append(file.read_row_group(group).filter(here))
        return pa.concat_tables(found)

    return _read(path, look)


def _read(path: Path, look: parquet.Look) -> Table:
    return Table(parquet.read(path, look, accept=partial(parquet.require, path, wanted=SCHEMA)))


def _sorted(table: Table) -> Table:
    keys = ("split", "generation", "image_id")
    columns = [table.columns[name] for name in keys]
    # Mostly they are: then the columns need not be moved.
    order = np.zeros(max(len(table) - 1, 0), dtype=bool)
    tied = ~order
    for column in columns:
        before, after = column.slice(0, max(len(table) - 1, 0)), column.slice(1)
        order |= tied & _mask(pc.less(before, after))
        tied &= _mask(pc.equal(before, after))
    return (
        table
        if (order | tied).all()
        else Table(table.columns.sort_by([(name, "ascending") for name in keys]), table.sound)
    )


def check(table: Table) -> None:
    """Refuse rows that cannot be.

    Raises:
        ValueError: with the first of them.
    """
    text, number = table.columns.column, table.numbers
    boxes = table.boxes()
    below = np.zeros(len(table), dtype=bool)
    below[boxes.image[(boxes.class_id < 0) | (boxes.number < 0)]] = True
    real, synthetic = table.equal("origin", "real"), table.equal("origin", "synthetic")
    depth = number("lineage_depth")
    parents = np.asarray(pc.list_value_length(text("parents"))) > 0
    generator = ~(table.equal("generator", "") & table.equal("generator_version", ""))
    problems: list[tuple[Bools, str]] = [
        (~are_digests(text("image_id")), "image_id {image_id} is not a SHA-256"),
        (~are_digests(text("label_digest")), "label_digest {label_digest} is not a SHA-256"),
        (~table.among("split", [*SPLITS, ""]), f"split {{split}} is not one of {', '.join(SPLITS)}"),
        (~(real | synthetic), "origin {origin} is not real or synthetic"),
        (np.minimum(number("width"), number("height")) < 1, "size {width} x {height}"),
        (_matches(text("path"), r"\x00"), "a NUL in its path"),
        (_matches(text("path"), _STEP_UP), "path {path} leaves the project"),
        (np.minimum(number("generation"), depth) < 0, "generation {generation}, depth {lineage_depth}"),
        (below, "a class or a number of boxes below zero"),
        (real & (parents | (depth != 0)), "a real image with parents"),
        (real & generator, "a real image with a generator"),
        (synthetic & (depth < 1), "a synthetic image of lineage depth 0"),
        (synthetic & table.among("split", ["val", "test"]), "a synthetic image in split {split}"),
    ]
    wrong = [(int(mask.argmax()), words) for mask, words in problems if mask.any()]
    if wrong:
        place, words = min(wrong, key=lambda one: one[0])
        row = {name: bounded.shown(value) for name, value in table.columns.slice(place, 1).to_pylist()[0].items()}
        name = row["image_id"] if row["name"] == repr("") else row["name"]
        raise ValueError(f"manifest row {name}: {words.format(**row)}")


def digests(column: pa.ChunkedArray) -> npt.NDArray[np.bytes_]:
    """SHA-256 in 64 hexadecimal digits each, shape (rows,), without an object each."""
    whole = column.combine_chunks()
    return np.frombuffer(whole.buffers()[2] or b"", dtype="S64", count=len(whole), offset=64 * whole.offset)


def are_digests(column: pa.ChunkedArray) -> Bools:
    """Which of these are a SHA-256 in 64 hexadecimal digits."""
    return _matches(column, _SHA256)


def _matches(column: pa.ChunkedArray, pattern: str) -> Bools:
    return _mask(pc.match_substring_regex(column, pattern))


def _mask(values: pa.ChunkedArray) -> Bools:
    return np.array(values, dtype=bool)
