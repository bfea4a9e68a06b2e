"""The append-only record of human verification: who decided what about which image with which labels.

Each row names the hash of the row before it, so that an edited, removed or reordered row breaks the chain. The file is
kept in git, beside the lists of the imports that were accepted as a whole and the labels that people corrected.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from pipeline.core import files, ledger_file, ledger_rows, locks
from pipeline.core.errors import UserError

Decision = Literal[
    "accept", "reject", "relabel", "accept-import", "undo", "control-right", "control-wrong", "release"
]  # fmt: skip
COLUMNS = ("time", "decision", "image_id", "label_digest", "reviewer", "reason", "previous", "hash")
GENESIS = ledger_rows.GENESIS
LONGEST_REASON = 24_000  # characters; a backstop for all callers, whatever they escape
LONGEST_REVIEWER = 200
MEND = (
    "The ledger is append-only: restore it from git, then decide again in a new row. "
    "`uv run tailwatch ledger check` says all that is wrong."
)
HEADER = files.csv_line(COLUMNS).encode()
_KINDS = frozenset(get_args(Decision))
_NEWER = "It is from a newer version of Tailwatch: update Tailwatch (`git pull`, then `uv sync`) and run this again."
_KIND = re.compile("[a-z]+(-[a-z]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One decision.

    Attributes:
        time: ISO 8601, UTC.
        decision: accept or reject (of an image with these labels), relabel (the labels were replaced by these),
            accept-import (of a list of images), undo (of the same reviewer's newest decision, whose image and labels
            it names), control-right or control-wrong (the answer to a planted item), or release (a held-back
            reviewer's decisions were looked at).
        image_id: the image; for an import, the digest of its list; empty for a release.
        label_digest: the labels that the decision is about; empty for an import and a release.
        reviewer: who decided.
        reason: why; for an import, where it comes from; for a release, as :func:`release_reason` writes it.
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


def release_reason(name: str, why: str) -> str:
    """The reason of a release, which names the reviewer whose decisions it releases.

    Raises:
        UserError: the name cannot be told from the reason.
    """
    if not name.strip() or ": " in name:
        raise UserError(f"reviewer {name!r}: wanted a name without a colon and a blank after it.")
    return f"{name.strip()}: {why}"


def released(reason: str) -> str:
    """The reviewer whose decisions a release with this reason releases.

    >>> released(release_reason("Ada", "looked at all: they are right"))
    'Ada'
    """
    return reason.partition(": ")[0]


def list_digest(items: Iterable[tuple[str, str]]) -> str:
    """Digest of an import: SHA-256 of its list of image ids and label digests."""
    return hashlib.sha256(format_list(items).encode()).hexdigest()


def format_list(items: Iterable[tuple[str, str]]) -> str:
    """The list of an import as text: one image id and label digest a line, sorted."""
    return "".join(f"{image_id} {label_digest}\n" for image_id, label_digest in sorted(items))


def read(path: Path) -> list[Entry]:
    """Read the ledger and check its chain.

    The beginning of a row that a killed process or a full disk left at the end is no decision, and is passed over.

    Raises:
        UserError: the file is missing or from a newer version, or a row is malformed or does not fit the chain; the
            message names the row.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise missing(path) from None
    with stream:
        return list(_entries(stream, str(path)))


def missing(path: Path) -> UserError:
    """The error that the ledger is not there."""
    return UserError(
        f"{path} is missing; it is the record of human verification and is kept in git. "
        f"Restore it with `git checkout -- {path}`."
    )


def parse(text: str, where: str) -> list[Entry]:
    """Parse a ledger's text and check its chain; see :func:`read`."""
    return list(_entries(io.BytesIO(text.encode()), where))


def _entries(stream: BinaryIO, where: str) -> Iterator[Entry]:
    read_header(stream, where)
    for number, raw in enumerate(chained(stream, where), start=1):
        yield _parsed(raw, f"{where} row {number}")


def chained(stream: BinaryIO, where: str, *, previous: str = GENESIS, first: int = 1) -> Iterator[bytes]:
    """The rows from a stream's position on, with their line feeds, as long as they fit the chain.

    Args:
        stream: at the beginning of a row.
        where: what errors call the ledger.
        previous: hash of the row before.
        first: number of the first row, from 1.

    Raises:
        UserError: a row is malformed or does not fit the chain; the message names it.
    """
    rows = ledger_rows.split(stream)
    for number, raw in enumerate(rows, start=first):
        whole = raw if raw.endswith(b"\n") else raw + b"\n"  # an editor may have taken the last line feed away
        if not ledger_rows.fits(whole):
            if ledger_rows.torn(raw) and next(rows, None) is None:
                return
            entry_of(whole, f"{where} row {number}")  # says what is wrong
        before, own = ledger_rows.chain(whole)
        if before != previous:
            raise UserError(f"{where} row {number}: a row before it was removed, added or moved. {MEND}")
        previous = own
        yield whole


