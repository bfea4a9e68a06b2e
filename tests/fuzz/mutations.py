"""Mutations of good files: bytes flipped, cut out, put in, doubled or shuffled."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

_TELLING = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b" ", b'"', b"{", b"[", b"]}", b"<", b"&", b"*a", b"<<: ",
    b"nan", b"-1", b"1e999", b"9" * 400, b"../", b"/dev/zero", b"<!DOCTYPE", b"\\ud800", "\u0661".encode(), b"\xff\xd9",
    b"IEND",
)  # fmt: skip


def apply(data: bytes, steps: Sequence[tuple[str, int, int, bytes]]) -> bytes:
    """Apply mutations one after the other; places are taken modulo the length.

    Args:
        data: a file.
        steps: kind, place, length and bytes of each.
    """
    for kind, first, length, new in steps:
        place = first % (len(data) + 1)
        end = min(place + length, len(data))
        if kind == "flip":
            data = data[:place] + bytes(one ^ 0xFF for one in data[place:end]) + data[end:]
        elif kind == "bit" and data:
            at = place % len(data)
            data = data[:at] + bytes([data[at] ^ (1 << length % 8)]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:place]
        elif kind == "remove":
            data = data[:place] + data[end:]
        elif kind == "put in":
            data = data[:place] + new + data[place:]
        elif kind == "replace":
            data = data[:place] + new + data[end:]
        elif kind == "double":
            data = data[:end] + data[place:end] * 3 + data[end:]
        elif kind == "shuffle":
            lines = data.splitlines(keepends=True)
            data = b"".join(lines[place % len(lines) :] + lines[: place % len(lines)]) if lines else data
    return data


def mutated(*wholes: bytes) -> st.SearchStrategy[bytes]:
    """One of the files, mutated some times."""
    kinds = st.sampled_from(("flip", "bit", "cut", "remove", "put in", "replace", "double", "shuffle"))
    new = st.one_of(st.sampled_from(_TELLING), st.binary(max_size=12))
    step = st.tuples(kinds, st.integers(0, 1 << 16), st.integers(0, 64), new)
    return st.builds(apply, st.sampled_from(wholes), st.lists(step, min_size=1, max_size=6))
