"""Files that other people made, read within bounds: a plain file, and no more of it than is wanted.

A pipe would be waited on for ever, a device has no end, and a file of a terabyte fits no memory: a path that leads to
one is refused before a byte is read.
"""

from __future__ import annotations

import os
import reprlib
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_CHUNK = 1 << 20


def start(path: Path, *, size: int) -> bytes:
    """The first bytes of a plain file; none where there is no such file or it cannot be read.

    Args:
        path: of the file; a link is followed.
        size: bytes that are read.
    """
    try:
        with opened(path) as file:
            return file.read(size)
    except (OSError, ValueError):
        return b""


def opened(path: Path) -> BinaryIO:
    """A plain file, opened to be read.

    Args:
        path: of the file; a link is followed.

    Raises:
        ValueError: it is something else; the message says what, without the path.
        OSError: it is not there, or cannot be read.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    kind = next((words for is_kind, words in _KINDS if is_kind(mode)), None)
    if kind is not None:
        os.close(handle)
        raise ValueError(f"is {kind}, wanted a plain file")
    return os.fdopen(handle, "rb")


def read(path: Path, *, most: int) -> bytes:
    """All bytes of a plain file.

    Args:
        path: of the file; a link is followed.
        most: bytes that it may have.

    Raises:
        ValueError: it is no plain file, is larger, or cannot be read; the message says which, without the path.
    """
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise ValueError(f"has {size:,} bytes, wanted at most {most:,}")
            data = file.read(size + 1)  # not `most`: so many bytes are asked of the system at once, and it may refuse
            while size < len(data) <= most and (more := file.read(_CHUNK)):  # it grew, or tells no size
                data += more
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or type(error).__name__}") from None
    except MemoryError:
        raise ValueError("does not fit into memory") from None
    if len(data) > most:  # it grew, or is one of those files whose size the system does not know
        raise ValueError(f"has more than {most:,} bytes")
    return data


def text(path: Path, *, most: int) -> str:
    """All of a plain text file in UTF-8; a mark at its beginning is left out.

    Args:
        path: of the file; a link is followed.
        most: bytes that it may have.

    Raises:
        ValueError: as :func:`read`, or it is not UTF-8; the message says which, without the path.
    """
    try:
        return read(path, most=most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not text in UTF-8 (byte {error.start + 1})") from None


def shown(value: object, *, most: int = 300) -> str:
    r"""Something as it stands in a message: on one line and short, whatever it is.

    Other people's texts know no limit, and a few lines of YAML can hold lists in lists of a billion items.

    >>> shown("a\nb"), shown("a" * 100, most=9), shown([1, [2, [3, [4]]]])
    ("'a\\nb'", "'a...aa'", '[1, [2, [3, [...]]]]')
    """
    writer = reprlib.Repr()
    writer.maxlevel, writer.maxstring, writer.maxother, writer.maxlong = 3, most, most, most
    whole = writer.repr(value)
    return whole if len(whole) <= 2 * most else f"{whole[: 2 * most]}..."
