"""Portraits: what is kept of an image, with and without its borders."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import portraits
from tests.builders import Pixels, picture

BUSY = np.random.default_rng(7).integers(0, 255, (50, 70), dtype=np.uint8)
SIDES = st.tuples(*(st.integers(0, 20) for _ in range(4)))


@given(sides=SIDES, colour=st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_borders_are_cut_off(sides: tuple[int, int, int, int], colour: int) -> None:
    """Whatever lies around it in one colour, what is inside is found to the pixel."""
    wide = np.asarray(cv2.copyMakeBorder(BUSY, *sides, cv2.BORDER_CONSTANT, value=colour), dtype=np.uint8)
    assert np.array_equal(portraits.without_border(wide), BUSY)


@pytest.mark.parametrize(
    "grey",
    [
        pytest.param(np.full((30, 40), 9, dtype=np.uint8), id="flat"),
        pytest.param(np.array([[7]], dtype=np.uint8), id="one-pixel"),
        pytest.param(BUSY, id="no-border"),
        pytest.param(np.pad(BUSY, 100), id="mostly-border"),
    ],
)
def test_no_border(grey: portraits.Sketch) -> None:
    """An image of one colour has no border, and one in which little would be left has none either."""
    assert np.array_equal(portraits.without_border(grey), grey)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64), (480, 640)], ids=str)
def test_sketches(shape: tuple[int, int]) -> None:
    """Sketches have one size, and the mean grey of the image."""
    pixels = picture(1, width=shape[1], height=shape[0])
    found = portraits.sketches(pixels)
    assert [one.shape for one in found] == [(64, 64)] * len(found)
    assert found[0].mean() == pytest.approx(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).mean(), abs=2)


@pytest.mark.parametrize("pixels", [picture(2), picture(2)[:, ::-1]], ids=["plain", "a view"])
def test_pixel_digest(pixels: Pixels) -> None:
    """The digest is that by which a synthetic image is named: of the width and the pixels."""
    wanted = hashlib.sha256(f"{pixels.shape[1]}\n".encode() + pixels.tobytes()).hexdigest()
    assert portraits.pixel_digest(pixels) == wanted
    assert portraits.pixel_digest(pixels) != portraits.pixel_digest(pixels.reshape(-1, 10, 3))
