"""Weights of others: what a file wants to call is named and not called; what is no detector is refused."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import checkpoints
from tests.fuzz.driving import put
from tests.fuzz.images import plain
from tests.fuzz.test_places import PLACES


class Payload:
    """An object whose pickle calls something."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call the function with the arguments when it is unpickled."""
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Say what is called."""
        return self._call


def archive(
    content: bytes, more: str = "version", *, folder: str = "archive", packing: int = zipfile.ZIP_STORED
) -> bytes:
    """A checkpoint as torch writes it, around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as writer:
        writer.writestr(f"{folder}/data.pkl", content)
        writer.writestr(f"{folder}/{more}", b"3\n")
    return file.getvalue()


SYSTEM = Payload(os.system, "touch called")
WHOLE = pickle.dumps({"model": SYSTEM}, protocol=2)
CALLED = {
    "os.system": (archive(WHOLE), f"{os.name}.system"),
    "os.system, first protocol": (archive(pickle.dumps(SYSTEM, protocol=0)), f"{os.name}.system"),
    "os.system, newest protocol": (archive(pickle.dumps({"a": "b", "m": SYSTEM}, protocol=5)), f"{os.name}.system"),
    "os.system, without an archive": (WHOLE, f"{os.name}.system"),
    "os.system, after another pickle": (pickle.dumps(1) + pickle.dumps(SYSTEM), f"{os.name}.system"),
    "os.system, cut off": (WHOLE[:-8], f"{os.name}.system"),
    "os.system, asked for by INST": (archive(b"(S'touch called'\nios\nsystem\n."), "os.system"),
    "os.system, by a name used before": (
        archive(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x0ctouch called\x85R."), "os.system"
    ),
    "eval": (archive(pickle.dumps(Payload(eval, "1"), protocol=2)), "__builtin__.eval"),
    "exec": (archive(pickle.dumps(Payload(exec, "1"), protocol=4)), "builtins.exec"),
    "open": (archive(pickle.dumps(Payload(builtins.open, "called", "w"), protocol=4)), ".open"),
    "subprocess": (archive(pickle.dumps(Payload(subprocess.run, ["true"]))), "subprocess.run"),
    "an import": (archive(pickle.dumps(Payload(__import__, "antigravity"))), "builtins.__import__"),
    "a pickle in it": (archive(pickle.dumps(Payload(pickle.loads, WHOLE))), "_pickle.loads"),
}  # fmt: skip
REFUSED: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "empty": (b"", "empty"),
    "text": (b"not weights\n", "no checkpoint"),
    "zeros": (bytes(1000), "no checkpoint"),
    "an image": (plain("PNG"), "an image"),
    "a gzip file": (b"\x1f\x8b\x08" + bytes(20), "a gzip file"),
    "cut off": (archive(WHOLE)[:-30], "damaged or cut off"),
    "start of a zip file": (b"PK\x03\x04", "damaged or cut off"),
    "zip file of something else": (archive(b"", folder="a/b"), "without one data.pkl"),
    "two pickles": (archive(b"N.", "../b/data.pkl").replace(b"archive/../b", b"archive____b"), "without one data.pkl"),
    "TorchScript": (archive(b"N.", "constants.pkl"), "TorchScript"),
    "compressed": (archive(b"N.", packing=zipfile.ZIP_DEFLATED), "compressed"),
    "a bomb": (lambda: archive(bytes(200 << 20), packing=zipfile.ZIP_DEFLATED), "compressed"),
    "a pickle of 17 MB": (lambda: archive(bytes(17 << 20)), "bytes, wanted at most"),
}


@pytest.mark.parametrize("kind", CALLED)
def test_what_it_wants_to_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A checkpoint with a payload is refused by the name of what it wanted to call, and nothing is called."""
    monkeypatch.chdir(tmp_path)
    data, name = CALLED[kind]
    with pytest.raises(ValueError, match=rf"wants to call '.*{name}'"):
        checkpoints.check(put(tmp_path / "a.pt", data))
    assert not Path("called").exists()


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_checkpoint(tmp_path: Path, kind: str) -> None:
    """A file of another kind is refused for what it is."""
    data, reason = REFUSED[kind]
    with pytest.raises(ValueError, match=reason):
        checkpoints.check(put(tmp_path / "a.pt", data() if callable(data) else data))


@pytest.mark.parametrize("place", [place for place in PLACES if "link out" not in place])
def test_what_stands_in_its_place(tmp_path: Path, place: str) -> None:
    """A pipe is not waited for, a device not read without end."""
    PLACES[place](tmp_path / "a.pt")
    with pytest.raises(ValueError, match="it "):
        checkpoints.check(tmp_path / "a.pt")


def test_a_plain_checkpoint(tmp_path: Path) -> None:
    """Tensors and plain values want nothing that is refused."""
    checkpoints.check(put(tmp_path / "a.pt", archive(pickle.dumps({"epoch": 1, "names": {0: "cat"}}, protocol=2))))
