"""Images that are drawn and not yet part of a finished run: what a run that was cut off goes on from.

Each is one PNG file, its boxes and parents in the file's text, marked as synthetic like any other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.core import files, images
from pipeline.core.labels import Box
from pipeline.core.synthesis import Drawn

_DIGITS = 16  # of the digest, in the folder's name


def folder(above: Path, inputs: Any) -> Path:
    """The folder for what is drawn from these inputs; those for other inputs are removed.

    Args:
        above: of the run.
        inputs: all that decides what is drawn, as plain values.
    """
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]
    for other in above.iterdir() if above.is_dir() else ():
        if other.name != digest:
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    here = above / digest
    here.mkdir(parents=True, exist_ok=True)
    return here


def save(place: Path, number: int, page: Drawn) -> None:
    """Keep one image."""
    boxes = [dataclasses.astuple(box) for box in page.boxes]
    note = json.dumps({"boxes": boxes, "parents": page.parents, "details": dict(page.details)})
    files.write_bytes(_path(place, number), images.encode_png(page.pixels, {images.SYNTHETIC_MARK: note}))


def load(place: Path, number: int) -> Drawn | None:
    """An image that was kept; None where it was not, or is damaged."""
    try:
        with Image.open(_path(place, number)) as file:
            pixels = np.ascontiguousarray(np.asarray(file.convert("RGB"))[:, :, ::-1])
            note = json.loads(file.text[images.SYNTHETIC_MARK])  # type: ignore[attr-defined]  # of PNG files
        boxes = tuple(Box(class_id=one[0], x=one[1], y=one[2], width=one[3], height=one[4]) for one in note["boxes"])
        return Drawn(pixels=pixels, boxes=boxes, parents=tuple(note["parents"]), details=note["details"])
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        return None


def has(place: Path, numbers: Sequence[int]) -> bool:
    """Whether all of these images were kept."""
    return all(_path(place, number).exists() for number in numbers)


def _path(place: Path, number: int) -> Path:
    return place / "drawn" / f"{number:06d}.png"
