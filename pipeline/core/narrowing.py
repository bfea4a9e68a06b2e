"""Signs that training data has become narrower than real data: classes, variety, tails, pixels, repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core import contrasts, symptoms
from pipeline.core.audits import Audit
from pipeline.core.figures import Diversity, Drift, Duplication, Figure
from pipeline.core.report_numbers import counted, listed
from pipeline.core.symptoms import ClassChange

PIXELS = ("sharpness", "high-frequency energy", "contrast", "colour")  # quantities of Drift that are of pixels
LARGE = 0.474  # of Cliff's delta, from which on it is called large: Romano et al. 2006
REPEATED = 0.1  # share of synthetic items that repeat one another, over that of real ones, which is a mode collapse
USUAL_TAIL = 0.05  # of real objects have no other real one near them: 1 - diversity.TAIL
_LEVELS = {"image": "images", "object": "objects"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A figure beside what real data would give: whether it is shown to be worse by what matters, and the words."""

    shown: bool
    text: str


def of_classes(changes: Sequence[ClassChange]) -> list[str]:
    """Classes whose share of the training boxes fell below what a random draw from the base's boxes would leave."""
    told = [
        f"{one.name} from {one.before[0] / one.before[1]:.1%} to {one.after[0] / one.after[1]:.1%}"
        for one in changes
        if one.shrunk
    ]
    return [f"Shares of training boxes that fell by more than chance: {listed(told)}."] if told else []


def of_diversity(previous: Audit, run: Audit) -> list[str]:
    """Variety and tails of all synthetic objects under those of real ones, with those of the generation before."""
    now, before = _all(run), _all(previous)
    if now is None:
        return []
    found = []
    less = contrasts.difference(now.vendi_real, now.vendi_synthetic)
    if less is not None and less.low > 0:
        then = "" if before is None else _then(before.vendi_synthetic, 1)
        found.append(
            f"Synthetic objects are as varied as {now.vendi_synthetic.value:.1f} different ones{then}, as many real "
            f"ones as {now.vendi_real.value:.1f} (Vendi score)."
        )
    lost = now.lost_tail
    if lost.value is not None and lost.low is not None and lost.low > USUAL_TAIL:
        then = "" if before is None else _then(before.lost_tail, 2)
        found.append(
            f"{lost.value:.2f} of the real objects have no synthetic one near them{then}; {USUAL_TAIL:.2f} would have "
            "none among as many real ones (lost tail)."
        )
    return found


def of_pixels(previous: Audit, run: Audit) -> list[str]:
    """Pixel statistics of the training data that lie far from real ones, with those of the generation before."""
    then = {one.quantity: one.synthetic for one in previous.drift}
    return [
        f"The {one.quantity} of synthetic images is {number(one.synthetic)}"
        + ("" if then.get(one.quantity) is None else f" ({number(then[one.quantity])} a generation before)")
        + f", of real ones {number(one.real)} (medians; {one.effect_name} {one.effect:+.2f})."
        for one in drifted_pixels(run)
    ]


def drifted_pixels(run: Audit) -> list[Drift]:
    """Pixel statistics of the training data with a significant and large effect against real images.

    Cliff's delta is a difference of probabilities, so that of all training images is the synthetic ones' times their
    share: the real ones have none. Quantities that are tested otherwise, or not at all, are left out.

    Source: Cliff 1993, Psychological Bulletin 114:494-509; large effects: Romano et al. 2006, Annual Meeting of the
    Florida Association of Institutional Research.
    """
    share = symptoms.synthetic_share(run)
    return [
        one
        for one in run.drift
        if one.quantity in PIXELS
        and one.effect is not None
        and one.p_value is not None
        and one.p_value < 0.05  # noqa: PLR2004 - already adjusted for the number of quantities
        and abs(one.effect) * share >= LARGE
    ]


def repeats(run: Audit) -> list[Sign]:
    """How far synthetic images and objects repeat one another, and how varied the objects are."""
    found = [_repeated(one) for one in run.duplication]
    diverse = _all(run)
    if diverse is not None and diverse.vendi_real.low is not None and diverse.vendi_synthetic.high is not None:
        made, real = diverse.vendi_synthetic, diverse.vendi_real
        text = (
            f"Synthetic objects are as varied as {made.value:.1f} different ones, as many real ones as "
            f"{real.value:.1f} (Vendi score)."
        )
        found.append(Sign(shown=diverse.vendi_synthetic.high < diverse.vendi_real.low / 2, text=text))
    return found or [Sign(shown=False, text="How far its synthetic images repeat one another was not measured.")]


def _repeated(one: Duplication) -> Sign:
    what = _LEVELS[one.level]
    more = contrasts.difference(one.near_share, one.expected)
    if one.near_share.value is None or one.expected.value is None or more is None:
        reason = one.near_share.reason or one.expected.reason
        return Sign(shown=False, text=f"Which synthetic {what} are near copies cannot be told: {reason}.")
    text = (
        f"{one.near_share.value:.2f} of {one.items:,} synthetic {what} are near copies of another one, in "
        f"{counted(one.groups, 'group')}, the largest of {one.largest:,}; of as many real ones "
        f"{one.expected.value:.2f} are."
    )
    return Sign(shown=more.reaches(REPEATED), text=text)


def _all(audit: Audit) -> Diversity | None:
    return next((one for one in audit.diversity if one.name == "all"), None)


def _then(figure: Figure, digits: int) -> str:
    return "" if figure.value is None else f" ({figure.value:.{digits}f} a generation before)"


def number(value: float | None) -> str:
    """A median as people write it: three digits, or a whole number where there are more before the point.

    >>> number(1160.3), number(0.01234), number(None)
    ('1,160', '0.0123', 'not known')
    """
    if value is None:
        return "not known"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - where three digits end
