"""The ledger as bytes: where its rows begin and end, whether a row fits its hash, and what a killed writer leaves.

Rows are CSV as :func:`pipeline.core.files.csv_line` writes it, and a row's hash is that of its bytes: the same fields
in other quotes or with other line ends are an edit. So a million rows are checked without a table being built.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

GENESIS = "0" * 64  # what the first row names as the hash before it
HASH = 64  # hexadecimal digits of SHA-256
_TAIL = HASH + 2  # comma, hash, line feed
_LONGEST = 1 << 20  # bytes; no row that was ever written is longer, so what is longer is a quote without an end
_END = re.compile(rb",[0-9a-f]{64},[0-9a-f]{64}\n\Z")
# Image and labels are two hashes too, but a row does not end there.
_IDS = re.compile(rb"(?:\A|\n)[0-9T:+-]{25},[a-z-]*,[0-9a-f]{64},[0-9a-f]{64}\n\Z")
_IDS_LONGEST = 240  # bytes
_TIME = b"0000-00-00T00:00:00+00:00"
_TIME_LIKE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
_TEXT = rb'(?:"(?:[^"]|"")*"|[^",\r\n]*)'
_TEXT_BEGUN = rb'(?:"(?:[^"]|"")*"?|[^",\r\n]*)'
_BEGUN = re.compile(  # what can stand after the time, up to any byte of a row
    rb",[a-z-]*|,[a-z-]+,[0-9a-f]*|,[a-z-]+,[0-9a-f]*,[0-9a-f]*|,[a-z-]+,[0-9a-f]*,[0-9a-f]*,"
    rb"(?:%(begun)s|%(text)s,%(begun)s|%(text)s,%(text)s,[0-9a-f]{0,64}|%(text)s,%(text)s,[0-9a-f]{64},[0-9a-f]{0,63})"
    % {b"begun": _TEXT_BEGUN, b"text": _TEXT}
)


def fits(raw: bytes) -> bool:
    """Whether a row, with its line feed, has the hash of its other fields."""
    return digest(raw) == raw[-HASH - 1 : -1].decode(errors="replace") and raw[-_TAIL : -_TAIL + 1] == b","


def digest(raw: bytes) -> str:
    """The hash that a row, with its line feed, must have: SHA-256 of the line of its other fields."""
    return hashlib.sha256(raw[:-_TAIL] + b"\n").hexdigest()


def chain(raw: bytes) -> tuple[str, str]:
    """The hash that a row names as the row before's, and the one that it names as its own."""
    return raw[-2 * HASH - 2 : -_TAIL].decode(errors="replace"), raw[-HASH - 1 : -1].decode(errors="replace")


def content(raw: bytes) -> bytes:
    """What a row says, without the two hashes."""
    return raw[: -2 * HASH - 3]


def finished(raw: bytes) -> bool:
    """Whether a row ends as whole rows do, in two hashes; whether they fit is another question."""
    return _END.search(raw[-2 * HASH - 3 :]) is not None and not _IDS.search(raw[-_IDS_LONGEST:])


def fields(raw: bytes) -> list[str]:
    """The fields of a row.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
        csv.Error: it is not a row of CSV.
    """
    text = raw.decode().removesuffix("\n")
    if '"' not in text and "\r" not in text:
        return text.split(",") if text else []
    records = list(csv.reader(io.StringIO(text, newline="")))
    if len(records) != 1:
        raise csv.Error("a line end stands outside quotes")
    return records[0]


def split(stream: BinaryIO) -> Iterator[bytes]:
    """The rows from a stream's position on, as bytes; only the last may lack its line feed.

    A line feed within quotes is part of its row. A quote without an end does not swallow the rows after it: where a
    row of several lines does not fit its hash, it ends at the first line that ends as rows do.
    """
    back: deque[bytes] = deque()
    held: list[bytes] = []
    quotes = size = 0
    while True:
        for line in _lines(stream, back):
            if not held and b'"' not in line:
                yield line
                continue
            held.append(line)
            quotes += line.count(b'"')
            size += len(line)
            if quotes % 2 == 0 or size > _LONGEST:
                yield _first(held, back)
                held, quotes, size = [], 0, 0
        if held:
            yield _first(held, back)
            held, quotes, size = [], 0, 0
        if not back:
            return


def _lines(stream: BinaryIO, back: deque[bytes]) -> Iterator[bytes]:
    """The lines of a stream; what is put back comes first."""
    while True:
        while back:
            yield back.popleft()
        line = stream.readline()
        if not line:
            return
        yield line


def _first(held: list[bytes], back: deque[bytes]) -> bytes:
    """The first row of some lines; those after it are put back."""
    if len(held) > 1 and not fits(b"".join(held)):
        for number, line in enumerate(held[:-1], start=1):
            if finished(line):
                back.extendleft(reversed(held[number:]))
                return b"".join(held[:number])
    return b"".join(held)


def torn(rest: bytes) -> bool:
    """Whether what stands after the last whole row can be left over of a row that was being written.

    A killed process or a full disk leaves the beginning of a row. A row with both of its hashes is no such thing: if
    it does not fit, it was edited.
    """
    rest = rest.rstrip(b"\0")  # some file systems put these where a write did not arrive
    if any(finished(line + b"\n") for line in rest.split(b"\n")):
        return False
    start, after = rest[: len(_TIME)], rest[len(_TIME) :]
    if not _TIME_LIKE.fullmatch(start + _TIME[len(start) :]):
        return False
    return not after or _BEGUN.fullmatch(after) is not None
