"""Drift of synthetic images from real ones: found where there is some, at the stated rate where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from pipeline.core import drift, images, labels
from pipeline.core.errors import UserError
from pipeline.core.figures import Drift
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from tests.builders import box, picture, row, sha, synthetic_row

NAMES = ["one", "two", "three"]
QUANTITIES = [
    "class shares",
    "box size",
    "aspect ratio",
    "horizontal position",
    "vertical position",
    "objects an image",
    "sharpness",
    "high-frequency energy",
    "contrast",
    "colour",
]


def store(folder: Path, kind: str, boxes: Sequence[Sequence[Box]], *, blur: float = 0) -> list[Row]:
    """Images with these boxes, on the disk; the tests stand in the folder."""
    made = row if kind == "real" else synthetic_row
    for part in ("images", "labels"):
        (folder / kind / part).mkdir(parents=True, exist_ok=True)
    rows = []
    for number, some in enumerate(boxes):
        pixels = picture(int(sha(f"{kind} {number}")[:6], 16), width=32, height=32)
        if blur:
            pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), blur), dtype=np.uint8)
        path = Path(kind, "images", f"{number}.png")
        (folder / path).write_bytes(images.encode_png(pixels))
        (folder / kind / "labels" / f"{number}.txt").write_text(labels.format_boxes(some))
        rows.append(made(f"{kind} {number}", path=str(path), width=32, height=32))
    return rows


def random_boxes(count: int, seed: int, *, side: float = 0.25, alike: bool = False) -> list[list[Box]]:
    """Boxes of so many images; `alike`: all of an image are of one class and one size."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        some = []
        class_id, size = int(rng.integers(3)), float(rng.uniform(0.8, 1.2)) * side
        for _ in range(int(rng.integers(1, 5))):
            if not alike:
                class_id, size = int(rng.integers(3)), float(rng.uniform(0.8, 1.2)) * side
            x, y = rng.uniform(0.3, 0.7, size=2)
            some.append(box(class_id, x=float(x), y=float(y), width=size, height=size))
        found.append(some)
    return found


def measured(
    folder: Path, real: Sequence[Sequence[Box]], synthetic: Sequence[Sequence[Box]], *, blur: float = 0
) -> dict[str, Drift]:
    """Drift by quantity."""
    rows = store(folder, "real", real), store(folder, "synthetic", synthetic, blur=blur)
    found = drift.measure(*rows, NAMES, rng=np.random.default_rng(0), permutations=399)
    return {one.quantity: one for one in found}


def permuting(border: int, number: int, seed: int, *, permutations: int = 199) -> drift._Permute:
    """Permutations of images, the first `border` of which are real."""
    return drift._Permute(border=border, number=number, permutations=permutations, rng=np.random.default_rng(seed))


@pytest.fixture(autouse=True)
def _stand_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_nothing_drifts(tmp_path: Path) -> None:
    """Two sets of one kind differ in no quantity, and all quantities are there, in order."""
    found = measured(tmp_path, random_boxes(40, 1), random_boxes(40, 2))
    assert list(found) == QUANTITIES
    for one in found.values():
        assert one.p_value is not None
        assert one.p_value > 0.05
        assert one.reason == ""


@pytest.mark.parametrize(
    ("boxes", "quantity", "sign"),
    [
        pytest.param([[box(0, width=0.4, height=0.4)]], "box size", 1, id="larger boxes"),
        pytest.param([[box(0, width=0.5, height=0.125)]], "aspect ratio", 1, id="wider boxes"),
        pytest.param([[box(0, x=0.2)]], "horizontal position", -1, id="further left"),
        pytest.param([[box(0, y=0.8)]], "vertical position", 1, id="further down"),
        pytest.param([[box(0), box(0)]], "objects an image", 1, id="more objects"),
        pytest.param([[box(1)]], "class shares", 1, id="another class"),
    ],
)
def test_one_quantity_drifts(tmp_path: Path, boxes: list[list[Box]], quantity: str, sign: int) -> None:
    """What was changed drifts, with the largest effect that there is; the other quantities of boxes do not."""
    found = measured(tmp_path, [[box(0)]] * 30, boxes * 30)
    one = found[quantity]
    assert one.p_value is not None
    assert one.effect == pytest.approx(sign)
    # No permutation of 399 parts the images as well: 1 in 400, times the number of quantities that are tested (Holm).
    assert one.p_value == pytest.approx(sum(other.p_value is not None for other in found.values()) / 400)
    still = {name for name in QUANTITIES[1:6] if name != quantity}
    assert {name: found[name].p_value for name in still} == dict.fromkeys(still, 1.0)


