"""Months of nights, drawn from the match table: a test split, a base run, and each night another training of it.

A healthy night is another training of the base configuration: what differs is the luck of training, as it truly is. A
loss is laid over it: of the boxes of one class that the night's training finds, some are lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.core import evaluation
from studies.calibration.matches import Bools, Floats, Ints, MatchTable

NIGHTS = 30
PAGES = 320  # of a test split, as the default project has
LAST_ONSET = 24  # of a sudden loss, so that a week of the nights is left to see it in
SHARED = 0.5  # of the boxes: their fate is one for all trainings of a schedule
HARDER = 0.5  # of the loss: it falls on boxes in proportion to how often other trainings miss them

Pace = Literal["sudden", "slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A true loss of recall in one class: its size as a fraction, and whether it comes in a night or over the month."""

    points: float
    pace: Pace

    def at(self, onset: int) -> Floats:
        """The loss on each night, shape (nights,): all of it from the onset on, or linear in the nights."""
        nights = np.arange(1, NIGHTS + 1)
        shape = (nights >= onset).astype(np.float64) if self.pace == "sudden" else nights / NIGHTS
        return np.asarray(self.points * shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """A test split: pool images, drawn with repeats; each draw is an image of its own (d).

    Attributes:
        draws: (d,) the pool image of each.
        box: (b,) the pool box of each box of a rare class.
        image: (b,) its draw.
        kind: (b,) its class, as a position among the rare ones.
        boxes: (d, r) boxes of each rare class.
        strata: (d,) which draws the gate's stratified bootstrap exchanges.
    """

    draws: Ints
    box: Ints
    image: Ints
    kind: Ints
    boxes: Ints
    strata: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cast:
    """Which training plays what; equal numbers are the same training.

    Attributes:
        base: (k,) of the base run.
        again: the base's second training, that confirms.
        nights: (nights, k) of each night's run.
        confirming: (nights,) each night's second training.
    """

    base: Ints
    again: int
    nights: Ints
    confirming: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What trainings (t) see of a split.

    Attributes:
        found: (t, b).
        recall: (t, r).
        mean: (t,) mAP50-95.
        influence: (t, d) what each image adds to mAP50-95, about 0: its bootstrap replicates are sums of these.
        val: (t,) mAP50-95 on val.
    """

    found: Bools
    recall: Floats
    mean: Floats
    influence: Floats
    val: Floats


def draw_split(table: MatchTable, kind: int, *, boxes: int, rng: np.random.Generator) -> Split:
    """Draw a test split in which one rare class has about so many boxes.

    Images with the class are drawn until they have as many boxes, or one or two more; other images fill the split. The
    other classes are there as often as they are on such images.

    Args:
        table: the pool.
        kind: position among the rare classes.
        boxes: of that class, 1 or more.
        rng: draws.
    """
    counts = np.zeros((table.images, len(table.rare)), dtype=np.int64)
    of_kind = np.searchsorted(table.rare, table.class_id)
    rare = np.isin(table.class_id, table.rare)
    np.add.at(counts, (table.image[rare], of_kind[rare]), 1)
    having, lacking = np.flatnonzero(counts[:, kind]), np.flatnonzero(counts[:, kind] == 0)
    with_class = rng.choice(having, size=boxes)
    enough = int(np.searchsorted(np.cumsum(counts[with_class, kind]), boxes)) + 1
    others = rng.choice(lacking, size=max(PAGES - enough, 0))
    draws = np.concatenate([with_class[:enough], others])
    all_boxes, image = _boxes_of(table, draws)
    kept = rare[all_boxes]
    members = evaluation.strata(image, table.class_id[all_boxes], draws.size)
    strata = np.empty(draws.size, dtype=np.int64)
    for number, stratum in enumerate(members):
        strata[stratum] = number
    return Split(
        draws=draws,
        box=all_boxes[kept],
        image=image[kept],
        kind=of_kind[all_boxes[kept]],
        boxes=counts[draws],
        strata=strata,
    )


def _boxes_of(table: MatchTable, draws: Ints) -> tuple[Ints, Ints]:
    """Pool boxes of each draw, and the draw of each; boxes lie sorted by image."""
    start = np.searchsorted(table.image, draws, side="left")
    count = np.searchsorted(table.image, draws, side="right") - start
    image = np.repeat(np.arange(draws.size), count)
    step = np.arange(image.size) - np.repeat(np.cumsum(count) - count, count)
    return start[image] + step, image


def draw_cast(trainings: int, *, seeds: int, rng: np.random.Generator) -> Cast:
    """Draw who plays whom: the base's trainings play nothing else, and a night's own differ from one another.

    No training comes twice before all have come, so with few of them the nights repeat: 32 are needed for 30 nights.

    Raises:
        ValueError: there are too few trainings for that.
    """
    if trainings < 2 * seeds + 2:
        raise ValueError(f"{trainings} trainings, wanted {2 * seeds + 2} or more for {seeds} a run")
    order = rng.permutation(trainings)
    base, again, rest = order[:seeds], int(order[seeds]), order[seeds + 1 :]
    needed = NIGHTS * (seeds + 1)
    nights = np.resize(rest, needed)[: NIGHTS * seeds].reshape(NIGHTS, seeds)
    second = np.empty(NIGHTS, dtype=np.int64)
    spare = np.roll(rest, -NIGHTS * seeds)  # those that play no night come first
    for night in range(NIGHTS):
        choice = spare[np.isin(spare, nights[night], invert=True)]
        second[night] = choice[night % choice.size]
    return Cast(base=base, again=again, nights=nights, confirming=second)


def hardness(missed: Floats, *, loss: float) -> Floats:
    """Chance that a box that is found is lost, of each box, so that recall falls by the loss.

    Half of the loss (`HARDER`) falls on boxes in proportion to how often they are missed, half on all alike; none is
    over 1, and what that leaves over falls on the others.

    Args:
        missed: share of the trainings that miss each box, shape (boxes,).
        loss: of recall, at most the recall itself.
    """
    found = 1 - missed
    hard = found * missed
    slope = np.full(missed.shape, (1 - HARDER) / found.mean())
    slope += HARDER * missed / hard.mean() if hard.any() else HARDER / found.mean()
    low, high = 0.0, 1.0
    while np.mean(found * np.minimum(high * slope, 1)) < loss and high < 2**40:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(found * np.minimum(middle * slope, 1)) < loss else (low, middle)
    return np.asarray(np.minimum(high * slope, 1))


def see(table: MatchTable, split: Split, trainings: Ints, *, iou: float) -> Seen:
    """What trainings find on a split, and their mAP50-95 there.

    AP is taken as the sum of what the split's images add to it (see `matches.MatchTable.shares`), over its boxes.
    """
    found = table.found[iou][np.ix_(trainings, split.box)]
    support = np.maximum(split.boxes.sum(axis=0), 1)
    shares = table.shares[trainings][:, split.draws]  # (t, d, r)
    precision = shares.sum(axis=1) / support
    common = table.common[trainings][:, split.draws] / split.draws.size
    classes = len(table.classes)
    others = np.setdiff1d(np.arange(classes), table.rare)
    rest = table.precision[np.ix_(trainings, others)].sum(axis=1) + common.sum(axis=1)
    centred = (shares - precision[:, None, :] * split.boxes) / support
    return Seen(
        found=found,
        recall=_recall(found, split),
        mean=(precision.sum(axis=1) + rest) / classes,
        influence=(centred.sum(axis=2) + common - common.mean(axis=1, keepdims=True)) / classes,
        val=table.val[trainings],
    )


def lose(
    seen: Seen,
    split: Split,
    lost: Bools,
    *,
    kind: int,
    table: MatchTable,
    trainings: Ints,
    expected: Floats,
) -> Seen:
    """Lay a loss over what trainings see: the lost boxes are not found, and the class's AP falls in proportion.

    Args:
        seen: without the loss.
        split: the test split.
        lost: (t, b) boxes that are lost where they were found.
        kind: the class, as a position among the rare ones.
        table: the pool.
        trainings: (t,) that were seen.
        expected: (t,) true loss of recall of each; mAP on val falls by it.
    """
    gone = seen.found & lost
    of_kind = split.kind == kind
    count = np.maximum((seen.found & of_kind).sum(axis=1), 1)
    support = max(int(of_kind.sum()), 1)
    precision = table.shares[trainings][:, split.draws, kind].sum(axis=1) / support
    each = precision / count / len(table.classes)  # of mAP, a lost box
    by_image = np.zeros(seen.influence.shape)
    for number, one in enumerate(gone):
        by_image[number] = np.bincount(split.image[one], minlength=split.draws.size)
    share = gone.sum(axis=1) / count
    boxes = split.boxes[:, kind] / support
    drop = by_image * each[:, None] - boxes * (precision * share / len(table.classes))[:, None]
    found = seen.found & ~lost
    whole = table.precision[trainings][:, table.rare[kind]]
    return Seen(
        found=found,
        recall=_recall(found, split),
        mean=seen.mean - each * gone.sum(axis=1),
        influence=seen.influence - drop,
        val=seen.val - whole * expected / np.maximum(seen.recall[:, kind], expected + 1e-9) / len(table.classes),
    )


def _recall(found: Bools, split: Split) -> Floats:
    support = np.maximum(split.boxes.sum(axis=0), 1)
    return np.stack([found[:, split.kind == kind].sum(axis=1) / size for kind, size in enumerate(support)], axis=1)


def error_of_mean(base: Floats, run: Floats, strata: Ints) -> Floats:
    """Standard deviation of the paired bootstrap replicates of the loss in mAP50-95, shape (n,).

    A stratified bootstrap draws as many images from each stratum as it has, so the variance of the sum is that of the
    images' influences, by stratum. The audit draws a thousand replicates; this is what they tend to.

    Args:
        base: (d,) influences of the baseline, mean over its trainings.
        run: (n, d) those of n runs.
        strata: (d,) of the images.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 8; chapter 22 for the linear form.
    """
    difference = base - run
    size = np.bincount(strata)
    member = np.zeros((size.size, strata.size))
    member[strata, np.arange(strata.size)] = 1.0
    sums, squares = difference @ member.T, difference**2 @ member.T
    return np.asarray(np.sqrt(np.maximum((squares - sums**2 / size).sum(axis=1), 0.0)))
