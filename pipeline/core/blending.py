"""Put an object onto a page, in its place: soft edges, Poisson, or bands of frequencies; in the light of the page.

Sources: Poisson blending: Pérez, Gangnet & Blake 2003; bands: Burt & Adelson 1983, "A Multiresolution Spline With
Application to Image Mosaics". Only the part of the page under the object is read and written.
"""

from __future__ import annotations

from functools import cache, lru_cache

import cv2
import numpy as np
from threadpoolctl import ThreadpoolController

from pipeline.core.synthesis import Floats, Pixels

_LEAST_SOLVED = 5  # pixels: with less of it, there is no inside to speak of
_MOST_BANDS = 4
_AROUND = 0.1  # surroundings that Poisson blending takes along, as a fraction of the patch
_LIGHTER = 20.0  # grey values by which the light may move an object whose surroundings stay behind
_WITH_SURROUNDINGS = np.array([30.0, 10.0, 10.0])  # the same for L, a and b where some of them come along
_CONTRAST = (0.8, 1.25)  # by which its contrast may change
_SAMPLE = 500  # pixels that tell the light
_BLACK = 1.0  # grey values of spread under which surroundings have no contrast to match


def matched(patch: Pixels, under: Pixels, light: tuple[float, float] | None) -> Pixels:
    """The patch in the light of the place that it goes to: level and spread of L (of CIE Lab) as they are there.

    Args:
        patch: BGR, the object with its surroundings, shape (height, width, 3).
        under: BGR, the part of the page that it goes to, before any object stands there.
        light: median and spread of L about the object where it comes from. None: some of its surroundings come along,
            and should fit in colour too. What stood on another object is moved within limits: it would turn white.
    """
    lab = cv2.cvtColor(patch, cv2.COLOR_BGR2LAB).astype(np.float32)
    here = cv2.cvtColor(under, cv2.COLOR_BGR2LAB).reshape(-1, 3)
    here = here[:: 1 + len(here) // _SAMPLE].astype(np.float32)
    target, gain = np.median(here, axis=0), 1.0
    if light is None:
        level = np.median(np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]]), axis=0)
        move = np.clip(target - level, -_WITH_SURROUNDINGS, _WITH_SURROUNDINGS)
    else:
        level, spread, wanted = np.array([light[0], 0, 0]), light[1], float(here[:, 0].std())
        move = np.array([np.clip(target[0] - light[0], -_LIGHTER, _LIGHTER), 0, 0])
        gain = float(np.clip(wanted / spread, *_CONTRAST)) if min(spread, wanted) > _BLACK else 1.0
    lab[:, :, 0] = (lab[:, :, 0] - level[0]) * gain + level[0]
    fitting = np.clip(np.rint(lab + move), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(fitting, cv2.COLOR_LAB2BGR), dtype=np.uint8)


def soft(under: Pixels, patch: Pixels, opacity: Floats) -> None:
    """Write the patch over a part of the page, as opaque as the mask says.

    Args:
        under: BGR, shape (height, width, 3); changed in place.
        patch: BGR, of the same shape.
        opacity: in [0, 1], shape (height, width).
    """
    base = under.astype(np.float32)
    base += opacity[:, :, None] * (patch - base)
    np.copyto(under, np.rint(base), casting="unsafe")


def multiband(under: Pixels, patch: Pixels, opacity: Floats) -> None:
    """As :func:`soft`, each band of frequencies with an edge as wide as itself."""
    height, width = opacity.shape
    bands = min(max(int(np.log2(min(height, width))) - 2, 1), _MOST_BANDS)
    ours, theirs, masks = _bands(patch.astype(np.float32), bands), _bands(under.astype(np.float32), bands), [opacity]
    for _ in range(bands):
        masks.append(np.asarray(cv2.pyrDown(masks[-1]), dtype=np.float32))
    mixed = [
        one * mask[:, :, None] + other * (1 - mask[:, :, None])
        for one, other, mask in zip(ours, theirs, masks, strict=True)
    ]
    whole = mixed[-1]
    for band in reversed(mixed[:-1]):
        whole = cv2.pyrUp(whole, dstsize=(band.shape[1], band.shape[0])) + band
    # The coarse bands reach beyond the mask; at the rim the page has to stay as it is.
    soft(under, np.clip(whole, 0, 255).astype(np.uint8), _window(height, width))