def test_blur_drifts(tmp_path: Path) -> None:
    """A generator that blurs loses sharpness and high frequencies."""
    found = measured(tmp_path, random_boxes(30, 1), random_boxes(30, 2), blur=1.5)
    for name in ("sharpness", "high-frequency energy"):
        assert found[name].effect == pytest.approx(-1, abs=0.05)
        assert (found[name].p_value or 1) < 0.001
    assert (found["box size"].p_value or 0) > 0.05


def test_pixels_against_scipy(tmp_path: Path) -> None:
    """One value an image is tested as SciPy does it; the p value is adjusted, the effect is Cliff's delta."""
    real, synthetic = store(tmp_path, "real", [[box(0)]] * 12), store(tmp_path, "synthetic", [[box(0)]] * 9, blur=0.5)
    found = {
        one.quantity: one
        for one in drift.measure(real, synthetic, NAMES, rng=np.random.default_rng(0), permutations=99)
    }

    def contrast(rows: list[Row]) -> list[float]:
        return [float(cv2.cvtColor(images.read(one.path), cv2.COLOR_BGR2GRAY).std()) for one in rows]

    first, second = contrast(real), contrast(synthetic)
    raw = float(stats.ks_2samp(first, second, method="exact").pvalue)
    data = drift._Values(quantity="", unit="", values=np.array(first + second), image=np.arange(21))
    assert drift._of_images(data, 12, 21).p_value == pytest.approx(raw)
    assert found["contrast"].p_value is not None
    assert found["contrast"].p_value >= raw
    delta = np.mean([np.sign(after - before) for after in second for before in first])
    assert found["contrast"].effect == pytest.approx(delta)
    assert found["contrast"].real == pytest.approx(np.median(first), rel=1e-5)


def test_class_shares_against_scipy() -> None:
    """With one box an image, images are permuted as boxes are: the effect is SciPy's, and so is the p value."""
    first, second = [0] * 30 + [1] * 14 + [2] * 6, [0] * 22 + [1] * 24 + [2] * 4
    boxes = [[box(one)] for one in first + second]
    found = drift._class_shares(boxes, 3, permuting(50, 100, 0, permutations=1999))
    table = np.array([np.bincount(first), np.bincount(second)])
    assert found.effect == pytest.approx(stats.contingency.association(table, method="cramer"))
    assert found.samples == (50, 50)
    method = stats.PermutationMethod(n_resamples=9999, rng=1)
    exact = float(stats.chi2_contingency(table, correction=False, method=method).pvalue)
    assert found.p_value == pytest.approx(exact, abs=0.02)


def test_chi_squared_against_scipy() -> None:
    """The statistic that is permuted is Pearson's, for tables of any margins; of several tables at once too."""
    first, second = np.array([30.0, 14, 6]), np.array([10.0, 2, 1])
    total = first + second
    wanted = float(stats.chi2_contingency(np.stack([first, second]), correction=False).statistic)
    assert drift._chi_squared(first, total) == pytest.approx(wanted)
    both = drift._chi_squared(np.stack([first, second]), total)
    assert both == pytest.approx([wanted, wanted])


def test_boxes_of_an_image_hang_together() -> None:
    """Where all boxes of an image are alike, a test of single boxes alarms far too often; this one does not."""
    rng = np.random.default_rng(7)
    alarms, naive = 0, 0
    for trial in range(60):
        boxes = [[one] * 6 for one in (box(int(rng.integers(3))) for _ in range(40))]
        table = np.array([np.bincount([one.class_id for some in part for one in some], minlength=3)
                          for part in (boxes[:20], boxes[20:])])  # fmt: skip
        naive += bool(stats.chi2_contingency(table).pvalue <= 0.05)
        found = drift._class_shares(boxes, 3, permuting(20, 40, trial))
        assert found.p_value is not None
        alarms += found.p_value <= 0.05
    assert naive >= 15
    assert alarms <= 8  # 5 % of 60 are 3; more than 8 in 1 of 200 only


