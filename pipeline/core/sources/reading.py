"""Read a source of any known layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pipeline.core import bounded
from pipeline.core.errors import UserError
from pipeline.core.sources.coco import read_coco
from pipeline.core.sources.found import Source
from pipeline.core.sources.voc import read_voc
from pipeline.core.sources.yolo import read_yolo

_LONGEST = 4096  # bytes of a path, as Linux has it
READERS: dict[str, Callable[[Path], Source]] = {"yolo": read_yolo, "coco": read_coco, "voc": read_voc}


def read(kind: str, path: Path) -> Source:
    """Read a source of labelled images.

    Args:
        kind: one of ``READERS``.
        path: the source's folder or file, as that kind has it.

    Raises:
        UserError: the kind is unknown, or the source cannot be read.
    """
    if kind not in READERS:
        raise UserError(
            f"source kind {kind!r}, wanted one of {', '.join(sorted(READERS))}. Look at ingest in params.yaml."
        )
    try:
        named = os.fsencode(path)
    except UnicodeEncodeError:
        named = b"\0"
    if b"\0" in named or len(named) > _LONGEST:
        raise UserError(f"ingest.path is {bounded.shown(str(path))}, which no file can be called. Correct params.yaml.")
    return READERS[kind](path)
