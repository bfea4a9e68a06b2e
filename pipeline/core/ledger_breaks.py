"""What was done to a ledger whose chain is broken, or that does not begin as the committed one: row by row.

The chain alone shows that something was done and where; what it was shows better beside the committed rows. Rows are
numbered from 1, as people count them; the line of column names is none.
"""

from __future__ import annotations

import bisect
import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core import files, ledger_rows

What = Literal["edited", "removed", "added", "moved", "truncated", "malformed", "file"]
_NAMES = ("time", "decision", "image", "labels", "reviewer", "reason")
_ALIKE = 4  # of the six fields, for two rows to be one that was edited
_MARKERS = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        what: its kind; "file" for a list of an import or corrected labels that the ledger names.
        row: where in today's ledger, from 1; None where the place is not in it.
        text: in words.
    """

    what: What
    row: int | None
    text: str


def against_chain(rows: Sequence[bytes], *, previous: str = ledger_rows.GENESIS, first: int = 1) -> list[Problem]:
    """What the rows themselves show to be wrong.

    Args:
        rows: as bytes, each with its line feed.
        previous: hash of the row before them.
        first: number of the first of them.
    """
    problems = [problem for at in range(len(rows)) if (problem := _misfit(rows, at, first=first))]
    names = [_name(raw) for raw in rows]
    for at, following in enumerate(rows[1:]):
        if ledger_rows.chain(following)[0] == ledger_rows.digest(rows[at]):  # if the hash alone was edited, this is it
            names[at] = ledger_rows.digest(rows[at])
    repeated = dict(_repeated(rows))
    problems += [
        Problem(what="added", row=first + at, text=f"{_shown(rows[at], first + at)} repeats row {first + before}")
        for at, before in repeated.items()
    ]
    place = {name: at for at, name in reversed(list(enumerate(names))) if name}
    place[previous] = -1
    sequence = [at for at in range(len(rows)) if at not in repeated and names[at]]
    followers: dict[int, list[int]] = defaultdict(list)
    roots = []
    for at in sequence:
        before = place.get(ledger_rows.chain(rows[at])[0])
        if before is None:
            roots.append(at)
        else:
            followers[before].append(at)
    problems += _forks(rows, followers, first=first)
    unreadable = {at for at, name in enumerate(names) if not name}
    for at in roots:
        if at - 1 not in unreadable:  # else that row, which is named already, is the one
            before_it = f"rows between row {first + at - 1} and it were" if at else "rows before it were"
            text = f"{_shown(rows[at], first + at)} follows a row that is not there: {before_it} removed"
            text += f", or row {first + at - 1} was edited and its hash computed anew" if at else ""
            problems.append(Problem(what="removed", row=first + at, text=text))
    order = [at for root in (-1, *roots) for at in _walk(root, followers)]
    staying = {order[one] for one in _increasing(order)}
    back = {at: before for before, those in followers.items() for at in those}
    for at in sorted(set(order) - staying):
        after = f"row {first + back[at]}" if back.get(at, -1) >= 0 else "the line of column names"
        text = f"{_shown(rows[at], first + at)} was moved: it belongs after {after}"
        problems.append(Problem(what="moved", row=first + at, text=text))
    return _sorted(problems)


def against_commit(rows: Sequence[bytes], committed: Sequence[bytes]) -> list[Problem]:
    """What was done to the committed rows, and what the chain shows of the rows after them."""
    position = {raw: at for at, raw in reversed(list(enumerate(committed)))}
    repeated = dict(_repeated(rows))
    exact = [(at, position[raw]) for at, raw in enumerate(rows) if raw in position and at not in repeated]
    staying = [exact[one] for one in _increasing([before for _, before in exact])]
    moved = dict(exact)
    for at, _ in staying:
        del moved[at]
    problems = [
        Problem(
            what="moved", row=at + 1, text=f"{_shown(rows[at], at + 1)} was moved: it is row {before + 1} of the commit"
        )
        for at, before in moved.items()
    ]
    problems += [
        Problem(what="added", row=at + 1, text=f"{_shown(rows[at], at + 1)} repeats row {before + 1}")
        for at, before in repeated.items()
    ]
    gone = set(range(len(committed))) - {before for _, before in exact}
    explained = {at for at, _ in exact} | repeated.keys()
    pairs: dict[int, int] = {}
    for (left, before), (right, until) in _gaps(staying, len(rows), len(committed)):
        missing = [one for one in range(before, until) if one in gone]
        unknown = [one for one in range(left, right) if one not in explained]
        pairs.update(_paired(rows, unknown, committed, missing))
    problems += _changed(rows, committed, pairs)
    explained |= pairs.keys()
    last = max(explained, default=-1)
    problems += [_added(rows, at) for at in range(last) if at not in explained]
    problems += _lost(committed, sorted(gone - set(pairs.values())), replaced=len(rows) - last - 1)
    tail = rows[last + 1 :]
    previous = _name(rows[last]) if last >= 0 else ledger_rows.GENESIS
    cut = any(problem.what == "truncated" for problem in problems)
    problems += [
        problem
        for problem in against_chain(tail, previous=previous or "", first=last + 2)
        if not (cut and problem.what == "removed" and problem.row == last + 2)
    ]
    return _sorted(problems)


def _added(rows: Sequence[bytes], at: int) -> Problem:
    if _readable(rows[at]) is None and (wrong := _misfit(rows, at, first=1)):
        return wrong
    return Problem(what="added", row=at + 1, text=f"{_shown(rows[at], at + 1)} was added between committed rows")


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.row is None, problem.row or 0, problem.what))


def _shown(raw: bytes, number: int | None = None) -> str:
    """A row in words."""
    start = "" if number is None else f"row {number} "
    try:
        time, decision, image, _, reviewer, *_ = ledger_rows.fields(raw)
    except (ValueError, csv.Error):
        return f"{start}({raw[:40]!r} …)"
    return f"{start}({time}, {reviewer}, {decision} {image[:12]})".replace(" )", ")")


def _readable(raw: bytes) -> list[str] | None:
    try:
        found = ledger_rows.fields(raw)
    except (ValueError, csv.Error):
        return None
    return found if len(found) == len(_NAMES) + 2 else None


def _name(raw: bytes) -> str:
    """The hash by which the row after this one names it; empty where there is none."""
    return ledger_rows.chain(raw)[1] if ledger_rows.finished(raw) else ""


def _misfit(rows: Sequence[bytes], at: int, *, first: int) -> Problem | None:
    """What is wrong with one row by itself."""
    raw, number = rows[at], first + at
    if raw.startswith(_MARKERS):
        text = f"row {number} is a mark that git leaves where two versions could not be merged"
        return Problem(what="malformed", row=number, text=text)
    if ledger_rows.fits(raw):
        return None
    found = _readable(raw)
    if found is None:
        text = f"row {number} is no row of the ledger: {raw[:60]!r}"
        return Problem(what="malformed", row=number, text=text)
    after = ledger_rows.chain(rows[at + 1])[0] if at + 1 < len(rows) else ""
    shown = _shown(raw, number)
    if ledger_rows.digest(raw) == after:
        return Problem(what="edited", row=number, text=f"{shown}: its hash was edited; what it says is as it was")
    if ledger_rows.fits(files.csv_line(found).encode()):
        text = f"{shown}: its quotes or line ends were changed; what it says is as it was"
        return Problem(what="edited", row=number, text=text)
    return Problem(what="edited", row=number, text=f"{shown} was edited: it does not fit its hash")


def _repeated(rows: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Rows that stood before already, and where."""
    seen: dict[bytes, int] = {}
    for at, raw in enumerate(rows):
        if seen.setdefault(raw, at) != at and ledger_rows.finished(raw):
            yield at, seen[raw]


