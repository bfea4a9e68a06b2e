"""What an image's pixels are like, as a few numbers: artifacts of a generator show here before a detector shows them.

Sharpness and frequencies belong to a scale, so images of different sizes are brought to one before they are compared:
see :func:`common_side`. Frequencies are measured on small tiles, which makes the figure independent of the image's size
and its cost bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median_low

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.images import Pixels

HIGH_FREQUENCY = 0.25  # cycles a pixel; 0.5 is the highest that there is along a side
_TILE = 64  # pixels a side
_TILES_A_SIDE = 4
_LEAST_SIDE = 8  # pixels: a smaller image has too few frequencies to speak of shares

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelStatistics:
    """One image.

    Attributes:
        sharpness: variance of the Laplacian of luma, in squared grey values (luma in [0, 255]).
        high_frequency: share of the spectrum's energy above :data:`HIGH_FREQUENCY`, in [0, 1]; the mean level is left
            out. None for an image without any contrast, and for one smaller than 8 pixels.
        contrast: standard deviation of luma, in grey values.
        colour: mean chroma, the difference between a pixel's highest and lowest channel, in [0, 255]; 0 for grey.
    """

    sharpness: float
    high_frequency: float | None
    contrast: float
    colour: float


def common_side(sizes: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> int:
    """Longer side, in pixels, to which images of two sets are shrunk before they are compared.

    It is the smaller of the two sets' medians of the longer side. Where all images are of one size, none is changed.
    An image that is smaller than that stays as it is: enlarging it would blur it.

    Args:
        sizes: width and height of each image of one set, at least one.
        others: those of the other set, at least one.
    """
    return min(median_low(max(size) for size in sizes), median_low(max(size) for size in others))


def measure(pixels: Pixels, *, side: int | None = None) -> PixelStatistics:
    """Measure one image.

    Args:
        pixels: BGR, shape (height, width, 3).
        side: longer side that a larger image is shrunk to first, by averaging areas; by default none is.

    Source: variance of the Laplacian: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy";
    spectrum: Welch 1967, IEEE Transactions on Audio and Electroacoustics 15:70-73, in two dimensions; chroma: Smith
    1978, "Color gamut transform pairs".
    """
    if side is not None and side < max(pixels.shape[:2]):
        pixels = _shrunk(pixels, side)
    luma = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return PixelStatistics(
        sharpness=float(np.var(cv2.Laplacian(luma, cv2.CV_32F), dtype=np.float64)),
        high_frequency=_high_frequency(luma),
        contrast=float(np.std(luma, dtype=np.float64)),
        colour=float(np.mean(pixels.max(axis=2) - pixels.min(axis=2), dtype=np.float64)),
    )


def _shrunk(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _high_frequency(luma: Floats) -> float | None:
    """Share of energy above the limit, over tiles spread evenly over the image."""
    side = min(*luma.shape, _TILE)
    if side < _LEAST_SIDE:
        return None
    window, above = _window(side), _above(side)
    high = total = 0.0
    for top in _starts(luma.shape[0], side):
        for left in _starts(luma.shape[1], side):
            tile = luma[top : top + side, left : left + side]
            energy = np.abs(np.fft.rfft2((tile - tile.mean(dtype=np.float64)) * window)) ** 2 * _mirrored(side)
            total += float(energy.sum())
            high += float(energy[above].sum())
    # A flat tile leaves rounding errors only, whose spectrum means nothing.
    return high / total if total > 1e-6 * luma.size else None


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along one side: as many as fit, at most four, spread evenly."""
    number = min(length // side, _TILES_A_SIDE)
    return [round(start) for start in np.linspace(0, length - side, number)] if number > 1 else [(length - side) // 2]


@cache
def _window(side: int) -> npt.NDArray[np.float64]:
    """Hann window, so that the edges of a tile do not count as detail; shape (side, side)."""
    line = np.hanning(side + 2)[1:-1]
    return np.outer(line, line)


@cache
def _above(side: int) -> npt.NDArray[np.bool_]:
    """Which terms of the spectrum lie above the limit, by distance from the middle; shape (side, side // 2 + 1)."""
    distance = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    return np.asarray(distance > HIGH_FREQUENCY)


@cache
def _mirrored(side: int) -> npt.NDArray[np.float64]:
    """How often each column of the half spectrum stands in the whole one, without the mean; (side, side // 2 + 1)."""
    weights = np.full((side, side // 2 + 1), 2.0)
    weights[:, 0] = 1
    if side % 2 == 0:
        weights[:, -1] = 1
    weights[0, 0] = 0
    return weights
