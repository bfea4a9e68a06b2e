"""The check of the ledger: whatever was done to it is found, and named as precisely as can be known."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import files, ledger, ledger_breaks, ledger_check
from pipeline.core.errors import UserError
from pipeline.core.ledger import COLUMNS, GENESIS, Decision
from pipeline.core.ledger_check import Checked
from tests.builders import sha

HEADER = files.csv_line(COLUMNS)
Rows = list[str]


def row(previous: str, number: int, *, kind: str = "accept", reviewer: str = "Ada", reason: str = "seen") -> str:
    """One row after another."""
    said = (f"2026-01-{number:02d}T00:00:00+00:00", kind, sha(number), sha("labels"), reviewer, reason, previous)
    line = files.csv_line(said)
    return f"{line[:-1]},{hashlib.sha256(line.encode()).hexdigest()}\n"


def own(line: str) -> str:
    """A row's hash."""
    return line[-65:-1]


def chain(count: int, *, previous: str = GENESIS, first: int = 1, reviewer: str = "Ada") -> Rows:
    """Rows that follow one another; every third has a reason of two lines with quotes."""
    rows: Rows = []
    for number in range(first, first + count):
        reason = 'two "\n" lines' if number % 3 == 0 else "seen"
        rows.append(row(own(rows[-1]) if rows else previous, number, reviewer=reviewer, reason=reason))
    return rows


def edited(line: str, *, anew: bool = False, old: str = "Ada", new: str = "Bob") -> str:
    """A row of another reviewer; with its hash computed anew, or not."""
    changed = line.replace(old, new, 1)
    assert changed != line
    if anew:
        body = changed[:-66] + "\n"
        changed = f"{body[:-1]},{hashlib.sha256(body.encode()).hexdigest()}\n"
    return changed


def rechained(rows: Rows, after: str) -> Rows:
    """The same words, with all hashes computed anew after another row."""
    found = [after]
    for line in rows:
        body = line[:-131] + f",{own(found[-1])}\n"
        found.append(f"{body[:-1]},{hashlib.sha256(body.encode()).hexdigest()}\n")
    return found[1:]


def git(folder: Path, *command: str) -> None:
    """Run git in a folder."""
    author = ("-c", "user.name=a tester", "-c", "user.email=tester@localhost")
    subprocess.run(["git", "-C", folder, *author, *command], check=True, capture_output=True)


def check(folder: Path, rows: Rows) -> Checked:
    """Check a ledger of these rows."""
    (folder / "ledger.csv").write_text(HEADER + "".join(rows), newline="")
    return ledger_check.check(folder / "ledger.csv", imports=folder / "imports", corrections=folder / "corrections")


def commit(folder: Path, rows: Rows) -> None:
    """Commit a ledger of these rows, in a new repository."""
    (folder / "ledger.csv").write_text(HEADER + "".join(rows), newline="")
    git(folder, "init", "-q")
    git(folder, "add", "ledger.csv")
    git(folder, "commit", "-q", "-m", "a ledger")


def said(found: Checked) -> list[tuple[str, int | None]]:
    """What is wrong, and in which row."""
    return [(problem.what, problem.row) for problem in found.problems]


R = chain(9)
FORGED = edited(R[1], anew=True)

