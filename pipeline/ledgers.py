"""The ledger as people ask for it: whether it is whole, an image's history, what is in conflict, who is let back in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.core import (
    agreement,
    corrections,
    deciding,
    ledger,
    ledger_check,
    ledger_index,
    ledger_lookup,
    manifest,
    params,
    paths,
    standing,
)
from pipeline.core.errors import UserError
from pipeline.core.ledger import Entry
from pipeline.core.ledger_lookup import Looked
from pipeline.core.manifest import Row
from pipeline.core.standing import Standing

_SHORT = 12  # letters of a digest that are shown
_PREFIX = re.compile("[0-9a-f]{4,64}")
_WORDS = {"verified": "verified", "rejected": "rejected", "conflict": "in conflict", "awaiting": "awaits a decision"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command says, and whether all is well."""

    text: str
    good: bool


def check() -> Answer:
    """Check the whole ledger; see :mod:`pipeline.core.ledger_check`.

    Raises:
        UserError: it is missing, or from a newer version.
    """
    found = ledger_check.check(paths.LEDGER, imports=paths.IMPORTS, corrections=paths.CORRECTIONS)
    lines = [f"problem: {problem.text}" for problem in found.problems]
    lines += [f"note: {note}" for note in found.notes]
    if found.uncommitted:
        lines.append(f"note: {_rows(found.uncommitted)} not committed yet: commit data/ledger.csv.")
    if not found.problems:
        return Answer(text="\n".join([f"{paths.LEDGER}: {_rows(found.rows)}, all in order", *lines]), good=True)
    number = len(found.problems)
    lines.append(
        f"{paths.LEDGER}: {_rows(found.rows)}, {number} {'problem' if number == 1 else 'problems'}. Nothing is changed "
        "by this command; docs/ledger.md says how to recover."
    )
    return Answer(text="\n".join(lines), good=False)


def _rows(number: int) -> str:
    return f"{number:,} row" if number == 1 else f"{number:,} rows"


def log(image: str) -> str:
    """The history of an image, what it comes to, and the runs that trained on the image.

    Args:
        image: its id, the beginning of it that no other image has, its name or its path.

    Raises:
        UserError: there is no such image or more than one, or the ledger is broken.
    """
    image_id, row = _resolved(image)
    found = ledger_lookup.looked_up(image_id, min_agreement=params.load().review.min_agreement)
    real = row is not None and row.origin == "real"
    if row is not None and real:
        standings = [ledger_lookup.standing_of(found, image_id, row.label_digest)]
    else:
        standings = ledger_lookup.standings_elsewhere(found)
    lines = [f"{row.name} ({row.path}), {row.origin}" if row else "not in the dataset now", f"image {image_id}"]
    lines += [_stands(one, row) for one in standings] or ["nobody has decided on it"]
    lines += _history(found, image_id)
    lines += _used(image_id, {one.label_digest for one in standings if one.state == "verified"} if standings else None)
    return "\n".join(lines)


def _resolved(image: str) -> tuple[str, Row | None]:
    """The image that is meant, and its row where it is in the dataset."""
    rows = _known()
    asked = {image, os.path.relpath(image or os.curdir)}  # of a path, however it is given
    named = {row.image_id for row in rows if not asked.isdisjoint({row.image_id, row.name, row.path})}
    if not named and _PREFIX.fullmatch(image):
        named = {row.image_id for row in rows if row.image_id.startswith(image)}
        named |= set(ledger_index.ids_beginning(image))
    if len(named) == 1:
        (image_id,) = named
        return image_id, next((row for row in rows if row.image_id == image_id), None)
    if named:
        raise UserError(f"{image!r} means {len(named)} images: {_listed(sorted(named))}. Give the whole id.")
    raise UserError(
        f"there is no image {image[:100]!r}: wanted an image id, at least 4 digits of its beginning, or the name or "
        f"path of an image in {paths.REAL_MANIFEST} or of a synthetic one."
    )


def _known() -> list[Row]:
    """All images of the dataset, the real ones first; those with other labels are there with both of their paths."""
    found = [paths.REAL_MANIFEST, paths.VERIFIED_MANIFEST, *sorted(paths.GENERATED.glob(f"*/{paths.MANIFEST}"))]
    return [row for path in found if path.exists() for row in manifest.read(path)]


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items[:5]) + (" …" if len(items) > 5 else "")  # noqa: PLR2004 - enough to see what is meant


def _stands(one: Standing, row: Row | None) -> str:
    since = f" since {one.since}" if one.since else ""
    return f"{_WORDS[one.state]}{since}, labels {_version(one.label_digest, row)}"


