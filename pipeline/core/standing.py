"""What the ledger's decisions come to for each image.

A standing follows from the rows alone: from each reviewer's newest decision on the image that was not taken back and is
not held back. Which reviewer came first never matters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.core import ledger, paths, votes
from pipeline.core.agreement import held_back
from pipeline.core.errors import UserError
from pipeline.core.ledger import Entry
from pipeline.core.manifest import Row

State = Literal["verified", "rejected", "conflict", "awaiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds for one image.

    Attributes:
        image_id: the image.
        state: verified: more reviewers accept one version of its labels than reject it or accept another; conflict:
            some accept a version, but no version wins; rejected: all who decided reject; awaiting: nobody decided.
        label_digest: the version that holds; where none does, the one that is shown: the newest correction that was not
            taken back, else the source's labels.
        since: time of the newest decision that the state rests on, ISO 8601, UTC; empty while awaiting.
        votes: each reviewer's newest decision on the versions that there are, by time and reviewer.
    """

    image_id: str
    state: State
    label_digest: str
    since: str
    votes: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """What counts in the ledger, by image id."""

    ballots: Mapping[str, tuple[Entry, ...]]
    shown: Mapping[str, Entry]
    corrections: Mapping[str, set[str]]


def of_rows(entries: Sequence[Entry], rows: Iterable[Row], *, min_agreement: float) -> dict[str, Standing]:
    """What holds for each of the project's images by what is in its folders; see :func:`standings`.

    Args:
        entries: the ledger, oldest first.
        rows: the images; of those that are there more than once, the last row says which labels are the source's.
        min_agreement: see :func:`standings`.

    Raises:
        UserError: see :func:`standings`.
    """
    digests = {row.image_id: row.label_digest for row in rows}
    return standings(entries, list(digests.items()), paths.IMPORTS, paths.CORRECTIONS, min_agreement=min_agreement)


def standings(
    entries: Sequence[Entry],
    items: Sequence[tuple[str, str]],
    imports: Path,
    corrections: Path,
    *,
    min_agreement: float,
) -> dict[str, Standing]:
    """What holds for each image.

    Args:
        entries: the ledger, oldest first.
        items: image id and present label digest of the source, each image once.
        imports: folder of the lists of accepted imports, named by their digest.
        corrections: folder of the corrected labels, named by their digest.
        min_agreement: the agreement under which a reviewer is held back, in [0, 1].

    Returns:
        The standing of each image by its id, in the order of the items.

    Raises:
        UserError: the list of an accepted import is missing or was edited, or corrected labels are missing.
    """
    decided = _decided(entries, min_agreement=min_agreement)
    accepted = _imported(entries, imports)
    stored = {path.stem for path in corrections.glob("*.txt")} if decided.corrections else set()
    found = {}
    for image_id, digest in items:
        if image_id not in decided.ballots and image_id not in decided.corrections:  # most images, by far
            found[image_id] = _unseen(image_id, digest, digest, accepted.get((image_id, digest)))
            continue
        corrected = decided.corrections.get(image_id, set())
        shown = _shown(decided.shown.get(image_id), digest, stored, corrections)
        ballot = [
            vote for vote in decided.ballots.get(image_id, ()) if vote.label_digest in {digest, *corrected & stored}
        ]
        found[image_id] = _stand(image_id, shown, ballot) or _unseen(
            image_id, digest, shown, accepted.get((image_id, digest))
        )
    return found


def _unseen(image_id: str, source: str, shown: str, accepted: str | None) -> Standing:
    """The standing of an image that no person decided on: that of its import, if it was accepted."""
    return Standing(
        image_id=image_id,
        state="awaiting" if accepted is None else "verified",
        label_digest=shown if accepted is None else source,
        since=accepted or "",
        votes=(),
    )


def elsewhere(entries: Sequence[Entry], real: Collection[str], *, min_agreement: float) -> list[Standing]:
    """What holds for the images that were decided on and are not among the real ones.

    Labels of such images cannot be corrected. Where several versions were decided on, because they were generated
    anew, each has a standing of its own.

    Args:
        entries: the ledger, oldest first.
        real: ids of the real images.
        min_agreement: see :func:`standings`.

    Returns:
        Sorted by image id and label digest.
    """
    decided = _decided(entries, min_agreement=min_agreement)
    found = []
    for image_id in sorted(decided.ballots.keys() - set(real)):
        ballot = decided.ballots[image_id]
        for digest in sorted({vote.label_digest for vote in ballot}):
            standing = _stand(image_id, digest, [vote for vote in ballot if vote.label_digest == digest])
            if standing:
                found.append(standing)
    return found


def _decided(entries: Sequence[Entry], *, min_agreement: float) -> _Decided:
    held = held_back(entries, min_agreement=min_agreement)
    left = votes.remaining(entries)
    if held:
        last = {reviewer: one.position for reviewer, one in held.items()}
        left = [one for one in left if one <= last.get(entries[one].reviewer, one)]
    ballots = {
        image_id: tuple(sorted((entries[one] for one in ballot.values()), key=lambda vote: (vote.time, vote.reviewer)))
        for image_id, ballot in votes.newest(entries, left).items()
    }
    shown: dict[str, Entry] = {}
    for entry in (entries[one] for one in left):
        if entry.decision == "relabel":
            before = shown.get(entry.image_id)
            # By time and name, not by place in the ledger, so that the order of arrival does not matter.
            if before is None or (before.time, before.reviewer) <= (entry.time, entry.reviewer):
                shown[entry.image_id] = entry
    relabelled = {entry.image_id for entry in entries if entry.decision == "relabel"}
    return _Decided(ballots=ballots, shown=shown, corrections=votes.corrected(entries, relabelled))


def _imported(entries: Iterable[Entry], imports: Path) -> dict[tuple[str, str], str]:
    """Time of the newest import that accepts an image with its labels, by both."""
    accepted: dict[tuple[str, str], str] = {}
    for entry in sorted((one for one in entries if one.decision == "accept-import"), key=lambda one: one.time):
        accepted.update(dict.fromkeys(ledger.read_list(imports, entry.image_id), entry.time))
    return accepted


def _shown(correction: Entry | None, source: str, stored: set[str], folder: Path) -> str:
    """The version that is shown where none holds.

    Raises:
        UserError: the correction's labels are missing.
    """
    if correction is None or correction.label_digest == source:
        return source
    if correction.label_digest not in stored:
        path = folder / f"{correction.label_digest}.txt"
        raise UserError(
            f"{path} is missing: the labels that {correction.reviewer} gave image {correction.image_id[:12]} on "
            f"{correction.time[:10]}. Restore it with `git checkout -- {path}`."
        )
    return correction.label_digest


def _stand(image_id: str, shown: str, ballot: Sequence[Entry]) -> Standing | None:
    """The standing by votes on versions that there are; None without a vote."""
    if not ballot:
        return None
    accepts = [vote.label_digest for vote in ballot if vote.decision != "reject"]
    rejects = [vote.label_digest for vote in ballot if vote.decision == "reject"]
    state: State = "conflict" if accepts else "rejected"
    holds = shown
    for digest in set(accepts):
        # for > against; at most one version can have that
        if 2 * accepts.count(digest) > len(accepts) + rejects.count(digest):
            state, holds = "verified", digest
    grounds = ballot
    if state == "verified":
        grounds = [vote for vote in ballot if vote.decision != "reject" and vote.label_digest == holds]
    return Standing(
        image_id=image_id,
        state=state,
        label_digest=holds,
        since=max(vote.time for vote in grounds),
        votes=tuple(ballot),
    )
