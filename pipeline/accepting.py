"""Accepting an import as a whole: one row in the ledger, and the list that it names."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core import files, impostors, ledger, manifest, params, paths, standing
from pipeline.core.ledger import Entry
from pipeline.core.manifest import Row
from pipeline.core.standing import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """How much is ingested but not accepted."""

    images: int
    boxes: int


def pending() -> Pending:
    """Count the ingested images on whose present labels nobody decided.

    Raises:
        UserError: nothing is ingested yet, or the ledger's chain is broken.
    """
    left = [row for row, one in _ingested() if one.state == "awaiting"]
    return Pending(images=len(left), boxes=sum(number for row in left for _, number in row.boxes))


def accept(*, reviewer: str, reason: str) -> Entry:
    """Accept all ingested images with their present labels, but those that people rejected or disagree on.

    It is the weakest word: what a person decides on an image itself goes before it.

    Raises:
        UserError: nothing is ingested yet, there is no reviewer, an image is a copy of a synthetic one, or the ledger's
            chain is broken.
    """
    found = _ingested()
    impostors.require_real([row for row, one in found if one.state == "awaiting"])
    items = [(row.image_id, row.label_digest) for row, one in found if one.state in ("verified", "awaiting")]
    digest = ledger.list_digest(items)
    files.write_text(ledger.list_path(paths.IMPORTS, digest), ledger.format_list(items))
    return ledger.append(
        paths.LEDGER,
        "accept-import",
        image_id=digest,
        label_digest="",
        reviewer=reviewer,
        reason=reason,
        lock=paths.LEDGER_LOCK,
    )


def _ingested() -> list[tuple[Row, Standing]]:
    """The ingested images with what holds for each."""
    rows = manifest.read(paths.REAL_MANIFEST)
    entries = ledger.read(paths.LEDGER) if paths.LEDGER.exists() else []
    found = standing.of_rows(entries, rows, min_agreement=params.load().review.min_agreement)
    return [(row, found[row.image_id]) for row in rows]
