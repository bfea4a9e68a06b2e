"""The one door for decisions of people: what is decided here is checked, then it is in the ledger."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal

from pipeline.core import (
    corrections,
    impostors,
    labels,
    ledger,
    ledger_index,
    ledger_lookup,
    locks,
    manifest,
    params,
    paths,
    plants,
    votes,
)
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.ledger import Decision, Entry
from pipeline.core.manifest import Row

LONGEST_REASON = 2_000  # characters
_LONGEST_REVIEWER = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
            "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, bytes that are no text, ends of lines and paragraphs
_TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # text that reads in another direction


def decide(
    kind: Literal["accept", "reject"], image_id: str, label_digest: str, *, reviewer: str, reason: str = ""
) -> Entry:
    """Accept or reject an image with the labels that the reviewer saw.

    A synthetic image that is accepted becomes human-verified, and stays synthetic. Where the labels are those of a
    planted item, the answer is noted as right or wrong, and the image's standing stays as it is.

    Args:
        kind: accept: these labels are right; reject: the image with these labels must not be used.
        image_id: a real or a synthetic image.
        label_digest: of the labels that were shown.
        reviewer: who decides.
        reason: at most 2,000 characters; a rejection needs one.

    Returns:
        The row of the ledger; it is on the disk.

    Raises:
        UserError: the image is unknown, its labels are no longer those that were shown, the reviewer or the reason is
            missing or cannot be kept, an image that is accepted as real is a copy of a synthetic one, or the ledger
            cannot be written. Nothing is recorded then.
    """
    name, why = _reviewer(reviewer), as_cell(reason)
    if kind == "reject" and not reason.strip():
        raise UserError("a rejection needs a reason: say in a few words what is wrong with the image or its labels.")
    with _alone():
        real = manifest.find(paths.REAL_MANIFEST, image_id)
        if real and label_digest == _planted(image_id, label_digest) != real.label_digest:
            answer: Decision = "control-right" if kind == "reject" else "control-wrong"
            return _append(answer, image_id, label_digest, reviewer=name, reason=why)
        if real:
            _require_version(real, label_digest)
            if kind == "accept":
                _require_real(real)
        else:
            _require_synthetic(image_id, label_digest)
        return _append(kind, image_id, label_digest, reviewer=name, reason=why)


def correct(image_id: str, boxes: Sequence[Box], *, reviewer: str, reason: str = "", shown: str | None = None) -> Entry:
    """Give a real image other labels, which the reviewer thereby accepts; every older version is kept.

    Args:
        image_id: a real image.
        boxes: the right labels; none for an image without objects.
        reviewer: who decides.
        reason: at most 2,000 characters.
        shown: digest of the labels that the reviewer saw. Where they were those of a planted item, the answer is noted
            as right, and nothing else changes. It has to be given for an image that is planted somewhere.

    Returns:
        The row of the ledger; its label digest is that of the new labels.

    Raises:
        UserError: as for :func:`decide`; or the image is synthetic, a box has a class that is not in the dataset, or
            the labels are those that were shown.
    """
    name, why = _reviewer(reviewer), as_cell(reason)
    with _alone():
        planted = _planted(image_id, shown)
        if planted:
            return _append("control-right", image_id, planted, reviewer=name, reason=why)
        real = manifest.find(paths.REAL_MANIFEST, image_id)
        if real is None:
            _require_synthetic(image_id, None)
            raise UserError(
                f"image {image_id[:12]} is synthetic: its labels cannot be corrected. Accept it, or reject it with a "
                "reason, and it is used no more."
            )
        if shown is not None:
            _require_version(real, shown)
        given = _rounded(boxes, real)
        if labels.digest(given) == (real.label_digest if shown is None else shown):
            raise UserError(f"the labels of {real.name} are as they were shown; accept them if they are right.")
        _require_real(real)
        digest = corrections.write(paths.CORRECTIONS, given)
        return _append("relabel", image_id, digest, reviewer=name, reason=why)


def undo(reviewer: str) -> Entry:
    """Take back the reviewer's newest decision that is not taken back yet, the answer to a planted item included.

    Returns:
        The row of the ledger; image and labels are those of the decision that was taken back.

    Raises:
        UserError: there is no such decision, or no reviewer.
    """
    name = _reviewer(reviewer)
    with _alone():
        taken_back = votes.to_take_back(ledger.read(paths.LEDGER) if paths.LEDGER.exists() else [], name)
        if taken_back is None:
            raise UserError(f"{name} has no decision to take back: imports and releases stay.")
        return _append("undo", taken_back.image_id, taken_back.label_digest, reviewer=name, reason="")


def as_cell(text: str) -> str:
    r"""A reason as it is kept: on one line, readable, and text for a spreadsheet too.

    Raises:
        UserError: it is longer than 2,000 characters.

    >>> as_cell("two\nlines"), as_cell("=cmd()")
    ('two\\nlines', "'=cmd()")
    """
    if len(text) > LONGEST_REASON:
        raise UserError(
            f"the reason has {len(text):,} characters, wanted at most {LONGEST_REASON:,}. Say it shorter: nothing was "
            "recorded."
        )
    escaped = "".join(one.encode("unicode_escape").decode() if _unseen(one) else one for one in text)
    return f"'{escaped}" if text.startswith(_FORMULA) else escaped


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or character in _TURNING


def _reviewer(name: str) -> str:
    """The reviewer's name without blanks around it.

    Raises:
        UserError: there is none, or none that can be told from other text in the ledger.
    """
    stripped = name.strip()
    if not stripped:
        raise UserError("a decision needs a reviewer: say who decides, for example with --reviewer NAME.")
    wrong = len(stripped) > _LONGEST_REVIEWER or stripped.startswith(_FORMULA) or ": " in stripped
    if wrong or any(_unseen(one) for one in stripped):
        raise UserError(
            f"reviewer {stripped[:60]!r}: wanted a name of at most {_LONGEST_REVIEWER} characters on one line, that "
            "does not begin with =, +, - or @ and has no colon before a blank."
        )
    return stripped


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Nobody else decides between the check and the row."""
    with locks.held(paths.DECIDING_LOCK, "deciding", wait=lambda _: None):
        yield


