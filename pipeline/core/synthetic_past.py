"""All synthetic images that the project ever made, as far as this machine knows: their portraits and their parents.

What is in ``data/generate`` is the truth. Its portraits are kept in ``.tailwatch/portraits``, one file a run, and stay
there when a run is made anew or its images are pruned: an image that left the project may still come back to it. What
is looked up in them goes through :mod:`pipeline.core.past_index`, which does not read them all.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core import files, manifest, paths, portraits
from pipeline.core.manifest import Row
from pipeline.core.paths import RunPaths
from pipeline.core.portraits import Portrait, Sketch

_VERSION = 1  # of the portraits: a change of how sketches are made makes them anew where the images are there


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One synthetic image.

    Attributes:
        portrait: what it looks like; its name says what to call it in a message.
        run: that made it.
        parents: ids of the images that it was made from.
    """

    portrait: Portrait
    run: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sketches:
    """All sketches of a run, by image id.

    Attributes:
        image_ids: whose they are, shape (sketches,).
        views: which of the image's they are, shape (sketches,).
        sketches: grey, shape (sketches, 64, 64).
    """

    image_ids: npt.NDArray[np.str_]
    views: npt.NDArray[np.int64]
    sketches: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What tells whether a run's images are the same as before, without reading their portraits.

    Attributes:
        record: modification time and size of the file of portraits; empty where there is none.
        source: digest of the run's manifest in ``data/generate``; empty where it is not there.
    """

    record: str
    source: str


def runs() -> list[str]:
    """Names of the runs that made synthetic images, as far as they are on record or in ``data/generate``."""
    on_disk = {path.parent.name for path in paths.GENERATED.glob(f"*/{paths.MANIFEST}")}
    return sorted(on_disk | {path.stem for path in paths.PORTRAITS.glob("*.npz")})


def stamp(run: str) -> Stamp:
    """The present stamp of a run's images."""
    source = RunPaths(run).synthetic_manifest
    try:
        there = _record(run).stat()
        record = f"{there.st_mtime_ns} {there.st_size}"
    except FileNotFoundError:
        record = ""
    return Stamp(record=record, source=files.sha256_file(source) if source.exists() else "")


def everything() -> Iterator[Made]:
    """All synthetic images, by run and image id, one run at a time; what is new in ``data/generate`` goes on record.

    Raises:
        UserError: a manifest there cannot be read.
    """
    for run in runs():
        yield from of_run(run)


def name(image_id: str, run: str) -> str:
    """What to call a synthetic image in a message."""
    return f"synthetic image {image_id[:12]} of run {run}"


def keep(run: str) -> None:
    """Put the synthetic images of one run on record, before they leave the disk; nothing where that is done already.

    Raises:
        UserError: its manifest cannot be read.
    """
    of_run(run)


def of_run(run: str) -> list[Made]:
    """The synthetic images of one run, by image id; what is new in ``data/generate`` goes on record.

    Raises:
        UserError: its manifest cannot be read.
    """
    source, record = RunPaths(run).synthetic_manifest, _record(run)
    made_from = files.sha256_file(source) if source.exists() else ""
    kept, seen = _read(record)
    if not made_from or seen == made_from:
        return kept
    known = {one.portrait.image_id for one in kept}
    new = [row for row in manifest.read(source) if row.image_id not in known]
    gone = [row for row in new if not Path(row.path).exists()]
    found = _portrayed([row for row in new if Path(row.path).exists()])
    merged = sorted(kept + found, key=lambda one: one.portrait.image_id)
    # Images that are not checked out are asked for again the next time; until then they are known by their pixels.
    if found or not gone:
        write(run, merged, source="" if gone else made_from)
    return merged + [_made(row.run, row.image_id, (), row.parents) for row in gone]


def _portrayed(rows: Sequence[Row]) -> list[Made]:
    taken = zip(rows, portraits.of_rows(rows), strict=True)
    return [_made(row.run, one.image_id, one.sketches, row.parents) for row, one in taken]


def _made(run: str, image_id: str, sketches: tuple[Sketch, ...], parents: tuple[str, ...]) -> Made:
    # The id of a synthetic image is the digest of its pixels.
    portrait = Portrait(image_id=image_id, name=name(image_id, run), pixels=image_id, sketches=sketches)
    return Made(portrait=portrait, run=run, parents=parents)


def write(run: str, made: Sequence[Made], *, source: str) -> None:
    """Put a run's images on record, in place of what is there.

    Args:
        run: that made them.
        made: the images, by image id.
        source: digest of the manifest that they are all of; empty where some of it are missing.
    """
    sketches = [sketch for one in made for sketch in one.portrait.sketches]
    buffer = io.BytesIO()
    np.savez(
        buffer,
        version=np.array(_VERSION),
        source=np.array(source),
        ids=np.array([one.portrait.image_id for one in made], dtype=str),
        parents=np.array([" ".join(one.parents) for one in made], dtype=str),
        counts=np.array([len(one.portrait.sketches) for one in made], dtype=np.int64),
        sketches=np.array(sketches, dtype=np.uint8).reshape(-1, portraits.SIDE, portraits.SIDE),
    )
    files.write_bytes(_record(run), buffer.getvalue())


def _read(path: Path) -> tuple[list[Made], str]:
    """What is on record of a run, and the digest of the manifest that it was made from; nothing where it is damaged."""
    try:
        # Of a damaged file, NumPy would leave the handle open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as record:
            if int(record["version"]) != _VERSION:
                return [], ""
            ends = np.cumsum(record["counts"])
            starts = ends - record["counts"]
            sketches = record["sketches"]
            made = [
                _made(path.stem, str(image_id), tuple(sketches[first:last]), tuple(str(parents).split()))
                for image_id, parents, first, last in zip(record["ids"], record["parents"], starts, ends, strict=True)
            ]
            return made, str(record["source"])
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return [], ""


def sketches(run: str) -> Sketches:
    """The sketches of a run that are on record; none where there is no record, or a damaged one."""
    try:
        with np.load(io.BytesIO(_record(run).read_bytes()), allow_pickle=False) as record:
            counts = record["counts"]
            views = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            return Sketches(image_ids=np.repeat(record["ids"], counts), views=views, sketches=record["sketches"])
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        none = np.zeros((0, portraits.SIDE, portraits.SIDE), dtype=np.uint8)
        return Sketches(image_ids=np.zeros(0, dtype=str), views=np.zeros(0, dtype=np.int64), sketches=none)


def _record(run: str) -> Path:
    return paths.PORTRAITS / f"{run}.npz"
