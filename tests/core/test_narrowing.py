"""Signs of narrower data agree with the modules whose figures they read."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core import diversity, drift, narrowing


def test_usual_tail_is_that_of_the_figure() -> None:
    """What real data would give is what the lost tail is defined by."""
    assert pytest.approx(1 - diversity.TAIL) == narrowing.USUAL_TAIL


def test_pixel_quantities_are_measured() -> None:
    """The quantities that are looked at by name are among those that drift measures, the last of them."""
    measured = [one.quantity for one in drift.measure([], [], ["one"], rng=np.random.default_rng(0))]
    assert tuple(measured[-len(narrowing.PIXELS) :]) == narrowing.PIXELS