def read_header(stream: BinaryIO, where: str) -> int:
    """Read past the line of column names.

    Returns:
        Where the rows begin, in bytes.

    Raises:
        UserError: it is another line, or from a newer version.
    """
    line = stream.readline(1 << 16)
    if line in (HEADER, HEADER.rstrip()):
        return len(line)
    try:
        names = line.decode().rstrip("\n").split(",")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 at byte {error.start}. Restore the file from git.") from None
    unknown = [name for name in names if name not in COLUMNS]
    if unknown and set(COLUMNS) <= {*names} and all(_KIND.fullmatch(name) for name in unknown):
        raise UserError(f"{where} has a column {unknown[0]!r} that this version does not know. {_NEWER}")
    raise UserError(f"{where} line 1: wanted the columns {', '.join(COLUMNS)}. Restore the file from git.")


def entry_of(raw: bytes, where: str) -> Entry:
    """The decision that a row, with its line feed, holds; its hash is checked, the row before it is not known here.

    Raises:
        UserError: the row is malformed, was edited, or is of a kind that a newer version writes.
    """
    found = _fields(raw, where)
    if not ledger_rows.fits(raw):
        raise UserError(f"{where} ({found[0]}, {found[4]}): it was edited. {MEND}")
    return _parsed(raw, where)


def _fields(raw: bytes, where: str) -> list[str]:
    try:
        found = ledger_rows.fields(raw)
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 at byte {error.start} of the row. {MEND}") from None
    except csv.Error as error:
        raise UserError(f"{where} is not a row of a table ({error}). {MEND}") from None
    if len(found) != len(COLUMNS):
        raise UserError(f"{where}: {len(found)} fields, wanted {len(COLUMNS)}. {MEND}")
    return found


def _parsed(raw: bytes, where: str) -> Entry:
    time, decision, image_id, label_digest, reviewer, reason, previous, own = _fields(raw, where)
    if decision not in _KINDS:
        raise UserError(f"{where}: this version does not know the decision {decision!r}. {_NEWER}")
    return Entry(
        time=time,
        decision=decision,  # type: ignore[arg-type]  # checked just above
        image_id=image_id,
        label_digest=label_digest,
        reviewer=reviewer,
        reason=reason,
        previous=previous,
        hash=own,
    )


def append(
    path: Path, decision: Decision, *, image_id: str, label_digest: str, reviewer: str, reason: str, lock: Path
) -> Entry:
    """Append one decision; it is on the disk when this returns, and takes as long however many rows there are.

    The newest row is checked, since the new one names its hash; the others are :func:`read`'s business. The beginning
    of a row that a killed process or a full disk left behind is cut off, and kept beside the lock.

    Raises:
        UserError: there is no reviewer, a text is too long, the newest row was edited, or the disk does not take the
            row, which then is not in the ledger.
    """
    reviewer, reason = _as_text(reviewer.strip()), _as_text(reason)
    if not reviewer:
        raise UserError("a decision needs a reviewer: give --reviewer NAME.")
    for name, text, most in (("reviewer", reviewer, LONGEST_REVIEWER), ("reason", reason, LONGEST_REASON)):
        if len(text) > most:
            raise UserError(f"the {name} has {len(text)} characters, wanted at most {most}: nothing is recorded.")
    try:
        with (
            locks.held(lock, "appending to the ledger", wait=lambda _: None),
            ledger_file.opened(path, HEADER) as book,
        ):
            header = read_header(io.BytesIO(book.head()), str(path))
            newest = book.newest(header=header, kept=lock.parent)
            entry = Entry(
                time=datetime.now(UTC).isoformat(timespec="seconds"),
                decision=decision,
                image_id=image_id,
                label_digest=label_digest,
                reviewer=reviewer,
                reason=reason,
                previous=entry_of(newest, f"{path}, newest row").hash if newest else GENESIS,
                hash="",
            )
            entry = dataclasses.replace(entry, hash=entry.digest())
            book.add(files.csv_line([getattr(entry, name) for name in COLUMNS]).encode())
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: {error.strerror or error}. The decision is not in the ledger and nothing was "
            "half written. Mend that, then decide again."
        ) from error
    return entry


def _as_text(given: str) -> str:
    """What a command line gave, with bytes that are no text escaped."""
    return given.encode(errors="backslashreplace").decode()


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
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing; the ledger accepts it. Restore it with `git checkout -- {path}`."
        ) from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(
            f"{path} was edited; the ledger accepted another list. Restore it with `git checkout -- {path}`."
        )
    return [(line[:64], line[65:]) for line in data.decode().splitlines()]
