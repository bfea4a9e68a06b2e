"""What pixels are like: each figure says what it is named for, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.core import pixel_statistics
from tests.builders import Pixels, picture


def grey(values: object) -> Pixels:
    """A grey image of these values, BGR."""
    return np.repeat(np.asarray(values, dtype=np.uint8)[:, :, None], 3, axis=2)


def wave(frequency: float, *, side: int = 64, amplitude: float = 60) -> Pixels:
    """Vertical stripes of so many cycles a pixel."""
    line = 128 + amplitude * np.cos(2 * np.pi * frequency * np.arange(side))
    return grey(np.tile(np.round(line), (side, 1)))


def test_flat_image() -> None:
    """Without contrast there is no sharpness and no colour, and no spectrum to take a share of."""
    found = pixel_statistics.measure(grey(np.full((40, 50), 90)))
    assert (found.sharpness, found.contrast, found.colour) == (0, 0, 0)
    assert found.high_frequency is None


def test_image_too_small_for_frequencies() -> None:
    """Seven pixels are too few for a share of high frequencies; the rest is measured."""
    found = pixel_statistics.measure(picture(1, width=30, height=7))
    assert found.high_frequency is None
    assert found.sharpness > 0


@pytest.mark.parametrize("frequency", [0.05, 0.125, 0.2])
def test_low_waves_hold_little_high_energy(frequency: float) -> None:
    """Stripes below the limit leave next to nothing above it."""
    share = pixel_statistics.measure(wave(frequency)).high_frequency
    assert share is not None
    assert share < 0.01


@pytest.mark.parametrize("frequency", [0.3, 0.375, 0.45])
def test_high_waves_hold_all_their_energy_high(frequency: float) -> None:
    """Stripes above the limit leave next to nothing below it."""
    share = pixel_statistics.measure(wave(frequency)).high_frequency
    assert share is not None
    assert share > 0.99


@pytest.mark.parametrize("side", [64, 33, 8])
def test_share_against_the_whole_spectrum(side: int) -> None:
    """On an image of one tile, the share is that of NumPy's whole spectrum of the windowed tile, without its mean."""
    pixels = picture(2, width=side, height=side)
    luma = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float64)
    window = np.hanning(side + 2)[1:-1]
    energy = np.abs(np.fft.fft2((luma - luma.mean()) * np.outer(window, window))) ** 2
    energy[0, 0] = 0
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    wanted = energy[frequency > 0.25].sum() / energy.sum()
    assert pixel_statistics.measure(pixels).high_frequency == pytest.approx(wanted, rel=1e-5)


def test_white_noise_has_the_share_of_the_area() -> None:
    """White noise fills the spectrum evenly: the share is that of the square outside a disc of half its width."""
    noise = np.random.default_rng(0).normal(128, 20, (512, 512)).round().clip(0, 255)
    share = pixel_statistics.measure(grey(noise)).high_frequency
    assert share == pytest.approx(1 - np.pi / 16, abs=0.01)


def test_against_scipy_and_numpy() -> None:
    """Sharpness is the variance of SciPy's Laplacian, contrast NumPy's deviation, chroma highest less lowest."""
    pixels = picture(3, width=61, height=47)
    luma = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float64)
    found = pixel_statistics.measure(pixels)
    assert found.sharpness == pytest.approx(ndimage.laplace(luma, mode="mirror").var(), rel=1e-5)
    assert found.contrast == pytest.approx(luma.std(), rel=1e-6)
    assert found.colour == pytest.approx(float(np.mean(np.ptp(pixels.astype(int), axis=2))), rel=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), sigma=st.floats(0.6, 3))
def test_blur_takes_sharpness_and_high_frequencies(seed: int, sigma: float) -> None:
    """Blurring an image never makes it sharper, nor richer in high frequencies."""
    pixels = picture(seed)
    before = pixel_statistics.measure(pixels)
    after = pixel_statistics.measure(np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8))
    assert after.sharpness < before.sharpness
    assert before.high_frequency is not None
    assert after.high_frequency is not None
    assert after.high_frequency < before.high_frequency


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_turning_changes_nothing(seed: int) -> None:
    """An image and its mirror image are alike in every figure."""
    pixels = picture(seed, width=40, height=40)
    before, after = (pixel_statistics.measure(one) for one in (pixels, np.ascontiguousarray(pixels[:, ::-1])))
    assert after.sharpness == pytest.approx(before.sharpness, rel=1e-6)
    assert after.high_frequency == pytest.approx(before.high_frequency, rel=1e-6)
    assert after.colour == before.colour


def test_sizes_are_comparable() -> None:
    """An image at twice the size, brought to the common side, is much like the first; as it is, it is not."""
    small = picture(5, width=64, height=64)
    large = np.asarray(cv2.resize(small, (128, 128), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    side = pixel_statistics.common_side([(64, 64)] * 3, [(128, 128)] * 3)
    assert side == 64
    wanted = pixel_statistics.measure(small, side=side)
    assert pixel_statistics.measure(large, side=side) == wanted
    assert pixel_statistics.measure(large) != wanted


def test_a_small_image_is_not_enlarged() -> None:
    """An image below the common side stays as it is."""
    pixels = picture(5)
    assert pixel_statistics.measure(pixels, side=500) == pixel_statistics.measure(pixels)


def test_one_odd_image_does_not_shrink_all() -> None:
    """The common side is a median: one thumbnail among photographs does not bring them all down."""
    assert pixel_statistics.common_side([(20, 10), (640, 480), (640, 480)], [(480, 640), (800, 600)]) == 640
