"""The ledger's file as an append sees it: its newest row, found from the end, and a row that is added whole or not.

Whoever uses this holds the ledger's lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.core import files, ledger_rows
from pipeline.core.errors import UserError

_WINDOW = 1 << 14  # bytes read from the end at first; a row has some 400
_LONGEST = 1 << 20
_HEAD = 1 << 12


class Book:
    """A ledger that is open for one more row."""

    def __init__(self, path: Path, handle: int) -> None:
        """Nothing is read yet; ``handle`` is the open file."""
        self._path, self._handle = path, handle
        self._end = os.fstat(handle).st_size  # where the next row begins, once the newest is known
        self._line_feed = b""  # one that an editor took away and that the next row brings back

    def head(self) -> bytes:
        """The first bytes, the line of column names among them."""
        return os.pread(self._handle, _HEAD, 0)

    def newest(self, *, header: int, kept: Path) -> bytes | None:
        """The newest whole row, with its line feed; None where there is none.

        What a killed writer left after it is cut off, and kept in a file of its own.

        Args:
            header: length of the line of column names, in bytes.
            kept: folder for what is cut off.

        Raises:
            UserError: what stands at the end is neither a whole row nor the beginning of one, or the row before the
                newest is not the one that it names.
        """
        size, window = self._end, _WINDOW
        while True:
            start = max(header, size - window)
            data = os.pread(self._handle, max(0, size - start), start)
            if found := _last(data, first=start == header):
                begin, end = found
                self._cut(start + end, data[end:], kept)
                return (data[begin:end].removesuffix(b"\n") + b"\n") if end else None
            if start == header or window > _LONGEST:
                raise UserError(
                    f"{self._path}, newest row: it was edited, or the row before it was. Nothing is appended to a "
                    "broken ledger: `uv run tailwatch ledger check` says what is wrong and how to mend it."
                )
            window *= 8

    def _cut(self, end: int, rest: bytes, kept: Path) -> None:
        """Cut off what is left of a row that was being written."""
        if rest:
            name = f"torn-row-{hashlib.sha256(rest).hexdigest()[:12]}.csv"
            files.write_bytes(kept / name, rest)
            os.ftruncate(self._handle, end)
        self._end = end
        before = os.pread(self._handle, 1, end - 1)
        self._line_feed = b"" if before == b"\n" else b"\n"

    def add(self, row: bytes) -> None:
        """Write a row after the newest; it is on the disk when this returns.

        Raises:
            OSError: the disk did not take it; what was written is taken back.
            UserError: the file was replaced meanwhile, or what was written could not be taken back.
        """
        try:
            _write(self._handle, self._line_feed + row, self._end)
            os.fsync(self._handle)
        except BaseException:  # Ctrl-C too: who was not told that it is written decides again
            self._take_back()
            raise
        if not self._in_place():
            raise UserError(
                f"{self._path} was replaced while a decision was written, by git or an editor: the decision is not in "
                "it. Decide again."
            )

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._handle, self._end)
            os.fsync(self._handle)
        except OSError as error:
            raise UserError(
                f"{self._path}: {error.strerror}, and what was written could not be taken back. Whether the decision "
                "is in the ledger is not known: mend the disk, then run `uv run tailwatch ledger check`."
            ) from error

    def _in_place(self) -> bool:
        """Whether the path still leads to the file that was written."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._handle))
        except FileNotFoundError:
            return False


def _last(data: bytes, *, first: bool) -> tuple[int, int] | None:
    """Where the newest whole row stands in the last bytes, (0, 0) if there is no row; None if these do not show it.

    Args:
        data: the last bytes of the file.
        first: they begin with the first row.
    """
    end = len(data)
    while end and not ledger_rows.finished(data[:end].removesuffix(b"\n") + b"\n"):
        end = data.rfind(b"\n", 0, end - 1) + 1
    rest = data[end:]
    if rest and not ledger_rows.torn(rest):
        return None
    if not end:
        return (0, 0) if first else None
    raw = data[:end].removesuffix(b"\n") + b"\n"
    begin = len(raw) - 1
    while begin > 0:
        begin = raw.rfind(b"\n", 0, begin) + 1  # 0 where there is none before
        if (begin or first) and _linked(raw, begin):
            return begin, end
        begin -= 1
    return None


def _linked(raw: bytes, begin: int) -> bool:
    """Whether a row begins here that fits its hash, and comes after the row that it names."""
    row = raw[begin:]
    if not ledger_rows.fits(row):
        return False
    before = raw[:begin][-ledger_rows.HASH - 1 : -1].decode(errors="replace") if begin else ledger_rows.GENESIS
    return ledger_rows.chain(row)[0] == before


def _write(handle: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(handle, data, at)
        data, at = data[written:], at + written


@contextlib.contextmanager
def opened(path: Path, header: bytes) -> Iterator[Book]:
    """Open a ledger for one more row; a new one gets its line of column names."""
    if not path.exists():
        files.write_bytes(path, header)
        _sync_folder(path.parent)
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield Book(path, handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Put a new file's name on the disk, which syncing the file does not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