def test_a_shrinking_spread_is_seen(tmp_path: Path) -> None:
    """Variety that is lost moves no median: the test sees it, and the effect, which is of location, is near nought."""
    rng = np.random.default_rng(3)
    wide = [[box(0, x=float(x))] for x in rng.uniform(0.2, 0.8, 60)]
    narrow = [[box(0, x=float(x))] for x in rng.uniform(0.45, 0.55, 60)]
    found = measured(tmp_path, wide, narrow)["horizontal position"]
    assert (found.p_value or 1) < 0.05
    assert abs(found.effect or 1) < 0.2


def test_fractions_of_pixels_do_not_count(tmp_path: Path) -> None:
    """A box that a detector gives to a fraction of a pixel is where the pixel is."""
    jitter = [[box(0, x=0.5 + 0.004 * step, y=0.5 - 0.004 * step)] for step in (-1, 0, 1)] * 20
    found = measured(tmp_path, [[box(0)]] * 60, jitter)
    assert found["horizontal position"].p_value == 1
    assert found["box size"].effect == 0


def test_without_synthetic_images(tmp_path: Path) -> None:
    """Nothing is compared with nothing: every quantity is absent, and says why."""
    found = measured(tmp_path, random_boxes(5, 1), [])
    assert list(found) == QUANTITIES
    for one in found.values():
        assert (one.p_value, one.effect, one.synthetic) == (None, None, None)
        assert "synthetic images have no" in one.reason


def test_images_without_boxes(tmp_path: Path) -> None:
    """Synthetic images that show nothing: no boxes to compare, but objects an image and pixels are."""
    found = measured(tmp_path, [[box(0)]] * 20, [[]] * 20)
    assert found["box size"].reason == "the synthetic images have no values"
    assert found["class shares"].reason == "the synthetic images have no boxes"
    assert found["objects an image"].effect == -1
    assert found["sharpness"].p_value is not None


def test_one_class_has_no_shares(tmp_path: Path) -> None:
    """One class is all there is in both: no test, and a reason."""
    found = measured(tmp_path, [[box(0)]] * 3, [[box(0)]] * 3)["class shares"]
    assert found.p_value is None
    assert "one class" in found.reason


def test_same_seed_same_figures(tmp_path: Path) -> None:
    """The figures are the same to the bit with the same generator, also where images are drawn."""
    real, synthetic = store(tmp_path, "real", random_boxes(20, 1)), store(tmp_path, "synthetic", random_boxes(20, 2))
    once, again = (
        drift.measure(real, synthetic, NAMES, rng=np.random.default_rng(5), most=12, permutations=99) for _ in range(2)
    )
    assert once == again
    assert once[-1].samples == (12, 12)


def test_missing_image_is_named(tmp_path: Path) -> None:
    """An image that is gone is named, not skipped."""
    real, synthetic = store(tmp_path, "real", [[box(0)]] * 2), store(tmp_path, "synthetic", [[box(0)]] * 2)
    (tmp_path / real[1].path).unlink()
    with pytest.raises(UserError, match="is missing"):
        drift.measure(real, synthetic, NAMES, rng=np.random.default_rng(0), permutations=99)


def test_every_image_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image is decoded once, whatever is measured of it."""
    real, synthetic = store(tmp_path, "real", [[box(0)]] * 3), store(tmp_path, "synthetic", [[box(0)]] * 3)
    seen: list[str] = []
    plain = images.read

    def counted(path: Path | str) -> images.Pixels:
        seen.append(str(path))
        return plain(path)

    monkeypatch.setattr(images, "read", counted)
    drift.measure(real, synthetic, NAMES, rng=np.random.default_rng(0), permutations=99)
    assert sorted(seen) == sorted(one.path for one in (*real, *synthetic))
