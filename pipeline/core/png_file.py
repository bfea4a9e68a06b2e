"""The chunks of a PNG file, read without a pixel being decoded or more than a little being unpacked."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

START = b"\x89PNG\r\n\x1a\n"
TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_TEXT_LIMIT = 1 << 20  # bytes that a compressed text may unpack to


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and payload of each chunk up to the end or to where the file is cut off."""
    if not data.startswith(START):
        return
    position = len(START)
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + size > len(data):
            return
        yield kind, data[position + 8 : position + 8 + size]
        position += 12 + size


def end(data: bytes) -> int | None:
    """Offset of the first byte after the end chunk; None if there is none."""
    position = len(START)
    for kind, payload in chunks(data):
        position += 12 + len(payload)
        if kind == b"IEND":
            return position
    return None


def texts(data: bytes) -> dict[str, str]:
    """The text chunks of a PNG file, as far as the file goes; a later one of the same key wins.

    A file that is no PNG has none. Checksums are not looked at: a damaged mark is still a mark.
    """
    found = {}
    for kind, payload in chunks(data):
        pair = _text_of(kind, payload)
        if pair is not None:
            found[pair[0]] = pair[1]
    return found


def _text_of(kind: bytes, payload: bytes) -> tuple[str, str] | None:
    """Key and text of a text chunk; None for any other chunk or one that cannot be read."""
    key, separator, rest = payload.partition(b"\0")
    if not separator or kind not in TEXTS:
        return None
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, _TEXT_LIMIT)
        except zlib.error:
            rest = b""  # the key still counts
    encoding = "utf-8" if kind == b"iTXt" else "latin-1"
    return key.decode("latin-1"), rest.decode(encoding, errors="replace")
