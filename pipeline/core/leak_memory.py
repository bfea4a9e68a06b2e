"""Images that show the same, remembered: what was found once holds until an image changes, and a search is slow.

Whole answers are remembered for the images of a pin, which never change; and the search itself, so that a new image is
looked for among the others and the others are not looked for again. Both hold for this code and these libraries;
under others everything is searched anew. The memory can be deleted at any time.
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

from pipeline.core import (
    alignment,
    candidates,
    code_mark,
    duplicates,
    files,
    images,
    impostors,
    leak_search,
    leaks,
    likeliest,
    portraits,
    sketch_codes,
)
from pipeline.core.leaks import Alike, Searches
from pipeline.core.manifest import Row

_CODE: tuple[ModuleType, ...] = (
    alignment, candidates, duplicates, images, impostors, leak_search, leaks, likeliest, portraits, sketch_codes
)  # fmt: skip
_LIBRARIES: tuple[ModuleType, ...] = (cv2, np, imagehash)
_Pairs = list[tuple[int, int, str]]


class _Remembered(msgspec.Struct):
    """What the file holds.

    Attributes:
        code: that found it.
        answers: by a digest of the question.
        searches: see :func:`pipeline.core.leaks.find`.
    """

    code: str = ""
    answers: dict[str, _Pairs] = msgspec.field(default_factory=dict)
    searches: Searches = msgspec.field(default_factory=dict)


class Memory:
    """Answers of :func:`pipeline.core.leaks.find`, by what was asked."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier run remembered; a file that is missing, damaged or of other code is no memory."""
        self._path, self._code = path, code_mark.of(_CODE, _LIBRARIES)
        try:
            known = msgspec.msgpack.decode(path.read_bytes(), type=_Remembered)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            known = _Remembered()
        self._known = known if known.code == self._code else _Remembered()
        self._asked: dict[str, _Pairs] = {}
        self._searched = False

    def find(self, rows: Sequence[Row], *, within: int, kinds: Sequence[str] | None = None) -> list[Alike]:
        """As :func:`pipeline.core.leaks.find`, which is only called where the answer is not known.

        Raises:
            UserError: an image is missing or damaged.
        """
        key = _key(rows, within, kinds)
        if key is None:
            return leaks.find(rows, within=within, kinds=kinds)
        if key not in self._asked:
            known = self._known.answers.get(key)
            if known is None:
                found = leaks.find(rows, within=within, kinds=kinds, searches=self._known.searches)
                known, self._searched = [astuple(one) for one in found], True
            self._asked[key] = known
        return [Alike(first=first, second=second, how=how) for first, second, how in self._asked[key]]

    def save(self) -> None:
        """Keep what was asked this time and the latest searches, and forget the rest."""
        if self._searched or self._asked != self._known.answers:
            kept = _Remembered(self._code, self._asked, self._known.searches)
            files.write_bytes(self._path, msgspec.msgpack.encode(kept))


def _key(rows: Sequence[Row], within: int, kinds: Sequence[str] | None) -> str | None:
    """A digest of the question; None where an image is not there, which is for others to say."""
    digest = hashlib.sha256(f"{within}\n".encode())
    for row, kind in zip(rows, kinds if kinds is not None else [""] * len(rows), strict=True):
        try:
            size = Path(row.path).stat().st_size
        except OSError:
            return None
        # No time: `ingest` writes all files anew when one is added. What it makes of an image follows from the code.
        told = (row.image_id, row.path, kind, kinds is None, size)
        digest.update(f"{told}\n".encode(errors="backslashreplace"))
    return digest.hexdigest()
