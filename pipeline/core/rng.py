"""One seed in, one named generator per use out."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_for(seed: int, *names: str) -> int:
    """Give a 63-bit seed that depends on the project's seed and on what it is for.

    Naming each use keeps them apart: one more draw in one place moves nothing elsewhere.
    """
    digest = hashlib.sha256("/".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *names: str) -> np.random.Generator:
    """Give the random generator for one named use."""
    return np.random.default_rng(seed_for(seed, *names))


def training_seed(project: int, number: int, training: int) -> int:
    """Seed of one training of a run.

    Args:
        project: the seed of params.yaml.
        number: the run's own, 0 for the base.
        training: which of the run's trainings, from 0; a confirming one takes the number after the last.
    """
    return seed_for(project, "train", str(number), *([f"again {training}"] if training else []))
