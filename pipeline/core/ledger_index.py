"""Where each image's decisions stand in the ledger, so that nobody reads a million rows to see three.

The index is an SQLite file that is derived from the ledger and holds nothing else: places of rows, not what they say.
What is looked up is read from the ledger itself, and each row's hash is checked. New rows are added to the index as
they are found; an index that does not fit the ledger is made anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from pipeline.core import agreement, ledger, ledger_rows, paths
from pipeline.core.errors import UserError
from pipeline.core.ledger import Entry

Found = TypeVar("Found")

_VERSION = 1
_WAIT = 120.0  # seconds that a process waits for another one that builds the index
_DIGITS = 15  # hexadecimal digits of an image id in its key: 60 bits, which SQLite keeps as one number
_OTHER = 1 << 60  # key of what is no SHA-256
_VOTE, _IMPORT, _OTHERWISE, _UNDO = range(4)
_KINDS = {b"accept": _VOTE, b"reject": _VOTE, b"relabel": _VOTE, b"accept-import": _IMPORT, b"undo": _UNDO}
_SCHEMA = """
CREATE TABLE state (version INTEGER, rows INTEGER, hash TEXT, "end" INTEGER, answered INTEGER);
CREATE TABLE held (min_agreement REAL PRIMARY KEY, answered INTEGER, rows TEXT);
CREATE TABLE reviewers (id INTEGER PRIMARY KEY, name BLOB UNIQUE);
CREATE TABLE decided (number INTEGER PRIMARY KEY, image INTEGER, kind INTEGER, reviewer INTEGER, start INTEGER);
CREATE TABLE telling (image INTEGER PRIMARY KEY);
"""
_INDEXES = """
CREATE INDEX by_image ON decided (image, kind, reviewer);
CREATE INDEX by_kind ON decided (kind) WHERE kind > 0;
INSERT INTO telling
    SELECT image FROM decided WHERE kind = 0 GROUP BY image HAVING min(reviewer) <> max(reviewer)
    UNION SELECT image FROM decided WHERE kind > 0 AND kind = 3;
"""
# Images whose decisions say how well reviewers agree: several people saw them, or an undo has to be matched there.
_TELLING = """
INSERT OR IGNORE INTO telling
    SELECT image FROM decided WHERE image = ?1 AND kind = 0 GROUP BY image HAVING min(reviewer) <> max(reviewer)
    UNION SELECT image FROM decided WHERE image = ?1 AND kind = 3
"""
_NEW = "SELECT image FROM decided NOT INDEXED WHERE number > ?"  # by row number, not by image
# The newest row that says how well reviewers agree.
_ANSWERED = """
UPDATE state SET answered = max(answered, coalesce(
    (SELECT max(number) FROM decided NOT INDEXED
        WHERE number > ?1 AND (kind > 1 OR image IN (SELECT image FROM telling))), 0))
