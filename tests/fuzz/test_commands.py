"""The commands that people type, on hostile input, with a limit of memory and of time: a message and no traceback."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.core import images
from tests.fuzz import texts
from tests.fuzz.driving import SOURCES, put, settings
from tests.fuzz.images import KINDS, chunk, plain, png, saved
from tests.fuzz.test_weights import Payload, archive
from tests.project import ROOT

MEMORY = 6 << 30  # bytes of addresses, of which OpenCV and NumPy take two before they do anything


def command(project: Path, *arguments: str, seconds: float, memory: int = MEMORY) -> tuple[int, str]:
    """Run one of the project's modules in a folder, within limits.

    Returns:
        The exit code and all that it said.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=project, timeout=seconds, check=False, text=True, preexec_fn=limit,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout


def flat(width: int, height: int, *, depth: int, channels: int, colour: int) -> bytes:
    """A PNG of one colour: large as an image, small as a file."""
    line = width * channels * depth // 8 + 1
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(line)) for _ in range(height)) + packer.flush()
    return png(width, height, depth=depth, colour=colour, data=data)


LARGE: dict[str, tuple[str, Callable[[], bytes], bool]] = {
    "the largest PNG": ("a.png", lambda: flat(10_000, 10_000, depth=8, channels=3, colour=2), True),
    "the largest PNG of 16 bits": ("a.png", lambda: flat(10_000, 10_000, depth=16, channels=4, colour=6), True),
    "a PNG of 30000 x 30000": ("a.png", lambda: flat(30_000, 30_000, depth=8, channels=3, colour=2), False),
    "a JPEG of 90 megapixels": ("a.jpg", lambda: saved_flat(9500, 9500, "JPEG"), True),
    "a TIFF of 90 megapixels": ("a.tif", lambda: saved_flat(9500, 9500, "TIFF", compression="tiff_deflate"), True),
    "a WebP of 90 megapixels": ("a.webp", lambda: saved_flat(9500, 9500, "WEBP", lossless=True, method=0), True),
    "a BMP of 90 megapixels": ("a.bmp", lambda: saved_flat(9500, 9500, "BMP"), True),
    "a PNG with texts of 60 MB": ("a.png", lambda: _texts(60), True),
    "900 MB of zeros": ("a.png", lambda: bytes(900 << 20), False),
}


def saved_flat(width: int, height: int, kind: str, **options: object) -> bytes:
    """A large image of one colour."""
    from PIL import Image

    return saved(Image.new("RGB", (width, height), (10, 200, 30)), kind, **options)


def _texts(megabytes: int) -> bytes:
    whole = plain("PNG")
    return whole[:33] + chunk(b"tEXt", b"a\0" + bytes([65]) * (1 << 20)) * megabytes + whole[33:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGE)
def test_large_image(tmp_path: Path, kind: str) -> None:
    """What is within ingest.max_pixels is taken, what is beyond is rejected; memory and time are bounded."""
    name, make, kept = LARGE[kind]
    SOURCES["yolo"](tmp_path / "source")
    (tmp_path / "source/images/a.png").unlink()
    put(tmp_path / "source/images" / name, make())
    settings(tmp_path, "yolo", "source")
    code, output = command(tmp_path, "pipeline.ingest", seconds=200)
    assert code == 0, output
    assert ("1 image kept" in output) == kept, output