def _forks(rows: Sequence[bytes], followers: Mapping[int, list[int]], *, first: int) -> list[Problem]:
    found = []
    for before, those in followers.items():
        for at in those[1:]:
            after = f"row {first + before}" if before >= 0 else "what stands before the first row"
            text = (
                f"{_shown(rows[at], first + at)} follows {after}, as row {first + those[0]} does: a row was added, or "
                "two versions of the ledger were put together"
            )
            found.append(Problem(what="added", row=first + at, text=text))
    return found


def _walk(root: int, followers: Mapping[int, list[int]]) -> Iterator[int]:
    """Rows in the order of their chain, from a root on; the first follower's branch comes first."""
    waiting = [root]
    seen = set()
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        if at >= 0:
            yield at
        waiting += reversed(followers.get(at, []))


def _increasing(values: Sequence[int]) -> list[int]:
    """Places of a longest increasing subsequence.

    Source: Fredman 1975, Discrete Mathematics 11:29-35 (patience sorting).
    """
    tops: list[int] = []
    places: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values):
        pile = bisect.bisect_left(tops, value)
        before.append(places[pile - 1] if pile else -1)
        tops[pile : pile + 1], places[pile : pile + 1] = [value], [place]
    found = []
    place = places[-1] if places else -1
    while place >= 0:
        found.append(place)
        place = before[place]
    return found[::-1]


