"""The chunks of a PNG file, read without anything being decoded or unpacked."""

from __future__ import annotations

import struct
from collections.abc import Iterator

START = b"\x89PNG\r\n\x1a\n"
TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


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
