"""How many copies are caught, how many real images are flagged, and how near two real images come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core import portraits
from pipeline.core.impostors import Known, is_copy
from pipeline.core.portraits import Portrait
from pipeline.core.statistics import clopper_pearson
from studies.impostors import datasets
from studies.impostors.changes import CHANGES
from studies.impostors.datasets import Dataset

_QUANTILES = (0.5, 0.99, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many of some images: named as copies of anything, and of the right image."""

    what: str
    images: int
    found: int
    right: int
    low: float  # of the share that is found: 95 % interval (Clopper-Pearson)
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearness:
    """The likeliest match of real images that are no copies: quantiles of its correlation."""

    what: str
    images: int
    median: float
    hundredth: float
    thousandth: float
    most: float
    called_copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One dataset."""

    name: str
    real: int
    synthetic: int
    copies: tuple[Rate, ...]
    flags: tuple[Rate, ...]
    nearness: tuple[Nearness, ...]


def measure(data: Dataset, *, copies: int) -> Measured:
    """Measure on one dataset.

    Args:
        data: real and synthetic images.
        copies: synthetic images that are changed in each way.
    """
    known = [
        portraits.portrait(pixels, image_id=datasets.image_id(number), name=str(number))
        for number, pixels in enumerate(data.synthetic)
    ]
    guard = Known(known)
    rng = np.random.default_rng(datasets.SEED)
    chosen = rng.choice(len(known), size=min(copies, len(known)), replace=False)
    rates = []
    for what, change in CHANGES.items():
        asked = [portraits.portrait(change(data.synthetic[one], rng), image_id="", name="") for one in chosen]
        found = guard.find_each(asked)
        right = sum(one is not None and one.name == str(number) for one, number in zip(found, chosen, strict=True))
        rates.append(_rate(what, len(asked), sum(one is not None for one in found), right))
    new, used = (
        [portraits.portrait(data.pixels[row.image_id], image_id=row.image_id, name=row.name) for row in rows]
        for rows in (data.new, data.used)
    )
    flags = []
    for what, asked in (("new real images", new), ("real images that they were made from", used)):
        found = guard.find_each(asked)
        flags.append(_rate(what, len(asked), sum(one is not None for one in found), 0))
    nearness = (
        near("new real images to synthetic ones", new, known),
        near("new real images to the used ones", new, used),
    )
    return Measured(
        name=data.name,
        real=len(new) + len(used),
        synthetic=len(known),
        copies=tuple(rates),
        flags=tuple(flags),
        nearness=nearness,
    )


def _rate(what: str, images: int, found: int, right: int) -> Rate:
    interval = clopper_pearson(found, images)
    if interval is None:
        raise ValueError(f"{what}: no images")
    return Rate(what=what, images=images, found=found, right=right, low=interval.low, high=interval.high)


def near(what: str, queries: Sequence[Portrait], known: Sequence[Portrait]) -> Nearness:
    """How near images come to others: the best correlation of each, 0 where nothing is alike at all."""
    others = Known(known)
    fits = [others.nearest(one) for one in queries]
    best = np.array([fit.correlation if fit else 0 for fit in fits])
    median, hundredth, thousandth = (float(one) for one in np.quantile(best, _QUANTILES))
    return Nearness(
        what=what,
        images=len(best),
        median=median,
        hundredth=hundredth,
        thousandth=thousandth,
        most=float(best.max()),
        called_copies=sum(fit is not None and is_copy(fit) for fit in fits),
    )
