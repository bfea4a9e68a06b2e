"""The search for candidates: it finds the part that is shown, and leaves nobody out for the size of a block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import candidates, portraits
from pipeline.core.candidates import Candidates
from tests.core.test_impostors import scene

SKETCHES = [portraits.sketches(scene(seed))[0] for seed in range(20)]


@given(seed=st.integers(0, 19), mirror=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_the_whole_is_found(seed: int, mirror: int) -> None:
    """A mirror image is found first, with how it is mirrored, at the whole of the known image."""
    look = candidates.mirrored(SKETCHES[seed].astype(np.float32), mirror).astype(np.uint8)
    first = Candidates(SKETCHES).find([look])[0][0]
    assert (first.position, first.mirror) == (seed, mirror)
    assert (first.left, first.top, first.size) == (0, 0, 1)
    assert first.similarity > 0.99


def test_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same whatever the size of a block, and whether tables are kept or not."""
    wanted = Candidates(SKETCHES).find(SKETCHES)
    monkeypatch.setattr(candidates, "_SKETCHES_A_BLOCK", 3)
    monkeypatch.setattr(candidates, "_QUERIES_A_BLOCK", 2)
    monkeypatch.setattr(candidates, "_BLOCKS_KEPT", 1)
    search = Candidates(SKETCHES)
    for _ in range(2):
        for one, other in zip(search.find(SKETCHES), wanted, strict=True):
            assert [found.position for found in one] == [found.position for found in other]
            assert [found.similarity for found in one] == pytest.approx([found.similarity for found in other])


def test_mirrored_is_its_own_inverse() -> None:
    """Mirrored twice, an image is as it was; the four mirror images differ."""
    grey = np.random.default_rng(1).normal(size=(3, 64, 64)).astype(np.float32)
    looks = [candidates.mirrored(grey, mirror) for mirror in range(4)]
    assert all(np.array_equal(candidates.mirrored(look, mirror), grey) for mirror, look in enumerate(looks))
    assert len({look.tobytes() for look in looks}) == 4


def test_no_candidates() -> None:
    """Among no images, and for a flat one, there is no candidate."""
    assert Candidates([]).find(SKETCHES[:1]) == [[]]
    assert Candidates(SKETCHES).find([np.full((64, 64), 90, dtype=np.uint8)]) == [[]]
