"""In which order images are looked at: what a person's minute is worth for the audit and for the mixture.

The order is lexicographic; `docs/decisions/014-review-queue.md` says why.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from pipeline.core.report_numbers import counted, listed

Kind = Literal["conflict", "awaiting", "import", "synthetic", "second-opinion", "control"]
_URGENCY: Mapping[Kind, int] = {
    "conflict": 2, "awaiting": 1, "import": 0, "synthetic": 0, "second-opinion": 0, "control": 0,
}  # fmt: skip
_NEW, _OLD = "nobody decided on it yet", "decided on before, worth another look"
_BEGINNINGS: Mapping[Kind, str] = {  # of the reason
    "conflict": "people disagree", "awaiting": _NEW, "import": _OLD, "synthetic": "synthetic, of the newest run",
    "second-opinion": _OLD, "control": _OLD,
}  # fmt: skip
_UNSURE = 0.5  # a detection under this confidence is worth a look
_NEAR = 0.9  # so near to the duplicate threshold is worth a look


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image that may be looked at.

    Attributes:
        image_id: the image.
        label_digest: of the labels that are shown.
        kind: why it is a candidate; see :class:`Item`.
        classes: ids of the classes of its boxes.
        note: what people said of it, in words; may be empty.
    """

    image_id: str
    label_digest: str
    kind: Kind
    classes: frozenset[int]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of images, by image id; an image that is not in a mapping was not measured.

    Attributes:
        names: of the classes, by id.
        boxes: verified real training boxes of each class, by id.
        rare: ids of the rare classes.
        disagreement: share of the boxes that the base run and the newest one find, one without the other, in [0, 1].
        confidence: of the least sure detection that counts, in [0, 1].
        children: number of synthetic images, over all generations, that name the image as a parent.
        closeness: how near its similarity to another image is to the duplicate threshold, 1 at the threshold, in
            [0, 1].
    """

    names: Sequence[str]
    boxes: Sequence[int]
    rare: frozenset[int]
    disagreement: Mapping[str, float] = field(default_factory=dict)
    confidence: Mapping[str, float] = field(default_factory=dict)
    children: Mapping[str, int] = field(default_factory=dict)
    closeness: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A place in the queue.

    Attributes:
        image_id: the image.
        label_digest: of the labels that are shown.
        kind: conflict: people disagree on it; awaiting: nobody decided; import: accepted with its import only;
            synthetic: of an arm's newest run, not looked at yet; second-opinion and control: planted, and to look
            like the others.
        reason: why it is here, in words.
        rarity: place of its rarest rare class among the rare classes, the commonest 1; 0 without a rare class.
        disagreement: see :class:`Evidence`; None where it was not measured.
        uncertainty: 1 less the confidence of its least sure detection; None where there is none.
        influence: synthetic images that name it as a parent.
        closeness: see :class:`Evidence`; None where it was not measured.
    """

    image_id: str
    label_digest: str
    kind: Kind
    reason: str
    rarity: int
    disagreement: float | None
    uncertainty: float | None
    influence: int
    closeness: float | None


def rank(candidates: Sequence[Candidate], evidence: Evidence) -> list[Item]:
    """Order candidates by what a decision on them is worth, the most first.

    Rare classes come first, the rarest before the others; then conflicts, then what awaits a first decision; then, in
    tenths so that small differences do not hide the next column, disagreement between generations, low confidence,
    influence (in powers of two), and nearness to the duplicate threshold. Equals are in the order of their ids, which
    are hashes.

    Images that were accepted with their import are left out where nothing speaks for a look at them. Planted kinds are
    scored as these, and never left out.
    """
    many = _many(evidence.children)
    items = [_item(candidate, evidence, many) for candidate in candidates]
    return sorted((item for item, worth in items if worth), key=_key)


def _key(item: Item) -> tuple[float | str, ...]:
    return (
        -item.rarity,
        -_URGENCY[item.kind],
        -round(item.disagreement or 0.0, 1),
        -round(item.uncertainty or 0.0, 1),
        -item.influence.bit_length(),
        -round(item.closeness or 0.0, 1),
        item.image_id,
        item.label_digest,
    )


def _many(children: Mapping[str, int]) -> float:
    """The number of children that one image in twenty of those with any has."""
    numbers = [number for number in children.values() if number]
    return float(np.quantile(numbers, 0.95)) if numbers else np.inf


