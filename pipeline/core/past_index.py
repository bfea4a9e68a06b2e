"""What is looked up among all synthetic images that the project ever made, without reading what is known already.

For each run there is a file of codes (:mod:`pipeline.core.sketch_codes`), through which the search goes run by run: no
more than one run is in memory. What each sketch was found to resemble is remembered, with how far the search had come:
a sketch that was asked for before is held against newer runs alone. All of it is derived from the portraits in
``.tailwatch/portraits`` and from the code; it can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import cv2
import msgspec
import numpy as np

from pipeline.core import (
    alignment,
    candidates,
    code_mark,
    files,
    likeliest,
    locks,
    paths,
    portraits,
    sketch_codes,
    stage,
    synthetic_past,
)
from pipeline.core.candidates import CELLS, Floats
from pipeline.core.errors import UserError
from pipeline.core.likeliest import Asked, Judge, Resembling, Waiting
from pipeline.core.portraits import Sketch
from pipeline.core.sketch_codes import SQUARES, Codes
from pipeline.core.synthetic_past import Made, Stamp

Found = TypeVar("Found")

_CODE: tuple[ModuleType, ...] = (alignment, candidates, likeliest, portraits, sketch_codes)
_SKETCHES_A_READ = 512
_SCHEMA = """
CREATE TABLE state (code TEXT);
CREATE TABLE records (
    number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT UNIQUE, record TEXT, source TEXT, complete INTEGER,
    sketches INTEGER, steps BLOB, error REAL
);
CREATE TABLE images (id TEXT, run TEXT, parents TEXT, PRIMARY KEY (id, run)) WITHOUT ROWID;
CREATE INDEX by_run ON images (run);
CREATE TABLE asked (sketch BLOB PRIMARY KEY, upto INTEGER, found BLOB) WITHOUT ROWID;
"""


class _DamagedError(Exception):
    """A file of the index is not what was written."""


class Past:
    """All synthetic images on record; see :func:`ask`."""

    def __init__(self, database: sqlite3.Connection, judge: Judge) -> None:
        """Take an index that is up to date."""
        self._database = database
        self._judge = judge

    def run_of(self, image_id: str) -> str | None:
        """The run that made an image, the first by name; None for an image that no run made."""
        found = self._database.execute("SELECT min(run) FROM images WHERE id = ?", (image_id,)).fetchone()
        return found[0] if found else None

    def ancestors(self, image_id: str) -> frozenset[str]:
        """The images that a synthetic one was made from, transitively; real and synthetic."""
        found: set[str] = set()
        ahead = [image_id]
        while ahead:
            query = "SELECT parents FROM images WHERE id = ? ORDER BY run DESC LIMIT 1"
            one = self._database.execute(query, (ahead.pop(),)).fetchone()
            new = set(one[0].split()) - found if one else set()
            found |= new
            ahead += sorted(new)
        return frozenset(found)

    def resembling(self, sketches: Sequence[Sketch]) -> list[list[Resembling]]:
        """Up to six candidates of each sketch among all synthetic images, the likeliest first, each judged."""
        keys = [hashlib.sha256(sketch.tobytes()).digest() for sketch in sketches]
        asked: dict[bytes, Asked] = {}
        for key, sketch in zip(keys, sketches, strict=True):
            if key not in asked:
                asked[key] = self._remembered(key, sketch)
        (newest,) = self._database.execute("SELECT coalesce(max(number), 0) FROM records").fetchone()
        late = {key: one for key, one in asked.items() if one.upto < newest}
        if late:
            likeliest.hold_each(self._likely(list(late.values())))
            for one in late.values():
                one.judge(self._judge)
            rows = [(key, newest, msgspec.json.encode(one.found)) for key, one in late.items()]
            with _transaction(self._database):
                self._database.executemany("INSERT OR REPLACE INTO asked VALUES (?, ?, ?)", rows)
        return [asked[key].found for key in keys]

    def _remembered(self, key: bytes, sketch: Sketch) -> Asked:
        row = self._database.execute("SELECT upto, found FROM asked WHERE sketch = ?", (key,)).fetchone()
        if row is None:
            return Asked(sketch=sketch)
        return Asked(sketch=sketch, upto=row[0], found=msgspec.json.decode(row[1], type=list[Resembling]))

    def _likely(self, asked: Sequence[Asked]) -> Iterator[Iterator[Waiting]]:
        """Of each record that is new to some sketches, what they may be alike."""
        rows = (
            "SELECT number, run, sketches, steps, error FROM records WHERE number > ? AND sketches > 0 ORDER BY number"
        )
        looks = sketch_codes.looks(np.stack([one.sketch for one in asked]))
        for number, run, sketches, steps, error in self._database.execute(rows, (min(one.upto for one in asked),)):
            late = [place for place, one in enumerate(asked) if one.upto < number]
            asking, queries = [asked[place] for place in late], looks[late]
            limits = np.array([one.limit for one in asking], dtype=np.float32)
            codes = _read_codes(number, sketches, np.frombuffer(steps, dtype=np.float32), error)
            likely = np.concatenate([sketch_codes.likely(queries, part, at_least=limits) for part in codes], axis=1)
            if likely.any():
                known = synthetic_past.sketches(run)
                if len(known.sketches) != sketches:
                    raise _DamagedError(run)
                yield likeliest.picked(run, known, asking, likely)


def _read_codes(number: int, sketches: int, steps: Floats, error: float) -> Iterator[Codes]:
    """The codes of a record, a part at a time."""
    path, squares = _codes(number), SQUARES * CELLS * CELLS
    try:
        with path.open("rb") as file:
            for first in range(0, sketches, _SKETCHES_A_READ):
                count = min(_SKETCHES_A_READ, sketches - first)
                values = np.frombuffer(file.read(count * squares), dtype=np.int8)
                yield Codes(values=values.reshape(count, CELLS * CELLS, SQUARES), steps=steps, error=error)
    except (OSError, ValueError) as problem:
        raise _DamagedError(str(path)) from problem


def ask(action: Callable[[Past], Found], *, judge: Judge) -> Found:
    """Look something up among all synthetic images; what is new in ``data/generate`` goes on record before.

    Args:
        action: what to look up.
        judge: whether a sketch is a copy of a candidate: the correlation of the detail, and what was done to it in
            words; None where it is none. What it says is remembered as long as its module stays as it is.

    Raises:
        UserError: a manifest there cannot be read, or there is no room for the index.
    """

    def fresh(database: sqlite3.Connection) -> Found:
        _update(database, _code(judge))
        return action(Past(database, judge))

    with locks.held(paths.PORTRAITS_LOCK, "looking up synthetic images", wait=stage.report):
        try:
            return _connected(fresh)
        except (sqlite3.DatabaseError, _DamagedError):
            shutil.rmtree(paths.PORTRAITS_INDEX)
        try:
            return _connected(fresh)
        except (sqlite3.DatabaseError, _DamagedError) as error:
            raise UserError(
                f"{paths.PORTRAITS_INDEX} cannot be used: {error}. Make room, or remove it, and run this again."
            ) from error


def _connected(action: Callable[[sqlite3.Connection], Found]) -> Found:
    paths.PORTRAITS_INDEX.mkdir(parents=True, exist_ok=True)
    index = paths.PORTRAITS_INDEX / "index.sqlite"
    with contextlib.closing(sqlite3.connect(index, isolation_level=None)) as database:
        return action(database)


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _code(judge: Judge) -> str:
    """The code that what is remembered follows from, and the versions of the libraries that it is made of."""
    return code_mark.of((*_CODE, sys.modules[__name__], sys.modules[judge.__module__]), (cv2, np))


def _codes(number: int) -> Path:
    return paths.PORTRAITS_INDEX / f"{number}.codes"


def _update(database: sqlite3.Connection, code: str) -> None:
    """Take in what is new in the records, and forget what is gone."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone():
        with _transaction(database):
            for statement in filter(str.strip, _SCHEMA.split(";")):
                database.execute(statement)
            database.execute("INSERT INTO state VALUES (?)", (code,))
    if database.execute("SELECT code FROM state").fetchone() != (code,):
        raise _DamagedError("made by other code")
    rows = database.execute("SELECT run, record, source, complete FROM records").fetchall()
    known = {run: (Stamp(record=record, source=source), complete) for run, record, source, complete in rows}
    present = synthetic_past.runs()
    for run in sorted(known.keys() - set(present)):
        with _transaction(database):
            _forget(database, run)
            database.execute("DELETE FROM asked")
    for run in present:
        before, complete = known.get(run, (None, False))
        now = synthetic_past.stamp(run)
        if complete and before and before.record == now.record and now.source in ("", before.source):
            continue
        made = synthetic_past.of_run(run)
        now = synthetic_past.stamp(run)
        if now != before or not before.record:
            _take_in(database, run, made, now)
    used = {_codes(number) for (number,) in database.execute("SELECT number FROM records")}
    for path in set(paths.PORTRAITS_INDEX.glob("*.codes")) - used:
        path.unlink()


