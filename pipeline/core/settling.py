"""How many test boxes or images would settle what is open, with a stated power."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.special import ndtri

from pipeline.core import statistics

LIMIT = 100_000  # the most boxes worth naming
_FURTHEST = 100  # times as many images as there are, the most worth naming


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What settles a figure: a loss of the margin ruled out, or a loss shown whose estimate reaches the margin.

    Attributes:
        margin: in (0, 1).
        alpha: of the bound that rules a loss of the margin out, in (0, 0.5).
        level: at which one training shows a loss, in (0, 1).
        trainings: that have to show it, 1 or 2.
        power: chance with which all of that is to happen, in (0.5, 1).
    """

    margin: float
    alpha: float
    level: float
    trainings: int
    power: float = 0.8

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        fine = 0 < self.margin < 1 and 0 < 2 * self.alpha < 1 and 0 < self.level < 1 and self.trainings in {1, 2}
        if not fine or not 0.5 < self.power < 1:  # noqa: PLR2004
            raise ValueError(f"{self}: a number is out of range")


def boxes_to_settle(lost: float, gained: float, total: int, rule: Rule) -> int | None:
    """Tell how many test boxes in all would settle a class, if the rates of loss and gain stayed as they are.

    Args:
        lost: boxes that only the baseline found, so far; of several trainings, their mean.
        gained: boxes that only the run found, so far.
        total: boxes so far, 1 or more.
        rule: what settles it.

    Returns:
        The smallest number of boxes over `total`; None over :data:`LIMIT`, or where the loss is the margin itself.

    Raises:
        ValueError: counts that cannot be.

    Half a box is added to both counts, for no rate is nought because it was not seen.
    """
    if min(lost, gained) < 0 or lost + gained > total or total < 1:
        raise ValueError(f"{lost} lost and {gained} gained of {total}, wanted 0 or more, together at most all")
    loss, discordant = (lost - gained) / total, (lost + gained + 1) / (total + 1)
    needed = boxes_needed(loss, discordant, rule)
    return None if needed is None else max(needed, total + 1)


def boxes_needed(loss: float, discordant: float, rule: Rule) -> int | None:
    """Boxes that settle a class at these rates; None over :data:`LIMIT`, or where the loss is the margin itself.

    Args:
        loss: share of the boxes that is lost, less the share that is gained.
        discordant: share that is lost or gained.
        rule: what settles it.
    """
    if loss < rule.margin:
        return boxes_to_rule_out(loss, discordant, rule)
    if loss == rule.margin:
        return None
    reaching = discordant * (_deviate(1 - _each(rule)) / (loss - rule.margin)) ** 2
    shown = boxes_to_show(loss, discordant, rule)
    return None if shown is None or reaching > LIMIT else max(shown, math.ceil(reaching))


def smallest_loss(boxes: int, discordant: float, rule: Rule) -> float | None:
    """The smallest loss of recall that so many test boxes settle as one; None where not even a loss of all is seen.

    Args:
        boxes: of the class, 0 or more.
        discordant: share of the boxes that only one of two healthy trainings finds.
        rule: what settles it.

    Returns:
        In hundredths, more than the margin.
    """
    for hundredths in range(math.floor(100 * rule.margin) + 1, 101):
        loss = hundredths / 100
        needed = boxes_needed(loss, min(discordant + loss, 1.0), rule) if loss > rule.margin else None
        if needed is not None and needed <= boxes:
            return loss
    return None


def boxes_to_show(loss: float, discordant: float, rule: Rule) -> int | None:
    """Boxes with which a loss over nought is shown, by all the trainings that have to; None over :data:`LIMIT`.

    The counts that the power has to reckon with are put to the exact test itself. The trainings are taken as
    independent of one another, though they see the same boxes: on the safe side.

    Raises:
        ValueError: there is no loss to show.
    """
    if loss <= 0:
        raise ValueError(f"loss {loss}, wanted more than 0")
    power = _deviate(1 - _each(rule))

    def shown(boxes: int) -> bool:
        # counts are whole: on the average the test sees half a box less than is expected
        lost, gained = _unlucky(-loss, discordant, boxes, power)
        return statistics.mcnemar_loss(max(gained - 0.5, 0.0), lost) <= rule.level

    return _smallest(shown)


def boxes_to_rule_out(loss: float, discordant: float, rule: Rule) -> int | None:
    """Boxes with which a loss of the margin is ruled out; None over :data:`LIMIT`.

    Raises:
        ValueError: the loss is the margin or more.
    """
    if loss >= rule.margin:
        raise ValueError(f"loss {loss}, wanted less than the margin, {rule.margin}")
    power = _deviate(1 - rule.power)

    def ruled_out(boxes: int) -> bool:
        lost, gained = _unlucky(loss, discordant, boxes, power)
        return statistics.rules_out(lost, gained, boxes, margin=rule.margin, alpha=rule.alpha)

    return _smallest(ruled_out)


def images_to_settle(loss: float, error: float, images: int, rule: Rule) -> int | None:
    """Tell how many test images in all would settle a figure of the whole split, if its loss stayed as it is.

    Args:
        loss: so far.
        error: its standard error over images; it falls with the square root of their number.
        images: so far.
        rule: what settles it.

    Returns:
        The smallest number over `images`; None where it is over a hundred times as many, or the loss is the margin.
    """
    gap = abs(loss - rule.margin)
    if gap == 0:
        return None
    if loss < rule.margin:
        needed = ((_deviate(rule.alpha) + _deviate(1 - rule.power)) * error / gap) ** 2
    else:
        power = _deviate(1 - _each(rule))
        needed = max(((_deviate(rule.level) + power) * error / loss) ** 2, (power * error / gap) ** 2)
    return None if needed > _FURTHEST else max(math.ceil(needed * images), images + 1)


def _unlucky(loss: float, discordant: float, boxes: int, deviate: float) -> tuple[float, float]:
    """Boxes lost and gained where chance adds to the loss: by so many standard errors."""
    more = deviate * math.sqrt(max(discordant - loss**2, 0.0) / boxes)
    seen = min(loss + more, 1.0)
    changed = max(discordant, abs(seen))
    return boxes * (changed + seen) / 2, boxes * (changed - seen) / 2


def _smallest(holds: Callable[[int], bool]) -> int | None:
    """Find the smallest number of boxes that holds, given that all larger ones do too; None over the limit."""
    low, high = 0, 1  # low never holds
    while not holds(high):
        if high >= LIMIT:
            return None
        low, high = high, min(2 * high, LIMIT)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _each(rule: Rule) -> float:
    """Power that each training needs, so that all of them have the rule's."""
    return math.pow(rule.power, 1 / rule.trainings)


def _deviate(tail: float) -> float:
    return -float(ndtri(tail))
