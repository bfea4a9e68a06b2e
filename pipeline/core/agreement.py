"""How often each reviewer is right where that can be known, and whose decisions are held back until looked at.

Known are the answers to planted labels that were broken on purpose, and what most reviewers of an image say. Two
reviewers who disagree are both right until a third decides: who came first does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from pipeline.core import ledger, votes
from pipeline.core.ledger import Entry
from pipeline.core.statistics import Interval, clopper_pearson

_TAIL = 0.025  # of each side of the interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often a reviewer was right in a month.

    Attributes:
        reviewer: who.
        month: of the decisions, such as 2026-01, UTC.
        right: controls that were recognised, and second opinions that most reviewers of the image share.
        total: all controls, and second opinions that were decided.
        undecided: second opinions on which as many say yes as no; not in the total.
        interval: Clopper-Pearson, 95 %, of right / total; None where the total is 0.
    """

    reviewer: str
    month: str
    right: int
    total: int
    undecided: int
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A reviewer whose decisions do not count until another person has looked at them.

    Attributes:
        reviewer: who.
        since: time of the answer after which decisions are held back, ISO 8601, UTC.
        position: of that answer in the ledger, from 0.
        right: of the answers with a known outcome up to there, since the last release.
        total: number of those answers.
        high: upper end of the 95 % Clopper-Pearson interval of right / total; it is under ``review.min_agreement``.
        decisions: number of decisions that are held back.
    """

    reviewer: str
    since: str
    position: int
    right: int
    total: int
    high: float
    decisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A decision that others can be held against; `right` is None while it is undecided."""

    position: int
    right: bool | None


def agreement(entries: Sequence[Entry]) -> list[Agreement]:
    """How often each reviewer was right, by month and reviewer; months without such a decision are left out.

    Two reviewers of an image agree when both accept, or both reject, the same labels. They disagree when one accepts
    what the other rejects, or when they accept different labels of which one are a correction. Anything else says
    nothing. A second opinion is right when more reviewers of the image agree with it, its own included, than disagree.

    Source of the interval: Clopper & Pearson 1934, Biometrika 26:404-413.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    for answer in _answers(entries):
        entry = entries[answer.position]
        count = counts.setdefault((entry.time[:7], entry.reviewer), [0, 0, 0])
        count[0 if answer.right else 1 if answer.right is not None else 2] += 1
    return [
        Agreement(
            reviewer=reviewer,
            month=month,
            right=right,
            total=right + wrong,
            undecided=undecided,
            interval=clopper_pearson(right, right + wrong),
        )
        for (month, reviewer), (right, wrong, undecided) in sorted(counts.items())
    ]


def held_back(entries: Sequence[Entry], *, min_agreement: float) -> dict[str, HeldBack]:
    """Who is held back, by name.

    A reviewer is held back from the decision on that follows the answer at which the upper end of the 95 % interval of
    the agreement, since the last release, falls under ``min_agreement``; until a release by another person.

    Args:
        entries: the ledger, oldest first.
        min_agreement: share in [0, 1].
    """
    released = {
        ledger.released(entry.reason): position
        for position, entry in enumerate(entries)
        if entry.decision == "release" and ledger.released(entry.reason) != entry.reviewer
    }
    known: dict[str, list[_Answer]] = {}
    for answer in _answers(entries):
        reviewer = entries[answer.position].reviewer
        if answer.right is not None and answer.position > released.get(reviewer, -1):
            known.setdefault(reviewer, []).append(answer)
    held = {}
    for reviewer, answers in sorted(known.items()):
        right = np.cumsum([answer.right for answer in answers])
        total = np.arange(1, len(answers) + 1)
        # The upper end of statistics.clopper_pearson, for all lengths at once; all right: 1.
        high = np.where(right < total, betaincinv(right + 1, np.maximum(total - right, 1), 1 - _TAIL), 1.0)
        under = np.flatnonzero(high < min_agreement)
        if under.size:
            first = int(under[0])
            position = answers[first].position
            held[reviewer] = HeldBack(
                reviewer=reviewer,
                since=entries[position].time,
                position=position,
                right=int(right[first]),
                total=first + 1,
                high=float(high[first]),
                decisions=sum(
                    one.reviewer == reviewer and one.decision in votes.VOTES for one in entries[position + 1 :]
                ),
            )
    return held


def _answers(entries: Sequence[Entry]) -> list[_Answer]:
    """The decisions that can be held against something, in order."""
    left = votes.remaining(entries)
    answers = [
        _Answer(position=position, right=entries[position].decision == "control-right")
        for position in left
        if entries[position].decision in votes.CONTROLS
    ]
    several = {image_id: ballot for image_id, ballot in votes.newest(entries, left).items() if len(ballot) > 1}
    corrections = votes.corrected(entries, several)
    for image_id, ballot in several.items():
        answers += _second_opinions([(one, entries[one]) for one in ballot.values()], corrections.get(image_id, set()))
    return sorted(answers, key=lambda answer: answer.position)


def _second_opinions(ballot: Sequence[tuple[int, Entry]], corrections: set[str]) -> list[_Answer]:
    answers = []
    for position, mine in ballot:
        said = [_same(mine, other, corrections) for other_position, other in ballot if other_position != position]
        agree, disagree = 1 + said.count(True), said.count(False)
        if agree + disagree > 1:
            answers.append(_Answer(position=position, right=None if agree == disagree else agree > disagree))
    return answers


def _same(one: Entry, other: Entry, corrections: set[str]) -> bool | None:
    """Whether two votes on an image agree; None where one says nothing of the other."""
    accepting = (one.decision != "reject") + (other.decision != "reject")
    if one.label_digest == other.label_digest:
        return accepting != 1
    # Labels that differ without a correction: those of the source changed between the two.
    replaced = one.label_digest in corrections or other.label_digest in corrections
    return False if accepting == 2 and replaced else None  # noqa: PLR2004 - both