def _item(candidate: Candidate, evidence: Evidence, many: float) -> tuple[Item, bool]:
    """The item, and whether it is worth a look."""
    one = candidate.image_id
    rarity, rarest = _rarity(candidate.classes, evidence)
    confidence, disagreement = evidence.confidence.get(one), evidence.disagreement.get(one)
    children, closeness = evidence.children.get(one, 0), evidence.closeness.get(one)
    unsure = confidence is not None and confidence < _UNSURE
    reasons = [
        candidate.note,
        rarest,
        f"the base run and a newer one differ on {disagreement:.0%} of its boxes" if disagreement else "",
        f"its least sure detection has confidence {confidence:.2f}" if unsure else "",
        f"{counted(children, 'synthetic image')} made from it" if children >= many else "",
        "nearly a duplicate" if closeness is not None and closeness >= _NEAR else "",
    ]
    said = [reason for reason in reasons if reason]
    item = Item(
        image_id=one,
        label_digest=candidate.label_digest,
        kind=candidate.kind,
        reason="; ".join([_BEGINNINGS[candidate.kind], *said]),
        rarity=rarity,
        disagreement=disagreement,
        uncertainty=None if confidence is None else 1 - confidence,
        influence=children,
        closeness=closeness,
    )
    return item, candidate.kind != "import" or bool(said)


def _rarity(classes: frozenset[int], evidence: Evidence) -> tuple[int, str]:
    order = sorted(evidence.rare, key=lambda class_id: (-evidence.boxes[class_id], class_id))
    ranks = {class_id: place for place, class_id in enumerate(order, start=1)}
    present = sorted(classes & evidence.rare, key=lambda class_id: -ranks[class_id])
    if not present:
        return 0, ""
    named = listed([f"{evidence.names[one]} (training boxes: {evidence.boxes[one]:,})" for one in present])
    return ranks[present[0]], f"rare class {named}"


def plant(
    queue: Sequence[Item],
    opinions: Sequence[Item],
    spare: Sequence[str],
    *,
    broken: Callable[[str], Item | None],
    share: float,
    rng: np.random.Generator,
) -> list[Item]:
    """Plant items with a known answer in a queue.

    There is one in each stretch of 1 / share items, at a place that is drawn; second opinions and controls take turns
    as long as there are both. They are not to be told from the items around them. A control is the next item of the
    queue that was accepted with its import, with broken labels; the image itself comes back when that is answered.
    Where none is near, it is a spare image. A second opinion has the rarity of the items around it, where there is one.

    Args:
        queue: in order.
        opinions: images that another reviewer decided on, none of them in the queue.
        spare: ids of verified images that are not in the queue.
        broken: gives the control of an image by its id; None for an image that cannot be one.
        share: of the planted items in the queue that is returned, in [0, 0.5].
        rng: of this reviewer, so that everyone has other plants.
    """
    if share <= 0 or not queue:
        return list(queue)
    supply = _Supply(opinions, spare, rng)
    disguise = not any(item.reason.startswith(_OLD) for item in queue)
    left = deque(queue)
    planted: list[Item] = []
    stretch, place = 0, _place(0, share, rng)
    while left:
        if len(planted) >= place:
            item = supply.take(left, broken, within=round(1 / share))
            if item:
                planted.append(replace(item, reason=item.reason.replace(_OLD, _NEW, 1)) if disguise else item)
            stretch += 1
            place = _place(stretch, share, rng)
        else:
            planted.append(left.popleft())
    return planted


def _place(stretch: int, share: float, rng: np.random.Generator) -> int:
    return int((stretch + rng.random()) / share)


class _Supply:
    """What can still be planted."""

    def __init__(self, opinions: Sequence[Item], spare: Sequence[str], rng: np.random.Generator) -> None:
        """Shuffle both; what has nothing to say for a look at it comes last, for it could be told by that."""
        ordered = sorted(opinions, key=lambda one: one.image_id)
        mixed = [ordered[int(position)] for position in rng.permutation(len(ordered))]
        self.opinions: dict[int, list[Item]] = {}
        for item in sorted(mixed, key=lambda one: "; " in one.reason):
            self.opinions.setdefault(item.rarity, []).append(item)
        ids = sorted(spare)
        self.spare = [ids[int(position)] for position in rng.permutation(len(ids))]
        self.opinion_next = bool(rng.integers(2))

    def take(self, left: deque[Item], broken: Callable[[str], Item | None], *, within: int) -> Item | None:
        """The next item to plant before those that are left; None where there is none."""
        item = self._opinion(left[0].rarity) if self.opinion_next else self._control(left, broken, within)
        if item is None:
            item = self._control(left, broken, within) if self.opinion_next else self._opinion(left[0].rarity)
        if item:
            self.opinion_next = item.kind == "control"
        return item

    def _opinion(self, rarity: int) -> Item | None:
        nearest = min(self.opinions, key=lambda one: (abs(one - rarity), one), default=None)
        if nearest is None:
            return None
        item = self.opinions[nearest].pop()
        if not self.opinions[nearest]:
            del self.opinions[nearest]
        return item

    def _control(self, left: deque[Item], broken: Callable[[str], Item | None], within: int) -> Item | None:
        for item in [one for one in itertools.islice(left, within) if one.kind == "import"]:
            if control := broken(item.image_id):
                left.remove(item)
                return control
        while self.spare:
            if control := broken(self.spare.pop()):
                return control
        return None