# What was done to nine rows; what the chain alone says; what it says beside the committed rows.
DAMAGES: dict[str, tuple[Rows, list[tuple[str, int | None]], list[tuple[str, int | None]]]] = {
    "edited": ([R[0], edited(R[1]), *R[2:]], [("edited", 2)], [("edited", 2)]),
    "two edited": (
        [edited(R[0]), *R[1:6], edited(R[6]), *R[7:]],
        [("edited", 1), ("edited", 7)],
        [("edited", 1), ("edited", 7)],
    ),
    "last edited": ([*R[:8], edited(R[8])], [("edited", 9)], [("edited", 9)]),
    "hash edited": (
        [R[0], R[1].replace(own(R[1]), sha("other")), *R[2:]],
        [("edited", 2)],
        [("edited", 2)],
    ),
    "edited with a new hash": ([R[0], FORGED, *R[2:]], [("removed", 3)], [("edited", 2)]),
    "edited with all hashes after it": (
        [R[0], FORGED, *rechained(R[2:], FORGED)],
        [],
        [("edited", 2), ("edited", 3)],
    ),
    "first removed": (R[1:], [("removed", 1)], [("removed", None)]),
    "middle removed": ([*R[:3], *R[5:]], [("removed", 4)], [("removed", None)]),
    "two places removed": (
        [R[0], *R[2:6], *R[7:]],
        [("removed", 2), ("removed", 6)],
        [("removed", None), ("removed", None)],
    ),
    "swapped": ([R[0], R[2], R[1], *R[3:]], [("moved", 3)], [("moved", 2)]),
    "last moved to the front": ([R[8], *R[:8]], [("moved", 1)], [("moved", 1)]),
    "first moved to the end": ([*R[1:], R[0]], [("moved", 9)], [("moved", 9)]),
    "repeated": ([*R[:4], R[2], *R[4:]], [("added", 5)], [("added", 5)]),
    "added with a fitting hash": (
        [*R[:4], row(own(R[3]), 20, reviewer="Bob"), *R[4:]],
        [("added", 6)],
        [("added", 5)],
    ),
    "truncated": (R[:6], [], [("truncated", None)]),
    "all but the columns gone": ([], [], [("truncated", None)]),
    "truncated and gone on": (
        [*R[:6], *chain(2, previous=own(R[5]), first=20, reviewer="Bob")],
        [],
        [("truncated", None)],
    ),
    "removed before new rows": (
        [*R[:6], *chain(2, previous=own(R[8]), first=20)],
        [("removed", 7)],
        [("truncated", None)],
    ),
    "blank line": ([*R[:4], "\n", *R[4:]], [("malformed", 5)], [("malformed", 5)]),
    "other line ends": ([R[0], R[1].replace("\n", "\r\n"), *R[2:]], [("edited", 2)], [("edited", 2)]),
    "other quotes": ([R[0], R[1].replace("Ada", '"Ada"'), *R[2:]], [("edited", 2)], [("edited", 2)]),
    "a quote without an end": ([R[0], R[1].replace("Ada", 'A"da'), *R[2:]], [("edited", 2)], [("edited", 2)]),
    "new rows swapped": (
        [*R, row(sha("gone"), 30)],
        [("removed", 10)],
        [("removed", 10)],
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_without_git(name: str, tmp_path: Path) -> None:
    """The chain alone shows what was done and where, except that rows were cut off or all were hashed anew."""
    rows, expected, _ = DAMAGES[name]
    found = check(tmp_path, rows)
    assert said(found) == expected
    assert any("rows that were cut off its end cannot be seen" in note for note in found.notes)
    assert found.uncommitted is None


@pytest.mark.parametrize("name", DAMAGES)
def test_beside_the_commit(name: str, tmp_path: Path) -> None:
    """Beside the committed ledger everything shows, and each thing once."""
    rows, _, expected = DAMAGES[name]
    commit(tmp_path, R)
    assert said(check(tmp_path, rows)) == expected


@pytest.mark.parametrize("new", [0, 3], ids=["as committed", "with new rows"])
def test_whole(new: int, tmp_path: Path) -> None:
    """A ledger that only grew is in order, and the rows that are not committed are counted."""
    commit(tmp_path, R)
    found = check(tmp_path, [*R, *chain(new, previous=own(R[-1]), first=10)])
    assert (found.rows, found.uncommitted, found.problems, found.notes) == (9 + new, new, (), ())


def test_without_the_last_line_feed(tmp_path: Path) -> None:
    """A last line feed that an editor took away is no damage, today or in the commit."""
    commit(tmp_path, [*R[:8], R[8][:-1]])
    assert check(tmp_path, [*R[:8], R[8][:-1]]).problems == ()
    found = check(tmp_path, [*R, *chain(1, previous=own(R[8]), first=10)])
    assert (found.rows, found.uncommitted, found.problems) == (10, 1, ())


def test_torn(tmp_path: Path) -> None:
    """The beginning of a row at the end is said, and is no problem; nor is it one that a commit had it."""
    commit(tmp_path, [*R, R[3][:150]])
    found = check(tmp_path, [*R, R[3][:150]])
    assert (found.rows, found.problems) == (9, ())
    assert "the last 150 bytes are the beginning of a row that was never finished" in found.notes[0]
    assert check(tmp_path, [*R, *chain(1, previous=own(R[8]), first=10)]).problems == ()


def test_torn_within_a_committed_row(tmp_path: Path) -> None:
    """A committed row that is cut in the middle is gone, even though its rest looks like a killed process's."""
    commit(tmp_path, R)
    assert said(check(tmp_path, [*R[:8], R[8][:150]])) == [("truncated", None)]


def test_words(tmp_path: Path) -> None:
    """The problems say in words what was, and what is."""
    commit(tmp_path, R)
    first, second, third = check(tmp_path, [R[0], FORGED, *R[3:7]]).problems
    assert first.text == (
        f"row 2 (2026-01-02T00:00:00+00:00, Bob, accept {sha(2)[:12]}) was edited: reviewer was 'Ada', is 'Bob'; its "
        "hash was computed anew"
    )
    assert second.text == (f"row 3 of the commit was removed: (2026-01-03T00:00:00+00:00, Ada, accept {sha(3)[:12]})")
    assert third.text == (
        "truncated: rows 8 to 9 of the commit, its last, are gone: (2026-01-08T00:00:00+00:00, Ada, accept "
        f"{sha(8)[:12]}) … (2026-01-09T00:00:00+00:00, Ada, accept {sha(9)[:12]})"
    )


def test_merged(tmp_path: Path) -> None:
    """Two branches that both went on are told as such, with git's marks between them or without."""
    one, other = chain(2, previous=own(R[8]), first=10), chain(2, previous=own(R[8]), first=20, reviewer="Bob")
    commit(tmp_path, R)
    found = check(tmp_path, [*R, *one, *other])
    assert said(found) == [("added", 12)]
    assert "as row 10 does: a row was added, or two versions of the ledger were put together" in found.problems[0].text
    marked = check(tmp_path, [*R, "<<<<<<< HEAD\n", *one, "=======\n", *other, ">>>>>>> other\n"])
    assert {("malformed", 10), ("malformed", 13), ("malformed", 16)} <= set(said(marked))
    assert "a mark that git leaves where two versions could not be merged" in marked.problems[0].text


def test_broken_before_it_was_committed(tmp_path: Path) -> None:
    """A committed ledger that is broken itself is no excuse."""
    broken = [R[0], edited(R[1]), *R[2:]]
    commit(tmp_path, broken)
    assert said(check(tmp_path, broken)) == [("edited", 2)]
    found = check(tmp_path, [*broken[:3], *broken[4:]])
    assert {problem.what for problem in found.problems} == {"removed", "edited"}
    assert any(problem.text.startswith("in the last commit: row 2 ") for problem in found.problems)


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_done_is_found(data: st.DataObject) -> None:
    """Rows that are taken out, moved, doubled or edited in any number leave problems, unless all is as it was."""
    rows = data.draw(st.lists(st.sampled_from([*R, *(edited(line) for line in R), FORGED]), max_size=11))
    coded = [line.encode() for line in rows]
    problems = ledger_breaks.against_commit(coded, [line.encode() for line in R])
    assert bool(problems) == (rows != R)
    assert all(problem.row is None or 1 <= problem.row <= len(rows) for problem in problems)
    alone = ledger_breaks.against_chain(coded)
    try:
        ledger.parse(HEADER + "".join(rows), "")
    except UserError:
        assert alone
    else:
        assert not alone


@settings(max_examples=60)
@given(st.permutations(range(9)))
def test_moved_rows_are_as_few_as_can_be(order: list[int]) -> None:
    """However rows are shuffled, those that are named moved, put back elsewhere, leave the others in their order."""
    for problems in (
        ledger_breaks.against_chain([R[one].encode() for one in order]),
        ledger_breaks.against_commit([R[one].encode() for one in order], [line.encode() for line in R]),
    ):
        assert {problem.what for problem in problems} <= {"moved"}
        moved = {problem.row for problem in problems}
        staying = [one for at, one in enumerate(order, start=1) if at not in moved]
        assert staying == sorted(staying)
        assert len(staying) == longest_increasing(order)


def longest_increasing(values: list[int]) -> int:
    """Length of a longest increasing subsequence, by trying for each value what can stand before it."""
    best: list[int] = []
    for at, value in enumerate(values):
        best.append(1 + max((best[before] for before in range(at) if values[before] < value), default=0))
    return max(best, default=0)


@pytest.mark.parametrize(
    ("decision", "folder"), [("accept-import", "imports"), ("relabel", "corrections")], ids=["import", "correction"]
)
@pytest.mark.parametrize("damage", ["none", "edited", "missing"])
def test_files_that_rows_name(decision: Decision, folder: str, damage: str, tmp_path: Path) -> None:
    """Lists of imports and corrected labels that rows name have to be there as they were."""
    text = f"{sha(1)} {sha(2)}\n"
    digest = sha(text)
    image_id, label_digest = (digest, "") if decision == "accept-import" else (sha(1), digest)
    ledger.append(
        tmp_path / "ledger.csv", decision, image_id=image_id, label_digest=label_digest, reviewer="Ada", reason="",
        lock=tmp_path / "lock",
    )  # fmt: skip
    path = tmp_path / folder / f"{digest}.txt"
    if damage != "missing":
        files.write_text(path, text + ("x" if damage == "edited" else ""))
    where = {"imports": tmp_path / "imports", "corrections": tmp_path / "corrections"}
    found = ledger_check.check(tmp_path / "ledger.csv", **where)
    if damage == "none":
        assert found.problems == ()
    else:
        (problem,) = found.problems
        assert f"{path} {'is missing' if damage == 'missing' else 'was edited'}" in problem.text
        assert "git checkout -- " in problem.text


def test_newer(tmp_path: Path) -> None:
    """A row of a kind that is not known says that the ledger is from a newer version; an edited kind does not."""
    with pytest.raises(UserError, match=r"this version does not know the decision 'abstain'.*newer version"):
        check(tmp_path, [*R, row(own(R[-1]), 10, kind="abstain")])
    assert said(check(tmp_path, [edited(R[0], old="accept", new="abstain"), *R[1:]])) == [("edited", 1)]


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git the chain is checked all the same, and the note says why no more can be seen."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = check(tmp_path, R)
    assert found.problems == ()
    assert found.notes[0].startswith("git has no committed ledger.csv (git is not installed)")


def test_missing(tmp_path: Path) -> None:
    """A ledger that is not there is an error, not an empty one."""
    with pytest.raises(UserError, match=r"ledger\.csv is missing"):
        ledger_check.check(tmp_path / "ledger.csv", imports=tmp_path, corrections=tmp_path)
