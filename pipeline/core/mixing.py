"""Which images a run trains on: real and synthetic at the arm's ratio, by the arm's policy.

Sources of the policies: ``replace`` and ``accumulate``, Gerstgrasser et al. 2024 (arXiv 2404.01413);
``accumulate-subsample``, Kazdan et al. 2024 (arXiv 2410.16713). Theirs know no ratio: ``replace`` is a ratio of 1 here,
and at the ratio ``pool`` the others take real and synthetic images as they come, all of them or a draw of fixed size.
At a ratio that is a number and a total that is one, ``accumulate`` and ``accumulate-subsample`` are the same draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.manifest_table import Integers, Table
from pipeline.core.sections import Arm, Mix


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many images of each origin."""

    real: int
    synthetic: int


def shares(real: int, arm: Arm, mix: Mix) -> Shares:
    """How many images of each origin a run trains on; the ratio is met to the nearest image.

    With ``all-real``, every real image is kept and synthetic ones are added; at a ratio of 1 no real image fits, and
    the run gets as many synthetic images as there are real ones. ``accumulate-subsample`` draws as many images as
    there are real ones, unless the total is a number.

    Args:
        real: verified real training images.
        arm: policy and ratio, which is a number; for ``pool`` see :func:`as_they_come`.
        mix: the total.

    Raises:
        UserError: the total asks for more real images than there are.
        ValueError: the ratio is ``pool``.
    """
    if arm.ratio == "pool":
        raise ValueError("the ratio pool is met by a draw, wanted a number")
    if mix.total == "all-real" and arm.policy != "accumulate-subsample":
        if arm.ratio == 1:
            return Shares(real=0, synthetic=real)
        return Shares(real=real, synthetic=round(real * arm.ratio / (1 - arm.ratio)))
    total = real if mix.total == "all-real" else mix.total
    synthetic = round(total * arm.ratio)
    if total - synthetic > real:
        raise UserError(
            f"mix.total is {total} and the ratio {arm.ratio:g}: wanted {total - synthetic} real images, there are "
            f"{real} verified ones. Lower mix.total, raise the arm's ratio, or verify more images."
        )
    return Shares(real=total - synthetic, synthetic=synthetic)


def as_they_come(real: int, synthetic: int, arm: Arm, mix: Mix, rng: np.random.Generator) -> Shares:
    """How many images of each origin a run at the ratio ``pool`` trains on.

    ``accumulate`` takes all that there are, ``accumulate-subsample`` as many as there are real ones; with a total that
    is a number, both draw that many. In a draw every image is as likely, so that the number of real ones varies by
    chance.

    Args:
        real: verified real training images.
        synthetic: images of the pool.
        arm: policy.
        mix: the total.
        rng: of the draw.

    Raises:
        UserError: the total is more than there is.
    """
    if mix.total == "all-real" and arm.policy == "accumulate":
        return Shares(real=real, synthetic=synthetic)
    total = real if mix.total == "all-real" else mix.total
    if total > real + synthetic:
        raise UserError(
            f"mix.total is {total} at the ratio pool: there are {real} real images and {synthetic} synthetic ones. "
            "Lower mix.total, or raise generate.images."
        )
    drawn = int(rng.hypergeometric(real, synthetic, total)) if real + synthetic else 0
    return Shares(real=drawn, synthetic=total - drawn)


def pool(previous: Table, newest: Table, arm: Arm, mix: Mix, *, generation: int) -> Table:
    """The synthetic images that a run may train on, and that are handed on to the next one.

    The pool of an accumulating arm has the images of the newest ``mix.generations`` generations: with all of them, a
    year of nights would keep every image that was ever made on the disk. Real images are not in it; they never leave.

    Args:
        previous: pool of the run before.
        newest: synthetic images of this generation.
        arm: a `replace` arm has the newest images alone.
        mix: the number of generations.
        generation: of the run.
    """
    if arm.policy == "replace":
        return newest
    return previous.take(np.flatnonzero(previous.numbers("generation") > generation - mix.generations)) + newest


def choose(
    real: Table,
    newest: Table,
    pool: Table,
    arm: Arm,
    mix: Mix,
    rng: np.random.Generator,
    *,
    refused: Sequence[str] = (),
) -> Table:
    """Choose the training images of one run.

    An image that people refused is passed over in the draw, and the next one takes its place: a run that would not have
    drawn it stays as it is. Where a run trains on synthetic images alone, refused ones may leave it with fewer.

    Args:
        real: verified real training images.
        newest: synthetic images of this generation.
        pool: synthetic images that the arm may train on, the newest included; see :func:`pool`.
        arm: policy and ratio.
        mix: total, and floor of real images a class.
        rng: of the draw.
        refused: ids of synthetic images that may not be used.

    Raises:
        UserError: there are too few images to meet the ratio, or the floor.
    """
    candidates = newest if arm.policy == "replace" else pool
    usable = ~candidates.among("image_id", refused)
    there = int(usable.sum())
    pooled = arm.ratio == "pool"
    wanted = as_they_come(len(real), there, arm, mix, rng) if pooled else shares(len(real), arm, mix)
    need = wanted.synthetic
    if arm.ratio == 1 and mix.total == "all-real" and need <= len(candidates):
        need = min(need, there)
    if need > there or (wanted.synthetic and not need):
        raise UserError(
            f"the ratio {arm.ratio:g} wants {wanted.synthetic} synthetic images, the policy {arm.policy} has "
            f"{there}{_beside(len(usable) - there)}. Raise generate.images to {wanted.synthetic} or more, "
            "or lower the arm's ratio."
        )
    kept_real = _with_floor(real, wanted.real, mix.min_real_a_class, rng)
    order = rng.permutation(len(candidates))
    return real.take(kept_real) + candidates.take(np.sort(order[usable[order]][:need]))


def _beside(refused: int) -> str:
    return f", beside {refused} that people rejected or disagree on" if refused else ""


def _with_floor(table: Table, wanted: int, floor: int, rng: np.random.Generator) -> Integers:
    """Draw ``wanted`` rows, first ``floor`` rows with each class (or all there are), the rarest class first."""
    order = rng.permutation(len(table))
    if wanted == len(table):
        return np.arange(len(table))
    chosen = np.zeros(len(table), dtype=bool)
    if wanted and floor:
        boxes = table.boxes()
        rank = np.empty(len(table), dtype=np.int64)
        rank[order] = np.arange(len(table))
        classes, holders = np.unique(boxes.class_id, return_counts=True)
        for class_id in classes[np.lexsort((classes, holders))]:
            having = boxes.image[boxes.class_id == class_id]
            spare = having[~chosen[having]]
            missing = max(floor - int(chosen[having].sum()), 0)
            chosen[spare[np.argsort(rank[spare])][:missing]] = True
    first = int(chosen.sum())
    if first > wanted:
        raise UserError(
            f"mix.min_real_a_class is {floor}: that takes {first} real images, the mixture has room for "
            f"{wanted}. Lower the floor, raise mix.total, or lower the arm's ratio."
        )
    chosen[order[~chosen[order]][: wanted - first]] = True
    return np.flatnonzero(chosen)
