"""The append-only record of human verification: who accepted which image with which labels.

Each row names the hash of the row before it, so that an edited, removed or reordered row breaks the chain. The file is
kept in git, beside the lists of the imports that were accepted as a whole.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pipeline.core import files, locks
from pipeline.core.errors import UserError

Decision = Literal["accept", "reject", "relabel", "accept-import"]
COLUMNS = ("time", "decision", "image_id", "label_digest", "reviewer", "reason", "previous", "hash")
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One decision.

    Attributes:
        time: ISO 8601, UTC.
        decision: accept, reject, relabel (the labels were replaced by these), or accept-import.
        image_id: the image; for an import, the digest of its list.
        label_digest: the labels that the decision is about; empty for an import.
        reviewer: who decided.
        reason: why; for an import, where it comes from.
        previous: hash of the row before; 64 zeros in the first row.
        hash: SHA-256 over the other fields.
    """

    time: str
    decision: Decision
    image_id: str
    label_digest: str
    reviewer: str
    reason: str
    previous: str
    hash: str

    def digest(self) -> str:
        """The hash that this row must have."""
        fields = [getattr(self, name) for name in COLUMNS[:-1]]
        return hashlib.sha256(files.csv_line(fields).encode()).hexdigest()


def list_digest(items: Iterable[tuple[str, str]]) -> str:
    """Digest of an import: SHA-256 of its list of image ids and label digests."""
    return hashlib.sha256(format_list(items).encode()).hexdigest()


def format_list(items: Iterable[tuple[str, str]]) -> str:
    """The list of an import as text: one image id and label digest a line, sorted."""
    return "".join(f"{image_id} {label_digest}\n" for image_id, label_digest in sorted(items))


def read(path: Path) -> list[Entry]:
    """Read the ledger and check its chain.

    Raises:
        UserError: the file is missing, or a row is malformed or does not fit the chain; the message names the row.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; it is the record of human verification and is kept in git. "
            f"Restore it with `git checkout -- {path}`."
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 at byte {error.start}. Restore the file from git.") from None
    return parse(text, str(path))


def parse(text: str, where: str) -> list[Entry]:
    """Parse a ledger's text and check its chain; see :func:`read`."""
    try:
        records = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise UserError(f"{where} is not a table ({error}). Restore the file from git.") from None
    if not records or tuple(records[0]) != COLUMNS:
        raise UserError(f"{where} line 1: wanted the columns {', '.join(COLUMNS)}. Restore the file from git.")
    entries: list[Entry] = []
    previous = GENESIS
    for number, record in enumerate(records[1:], start=1):
        mend = "The ledger is append-only: restore it from git, then decide again in a new row."
        if len(record) != len(COLUMNS):
            raise UserError(f"{where} row {number}: {len(record)} fields, wanted {len(COLUMNS)}. {mend}")
        entry = Entry(**dict(zip(COLUMNS, record, strict=True)))  # type: ignore[arg-type]  # checked just below
        if entry.decision not in get_args(Decision):
            raise UserError(f"{where} row {number}: decision {entry.decision!r}, wanted one of {get_args(Decision)}.")
        if entry.previous != previous:
            raise UserError(f"{where} row {number}: a row before it was removed, added or moved. {mend}")
        if entry.hash != entry.digest():
            raise UserError(f"{where} row {number} ({entry.time}, {entry.reviewer}): it was edited. {mend}")
        entries.append(entry)
        previous = entry.hash
    return entries


def append(
    path: Path, decision: Decision, *, image_id: str, label_digest: str, reviewer: str, reason: str, lock: Path
) -> Entry:
    """Append one decision, after checking the chain; it is on the disk when this returns.

    Raises:
        UserError: there is no reviewer, or the ledger's chain is broken.
    """
    if not reviewer.strip():
        raise UserError("a decision needs a reviewer: give --reviewer NAME.")
    with locks.held(lock, "appending to the ledger", wait=lambda _: None):
        if not path.exists():
            files.write_text(path, files.csv_line(COLUMNS))
        entries = read(path)
        entry = Entry(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            decision=decision,
            image_id=image_id,
            label_digest=label_digest,
            reviewer=_as_text(reviewer.strip()),
            reason=_as_text(reason),
            previous=entries[-1].hash if entries else GENESIS,
            hash="",
        )
        entry = Entry(**{name: getattr(entry, name) for name in COLUMNS[:-1]}, hash=entry.digest())
        before = path.read_bytes()
        # An editor may have taken the last line feed away. The file is written whole: a crash leaves no half row.
        before += b"" if before.endswith(b"\n") else b"\n"
        files.write_bytes(path, before + files.csv_line([getattr(entry, name) for name in COLUMNS]).encode())
    return entry


def _as_text(given: str) -> str:
    """What a command line gave, with bytes that are no text escaped."""
    return given.encode(errors="backslashreplace").decode()


def accepted(entries: Iterable[Entry], items: Sequence[tuple[str, str]], imports: Path) -> dict[tuple[str, str], str]:
    """Those of the items (image id, label digest) whose newest decision accepts just these labels, and when it did.

    Args:
        entries: the ledger, oldest first.
        items: the images as they are now.
        imports: folder of the lists of accepted imports, named by their digest.

    Returns:
        The time of the decision, ISO 8601 in UTC, by item.

    Raises:
        UserError: the list of an accepted import is missing or was edited.
    """
    standing: dict[str, tuple[str, str]] = {}  # image id -> label digest that is accepted now, and since when
    for entry in entries:
        if entry.decision == "accept":
            standing[entry.image_id] = (entry.label_digest, entry.time)
        elif entry.decision == "accept-import":
            listed = read_list(imports, entry.image_id)
            standing.update({image_id: (label_digest, entry.time) for image_id, label_digest in listed})
        else:
            standing.pop(entry.image_id, None)
    return {
        (image_id, label_digest): standing[image_id][1]
        for image_id, label_digest in items
        if image_id in standing and standing[image_id][0] == label_digest
    }


def rejected(entries: Iterable[Entry]) -> set[str]:
    """Ids of the images whose newest decision about them alone is a rejection."""
    newest = {entry.image_id: entry.decision for entry in entries if entry.decision != "accept-import"}
    return {image_id for image_id, decision in newest.items() if decision == "reject"}


def list_path(imports: Path, digest: str) -> Path:
    """Where the list of an accepted import is kept."""
    return imports / f"{digest}.txt"


def read_list(imports: Path, digest: str) -> list[tuple[str, str]]:
    """Read the list of an accepted import.

    Raises:
        UserError: it is missing or was edited.
    """
    path = list_path(imports, digest)
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; the ledger accepts it. Restore it with `git checkout -- {path}`."
        ) from None
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise UserError(
            f"{path} was edited; the ledger accepted another list. Restore it with `git checkout -- {path}`."
        )
    return [(line[:64], line[65:]) for line in text.splitlines()]