def _version(digest: str, row: Row | None) -> str:
    """A version of an image's labels, and where it is kept."""
    if row is not None and digest == row.label_digest:
        return f"{digest[:_SHORT]} (the source's: {row.label_path})"
    path = corrections.path(paths.CORRECTIONS, digest)
    return f"{digest[:_SHORT]} ({path})" if path.exists() else digest[:_SHORT]


def _history(found: Looked, image_id: str) -> list[str]:
    lines: list[str] = []
    for number, entry in zip(found.rows, found.entries, strict=True):
        if entry.decision == "accept-import":
            listed = dict(ledger.read_list(paths.IMPORTS, entry.image_id))
            if image_id not in listed:
                continue
            digest, fate = listed[image_id], ""
        else:
            digest, fate = entry.label_digest, _fate(found, number, entry)
        reason = f": {entry.reason}" if entry.reason else ""
        lines.append(
            f"  row {number}  {entry.time}  {entry.reviewer}  {entry.decision}  labels {digest[:_SHORT]}{fate}{reason}"
        )
    return ["", "decisions:", *lines] if lines else []


def _fate(found: Looked, number: int, entry: Entry) -> str:
    if number in found.held:
        return " (held back)"
    return "" if entry.decision == "undo" or number in found.left else " (taken back)"


def _used(image_id: str, holding: set[str] | None) -> list[str]:
    """The runs that trained on an image, and with which labels.

    Args:
        image_id: the image.
        holding: digests of the labels that hold; None where nobody decided on the image.
    """
    lines = []
    for path in sorted(paths.MIXES.glob(f"*/{paths.MANIFEST}")):
        if row := manifest.find(path, image_id):
            other = "" if holding is None or row.label_digest in holding else ", which do not hold now"
            lines.append(f"  {path.parent.name}: labels {row.label_digest[:_SHORT]}{other}")
    return ["", "runs that trained on it:", *lines] if lines else []


def conflicts() -> str:
    """The images on which reviewers disagree, and the reviewers who are held back.

    Raises:
        UserError: nothing is ingested yet, or the ledger is broken.
    """
    least = params.load().review.min_agreement
    entries = ledger.read(paths.LEDGER)
    known = {row.image_id: row for row in manifest.read(paths.REAL_MANIFEST)}
    found = list(standing.of_rows(entries, known.values(), min_agreement=least).values())
    found += standing.elsewhere(entries, known.keys(), min_agreement=least)
    open_ones = [one for one in found if one.state == "conflict"]
    lines = [line for one in open_ones for line in _disagreement(one, known.get(one.image_id))]
    if open_ones:
        number = f"{len(open_ones)} {'image' if len(open_ones) == 1 else 'images'}"
        lines.append(f"{number} in conflict: another person's decision resolves each (`uv run tailwatch review`).")
    else:
        lines.append("No image is in conflict.")
    return "\n".join([*lines, *_held_back(agreement.held_back(entries, min_agreement=least).values())])


def _disagreement(one: Standing, row: Row | None) -> list[str]:
    lines = [f"{row.name if row else 'synthetic'}  {one.image_id}"]
    for vote in one.votes:
        reason = f": {vote.reason}" if vote.reason else ""
        lines.append(f"  {vote.time}  {vote.reviewer}  {vote.decision}  {_version(vote.label_digest, row)}{reason}")
    return lines


def _held_back(found: Iterable[agreement.HeldBack]) -> list[str]:
    return [
        f"{one.reviewer} is held back since {one.since}: right in {one.right} of {one.total} known answers, "
        f"{one.decisions} decisions since then do not count. Look at them (`uv run tailwatch ledger log IMAGE`), then "
        "release them with `uv run tailwatch ledger release`."
        for one in found
    ]


def release(name: str, *, reviewer: str, reason: str) -> Entry:
    """Let the decisions of a held-back reviewer count again, those up to now.

    Args:
        name: who is held back.
        reviewer: who looked at the decisions; another person.
        reason: what that person saw.

    Returns:
        The row of the ledger; it is on the disk.

    Raises:
        UserError: nobody of that name is held back, the two are one person, or there is no reason.
    """
    name, reviewer = name.strip(), reviewer.strip()
    if name.casefold() == reviewer.casefold():
        raise UserError(f"{reviewer} cannot release their own decisions: another person has to look at them.")
    if not reason.strip():
        raise UserError("a release needs a reason: say what you looked at, with --reason TEXT.")
    least = params.load().review.min_agreement
    held = agreement.held_back(ledger.read(paths.LEDGER), min_agreement=least)
    if name not in held:
        raise UserError(f"{name!r} is not held back; held back: {_listed(sorted(held)) or 'nobody'}.")
    return ledger.append(
        paths.LEDGER,
        "release",
        image_id="",
        label_digest="",
        reviewer=deciding.as_cell(reviewer),
        reason=deciding.as_cell(ledger.release_reason(name, reason.strip())),
        lock=paths.LEDGER_LOCK,
    )