"""
# `kind > 0` is written out, since SQLite takes the partial index only where its own condition stands.
_OF_IMAGE = "SELECT number, start FROM decided WHERE image = ? ORDER BY number"
_WITH_IMPORTS = """
SELECT number, start FROM decided WHERE image = ?
UNION SELECT number, start FROM decided WHERE kind > 0 AND kind = 1
ORDER BY number
"""
_ANSWERS = """
SELECT number, start FROM decided WHERE kind > 0 AND kind > 1
UNION SELECT number, start FROM telling JOIN decided USING (image)
ORDER BY number
"""
_BETWEEN = "SELECT min(number), start FROM decided WHERE image BETWEEN ? AND ? GROUP BY image"


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """How far the index has read the ledger.

    Attributes:
        rows: number of rows that it knows.
        hash: of the last of them; 64 zeros where there is none.
        end: where that row's hash ends, in bytes; before the first row, where the line of column names ends.
    """

    rows: int
    hash: str
    end: int


def entries_of(image_id: str, *, path: Path = paths.LEDGER, index: Path = paths.LEDGER_INDEX) -> list[Entry]:
    """All decisions on an image itself, oldest first; not the imports that list it.

    Raises:
        UserError: the ledger is missing or its chain is broken.
    """
    found = _looked_up(_OF_IMAGE, (_key(image_id),), path=path, index=index)
    return [entry for _, entry in found if entry.image_id == image_id]


def with_imports(
    image_id: str, *, path: Path = paths.LEDGER, index: Path = paths.LEDGER_INDEX
) -> list[tuple[int, Entry]]:
    """All decisions on an image, and all accepted imports, with the numbers of their rows, oldest first.

    Raises:
        UserError: the ledger is missing or its chain is broken.
    """
    found = _looked_up(_WITH_IMPORTS, (_key(image_id),), path=path, index=index)
    return [(row, entry) for row, entry in found if entry.decision == "accept-import" or entry.image_id == image_id]


def ids_beginning(prefix: str, *, path: Path = paths.LEDGER, index: Path = paths.LEDGER_INDEX) -> list[str]:
    """The ids of images with decisions that begin so, sorted.

    Args:
        prefix: the first hexadecimal digits of an image id, at least one.
        path: the ledger.
        index: its index.

    Raises:
        UserError: the ledger is missing or its chain is broken.
    """
    digits = prefix[:_DIGITS]
    try:
        low, high = int(digits.ljust(_DIGITS, "0"), 16), int(digits.ljust(_DIGITS, "f"), 16)
    except ValueError:
        return []
    found = _looked_up(_BETWEEN, (low, high), path=path, index=index)
    return sorted(
        {one.image_id for _, one in found if one.image_id.startswith(prefix) and one.decision != "accept-import"}
    )


def held_after(*, min_agreement: float, path: Path = paths.LEDGER, index: Path = paths.LEDGER_INDEX) -> dict[str, int]:
    """The row after which each held-back reviewer's decisions do not count; see :mod:`pipeline.core.agreement`.

    It follows from the controls, the releases and the decisions on images that several people decided on or where one
    was taken back, and is remembered until there is a new one of these.

    Raises:
        UserError: the ledger is missing or its chain is broken.
    """

    def held(database: sqlite3.Connection, stream: BinaryIO) -> dict[str, int]:
        (answered,) = database.execute("SELECT answered FROM state").fetchone()
        known = "SELECT rows FROM held WHERE min_agreement = ? AND answered = ?"
        found = database.execute(known, (min_agreement, answered)).fetchone()
        if found:
            return msgspec.json.decode(found[0], type=dict[str, int])
        answers = _rows_at(stream, database.execute(_ANSWERS).fetchall(), path)
        those = agreement.held_back([entry for _, entry in answers], min_agreement=min_agreement)
        rows = {name: answers[one.position][0] for name, one in those.items()}
        values = (min_agreement, answered, msgspec.json.encode(rows).decode())
        database.execute("INSERT OR REPLACE INTO held VALUES (?, ?, ?)", values)
        return rows

    return _with_ledger(held, path=path, index=index)


def refresh(*, path: Path = paths.LEDGER, index: Path = paths.LEDGER_INDEX) -> int:
    """Bring the index up to date, in a time that grows with the new rows alone.

    Returns:
        The number of rows that it knows now.

    Raises:
        UserError: the ledger is missing or its chain is broken.
    """

    def rows(database: sqlite3.Connection, _: BinaryIO) -> int:
        return int(database.execute("SELECT rows FROM state").fetchone()[0])

    return _with_ledger(rows, path=path, index=index)


def _looked_up(query: str, values: tuple[int, ...], *, path: Path, index: Path) -> list[tuple[int, Entry]]:
    def look(database: sqlite3.Connection, stream: BinaryIO) -> list[tuple[int, Entry]]:
        return _rows_at(stream, database.execute(query, values).fetchall(), path)

    return _with_ledger(look, path=path, index=index)


def _with_ledger(action: Callable[[sqlite3.Connection, BinaryIO], Found], *, path: Path, index: Path) -> Found:
    """Do something with the index, up to date, and the ledger."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise ledger.missing(path) from None
    with stream:

        def fresh(database: sqlite3.Connection) -> Found:
            _update(database, stream, path)
            return action(database, stream)

        try:
            return _with_database(index, fresh)
        except UserError:
            # The ledger was edited before its end, or the index lies: building it anew says which.
            _discard(index)
            return _with_database(index, fresh)


def _rows_at(stream: BinaryIO, places: list[tuple[int, int]], path: Path) -> list[tuple[int, Entry]]:
    return [(number, _entry_at(stream, start, f"{path} row {number}")) for number, start in places]


def _entry_at(stream: BinaryIO, start: int, where: str) -> Entry:
    stream.seek(start)
    raw = next(ledger_rows.split(stream), b"")
    return ledger.entry_of(raw if raw.endswith(b"\n") else raw + b"\n", where)


