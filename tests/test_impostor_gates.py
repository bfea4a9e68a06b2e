"""The gates of the pipeline: a copy of a synthetic image is rejected at ingest, a copy of a test image by verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from pipeline import accepting, ingest, verify
from pipeline.core import images, manifest, paths
from pipeline.core.errors import UserError
from tests.builders import Pixels, synthetic_row
from tests.core.test_impostors import made, put, scene
from tests.project import ROOT


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder whose source has three images a split, all of them unrelated; gives the source."""
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["ingest"].update(source="yolo", path="source", max_rejected=1.0)
    paths.PARAMS.write_text(yaml.safe_dump(settings))
    folder = tmp_path / "source"
    for number, split in enumerate(manifest.SPLITS):
        for index in range(3):
            add(folder, f"{split}/images/{split}{index}.png", scene(50 + 3 * number + index))
    names = "".join(f"{split}: {split}/images\n" for split in manifest.SPLITS)
    (folder / "data.yaml").write_text(f"names: [disc]\n{names}")
    return folder


def add(folder: Path, name: str, pixels: Pixels) -> None:
    """Put an image with one box into the source."""
    image = folder / name
    for path, data in ((image, images.encode_png(pixels)), (manifest.label_path(image), b"0 0.5 0.5 0.4 0.4\n")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def real() -> dict[str, bytes]:
    """What ingest wrote, by path."""
    return {str(path): path.read_bytes() for path in sorted(paths.REAL.rglob("*")) if path.is_file()}


def test_a_copy_of_a_synthetic_image_is_rejected_at_ingest(source: Path) -> None:
    """It is rejected with the run and the image that it copies, and how; everything else is as it was without it."""
    ingest.main()
    before = real()
    child = put(synthetic_row(), scene(1))
    made(child)
    ingest.main()
    assert real() == before
    add(source, "train/images/new.png", cv2.resize(scene(1)[:, ::-1], None, fx=1.5, fy=1.5))
    ingest.main()
    lines = paths.REAL_DECISIONS.read_text().splitlines()
    (line,) = [one for one in lines if one.startswith("image,") and "rejected" in one]
    assert "train/images/new.png" in line
    assert f"copy of synthetic image {child.image_id[:12]} of run guarded-1: mirrored left to right" in line
    assert len(manifest.read(paths.REAL_MANIFEST)) == 9


def test_what_was_made_since_ingest_is_refused_at_acceptance(source: Path) -> None:
    """An image that was ingested before the synthetic one was known cannot be accepted with the rest."""
    add(source, "train/images/new.png", np.ascontiguousarray(scene(1)[10:]))
    ingest.main()
    made(put(synthetic_row(), scene(1)))
    with pytest.raises(UserError, match=r"new\.png is a copy of synthetic image"):
        accepting.accept(reviewer="anna", reason="looked at all of them")
    assert not paths.LEDGER.exists()


def test_a_copy_of_a_test_image_leaves_train(source: Path) -> None:
    """A cropped mirror image of a test image is no training image; no other image is touched."""
    twin = np.ascontiguousarray(scene(50 + 6)[6:114, ::-1][:, 8:152])
    add(source, "train/images/twin.png", twin)
    ingest.main()
    accepting.accept(reviewer="anna", reason="looked at all of them")
    verify.main()
    kept = manifest.read(paths.VERIFIED_MANIFEST)
    assert len(kept) == 9
    lines = [one for one in paths.VERIFIED_DECISIONS.read_text().splitlines() if ",leak," in one]
    assert len(lines) == 1
    assert "train/images/twin.png" in lines[0]
    assert "train: copy (mirrored left to right, with more around it, corr" in lines[0]
    assert "of test/images/test0.png in test" in lines[0]
