"""How far a run's synthetic images, and the objects on them, repeat one another or copy real ones.

What is near is not a bare constant but learnt from real data: validation items are new to the training data, so a
similarity that only a stated share of them reaches with its nearest training item is more than kinship. (Nearest
neighbours among the training items themselves would say less: their data may repeat things by construction, as the
digits of the default source do, or hold frames of one film. Between splits it does not.)

Source: held-out data as the measure of copying: Meehan, Chaudhuri & Dasgupta 2020, "A Non-Parametric Test to Detect
Data-Copying in Generative Models", AISTATS.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.core import duplicates, neighbours
from pipeline.core.figures import Duplication, Figure, NearGroup, NearPair
from pipeline.core.manifest import SPLITS
from pipeline.core.objects import Collection, Items
from pipeline.core.statistics import clopper_pearson

Level = Literal["image", "object"]
Positions = npt.NDArray[np.int64]

LEAST_REAL = 50  # real items; fewer say nothing of a quantile in the hundredths
_EXAMPLES = 12
_LINKS = 1 << 20  # between near items that are held until groups are made of them
_SAME = 1 - 1e-5  # two such items are the same picture; no threshold asks for more


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Cosine similarity from which on two items are near; None with a reason.

    Attributes:
        value: in [-1, 1].
        reason: why there is none.
    """

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Near:
    """Groups of near items, singles too, and the best similarity in each, by the position of its first member."""

    groups: list[Positions]
    similarity: dict[int, float]

    @property
    def items(self) -> int:
        """Items that repeat an earlier one: all of each group but its first."""
        return sum(len(group) - 1 for group in self.groups)


def measure(
    synthetic: Collection, real: Collection, *, quantile: float, hash_distance: int
) -> tuple[Duplication, Duplication]:
    """Measure duplication of images, then of objects.

    Only items on different images repeat one another: two boxes around one thing are no copies. An item is a copy of
    every split in which a real item is near it, so it may count in several.

    Intervals are Clopper-Pearson's at 95 % and take items for independent: where many items hang together in few
    groups, the truth is wider.

    Args:
        synthetic: of one run.
        real: verified real images of all splits; the threshold is learnt from ``val`` and ``train``.
        quantile: share of real validation items that are near a training item, in (0, 1).
        hash_distance: bits that the perceptual hashes of re-encoded copies may differ in.

    Raises:
        ValueError: a quantile outside (0, 1).
    """
    train, val = real.of_split("train"), real.of_split("val")
    levels: tuple[tuple[Level, Items, Items, Items, Items], ...] = (
        ("image", synthetic.images, real.images, train.images, val.images),
        ("object", synthetic.objects, real.objects, train.objects, val.objects),
    )
    first, second = (
        _measure(level, made, all_real, trained, calibrate(trained, unseen, quantile=quantile), quantile, hash_distance)
        for level, made, all_real, trained, unseen in levels
    )
    return first, second


