"""What is left of the ledger's single decisions when those that were taken back are left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pipeline.core.ledger import Entry

VOTES = frozenset({"accept", "reject", "relabel"})  # what a person says of one image
CONTROLS = frozenset({"control-right", "control-wrong"})  # answers to planted labels that are known to be broken
_ANSWERS = VOTES | CONTROLS

Ballots = dict[str, dict[str, int]]  # by image id, then by reviewer: position of the vote in the ledger


def remaining(entries: Sequence[Entry]) -> list[int]:
    """Positions of the votes and control answers that nobody took back, in order.

    An ``undo`` takes back the newest decision of the same reviewer on the same image and labels that is left. One that
    finds none takes back nothing.
    """
    answers = [position for position, entry in enumerate(entries) if entry.decision in _ANSWERS]
    undos = [position for position, entry in enumerate(entries) if entry.decision == "undo"]
    if not undos:
        return answers
    stacks: dict[tuple[str, str, str], list[int]] = {}
    for position in sorted([*answers, *undos]):
        entry = entries[position]
        stack = stacks.setdefault((entry.reviewer, entry.image_id, entry.label_digest), [])
        if entry.decision != "undo":
            stack.append(position)
        elif stack:
            stack.pop()
    return sorted(position for stack in stacks.values() for position in stack)


def newest(entries: Sequence[Entry], left: Iterable[int]) -> Ballots:
    """Each reviewer's newest vote on each image.

    Args:
        entries: the ledger, oldest first.
        left: positions of the decisions that count, in order.
    """
    ballots: Ballots = {}
    for position in left:
        entry = entries[position]
        if entry.decision in VOTES:
            ballots.setdefault(entry.image_id, {})[entry.reviewer] = position
    return ballots


def to_take_back(entries: Sequence[Entry], reviewer: str) -> Entry | None:
    """The decision that the reviewer's next ``undo`` takes back; None where there is none."""
    mine = [entry for entry in entries if entry.reviewer == reviewer]
    left = remaining(mine)
    return mine[left[-1]] if left else None


def corrected(entries: Sequence[Entry], image_ids: Collection[str]) -> dict[str, set[str]]:
    """Digests of all labels that ever replaced those of an image, by image id; also what was taken back."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        if entry.decision == "relabel" and entry.image_id in image_ids:
            found.setdefault(entry.image_id, set()).add(entry.label_digest)
    return found
