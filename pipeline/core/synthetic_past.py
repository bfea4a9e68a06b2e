"""All synthetic images that the project ever made, as far as this machine knows: their portraits and their parents.

What is in ``data/generate`` is the truth. Its portraits are kept in ``.tailwatch/portraits``, one file a run, and stay
there when a run is made anew or its images are pruned: an image that left the project may still come back to it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

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


def everything() -> list[Made]:
    """All synthetic images on record, by run and image id; what is new in ``data/generate`` is put on record.

    Raises:
        UserError: a manifest there cannot be read.
    """
    on_disk = {path.parent.name for path in paths.GENERATED.glob("*/manifest.csv")}
    on_record = {path.stem for path in paths.PORTRAITS.glob("*.npz")}
    return [made for run in sorted(on_disk | on_record) for made in _of_run(run)]


def keep(run: str) -> None:
    """Put the synthetic images of one run on record, before they leave the disk; nothing where that is done already.

    Raises:
        UserError: its manifest cannot be read.
    """
    _of_run(run)


def _of_run(run: str) -> list[Made]:
    source, record = RunPaths(run).synthetic_manifest, paths.PORTRAITS / f"{run}.npz"
    made_from = files.sha256_file(source) if source.exists() else ""
    kept, seen = _read(record)
    if not made_from or seen == made_from:
        return kept
    known = {one.portrait.image_id for one in kept}
    new = [row for row in manifest.read(source) if row.image_id not in known]
    gone = [row for row in new if not Path(row.path).exists()]
    merged = sorted(
        kept + _portrayed([row for row in new if Path(row.path).exists()]), key=lambda one: one.portrait.image_id
    )
    # Images that are not checked out are asked for again the next time; until then they are known by their pixels.
    _write(record, merged, "" if gone else made_from)
    return merged + [_made(row.run, row.image_id, (), row.parents) for row in gone]


def _portrayed(rows: Sequence[Row]) -> list[Made]:
    taken = zip(rows, portraits.of_rows(rows), strict=True)
    return [_made(row.run, one.image_id, one.sketches, row.parents) for row, one in taken]


def _made(run: str, image_id: str, sketches: tuple[Sketch, ...], parents: tuple[str, ...]) -> Made:
    name = f"synthetic image {image_id[:12]} of run {run}"
    # The id of a synthetic image is the digest of its pixels.
    portrait = Portrait(image_id=image_id, name=name, pixels=image_id, sketches=sketches)
    return Made(portrait=portrait, run=run, parents=parents)


def _write(path: Path, made: Sequence[Made], source: str) -> None:
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
    files.write_bytes(path, buffer.getvalue())


def _read(path: Path) -> tuple[list[Made], str]:
    """What is on record of a run, and the digest of the manifest that it was made from; nothing where it is damaged."""
    try:
        stamp = path.stat()
        return _loaded(str(path), stamp.st_mtime_ns, stamp.st_size)
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return [], ""


@lru_cache(maxsize=512)
def _loaded(path: str, modified: int, size: int) -> tuple[list[Made], str]:
    """Read a record once, however often it is asked for while it stays as it is."""
    del modified, size  # they are part of the question
    # Of a damaged file, NumPy would leave the handle open.
    with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as record:
        if int(record["version"]) != _VERSION:
            return [], ""
        ends = np.cumsum(record["counts"])
        starts = ends - record["counts"]
        sketches = record["sketches"]
        run = Path(path).stem
        made = [
            _made(run, str(image_id), tuple(sketches[first:last]), tuple(str(parents).split()))
            for image_id, parents, first, last in zip(record["ids"], record["parents"], starts, ends, strict=True)
        ]
        return made, str(record["source"])