def calibrate(train: Items, unseen: Items, *, quantile: float) -> Threshold:
    """Learn from real items when two are near: the similarity that a share of ``quantile`` reaches with no copy made.

    It is the (1 - quantile) quantile of the unseen items' similarities with their nearest training item. With fewer
    unseen items than :data:`LEAST_REAL`, or than 1 / quantile, the training items take their place, each with its
    nearest neighbour on another image; items that repeat another's pixels are left out then, or a set with a few copies
    would call nothing near but copies.

    Args:
        train: real training items.
        unseen: real items of another split, which shares nothing with it.
        quantile: share of real items that are near a training item by kinship alone, in (0, 1).

    Raises:
        ValueError: a quantile outside (0, 1).
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile {quantile}, wanted a share in (0, 1)")
    least = max(LEAST_REAL, math.ceil(1 / quantile))
    once = train.take(np.flatnonzero(~_repeated_digests(train)))
    for items, apart in ((unseen, None), (once, (once.images, once.images))):
        targets = train if apart is None else once
        found = neighbours.nearest(items.vectors, targets.vectors, apart=apart).similarities[:, 0]
        found = found[np.isfinite(found)]
        if len(found) >= least and len(targets) >= LEAST_REAL:
            # The next higher of the similarities found: no more than the stated share is at or above it, but for ties.
            return Threshold(value=min(float(np.quantile(found, 1 - quantile, method="higher")), _SAME))
    reason = (
        f"{len(unseen)} real validation and {len(once)} training items, wanted at least {least} of either, on "
        "different images, to tell what is near"
    )
    return Threshold(value=None, reason=reason)


def _repeated_digests(items: Items) -> npt.NDArray[np.bool_]:
    """Which items repeat the pixels of an earlier one on another image."""
    first: dict[str, int] = {}
    repeats = [first.setdefault(one, image) != image for one, image in zip(items.digests, items.images, strict=True)]
    return np.array(repeats, dtype=bool)


def _repeated_hashes(items: Items, hash_distance: int) -> npt.NDArray[np.bool_]:
    """Which items have nearly the perceptual hash of an earlier one on another image."""
    repeats = np.zeros(len(items), dtype=bool)
    for pair in duplicates.near_pairs(items.hashes, within=hash_distance):
        repeats[pair.second] |= items.images[pair.first] != items.images[pair.second]
    return repeats


def _measure(
    level: Level, made: Items, real: Items, train: Items, threshold: Threshold, quantile: float, hash_distance: int
) -> Duplication:
    near, expected = _groups(made, threshold), _groups(_as_many(train, len(made)), threshold)
    beside, pairs = _beside(made, real, threshold)
    repeated = [group for group in near.groups if len(group) > 1]
    return Duplication(
        level=level,
        items=len(made),
        exact=int(_repeated_digests(made).sum()),
        reencoded=int(_repeated_hashes(made, hash_distance).sum()),
        near=near.items,
        groups=len(repeated),
        largest=max((len(group) for group in repeated), default=0),
        near_share=_share(near.items, len(made), threshold),
        expected=_share(expected.items, min(len(train), len(made)), threshold),
        threshold=threshold.value,
        quantile=quantile,
        copies=beside,
        copy_share=_share(beside.get("train", 0), len(made), threshold),
        examples=_examples(made, near),
        suspicious=pairs,
        hash_distance=hash_distance,
    )


def _share(count: int, items: int, threshold: Threshold) -> Figure:
    if threshold.value is None:
        return Figure(value=None, samples=items, reason=threshold.reason)
    interval = clopper_pearson(count, items)
    if interval is None:
        return Figure(value=None, samples=0, reason="there is none to look at")
    return Figure(value=count / items, low=interval.low, high=interval.high, samples=items)


def _as_many(items: Items, number: int) -> Items:
    """At most so many items, drawn by their digests: at random as far as their content goes, and always the same."""
    order = sorted(range(len(items)), key=lambda position: (items.digests[position], items.ids[position]))
    return items.take(np.sort(np.array(order[:number], dtype=np.int64)))


def _groups(items: Items, threshold: Threshold) -> _Near:
    if threshold.value is None:
        return _Near(groups=[], similarity={})
    # Pairs may be as many as the square of the items: after some of them only the groups are kept.
    leader = np.arange(len(items))
    best = np.full(len(items), -np.inf)
    links: list[tuple[Positions, Positions]] = []
    for part in neighbours.pairs(items.vectors, items.vectors, at_least=threshold.value):
        elsewhere = items.images[part.first] != items.images[part.second]
        first, second = part.first[elsewhere], part.second[elsewhere]
        np.maximum.at(best, first, part.similarities[elsewhere])
        links.append((first, second))
        if sum(len(one) for one, _ in links) > _LINKS:
            leader, links = _leaders(leader, links), []
    groups = duplicates.connected(len(items), np.arange(len(items)), _leaders(leader, links))
    return _Near(groups=groups, similarity={int(group[0]): float(best[group].max()) for group in groups})


def _leaders(leader: Positions, links: Sequence[tuple[Positions, Positions]]) -> Positions:
    """The first position of each one's group, when links are added to groups."""
    positions = np.arange(len(leader))
    first = np.concatenate([positions, *(one for one, _ in links)])
    second = np.concatenate([leader, *(other for _, other in links)])
    return duplicates.first_of_group(len(leader), first, second)


def _examples(items: Items, near: _Near) -> tuple[NearGroup, ...]:
    """The largest groups, the most similar first among groups of one size."""
    repeated = [group for group in near.groups if len(group) > 1]
    repeated.sort(key=lambda group: (-len(group), -near.similarity[int(group[0])], int(group[0])))
    return tuple(
        NearGroup(items=tuple(items.ids[member] for member in group), similarity=near.similarity[int(group[0])])
        for group in repeated[:_EXAMPLES]
    )


def _beside(made: Items, real: Items, threshold: Threshold) -> tuple[dict[str, int], tuple[NearPair, ...]]:
    """Number of synthetic items near a real one of each split, and the nearest pairs of all."""
    counts: Counter[str] = Counter()
    pairs: list[NearPair] = []
    for split in SPLITS:
        there = real.take(real.of_split(split))
        found = neighbours.nearest(made.vectors, there.vectors)
        similarity, target = found.similarities[:, 0], found.positions[:, 0]
        if len(there) and threshold.value is not None:
            counts[split] = int((similarity >= threshold.value).sum())
        nearest = np.argsort(-similarity, kind="stable")[: _EXAMPLES if len(there) else 0]
        pairs += [
            NearPair(
                synthetic=made.ids[item], real=there.ids[target[item]], split=split, similarity=float(similarity[item])
            )
            for item in nearest
        ]
    pairs.sort(key=lambda pair: -pair.similarity)
    return dict(counts), tuple(pairs[:_EXAMPLES])