def _append(decision: Decision, image_id: str, label_digest: str, *, reviewer: str, reason: str) -> Entry:
    return ledger.append(
        paths.LEDGER,
        decision,
        image_id=image_id,
        label_digest=label_digest,
        reviewer=reviewer,
        reason=reason,
        lock=paths.LEDGER_LOCK,
    )


def _planted(image_id: str, shown: str | None) -> str | None:
    """Digest of the broken labels that were before the reviewer; None where it was no plant.

    Raises:
        UserError: it is not said which labels were shown, and the image is planted.
    """
    known = [plant.label_digest for plant in plants.read(paths.PLANTS).values() if plant.image_id == image_id]
    if shown is None and known:
        raise UserError(
            f"image {image_id[:12]} is shown with several versions of its labels: say by their digest (`shown`) which "
            "of them were corrected. Nothing was recorded."
        )
    return shown if shown in known else None


def _require_version(real: Row, label_digest: str) -> None:
    """Refuse labels that are neither the source's present ones nor a stored correction."""
    if label_digest == real.label_digest:
        return
    rows = ledger_index.entries_of(real.image_id) if paths.LEDGER.exists() else []
    known = votes.corrected(rows, {real.image_id}).get(real.image_id, set())
    if label_digest not in known or not corrections.path(paths.CORRECTIONS, label_digest).exists():
        raise UserError(
            f"{real.name} ({real.image_id[:12]}) no longer has the labels that were shown ({label_digest[:12]}): they "
            "changed meanwhile. Nothing was recorded; run `uv run tailwatch review` and look at it again."
        )


def _require_real(real: Row) -> None:
    """Refuse a copy of a synthetic image; one that is verified already was looked at when it was accepted."""
    if paths.LEDGER.exists():
        found = ledger_lookup.looked_up(real.image_id, min_agreement=params.load().review.min_agreement)
        if ledger_lookup.standing_of(found, real.image_id, real.label_digest).state == "verified":
            return
    impostors.require_real([real])


def _require_synthetic(image_id: str, label_digest: str | None) -> None:
    """Refuse an image that no run made, or labels that it does not have."""
    made = [manifest.find(path, image_id) for path in sorted(paths.GENERATED.glob(f"*/{paths.MANIFEST}"))]
    digests = {row.label_digest for row in made if row}
    if not digests:
        raise UserError(
            f"there is no image {image_id[:64]!r}, neither in {paths.REAL_MANIFEST} nor among the synthetic ones in "
            f"{paths.GENERATED}. It may have left the dataset: run `uv run tailwatch review --rebuild`."
        )
    if label_digest is not None and label_digest not in digests:
        raise UserError(
            f"synthetic image {image_id[:12]} no longer has the labels that were shown ({label_digest[:12]}): it was "
            "generated anew. Nothing was recorded; run `uv run tailwatch review` and look at it again."
        )


def _rounded(boxes: Sequence[Box], real: Row) -> list[Box]:
    """The boxes as they are written.

    Raises:
        UserError: one cannot be written, has an unknown class, or is there twice.
    """
    names = manifest.read_classes(paths.REAL_CLASSES)
    given = []
    for number, box in enumerate(boxes, start=1):
        try:
            given.append(labels.rounded(box))
        except ValueError as error:
            raise UserError(f"box {number} of {real.name}: {error}. Draw it again.") from None
        if box.class_id >= len(names):
            raise UserError(f"box {number} of {real.name}: class id {box.class_id}, wanted 0 to {len(names) - 1}.")
    if len(set(given)) < len(given):
        raise UserError(f"{real.name} has the same box twice. Remove one of them.")
    return given
