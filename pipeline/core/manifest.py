"""One validated row an image: the table that flows through every stage."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec
import pandas as pd

from pipeline.core import bounded, files, labels
from pipeline.core.errors import UserError

Split = Literal["train", "val", "test"]
Origin = Literal["real", "synthetic"]
SPLITS: tuple[Split, ...] = get_args(Split)
_SHA256 = re.compile("[0-9a-f]{64}")
_LARGEST = 4 << 30  # bytes
_LATER = ("generator", "generator_version")  # columns that manifests of old do not have


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

    def __post_init__(self) -> None:
        """Refuse a row that cannot be."""
        problems = [
            (not _SHA256.fullmatch(self.image_id), f"image_id {self.image_id!r} is not a SHA-256"),
            (not _SHA256.fullmatch(self.label_digest), f"label_digest {self.label_digest!r} is not a SHA-256"),
            (self.split not in (*SPLITS, ""), f"split {self.split!r} is not one of {', '.join(SPLITS)}"),
            (self.origin not in get_args(Origin), f"origin {self.origin!r} is not real or synthetic"),
            (min(self.width, self.height) < 1, f"size {self.width} x {self.height}"),
            ("\0" in self.path, "a NUL in its path"),
            (Path(self.path).is_absolute() or ".." in Path(self.path).parts, f"path {self.path!r} leaves the project"),
            (min(self.generation, self.lineage_depth) < 0, f"generation {self.generation}, depth {self.lineage_depth}"),
            (any(min(pair) < 0 for pair in self.boxes), "a class or a number of boxes below zero"),
            (self.origin == "real" and (self.lineage_depth, self.parents) != (0, ()), "a real image with parents"),
            (self.origin == "real" and bool(self.generator or self.generator_version), "a real image with a generator"),
            (self.origin == "synthetic" and self.lineage_depth < 1, "a synthetic image of lineage depth 0"),
            (self.origin == "synthetic" and self.split in ("val", "test"), f"a synthetic image in {self.split}"),
        ]
        for wrong, message in problems:
            if wrong:
                raise ValueError(f"manifest row {self.name or self.image_id!r}: {message}")

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


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write a manifest, sorted by split and image id; the columns are the fields of :class:`Row`."""
    ordered = sorted(rows, key=lambda row: (row.split, row.generation, row.image_id))
    lines = [files.csv_line(Row.__dataclass_fields__), *(files.csv_line(_flat(row).values()) for row in ordered)]
    # A name may hold bytes that are no text; they are escaped, for a name is there only to be read by people.
    files.write_bytes(path, "".join(lines).encode(errors="backslashreplace"))


def _flat(row: Row) -> dict[str, object]:
    flat = asdict(row)
    flat["parents"] = " ".join(row.parents)
    flat["boxes"] = " ".join(f"{class_id}:{number}" for class_id, number in row.boxes)
    return flat


def read(path: Path) -> list[Row]:
    """Read a manifest.

    Raises:
        UserError: the file is missing or is not a manifest; the message names the row.
    """
    try:
        text = bounded.text(path, most=_LARGEST)
        frame = pd.read_csv(io.StringIO(text, newline=""), dtype=str, keep_default_na=False)
    except ValueError as error:  # of pandas, or of what is no text
        if not path.exists():
            raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is not a table ({reason}). Run `uv run dvc repro` to make it anew.") from None
    columns = list(Row.__dataclass_fields__)
    if list(frame.columns) not in (columns, [name for name in columns if name not in _LATER]):
        raise UserError(
            f"{path} has the columns {bounded.shown(', '.join(frame.columns))}; wanted {', '.join(columns)}. "
            "It is made by the pipeline: run `uv run dvc repro`."
        )
    rows = []
    for number, record in enumerate(frame.to_dict("records"), start=2):
        try:
            rows.append(_row({str(key): str(value) for key, value in record.items()}))
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{path} line {number}: {error}. It is made by the pipeline: run `uv run dvc repro`."
            ) from None
    return rows


def find(path: Path, image_id: str) -> Row | None:
    """Look one image up, without making a row of every other; None where the manifest has no such image.

    Raises:
        UserError: the file is missing or is not a manifest.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    if image_id.encode(errors="replace") not in data:
        return None
    try:
        for record in csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True):
            if record["image_id"] == image_id:
                return _row(record)
    except (ValueError, KeyError, AttributeError, csv.Error) as error:
        raise UserError(f"{path} is not a manifest ({error}). Run `uv run dvc repro` to make it anew.") from None
    return None


def _row(record: Mapping[str, str]) -> Row:
    boxes = (pair.split(":") for pair in record["boxes"].split())
    return Row(
        image_id=record["image_id"],
        name=record["name"],
        path=record["path"],
        split=record["split"],  # type: ignore[arg-type]  # checked by Row
        origin=record["origin"],  # type: ignore[arg-type]  # checked by Row
        generation=int(record["generation"]),
        run=record["run"],
        parents=tuple(record["parents"].split()),
        lineage_depth=int(record["lineage_depth"]),
        human_verified={"True": True, "False": False}[record["human_verified"]],
        label_digest=record["label_digest"],
        width=int(record["width"]),
        height=int(record["height"]),
        boxes=tuple((int(class_id), int(number)) for class_id, number in boxes),
        **{name: record.get(name, "") for name in _LATER},
    )


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


def write_times(path: Path, times: Mapping[str, str]) -> None:
    """Write when each image was verified, sorted by image id."""
    files.write_text(path, "image_id,time\n" + "".join(f"{image_id},{times[image_id]}\n" for image_id in sorted(times)))


def read_times(path: Path) -> dict[str, str]:
    """Read when each image was verified, ISO 8601 in UTC, by image id.

    Raises:
        UserError: the table is missing, or a line is no image and time.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run dvc repro` to make it.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text. Run `uv run dvc repro` to make it anew.") from None
    times = {}
    for number, line in enumerate(lines, start=2):
        image_id, comma, time = line.partition(",")
        if not comma or not _SHA256.fullmatch(image_id):
            raise UserError(f"{path} line {number}: wanted an image id and a time. Run `uv run dvc repro` to mend it.")
        times[image_id] = time
    return times
