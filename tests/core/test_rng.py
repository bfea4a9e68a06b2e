"""One seed in, one named generator per use out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import rng

NAMES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=8), max_size=3)


def test_golden() -> None:
    """The seed of a use never changes: SHA-256 of ``0/draw/guarded-1``, its first eight bytes, halved."""
    # printf 0/draw/guarded-1 | sha256sum begins with the 16 digits below
    assert rng.seed_for(0, "draw", "guarded-1") == int("178b530c2d904c50", 16) >> 1


@given(st.integers(), NAMES, NAMES)
def test_uses_are_apart(seed: int, one: list[str], other: list[str]) -> None:
    """Each use has its own numbers, always the same ones, that any library takes for a seed."""
    assert 0 <= rng.seed_for(seed, *one) < 2**63
    assert (rng.seed_for(seed, *one) == rng.seed_for(seed, *other)) == (one == other)
    assert rng.seed_for(seed, *one) != rng.seed_for(seed + 1, *one)
    first, second = (rng.generator(seed, *one).integers(2**62, size=3) for _ in range(2))
    assert np.array_equal(first, second)
