"""What shows the same among real images, in which splits it is compared, and on photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.core import images, leaks, portraits
from pipeline.core.impostors import Known
from pipeline.core.manifest import Row
from tests.builders import Pixels, row
from tests.core.test_impostors import scene

BCCD = Path(__file__).parents[3] / "shared" / "data" / "bccd" / "JPEGImages"


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """A training image, its mirrored crop in test, its brighter twin in train, and an unrelated one in val."""
    monkeypatch.chdir(tmp_path)
    plain = scene(1)
    pixels: dict[str, tuple[str, Pixels]] = {
        "a": ("train", plain),
        "b": ("test", plain[8:112, 10:150][:, ::-1]),
        "c": ("train", np.clip(plain.astype(int) + 20, 0, 255).astype(np.uint8)),
        "d": ("val", scene(2)),
    }
    found = []
    for name, (split, one) in pixels.items():
        Path(f"{name}.png").write_bytes(images.encode_png(one))
        found.append(row(name, path=f"{name}.png", split=split))
    return found


def test_across_splits(rows: list[Row]) -> None:
    """Between splits, the crop is found from both sides; images of one split are not compared."""
    found = leaks.find(rows, within=2, kinds=[one.split for one in rows])
    assert [(one.first, one.second) for one in found] == [(0, 1), (1, 2)]
    assert all(one.how.startswith("copy (mirrored left to right") for one in found)


def test_everywhere(rows: list[Row]) -> None:
    """Without kinds all are compared: the twin is a near duplicate by its hash, and is named once."""
    found = leaks.find(rows, within=2)
    assert (found[0].first, found[0].second, found[0].how[:14]) == (0, 2, "near duplicate")
    assert [(one.first, one.second) for one in found[1:]] in ([(0, 1)], [(1, 2)], [(0, 1), (1, 2)])


def test_no_images() -> None:
    """Among no images nothing is alike."""
    assert leaks.find([], within=2) == []


@pytest.mark.skipif(not BCCD.exists(), reason="the BCCD photographs are not there")
def test_photographs_of_the_same_cells() -> None:
    """Of photographs in a row, those that show the same cells are found, and no others."""
    numbers = [35, 36, 37, 38, 39, 40, 41, 42]
    seen = []
    for number in numbers:
        pixels = cv2.imread(str(BCCD / f"BloodImage_{number:05d}.jpg"))
        seen.append(portraits.portrait(np.asarray(pixels, dtype=np.uint8), image_id=str(number), name=str(number)))
    found = Known(seen).find_each(seen, exempt=lambda query, known: query == known)
    pairs = {(one.name, match.name) for one, match in zip(seen, found, strict=True) if match}
    assert pairs == {("37", "38"), ("38", "37")}
