"""The quick look leaves nobody out: what the slow one calls alike, it lets through."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import candidates, portraits, sketch_codes
from tests.core.test_impostors import scene

Sketches = npt.NDArray[np.uint8]

SCENES = np.stack([portraits.sketches(scene(seed, width=64, height=64))[0] for seed in range(24)])


def table(known: Sketches) -> candidates.Floats:
    """The vectors of all squares, as the slow search takes them."""
    grey = known.astype(np.float32)
    return np.stack([candidates.unit(candidates.means(grey, *square)) for square in candidates.squares()], axis=1)


def similarities(queries: Sketches, known: Sketches) -> npt.NDArray[np.float32]:
    """The best similarity of each query, in any mirror image, with any square of each known sketch."""
    looks = np.stack([candidates.mirrored(queries.astype(np.float32), mirror) for mirror in range(4)], axis=1)
    vectors = candidates.unit(candidates.means(looks, 0, 0, 1))
    best: npt.NDArray[np.float32] = np.einsum("qmc,ksc->qmks", vectors, table(known)).max(axis=(1, 3))
    return best


def drawn(seed: int) -> Sketches:
    """Sketches of many kinds: scenes, mixtures of two, noise, stripes, and next to flat ones."""
    rng = np.random.default_rng(seed)
    one, other = SCENES[rng.integers(24, size=(2, 6))].astype(np.float32)
    mixed = one + rng.random((6, 1, 1)) * (other - one)
    noise = rng.normal(128, rng.uniform(0, 60), (3, 64, 64))
    stripes = 128 + 100 * np.sign(np.sin(np.arange(64) * rng.uniform(0.1, 3)))[None, None] * np.ones((1, 64, 1))
    flat = rng.integers(256, size=(2, 1, 1)) + rng.integers(0, 2, size=(2, 64, 64))
    return np.asarray(np.clip(np.concatenate([mixed, noise, stripes, flat]), 0, 255), dtype=np.uint8)


@given(seed=st.integers(0, 2**32 - 1), limit=st.floats(0.2, 0.99))
@settings(max_examples=30, deadline=None)
def test_nobody_is_left_out(seed: int, limit: float) -> None:
    """All that is so similar is let through, and nothing that is less similar by twice the error."""
    queries, known = drawn(seed), np.concatenate([drawn(seed + 1), drawn(seed)[:6, ::-1]])
    codes = sketch_codes.encode(known)
    wanted = similarities(queries, known)
    found = sketch_codes.likely(
        sketch_codes.looks(queries), codes, at_least=np.full(len(queries), limit, dtype=np.float32)
    )
    assert codes.error < 0.03
    assert found[wanted >= limit].all()
    assert not found[wanted < limit - 2 * codes.error].any()


@pytest.mark.parametrize("mirror", range(4), ids=["as-it-is", "sideways", "upside-down", "turned"])
def test_mirror_images(mirror: int) -> None:
    """A mirror image is let through where it is, however high the limit."""
    looks = candidates.mirrored(SCENES.astype(np.float32), mirror).astype(np.uint8)
    codes = sketch_codes.encode(SCENES)
    found = sketch_codes.likely(
        sketch_codes.looks(looks), codes, at_least=np.full(len(SCENES), 0.999, dtype=np.float32)
    )
    assert found.diagonal().all()


def test_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same whatever the size of a block; each query has a limit of its own."""
    limits = np.linspace(0.3, 0.9, len(SCENES)).astype(np.float32)
    wanted = sketch_codes.likely(sketch_codes.looks(SCENES), sketch_codes.encode(SCENES), at_least=limits)
    monkeypatch.setattr(sketch_codes, "_SKETCHES_A_BLOCK", 5)
    monkeypatch.setattr(sketch_codes, "_SKETCHES_ENCODED", 7)
    monkeypatch.setattr(sketch_codes, "_QUERIES_A_BLOCK", 3)
    codes = sketch_codes.encode(SCENES)
    assert np.array_equal(sketch_codes.likely(sketch_codes.looks(SCENES), codes, at_least=limits), wanted)
    assert wanted[0].sum() > wanted[-1].sum()


def test_nothing() -> None:
    """Among no sketches there is none."""
    codes = sketch_codes.encode(SCENES[:0])
    found = sketch_codes.likely(sketch_codes.looks(SCENES), codes, at_least=np.zeros(len(SCENES), dtype=np.float32))
    assert found.shape == (24, 0)
