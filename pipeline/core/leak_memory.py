"""Pairs of images that show the same, remembered: of the images of a pin they never change, and a search is slow.

What is remembered holds for these very images, this code and these libraries; anything else is searched anew. The
memory can be deleted at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from types import ModuleType

import cv2
import imagehash
import msgspec
import numpy as np

from pipeline.core import alignment, candidates, duplicates, files, images, impostors, leaks, portraits
from pipeline.core.leaks import Alike
from pipeline.core.manifest import Row

_CODE: tuple[ModuleType, ...] = (alignment, candidates, duplicates, images, impostors, leaks, portraits)
_Pairs = list[tuple[int, int, str]]


class Memory:
    """Answers of :func:`pipeline.core.leaks.find`, by what was asked."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier run remembered; a file that is missing or damaged is no memory."""
        self._path = path
        self._asked: dict[str, _Pairs] = {}
        try:
            self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, _Pairs])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            self._known = {}

    def find(self, rows: Sequence[Row], *, within: int, kinds: Sequence[str] | None = None) -> list[Alike]:
        """As :func:`pipeline.core.leaks.find`, which is only called where the answer is not known.

        Raises:
            UserError: an image is missing or damaged.
        """
        key = _key(rows, within, kinds)
        if key is None:
            return leaks.find(rows, within=within, kinds=kinds)
        if key not in self._asked:
            known = self._known.get(key)
            if known is None:
                known = [astuple(one) for one in leaks.find(rows, within=within, kinds=kinds)]
            self._asked[key] = known
        return [Alike(first=first, second=second, how=how) for first, second, how in self._asked[key]]

    def save(self) -> None:
        """Keep what was asked this time, and forget the rest."""
        if self._asked != self._known:
            files.write_bytes(self._path, msgspec.json.encode(self._asked))


def _key(rows: Sequence[Row], within: int, kinds: Sequence[str] | None) -> str | None:
    """A digest of all that an answer depends on; None where an image is not there, which is for others to say."""
    digest = hashlib.sha256(_code().encode())
    digest.update(f"{within}\n".encode())
    for row, kind in zip(rows, kinds if kinds is not None else [""] * len(rows), strict=True):
        try:
            size = Path(row.path).stat().st_size
        except OSError:
            return None
        # No time: `ingest` writes all files anew when one is added. What it makes of an image follows from the code.
        told = (row.image_id, row.path, kind, kinds is None, size)
        digest.update(f"{told}\n".encode(errors="backslashreplace"))
    return digest.hexdigest()


def _code() -> str:
    """The code that finds pairs, and the versions of the libraries that it is made of."""
    sources = [files.sha256_file(Path(str(module.__file__))) for module in _CODE]
    return "\n".join([*sources, cv2.__version__, np.__version__, imagehash.__version__])
