"""Whatever is done to a good file, its reader gives a value or says what is wrong, and raises nothing else.

The fast tests look at some two hundred mutations, those marked slow at thirty thousand.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core import checkpoints, images, impostors, labels, ledger, manifest, params, plain_yaml
from pipeline.core.errors import UserError
from pipeline.core.sources.reading import read
from tests.fuzz import records, texts
from tests.fuzz.driving import SOURCES, put
from tests.fuzz.images import KINDS, plain
from tests.fuzz.mutations import mutated
from tests.fuzz.test_weights import CALLED, archive
from tests.project import ROOT

Look = Callable[[bytes], None]
_SIDE = 64 << 10  # pixels


def _decode(data: bytes) -> None:
    impostors.is_marked(data)
    with contextlib.suppress(ValueError):
        decoded = images.decode(data, max_pixels=_SIDE)
        assert decoded.pixels.shape == (decoded.height, decoded.width, 3)


def _labels(data: bytes) -> None:
    for line in data.decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            box = labels.parse_line(line)
            assert 0 <= box.x <= 1


def _yaml(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        plain_yaml.load(data)


def _params(data: bytes) -> None:
    with contextlib.suppress(UserError):
        params.parse(data.decode(errors="replace"))


def _of_file(name: str, reader: Callable[[Path], object]) -> Look:
    def look(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(UserError):
            reader(put(Path(folder) / name, data))

    return look


def _of_source(layout: str, name: str) -> Look:
    def look(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            SOURCES[layout](Path(folder))
            put(Path(folder) / name, data)
            with contextlib.suppress(UserError):
                source = read(layout, Path(folder))
                assert {image.name for image in source.images} >= {"a.png"} or any(
                    image.name.endswith("/a.png") for image in source.images
                )

    return look


def _weights(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ValueError):
        checkpoints.check(put(Path(folder) / "a.pt", data))


PARAMS = (ROOT / "params.yaml").read_bytes()[:2500]
LOOKS: dict[str, tuple[Look, tuple[bytes, ...]]] = {
    **{kind: (_decode, (plain(kind, seed=1), plain(kind, seed=2))) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")},
    "further images": (_decode, tuple(one.make() for name, one in KINDS.items() if one.reason is None)[:60:3]),
    "YOLO labels": (_labels, (texts.BOX.encode() * 3,)),
    "YAML": (_yaml, (b"names: {0: cat, 1: dog}\ntrain: &a [images, more]\nval: *a\nx: {<<: {a: 1}, b: 2026-01-31}\n",)),
    "params.yaml": (_params, (PARAMS,)),
    "manifest": (_of_file("manifest.parquet", manifest.read), (records.manifest(),)),
    "ledger": (_of_file("ledger.csv", ledger.read), (texts.made(records.LEDGER["edited"][0]),)),
    "data.yaml": (_of_source("yolo", "data.yaml"), (b"names: [cat, dog]\ntrain: images\nval: [images]\npath: .\n",)),
    "labels of a source": (_of_source("yolo", "labels/a.txt"), (texts.BOX.encode() * 3,)),
    "COCO": (_of_source("coco", "instances_train.json"), (texts.made(texts.coco()),)),
    "VOC": (_of_source("voc", "Annotations/a.xml"), (texts.voc().encode(),)),
    "weights": (_weights, (archive(b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01u."), CALLED["os.system"][0])),
}  # fmt: skip
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@pytest.mark.parametrize("name", LOOKS)
@settings(max_examples=12, suppress_health_check=QUIET)
@given(data=st.data())
def test_some(name: str, data: st.DataObject) -> None:
    """A mutated file gives a value or a reason."""
    look, wholes = LOOKS[name]
    look(data.draw(mutated(*wholes)))


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOKS)
@settings(max_examples=600, deadline=10_000, suppress_health_check=QUIET)
@given(data=st.data())
def test_many(name: str, data: st.DataObject) -> None:
    """As above, often; none takes ten seconds."""
    look, wholes = LOOKS[name]
    look(data.draw(mutated(*wholes)))
