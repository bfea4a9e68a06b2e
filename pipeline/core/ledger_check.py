"""The whole ledger held against its chain, against the last commit, and against the files that its rows name."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.core import files, ledger, ledger_breaks, ledger_rows
from pipeline.core.ledger_breaks import Problem

_CHUNK = 1 << 20
_ORDINARY = frozenset({b"accept", b"reject"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found.

    Attributes:
        rows: number of whole rows.
        uncommitted: those of them that the last commit does not have; None where that cannot be known.
        problems: all that is wrong, in the order of the rows.
        notes: what is no fault but good to know.
    """

    rows: int
    uncommitted: int | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What one pass over the ledger gives.

    Attributes:
        rows: number of whole rows.
        before: those of them that end before a given byte.
        whole: all of them fit the chain.
        torn: bytes of a row at the end that was not finished.
        imports: digests of the lists that rows name.
        corrections: digests of the corrected labels that rows name.
    """

    rows: int
    before: int
    whole: bool
    torn: int
    imports: frozenset[str]
    corrections: frozenset[str]


def check(path: Path, *, imports: Path, corrections: Path) -> Checked:
    """Check the ledger.

    Args:
        path: the ledger.
        imports: folder of the lists of accepted imports, named by their digest.
        corrections: folder of corrected labels, named by their digest.

    Raises:
        UserError: the ledger is missing, has other columns, or is from a newer version.
    """
    committed = _Committed(path)
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise ledger.missing(path) from None
    with stream:
        ledger.read_header(stream, str(path))
        found = _pass(stream, str(path), until=committed.size or 0)
    prefix = committed.size is None or committed.begins()
    problems: list[Problem] = []
    if not (found.whole and prefix):
        problems += _broken(path, committed, prefix=prefix)
    problems += _files(imports, found.imports, "the list of an import that the ledger accepts")
    problems += _files(corrections, found.corrections, "corrected labels that the ledger accepts")
    notes = []
    if found.torn:
        notes.append(
            f"the last {found.torn} bytes are the beginning of a row that was never finished: a process was killed, or "
            "the disk was full. They count for nothing, and the next decision cuts them off."
        )
    if committed.size is None:
        notes.append(
            f"git has no committed {path.name} ({committed.why_not}): rows that were cut off its end cannot be seen. "
            "Commit it after every review."
        )
    return Checked(
        rows=found.rows,
        uncommitted=found.rows - found.before if committed.size is not None and prefix else None,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _pass(stream: BinaryIO, where: str, *, until: int) -> _Read:
    """Go over all rows once, with as little as can be done for each: there may be millions."""
    sha256 = hashlib.sha256
    previous, whole, torn = ledger.GENESIS.encode(), True, 0
    number = before = 0
    end = stream.tell()
    named: dict[bytes, set[str]] = {b"accept-import": set(), b"relabel": set()}
    rows = ledger_rows.split(stream)
    for raw in rows:
        end += len(raw)
        line = raw if raw[-1:] == b"\n" else raw + b"\n"
        own = line[-65:-1]
        if sha256(line[:-66] + b"\n").hexdigest().encode() != own or line[-131:-65] != b"," + previous + b",":
            if ledger_rows.torn(raw) and next(rows, None) is None:
                torn = len(raw)
                break
            whole = False
        number += 1
        before += end <= until + 1  # the commit may lack the last line feed
        previous = own
        kind = line[26 : line.find(b",", 26)]  # a time has 25 letters
        if kind not in _ORDINARY:
            _look_closer(line, named, f"{where} row {number}")
    imports, corrections = (frozenset(those) for those in named.values())
    return _Read(rows=number, before=before, whole=whole, torn=torn, imports=imports, corrections=corrections)


def _look_closer(raw: bytes, named: dict[bytes, set[str]], where: str) -> None:
    """A row that may name a file, or be of a newer version."""
    if ledger_rows.fits(raw):
        entry = ledger.entry_of(raw, where)
        if entry.decision == "accept-import":
            named[b"accept-import"].add(entry.image_id)
        elif entry.decision == "relabel":
            named[b"relabel"].add(entry.label_digest)


class _Committed:
    """The ledger of git's last commit."""

    def __init__(self, path: Path) -> None:
        """Ask git for it."""
        self._path = path
        self._git = ["git", "-C", str(path.parent)]
        self._name = f"HEAD:./{path.name}"
        self.size: int | None = None  # bytes; None where there is none
        self.why_not = "git is not installed"
        with contextlib.suppress(FileNotFoundError):
            asked = [*self._git, "cat-file", "-s", self._name]
            done = subprocess.run(asked, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
            if done.returncode == 0:
                self.size = int(done.stdout)
            else:
                self.why_not = (done.stderr.strip().splitlines() or ["no reason given"])[0]

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Its bytes."""
        asked = [*self._git, "cat-file", "blob", self._name]  # as `git show`, without filters
        with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as git:  # noqa: S603
            assert git.stdout is not None  # noqa: S101 - a pipe
            try:
                yield cast("BinaryIO", git.stdout)
            finally:
                git.stdout.close()
                git.terminate()

    def begins(self) -> bool:
        """Whether today's ledger begins with it, byte for byte."""
        with self.opened() as committed, self._path.open("rb") as today:
            while chunk := committed.read(_CHUNK):
                if today.read(len(chunk)) != chunk:
                    return False
        return True


def _broken(path: Path, committed: _Committed, *, prefix: bool) -> list[Problem]:
    """What was done to a ledger that does not fit its chain or the last commit."""
    with path.open("rb") as stream:
        rows = _rows(stream)
    if prefix:
        return ledger_breaks.against_chain(rows)
    with committed.opened() as stream:
        before = _rows(stream)
    own = [
        replace(one, row=None, text=f"in the last commit: {one.text}") for one in ledger_breaks.against_chain(before)
    ]
    return [*ledger_breaks.against_commit(rows, before), *own]


def _rows(stream: BinaryIO) -> list[bytes]:
    """All whole rows, each with its line feed."""
    stream.readline()
    rows = list(ledger_rows.split(stream))
    if rows and not ledger_rows.fits(rows[-1].removesuffix(b"\n") + b"\n") and ledger_rows.torn(rows[-1]):
        del rows[-1]
    return [raw if raw.endswith(b"\n") else raw + b"\n" for raw in rows]


def _files(folder: Path, digests: Iterable[str], what: str) -> list[Problem]:
    """Files that rows name by their digest and that are gone or were edited."""
    problems = []
    for digest in sorted(digests):
        path = folder / f"{digest}.txt"
        if not path.is_file():
            problem = "is missing"
        elif files.sha256_file(path) != digest:
            problem = "was edited"
        else:
            continue
        mend = f"restore it with `git checkout -- {path}`"
        problems.append(Problem(what="file", row=None, text=f"{path} {problem}: {what}; {mend}"))
    return problems