def _take_in(database: sqlite3.Connection, run: str, made: Sequence[Made], stamp: Stamp) -> None:
    """Put a run into the index, in place of what it had."""
    ids = {one.portrait.image_id for one in made}
    sketches = [sketch for one in made for sketch in one.portrait.sketches]
    codes = sketch_codes.encode(np.array(sketches, dtype=np.uint8).reshape(-1, portraits.SIDE, portraits.SIDE))
    complete = all(one.portrait.sketches for one in made)
    with _transaction(database):
        before = {row[0] for row in database.execute("SELECT id FROM images WHERE run = ?", (run,))}
        if not before <= ids:
            # What is gone may have kept others from being remembered.
            database.execute("DELETE FROM asked")
        _forget(database, run)
        values = (run, stamp.record, stamp.source, complete, len(sketches), codes.steps.tobytes(), codes.error)
        added = database.execute(
            "INSERT INTO records (run, record, source, complete, sketches, steps, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        files.write_bytes(_codes(int(added.lastrowid or 0)), codes.values.tobytes())
        database.executemany(
            "INSERT OR REPLACE INTO images VALUES (?, ?, ?)",
            [(one.portrait.image_id, run, " ".join(one.parents)) for one in made],
        )


def _forget(database: sqlite3.Connection, run: str) -> None:
    database.execute("DELETE FROM records WHERE run = ?", (run,))
    database.execute("DELETE FROM images WHERE run = ?", (run,))
