"""One validated row an image: the table that flows through every stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
import pyarrow.compute as pc

from pipeline.core import labels, manifest_table
from pipeline.core.errors import UserError
from pipeline.core.manifest_table import Table

Split = Literal["train", "val", "test"]
Origin = Literal["real", "synthetic"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image.

    Attributes:
        image_id: SHA-256 of the source file's bytes; of the pixels, for an image that this project composes.
        name: what the source calls the image.
        path: the image file, relative to the project's folder; its label file is beside it under ``labels``.
        split: train, val or test; empty where no split is given yet.
        generation: training round that made it; 0 for a real image.
        run: the run that made it; empty for a real image.
        parents: ids of the images it was made from.
        lineage_depth: 0 for a real image, else one more than its deepest parent.
        human_verified: a person confirmed the labels as they are now.
        label_digest: SHA-256 of the label file's text.
        width: pixels.
        height: pixels.
        boxes: number of boxes by class id.
        generator: what made it; empty for a real image, and where that was not noted yet.
        generator_version: of that.
    """

    image_id: str
    name: str
    path: str
    split: Split | Literal[""]
    origin: Origin
    generation: int
    run: str
    parents: tuple[str, ...]
    lineage_depth: int
    human_verified: bool
    label_digest: str
    width: int
    height: int
    boxes: tuple[tuple[int, int], ...]
    generator: str = ""
    generator_version: str = ""

    @property
    def label_path(self) -> Path:
        """The image's YOLO label file."""
        return label_path(Path(self.path))


def label_path(image: Path) -> Path:
    """Where the labels of an image are: ``…/images/x.png`` has ``…/labels/x.txt``."""
    return image.parent.parent / "labels" / f"{image.stem}.txt"


def count_boxes(boxes: Iterable[labels.Box]) -> tuple[tuple[int, int], ...]:
    """Number of boxes by class id, sorted by class id; classes without a box are left out."""
    return tuple(sorted(Counter(box.class_id for box in boxes).items()))


def class_counts(rows: Iterable[Row], classes: int) -> list[int]:
    """Number of boxes of each class over all rows, by class id.

    Raises:
        UserError: an image has boxes of a class that there is not.
    """
    counts = [0] * classes
    for row in rows:
        for class_id, number in row.boxes:
            if class_id >= classes:
                raise UserError(
                    f"image {row.name} has boxes of class {class_id}, and there are {classes} classes, from 0 on. "
                    "Run `uv run dvc repro` to make the manifest anew."
                )
            counts[class_id] += number
    return counts


def rare_classes(counts: Sequence[int], names: Sequence[str], *, share: float, named: Sequence[str]) -> list[str]:
    """Classes with a smaller share of the boxes than ``share``, and those named, in class order.

    Raises:
        UserError: a named class is not in the dataset.
    """
    for name in named:
        if name not in names:
            raise UserError(f"params.yaml: audit.rare_classes names {name!r}, wanted one of {', '.join(names)}.")
    total = sum(counts)
    return [
        name for name, count in zip(names, counts, strict=True) if name in named or (total and count / total < share)
    ]


def to_table(rows: Iterable[Row]) -> Table:
    """The rows by columns."""
    listed = list(rows)
    return manifest_table.of({one.name: [getattr(row, one.name) for row in listed] for one in fields(Row)})


def to_rows(table: Table) -> list[Row]:
    """The rows of a table."""
    columns = table.columns
    values = {name: columns[name].to_pylist() for name in columns.column_names if name != "boxes"}
    boxes = table.boxes()
    pairs = list(zip(boxes.class_id.tolist(), boxes.number.tolist(), strict=True))
    ends = np.cumsum(pc.list_value_length(columns["boxes"]).to_numpy()).tolist()
    values["boxes"] = [tuple(pairs[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    values["parents"] = [tuple(one) for one in values["parents"]]
    return [Row(**dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)]


def write(path: Path, rows: Iterable[Row] | Table) -> None:
    """Write a manifest, sorted by split, generation and image id; the columns are the fields of :class:`Row`.

    Raises:
        ValueError: a row cannot be; nothing is written.
    """
    manifest_table.write(path, rows if isinstance(rows, Table) else to_table(rows))


def read(path: Path) -> list[Row]:
    """Read a manifest.

    Raises:
        UserError: the file is missing or is not a manifest; the message names the row.
    """
    return to_rows(manifest_table.read(path))


def find(path: Path, image_id: str) -> Row | None:
    """Look one image up, without making a row of every other; None where the manifest has no such image.

    Raises:
        UserError: the file is missing or is not a manifest.
    """
    return next(iter(to_rows(manifest_table.find(path, image_id))), None)


def read_classes(path: Path) -> list[str]:
    """Read the class names, in the order of their ids.

    Raises:
        UserError: the file is missing, or holds something else than a list of names.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is no list of names ({error}). Run `uv run dvc repro` to make it anew.") from None
