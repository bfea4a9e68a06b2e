"""How well one sketch lies on a part of another, at the best place for it.

What is compared is the detail that is neither noise nor light: blurred a little, less what is left when it is blurred
much. So brightness, contrast and a slow change of light across the image do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.portraits import SIDE

Floats = npt.NDArray[np.float32]
Map = npt.NDArray[np.float32]

_FINE, _COARSE = 1.0, 8.0  # standard deviations of the blurs, in pixels of a sketch
_LEAST_DETAIL = 1.5  # grey values: with less, there is nothing by which to tell two images apart
_LEAST_OVERLAP = 0.4  # of the sketch that has to lie inside the other
_WINDOW = 12  # pixels: about the smallest object whose absence has to show
_ITERATIONS = 40
_BLUR = 5  # pixels: of the gradients that the search follows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """One sketch on another.

    Attributes:
        correlation: of the detail, over the part that they share; in [-1, 1].
        difference: mean squared difference of the detail where it is largest, in a window of 12 pixels; 0 where it is
            equal everywhere, about 1 where unrelated detail of usual strength meets.
        place: affine map from the sketch's pixels to the other's, shape (2, 3).
    """

    correlation: float
    difference: float
    place: Map


def start(left: float, top: float, size: float) -> Map:
    """The map that lays a sketch on a square part of another.

    Args:
        left: of the part, as a fraction of the other's side.
        top: likewise.
        size: of the part's side, likewise.
    """
    shift = (size - 1) / 2  # pixel centres lie half a pixel in
    return np.array([[size, 0, left * SIDE + shift], [0, size, top * SIDE + shift]], dtype=np.float32)


def align(sketch: Floats, other: Floats, place: Map) -> Fit | None:
    """Lay a sketch on another as well as it fits, from a place to begin with.

    Source: enhanced correlation coefficient maximisation: Evangelidis & Psarakis 2008, IEEE TPAMI 30(10).

    Args:
        sketch: grey, shape (64, 64).
        other: likewise.
        place: see :func:`start`.

    Returns:
        None where the two share too little, or what they share has no detail to go by.
    """
    here = compare(sketch, other, place)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _ITERATIONS, 1e-4)
    try:
        _, moved = cv2.findTransformECC(sketch, other, place.copy(), cv2.MOTION_AFFINE, criteria, None, _BLUR)
    except cv2.error:  # it did not converge
        return here
    there = compare(sketch, other, np.asarray(moved, dtype=np.float32))
    fits = [fit for fit in (here, there) if fit is not None]
    return max(fits, key=lambda fit: fit.correlation, default=None)


def compare(sketch: Floats, other: Floats, place: Map) -> Fit | None:
    """Compare a sketch with another at one place; see :func:`align`."""
    warp = partial(cv2.warpAffine, M=place, dsize=(SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    shared = np.asarray(warp(np.ones((SIDE, SIDE), dtype=np.float32))) > 0.99  # noqa: PLR2004 - but for rounding
    if shared.mean() < _LEAST_OVERLAP:
        return None
    first = _detail(sketch, shared)
    second = _detail(np.asarray(warp(other), dtype=np.float32), shared)
    if first is None or second is None:
        return None
    squared = (first - second) ** 2 / 2
    return Fit(
        correlation=float((first[shared] * second[shared]).mean()),
        difference=float(np.asarray(cv2.boxFilter(squared, -1, (_WINDOW, _WINDOW))).max()),
        place=place,
    )


def _detail(grey: Floats, shared: npt.NDArray[np.bool_]) -> Floats | None:
    """The detail of the shared part, of mean 0 and variance 1 there, 0 elsewhere; None where there is too little."""
    weight = shared.astype(np.float32)

    def blurred(sigma: float) -> Floats:
        # Divided by the blurred weight: what lies outside has no part in it.
        below = np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3)
        return np.asarray(cv2.GaussianBlur(grey * weight, (0, 0), sigma) / below, dtype=np.float32)

    detail = blurred(_FINE) - blurred(_COARSE)
    inside = detail[shared]
    deviation = float(inside.std())
    if deviation < _LEAST_DETAIL:
        return None
    return np.where(shared, (detail - inside.mean()) / deviation, 0).astype(np.float32)
