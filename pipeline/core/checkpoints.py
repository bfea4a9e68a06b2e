"""Files of weights, looked into before anything in them is loaded.

A checkpoint is a zip file with a pickle in it, and a pickle may call whatever it names. Ultralytics loads it with
torch's ``weights_only``, which calls nothing that is not on a list; what is here says by name what else a file wanted
to call, and refuses what unpacks to more than it is.
"""

from __future__ import annotations

import io
import pickletools
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.core import bounded

_LARGEST = 8 << 30  # bytes of a file
_LARGEST_OTHER = 1 << 30  # bytes of a file that is none, looked into only to say what it is
_LARGEST_PICKLE = 16 << 20  # bytes; a detector's has some hundred thousand
_MOST_PICKLES = 8  # one after the other; files of torch before 1.6 have five
_ROOTS = frozenset({"collections", "numpy", "pathlib", "torch", "torchvision", "ultralytics"})
_PLAIN = {"bool", "bytearray", "bytes", "complex", "dict", "float", "int", "list", "object", "slice", "str", "tuple"}
_SAFE = frozenset({"_codecs.encode", "copyreg._reconstructor", "copy_reg._reconstructor"}) | frozenset(
    f"{module}.{name}" for module in ("builtins", "__builtin__") for name in {"frozenset", "getattr", "set", *_PLAIN}
)
_KINDS = {b"\x89PNG": "an image", b"\xff\xd8\xff": "an image", b"%PDF": "a PDF", b"\x1f\x8b": "a gzip file"}


def check(path: Path) -> None:
    """Refuse a file that is no checkpoint of torch, or that names what no detector calls.

    Raises:
        ValueError: it is no plain file, damaged, compressed, of another kind, or it wants to call something else than
            torch, Ultralytics and what they need; the message names the first such thing.
    """
    start = bounded.start(path, size=16)
    if not start:
        _read(path, most=0)  # says what else than a file it is
        raise ValueError("it is empty, wanted a checkpoint")
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, wanted at most {_LARGEST:,}")
    if not start.startswith(b"PK\x03\x04"):
        _refuse(_names(_read(path, most=_LARGEST_OTHER)[:_LARGEST_PICKLE]))
        kind = next((words for magic, words in _KINDS.items() if start.startswith(magic)), "no checkpoint")
        raise ValueError(f"it is {kind}, wanted a checkpoint as torch 1.6 and newer write it")
    _refuse(_names(_pickle_of(path)))


def _read(path: Path, *, most: int) -> bytes:
    try:
        return bounded.read(path, most=most)
    except ValueError as error:
        raise ValueError(f"it {error}") from None


def _pickle_of(path: Path) -> bytes:
    """The pickle in a checkpoint; no other part is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            for part in parts:
                if part.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(
                        f"it has a compressed part, {bounded.shown(part.filename)}, which torch never writes"
                    )
                if stat.S_ISLNK(part.external_attr >> 16):
                    raise ValueError(f"it has a link in it, {bounded.shown(part.filename)}")
            pickles = [part for part in parts if part.filename.count("/") == 1 and part.filename.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ValueError("it is a zip file without one data.pkl, wanted a checkpoint of torch")
            if any(part.filename.endswith("/constants.pkl") for part in parts):
                raise ValueError("it is a TorchScript program, wanted a checkpoint")
            if pickles[0].file_size > _LARGEST_PICKLE:
                raise ValueError(
                    f"it has a pickle of {pickles[0].file_size:,} bytes, wanted at most {_LARGEST_PICKLE:,}"
                )
            return archive.read(pickles[0])
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"it is damaged or cut off: {str(error)[:200]}") from None


def _refuse(names: Iterator[str]) -> None:
    for name in names:
        root = name.partition(".")[0]
        if root not in _ROOTS and name not in _SAFE:
            raise ValueError(f"it wants to call {bounded.shown(name)}, which no detector needs; do not use this file")


def _names(data: bytes) -> Iterator[str]:
    """What one or more pickles name, as ``module.name``, as far as they can be read; nothing is executed."""
    stream = io.BytesIO(data)
    for _ in range(_MOST_PICKLES):
        texts: list[str] = []  # those last pushed: a newer pickle pushes module and name, then asks for it
        memo: dict[int, str] = {}
        try:
            for code, argument, _ in pickletools.genops(stream):
                if code.name in {"GLOBAL", "INST"} and isinstance(argument, str):
                    yield argument.replace(" ", ".", 1)
                elif code.name == "STACK_GLOBAL":
                    yield ".".join(texts[-2:]) or "something without a name"
                elif code.name in {"PUT", "BINPUT", "LONG_BINPUT"} and isinstance(argument, int) and texts:
                    memo[argument] = texts[-1]
                elif code.name == "MEMOIZE":
                    memo[len(memo)] = texts[-1] if texts else ""
                elif code.name in {"GET", "BINGET", "LONG_BINGET"} and isinstance(argument, int):
                    texts.append(memo.get(argument, ""))
                elif isinstance(argument, str):
                    texts.append(argument)
                del texts[:-2]
        except Exception:  # noqa: BLE001 - what is no pickle makes its reader raise almost anything
            return
