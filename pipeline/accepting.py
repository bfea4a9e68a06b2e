"""Accepting an import as a whole: one row in the ledger, and the list that it names."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core import files, ledger, manifest, paths
from pipeline.core.ledger import Entry
from pipeline.core.manifest import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """How much is ingested but not accepted."""

    images: int
    boxes: int


def _entries() -> list[Entry]:
    return ledger.read(paths.LEDGER) if paths.LEDGER.exists() else []


def _open(entries: list[Entry]) -> list[Row]:
    """The ingested images, without those that a person rejected."""
    refused = ledger.rejected(entries)
    return [row for row in manifest.read(paths.REAL_MANIFEST) if row.image_id not in refused]


def _items(rows: list[Row]) -> list[tuple[str, str]]:
    return [(row.image_id, row.label_digest) for row in rows]


def pending() -> Pending:
    """Count the ingested images whose present labels nobody accepted, and that nobody rejected.

    Raises:
        UserError: nothing is ingested yet, or the ledger's chain is broken.
    """
    entries = _entries()
    rows = _open(entries)
    done = ledger.accepted(entries, _items(rows), paths.IMPORTS)
    left = [row for row in rows if (row.image_id, row.label_digest) not in done]
    return Pending(images=len(left), boxes=sum(number for row in left for _, number in row.boxes))


def accept(*, reviewer: str, reason: str) -> Entry:
    """Accept all ingested images with their present labels; what a person rejected stays rejected.

    Raises:
        UserError: nothing is ingested yet, there is no reviewer, or the ledger's chain is broken.
    """
    items = _items(_open(_entries()))
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
