"""Rows of a ledger, as short as a test can say them; their hashes are left out."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.core import ledger
from pipeline.core.ledger import Decision, Entry
from tests.builders import sha

A, B = sha("image a"), sha("image b")
SOURCE, FIXED, OTHER = sha("labels of the source"), sha("corrected labels"), sha("labels corrected otherwise")


def entry(
    decision: Decision,
    reviewer: str = "Ada",
    image_id: str = A,
    label_digest: str = SOURCE,
    *,
    time: str = "2026-01-01T00:00:00+00:00",
    reason: str = "",
) -> Entry:
    """One row."""
    return Entry(
        time=time, decision=decision, image_id=image_id, label_digest=label_digest, reviewer=reviewer, reason=reason,
        previous="", hash="",
    )  # fmt: skip


def release(held: str, by: str = "Bob", *, time: str = "2026-01-01T00:00:00+00:00") -> Entry:
    """A row with which one person releases what another's decisions were held back."""
    return entry("release", by, "", "", time=time, reason=ledger.release_reason(held, "looked at all of them"))


def timed(rows: Iterable[Entry]) -> list[Entry]:
    """The rows, a minute apart in this order."""
    return [
        entry(
            row.decision, row.reviewer, row.image_id, row.label_digest, reason=row.reason,
            time=f"2026-01-{1 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:00+00:00",
        )
        for number, row in enumerate(rows)
    ]  # fmt: skip
