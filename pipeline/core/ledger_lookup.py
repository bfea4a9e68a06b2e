"""The standing of one image, from the few rows of the ledger that it rests on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import ledger_index, paths, standing, votes
from pipeline.core.ledger import Entry
from pipeline.core.standing import Standing

_NOBODY = 0.0  # who is held back is known already; of the rows of one image alone nobody could be


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the ledger says of one image.

    Attributes:
        entries: the decisions on the image, and all accepted imports, oldest first.
        rows: the number of each in the ledger, from 1.
        left: those of the rows that are votes or answers which nobody took back.
        held: those of the rows that are left and held back.
    """

    entries: tuple[Entry, ...]
    rows: tuple[int, ...]
    left: frozenset[int]
    held: frozenset[int]

    def counting(self) -> list[Entry]:
        """The decisions that a standing follows from: imports, votes that count, and corrections that do not count.

        Of the last, only the labels matter, which others may have accepted: each is taken back at once.
        """
        found = []
        for row, entry in zip(self.rows, self.entries, strict=True):
            counts = row in self.left and row not in self.held and entry.decision in votes.VOTES
            if counts or entry.decision in ("relabel", "accept-import"):
                found.append(entry)
            if entry.decision == "relabel" and not counts:
                found.append(dataclasses.replace(entry, decision="undo"))
        return found


def looked_up(
    image_id: str, *, min_agreement: float, path: Path = paths.LEDGER, index: Path = paths.LEDGER_INDEX
) -> Looked:
    """The decisions that an image's standing rests on.

    Args:
        image_id: the image.
        min_agreement: the agreement under which a reviewer is held back, in [0, 1].
        path: the ledger.
        index: its index.

    Raises:
        UserError: the ledger is missing or its chain is broken.
    """
    after = ledger_index.held_after(min_agreement=min_agreement, path=path, index=index)
    found = ledger_index.with_imports(image_id, path=path, index=index)
    entries = tuple(entry for _, entry in found)
    left = [found[position] for position in votes.remaining(entries)]
    held = [row for row, entry in left if entry.decision in votes.VOTES and row > after.get(entry.reviewer, row)]
    return Looked(
        entries=entries,
        rows=tuple(row for row, _ in found),
        left=frozenset(row for row, _ in left),
        held=frozenset(held),
    )


def standing_of(
    found: Looked,
    image_id: str,
    label_digest: str,
    *,
    imports: Path = paths.IMPORTS,
    corrections: Path = paths.CORRECTIONS,
) -> Standing:
    """What holds for a real image; the same as :func:`pipeline.core.standing.standings` finds in the whole ledger.

    Args:
        found: what was looked up.
        image_id: the image.
        label_digest: its present labels in the source.
        imports: folder of the lists of accepted imports, named by their digest.
        corrections: folder of corrected labels, named by their digest.

    Raises:
        UserError: a file that the ledger names is missing or was edited.
    """
    items = [(image_id, label_digest)]
    return standing.standings(found.counting(), items, imports, corrections, min_agreement=_NOBODY)[image_id]


def standings_elsewhere(found: Looked) -> list[Standing]:
    """What holds for each version of an image that is not a real one; see :func:`pipeline.core.standing.elsewhere`."""
    return standing.elsewhere(found.counting(), (), min_agreement=_NOBODY)