def _gaps(
    staying: Sequence[tuple[int, int]], today: int, committed: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Begin and end, today and in the commit, of what stands between rows that stayed as they were."""
    left = (0, 0)
    for at, before in [*staying, (today, committed)]:
        yield left, (at, before)
        left = (at + 1, before + 1)


def _paired(
    rows: Sequence[bytes], unknown: Sequence[int], committed: Sequence[bytes], missing: Sequence[int]
) -> dict[int, int]:
    """Which of today's rows are which of the committed ones, changed."""
    pairs: dict[int, int] = {}
    for key in (ledger_rows.content, _name):  # the same words with other hashes, or other words under the same hash
        taken = set(pairs.values())
        where: dict[object, list[int]] = defaultdict(list)
        for one in reversed(missing):
            if one not in taken and key(committed[one]):
                where[key(committed[one])].append(one)
        for at in unknown:
            if at not in pairs and where.get(key(rows[at])):
                pairs[at] = where[key(rows[at])].pop()
    left = [one for one in missing if one not in set(pairs.values())]
    for at in unknown:
        if at not in pairs and left:
            near = next((one for one in left[:50] if _alike(rows[at], committed[one])), None)
            if near is not None:
                pairs[at] = near
                left.remove(near)
    return pairs


def _alike(one: bytes, other: bytes) -> bool:
    here, there = _readable(one), _readable(other)
    if here is None or there is None:
        return False
    equal = [left == right for left, right in zip(here[:6], there[:6], strict=True)]
    return sum(equal) >= _ALIKE and (equal[0] or equal[2])  # of one reviewer much is the same, but not time and image


def _changed(rows: Sequence[bytes], committed: Sequence[bytes], pairs: Mapping[int, int]) -> list[Problem]:
    """What was changed in the rows that can be told."""
    problems = []
    chained = []
    for at, before in pairs.items():
        if ledger_rows.content(rows[at]) == ledger_rows.content(committed[before]):
            chained.append(at)
            continue
        here, there = _readable(rows[at]), _readable(committed[before])
        fields = zip(_NAMES, there or (), here or (), strict=False)
        changes = [f"{name} was {old[:40]!r}, is {new[:40]!r}" for name, old, new in fields if old != new]
        anew = "; its hash was computed anew" if ledger_rows.fits(rows[at]) else ""
        said = ", ".join(changes) or "its quotes or line ends were changed"
        text = f"{_shown(rows[at], at + 1)} was edited: {said}{anew}"
        problems.append(Problem(what="edited", row=at + 1, text=text))
    for start, end in _ranges(sorted(chained)):
        which = f"row {start + 1}" if start == end else f"rows {start + 1} to {end + 1}"
        text = f"{which}: the hashes were changed; what stands there is as it was"
        problems.append(Problem(what="edited", row=start + 1, text=text))
    return problems


def _lost(committed: Sequence[bytes], gone: Sequence[int], *, replaced: int) -> list[Problem]:
    """Committed rows that are not there any more."""
    problems = []
    for start, end in _ranges(gone):
        shown = _shown(committed[start]) if start == end else f"{_shown(committed[start])} … {_shown(committed[end])}"
        which = f"row {start + 1}" if start == end else f"rows {start + 1} to {end + 1}"
        if end == len(committed) - 1:
            new = f"; {replaced} other rows stand in their place" if replaced else ""
            text = f"truncated: {which} of the commit, its last, are gone: {shown}{new}"
            problems.append(Problem(what="truncated", row=None, text=text))
        else:
            problems.append(Problem(what="removed", row=None, text=f"{which} of the commit was removed: {shown}"))
    return problems


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of consecutive numbers, first and last."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