def _bands(pixels: Floats, count: int) -> list[Floats]:
    """Laplacian pyramid: differences between one resolution and the next, and what is left."""
    found = []
    for _ in range(count):
        coarse = cv2.pyrDown(pixels)
        found.append(pixels - cv2.pyrUp(coarse, dstsize=(pixels.shape[1], pixels.shape[0])))
        pixels = np.asarray(coarse, dtype=np.float32)
    return [*found, pixels]


def _window(height: int, width: int) -> Floats:
    """1 inside, falling to 0 at the rim over an eighth of the shorter side."""
    wide = max(min(height, width) // 8, 1)

    def ramp(length: int) -> Floats:
        edge = np.minimum(np.arange(length), np.arange(length)[::-1])
        return np.clip(edge / wide, 0, 1).astype(np.float32)

    window: Floats = np.minimum(ramp(height)[:, None], ramp(width)[None, :])
    return window


def poisson(under: Pixels, patch: Pixels, opacity: Floats) -> None:
    """As :func:`soft`, by gradients: the object's differences are kept, its level follows from the page around it.

    What is added to the page is zero at the rim and has the Laplacian that the patch's gradients ask for under the mask
    (Pérez et al. 2003, equation 4). Two sine transforms solve that (Simchony, Chellappa & Shao 1990, "Direct
    Analytical Methods for Solving Poisson Equations in Computer Vision Problems"). Where too little is left to solve,
    the patch gets soft edges.
    """
    if min(opacity.shape) < _LEAST_SOLVED:
        soft(under, patch, opacity)
        return
    # The rim of the mask has to lie in the surroundings: where it cuts the object, the object takes the page's level.
    around = np.ones([2 * max(round(_AROUND * max(opacity.shape)), 2) + 1] * 2, dtype=np.uint8)
    solid = np.asarray(cv2.dilate((opacity > 0).astype(np.float32), around), dtype=np.float32)
    solid[[0, -1]], solid[:, [0, -1]] = 0, 0
    apart = np.ascontiguousarray(cv2.subtract(patch, under, dtype=cv2.CV_32F).transpose(2, 0, 1))
    across, down = np.diff(apart, axis=2), np.diff(apart, axis=1)
    across *= solid[:, 1:] * solid[:, :-1]
    down *= solid[1:] * solid[:-1]
    added = _from_laplacian(np.diff(across[:, 1:-1], axis=2) + np.diff(down[:, :, 1:-1], axis=1))
    inside = under[1:-1, 1:-1]
    np.copyto(inside, np.clip(np.rint(inside + added.transpose(1, 2, 0)), 0, 255), casting="unsafe")


def _from_laplacian(planes: Floats) -> Floats:
    """Pictures that are zero around, by their Laplacians; shape (planes, height, width)."""
    # As products of matrices: up to some 300 pixels quicker than fast transforms, whose time depends on the length.
    (rows, row_values), (columns, column_values) = (_sines(length) for length in planes.shape[1:])
    with _libraries().limit(limits=1, user_api="blas"):  # a second thread mostly waits, busily
        found: Floats = rows @ (rows @ planes @ columns / (row_values[:, None] + column_values)) @ columns
    return found


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # to look for them takes longer than to blend


@lru_cache(maxsize=128)
def _sines(length: int) -> tuple[Floats, Floats]:
    """Eigenvectors of the second difference on a line that is zero at its ends, orthonormal, and their eigenvalues.

    Shapes (length, length), symmetric, and (length,).
    """
    numbers = np.arange(1, length + 1)
    vectors: Floats = np.sin(np.pi / (length + 1) * np.outer(numbers, numbers)).astype(np.float32)
    vectors *= np.float32(np.sqrt(2 / (length + 1)))
    values: Floats = (2 * np.cos(np.pi * numbers / (length + 1)) - 2).astype(np.float32)
    vectors.setflags(write=False)
    values.setflags(write=False)
    return vectors, values