def _with_database(index: Path, action: Callable[[sqlite3.Connection], Found]) -> Found:
    """Do something with the index; a file that is no index, or a broken one, is made anew."""
    try:
        return _connected(index, action)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise UserError(f"{index} is in use by another process for minutes. Run this again later.") from error
        _discard(index)
    try:
        return _connected(index, action)
    except sqlite3.DatabaseError as error:
        raise UserError(f"{index} cannot be used: {error}. Make room, or remove it, and run this again.") from error


def _connected(index: Path, action: Callable[[sqlite3.Connection], Found]) -> Found:
    index.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(index, timeout=_WAIT, isolation_level=None)) as database:
        return action(database)


def _discard(index: Path) -> None:
    for path in (index, index.with_name(f"{index.name}-journal")):
        path.unlink(missing_ok=True)


def _update(database: sqlite3.Connection, stream: BinaryIO, path: Path) -> None:
    """Add the rows that the index does not know."""
    size = stream.seek(0, os.SEEK_END)
    state = _state(database, stream)
    if state and state.end >= size - 1:  # a line feed may stand after it
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        state = _state(database, stream)  # another process may have been quicker
        if state is None:
            _build(database, stream, path)
        else:
            _insert(database, state, stream, path)
            database.executemany(_TELLING, sorted(set(database.execute(_NEW, (state.rows,)))))
            database.execute(_ANSWERED, (state.rows,))
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _state(database: sqlite3.Connection, stream: BinaryIO) -> _State | None:
    """How far the index goes; None where it is of another version, of another ledger, or new."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone():
        return None
    version, *found = database.execute("SELECT * FROM state").fetchone() or (None,)
    if version != _VERSION:
        return None
    rows, own, end, _ = found
    state = _State(rows=rows, hash=own, end=end)
    if not state.rows:
        return state
    stream.seek(state.end - ledger_rows.HASH)
    return state if stream.read(ledger_rows.HASH) == state.hash.encode() else None


def _build(database: sqlite3.Connection, stream: BinaryIO, path: Path) -> None:
    for table in ("state", "held", "reviewers", "decided", "telling"):
        database.execute(f"DROP TABLE IF EXISTS {table}")
    _run(database, _SCHEMA)
    stream.seek(0)
    ledger.read_header(stream, str(path))
    begin = _State(rows=0, hash=ledger.GENESIS, end=len(ledger.HEADER) - 1)
    database.execute("INSERT INTO state VALUES (?, ?, ?, ?, 0)", (_VERSION, begin.rows, begin.hash, begin.end))
    _insert(database, begin, stream, path)
    _run(database, _INDEXES)  # sorted once at the end, which is many times quicker than row by row
    database.execute(_ANSWERED, (0,))


def _run(database: sqlite3.Connection, script: str) -> None:
    """Run several statements within the transaction, which `executescript` would end."""
    for statement in script.split(";"):
        if statement.strip():
            database.execute(statement)


def _insert(database: sqlite3.Connection, state: _State, stream: BinaryIO, path: Path) -> None:
    """Add the rows after a state, and remember how far it went."""
    reviewers: dict[bytes, int] = {name: one for one, name in database.execute("SELECT id, name FROM reviewers")}
    known = len(reviewers)
    reached = state

    def places() -> Iterator[tuple[int, int, int, int, int]]:
        nonlocal reached
        number, start, last = state.rows, state.end + 1, state.hash
        stream.seek(start)
        for raw in ledger.chained(stream, str(path), previous=last, first=number + 1):
            number += 1
            _, decision, image, _, rest = raw.split(b",", 4)
            reviewer = reviewers.setdefault(_reviewer(rest, raw), len(reviewers))
            yield number, _key(image.decode()), _KINDS.get(decision, _OTHERWISE), reviewer, start
            start += len(raw)
            last = raw[-ledger_rows.HASH - 1 : -1].decode()
        reached = _State(rows=number, hash=last, end=start - 1)

    database.executemany("INSERT INTO decided (number, image, kind, reviewer, start) VALUES (?, ?, ?, ?, ?)", places())
    database.executemany("INSERT INTO reviewers (name, id) VALUES (?, ?)", list(reviewers.items())[known:])
    database.execute('UPDATE state SET rows = ?, hash = ?, "end" = ?', (reached.rows, reached.hash, reached.end))


def _reviewer(rest: bytes, raw: bytes) -> bytes:
    """The reviewer of a row, of which ``rest`` is what stands after the label digest."""
    if rest.startswith(b'"'):
        return ledger_rows.fields(raw)[4].encode()
    return rest[: rest.index(b",")]


def _key(image_id: str) -> int:
    try:
        return int(image_id[:_DIGITS], 16)
    except ValueError:
        return _OTHER
