"""Laying one sketch on another: the place is found, light does not count, a missing object does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import alignment
from pipeline.core.alignment import Floats
from tests.core.test_impostors import scene

WHOLE = alignment.start(0, 0, 1)


def grey(seed: int) -> Floats:
    """A scene as a sketch, without noise."""
    small = cv2.GaussianBlur(scene(seed, width=64, height=64, things=9), (0, 0), 1)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), dtype=np.float32)


@given(seed=st.integers(0, 9), contrast=st.floats(0.5, 1.5), brightness=st.floats(-80, 80))
@settings(max_examples=20)
def test_light_does_not_count(seed: int, contrast: float, brightness: float) -> None:
    """A sketch fits another light of itself fully, where it lies."""
    fit = alignment.align(contrast * grey(seed) + np.float32(brightness), grey(seed), WHOLE)
    assert fit is not None
    assert fit.correlation == pytest.approx(1, abs=1e-3)
    assert fit.difference < 0.01


@pytest.mark.parametrize(("left", "top", "size"), [(0.1, 0.15, 0.8), (0, 0.2, 0.75), (0.05, 0, 0.9)], ids=str)
def test_the_place_is_found(left: float, top: float, size: float) -> None:
    """From a start that is off by a few pixels, the place of a part is found to half a pixel."""
    true = alignment.start(left, top, size)
    part = cv2.warpAffine(grey(4), true, (64, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    fit = alignment.align(np.asarray(part, dtype=np.float32), grey(4), alignment.start(left + 0.03, top, size - 0.04))
    assert fit is not None
    assert fit.correlation > 0.98
    corners = np.array([[0, 63, 0, 63], [0, 0, 63, 63], [1, 1, 1, 1]])
    assert np.abs(fit.place @ corners - true @ corners).max() < 0.5


def test_correlation_is_numpys() -> None:
    """Of two whole sketches, the correlation is that of their detail, as NumPy has it."""
    first, second = grey(1), 0.5 * grey(1) + 0.5 * grey(2)
    fine, coarse = ([cv2.GaussianBlur(one, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT) for one in (first, second)]
                    for sigma in (1.0, 8.0))  # fmt: skip
    ones = np.ones((64, 64), dtype=np.float32)
    below = [cv2.GaussianBlur(ones, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT) for sigma in (1.0, 8.0)]
    details = [a / below[0] - b / below[1] for a, b in zip(fine, coarse, strict=True)]
    fit = alignment.compare(first, second, WHOLE)
    assert fit is not None
    assert fit.correlation == pytest.approx(np.corrcoef(details[0].ravel(), details[1].ravel())[0, 1], abs=0.02)


def test_a_missing_object_shows() -> None:
    """Where one shows an object that the other lacks, the difference is large, whatever the rest."""
    more = grey(3)
    cv2.circle(more, (32, 32), 6, 0, -1)
    fit = alignment.align(grey(3), more, WHOLE)
    assert fit is not None
    assert fit.difference > 0.4


@pytest.mark.parametrize(
    ("first", "second", "place"),
    [
        pytest.param(np.full((64, 64), 50, np.float32), grey(1), WHOLE, id="flat"),
        pytest.param(grey(1), np.full((64, 64), 50, np.float32), WHOLE, id="on-flat"),
        pytest.param(grey(1), grey(1), alignment.start(0.9, 0.9, 1), id="beside"),
    ],
)
def test_nothing_to_compare(first: Floats, second: Floats, place: alignment.Map) -> None:
    """Without detail, or with too little shared, there is no figure."""
    assert alignment.compare(first, second, place) is None