@pytest.mark.parametrize("layout", ["yolo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("coco", "voc"))])
def test_ingest(tmp_path: Path, layout: str) -> None:
    """A source with every kind of image in it is taken in by the real command, in seconds."""
    SOURCES[layout](tmp_path / "source")
    folder = {"yolo": "images", "coco": ".", "voc": "JPEGImages"}[layout]
    for number, one in enumerate(KINDS.values()):
        put(tmp_path / "source" / folder / f"x{number:03d}{one.suffix}", one.make())
    settings(tmp_path, layout, "source")
    started = time.monotonic()
    code, output = command(tmp_path, "pipeline.ingest", seconds=120)
    assert code == 0, output
    assert "1 image kept" in output  # the others have no labels
    assert f"{len(KINDS)} image rejected" in output
    assert time.monotonic() - started < 60


REFUSED = {
    "anchor bomb in params.yaml": ("params.yaml", texts.LAUGHS + "seed: *j\n"),
    "python object in params.yaml": ("params.yaml", "seed: !!python/object/apply:os.system ['touch called']\n"),
    "anchor bomb in data.yaml": ("source/data.yaml", texts.LAUGHS + "names: *j\ntrain: images\n"),
    "python object in data.yaml": ("source/data.yaml", "names: !!python/object/apply:os.system ['touch called']\n"),
    "endless brackets in data.yaml": ("source/data.yaml", "[" * (1 << 20)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSED)
def test_refused(tmp_path: Path, kind: str) -> None:
    """A hostile text ends the command with one message and exit code 1; nothing is written and nothing called."""
    SOURCES["yolo"](tmp_path / "source")
    settings(tmp_path, "yolo", "source")
    name, content = REFUSED[kind]
    put(tmp_path / name, content)
    code, output = command(tmp_path, "pipeline.ingest", seconds=60, memory=3 << 30)
    assert code == 1, output
    assert output.startswith("error: ")
    assert len(output) < 3000
    assert not (tmp_path / "data/real").exists()
    assert not (tmp_path / "called").exists()


def _torch_payload() -> bytes:
    import torch

    return archive(pickle.dumps({"model": Payload(torch.hub.load, "owner/repository", "model")}, protocol=2))


TINY = (ROOT / "models/tiny.yaml").read_bytes()
CLASSIFIER = b"nc: 3\nbackbone: [[-1, 1, Conv, [16, 3, 2]]]\nhead: [[-1, 1, Classify, [nc]]]\n"
WEIGHTS: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "os.system": (
        "a.pt",
        archive(pickle.dumps({"model": Payload(os.system, "touch called")}, protocol=2)),
        f"wants to call '{os.name}.system'",
    ),
    "a function of torch": ("a.pt", _torch_payload, "wants to call torch.hub.load"),
    "a dictionary": ("a.pt", archive(pickle.dumps({"epoch": 1}, protocol=2)), "cannot be loaded"),
    "a number": ("a.pt", archive(pickle.dumps(1, protocol=2)), "something else than a detector"),
    "an activation that is a program": (
        "a.yaml", TINY + b"activation: __import__('os').system('touch called')\n", "unsupported activation"
    ),
    "a module of another package": ("a.yaml", TINY.replace(b"Conv, [16", b"os.system, [16"), "cannot be loaded"),
    "a million channels": ("a.yaml", TINY.replace(b"[16,", b"[1000000,"), "the number 1000000"),
    "a bomb of anchors": ("a.yaml", f"{texts.LAUGHS}nc: 1\n".encode(), "more than"),
    "a list": ("a.yaml", b"- 1\n", "it holds list"),
    "a text": ("a.yaml", b"yolo\n", "it holds str"),
    "an image": ("a.yaml", plain("PNG"), "cannot be loaded"),
    "a classifier": ("a.yaml", CLASSIFIER, "for the task 'classify'"),
    "a pipe": ("a.yaml", b"", "wanted a plain file|is missing"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", WEIGHTS)
def test_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A model file of somebody else is refused by what is wrong with it; nothing that it names is called."""
    from pipeline.adapters import yolo
    from pipeline.core import params
    from pipeline.core.errors import UserError

    monkeypatch.chdir(tmp_path)
    name, make, reason = WEIGHTS[kind]
    put(tmp_path / name, make() if callable(make) else make)
    if kind == "a pipe":
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
    picture = put(tmp_path / "images/a.png", images.encode_png(np.zeros((64, 64, 3), dtype=np.uint8)))
    put(tmp_path / "labels/a.txt", texts.BOX)
    train = yaml.safe_load((ROOT / "params.yaml").read_text())
    train["train"].update(model=name, device="cpu", steps=1)
    with pytest.raises(UserError, match=reason):
        yolo.train([picture], ["cat"], params.parse(yaml.safe_dump(train)).train, seed=1, out=tmp_path)
    if name.endswith(".pt"):
        with pytest.raises(UserError, match=reason):
            yolo.predict(tmp_path / name, [picture], image_size=64, confidence=0.5, device="cpu")
    assert not (tmp_path / "called").exists()
