"""The ledger: nothing in it can be changed unseen, nothing is lost, and the newest decision about an image counts."""

from __future__ import annotations

import contextlib
import multiprocessing
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import files, ledger
from pipeline.core.errors import UserError
from pipeline.core.ledger import COLUMNS, GENESIS, Decision, Entry
from tests.builders import sha

A, B = sha("a"), sha("b")
OLD, NEW = sha("old labels"), sha("new labels")
REASONS = [
    "two\nlines",
    "two\r\nlines",
    "old\rMac",
    'the "best", they say',
    "=cmd()",
    "naïve ☃ 数字 \U0001f9ff",
    "",
    " padded ",
    "line\u2028separator \x85 \x0c",
    '"',
    "\r",
    "\n",
    "'; drop table",
    "\x00",
]


class Book:
    """A ledger in a folder of its own, with its lock and its lists of imports."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self.path, self.lock, self.imports = folder / "ledger.csv", folder / "lock", folder / "imports"

    def decide(self, decision: Decision, image_id: str = A, label_digest: str = OLD, *, reason: str = "seen") -> Entry:
        """Append one decision."""
        return ledger.append(
            self.path,
            decision,
            image_id=image_id,
            label_digest=label_digest,
            reviewer="Ada",
            reason=reason,
            lock=self.lock,
        )

    def take_in(self, *items: tuple[str, str]) -> Path:
        """Accept an import; returns the path of its list."""
        digest = ledger.list_digest(items)
        path = ledger.list_path(self.imports, digest)
        files.write_text(path, ledger.format_list(items))
        self.decide("accept-import", digest, "")
        return path

    def standing(self, *items: tuple[str, str]) -> set[tuple[str, str]]:
        """Those of the items that are accepted now."""
        return set(ledger.accepted(ledger.read(self.path), items, self.imports))


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """An empty ledger."""
    return Book(tmp_path)


@pytest.mark.parametrize("reason", REASONS, ids=[ascii(reason) for reason in REASONS])
def test_any_reason(reason: str, book: Book) -> None:
    """A reason with line ends, quotes, formulas or any letters comes back as it was, and the chain goes on after it."""
    first = book.decide("accept", reason=reason)
    second = book.decide("reject", reason=reason)
    assert ledger.read(book.path) == [first, second]
    assert first.reason == reason
    assert second.previous == first.hash
    assert first.previous == GENESIS


@settings(max_examples=40, deadline=None)
@given(reasons=st.lists(st.text(st.characters(codec="utf-8"), max_size=15), min_size=1, max_size=3))
def test_round_trip(reasons: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever text the reasons hold, the rows are read as they were appended."""
    book = Book(tmp_path_factory.mktemp("ledger"))
    appended = [book.decide("accept", reason=reason) for reason in reasons]
    assert ledger.read(book.path) == appended


def test_reason_of_bytes(book: Book) -> None:
    """Bytes of a command line that are no text are escaped; they do not stop the decision."""
    assert book.decide("accept", reason="caf\udce9").reason == r"caf\udce9"
    assert ledger.read(book.path)[0].reason == r"caf\udce9"


def test_hash_of_a_row() -> None:
    """A row's hash is SHA-256 of its other fields as a line of CSV; computed here by hand, for other tools."""
    entry = Entry(
        time="2026-01-02T03:04:05+00:00",
        decision="accept",
        image_id=A,
        label_digest=OLD,
        reviewer="Ada",
        reason='a "b"\rc',
        previous=GENESIS,
        hash="",
    )
    assert entry.digest() == sha(f'2026-01-02T03:04:05+00:00,accept,{A},{OLD},Ada,"a ""b""\rc",{GENESIS}\n')


def three(book: Book) -> list[str]:
    """The header and three rows, the second one's reason of two lines; returns the lines as written."""
    decided = [book.decide("accept"), book.decide("reject", B, reason="first, \nsecond"), book.decide("accept", B)]
    rows = [files.csv_line([getattr(entry, name) for name in COLUMNS]) for entry in decided]
    header = files.csv_line(COLUMNS)
    assert book.path.read_bytes().decode() == "".join([header, *rows])
    return [header, *rows]


def refusal(book: Book, content: str) -> str:
    """The message with which this content is refused."""
    book.path.write_bytes(content.encode())
    with pytest.raises(UserError) as caught:
        ledger.read(book.path)
    return str(caught.value)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_edited(column: str, number: int, book: Book) -> None:
    """A field that was edited, in any column of any row, stops the reading and the row is named."""
    rows = three(book)
    entry = ledger.parse("".join(rows), "")[number - 1]
    fields = {name: getattr(entry, name) for name in COLUMNS}
    fields[column] = "reject" if fields[column] == "accept" else fields[column] + "x"
    rows[number] = files.csv_line(fields.values())
    message = refusal(book, "".join(rows))
    # A hash that was edited to fit shows in the row after; here it fits neither.
    assert f"ledger.csv row {number}" in message


def test_edited_with_a_new_hash(book: Book) -> None:
    """Who mends the hash of the row that he edited breaks the chain at the next."""
    rows = three(book)
    entry = ledger.parse("".join(rows), "")[0]
    forged = {name: getattr(entry, name) for name in COLUMNS} | {"reviewer": "Bob"}
    forged["hash"] = Entry(**forged).digest()
    message = refusal(book, "".join([rows[0], files.csv_line(forged.values()), *rows[2:]]))
    assert "row 2: a row before it was removed, added or moved" in message


@pytest.mark.parametrize(
    ("order", "where"),
    [
        pytest.param([2, 3], "row 1: a row before it", id="first removed"),
        pytest.param([1, 3], "row 2: a row before it", id="second removed"),
        pytest.param([2, 1, 3], "row 1: a row before it", id="first two swapped"),
        pytest.param([1, 3, 2], "row 2: a row before it", id="last two swapped"),
        pytest.param([1, 2, 2, 3], "row 3: a row before it", id="repeated"),
    ],
)
def test_removed_or_moved(order: list[int], where: str, book: Book) -> None:
    """A row that was removed, moved or repeated breaks the chain, and the message says what to do."""
    rows = three(book)
    message = refusal(book, "".join([rows[0], *(rows[number] for number in order)]))
    assert where in message
    assert "restore it from git" in message


def test_cut_anywhere(book: Book) -> None:
    """A ledger that is cut off inside a row is refused, wherever the cut is."""
    content = "".join(three(book))
    whole = [len(content)]
    for position in range(len(content)):
        try:
            entries = ledger.parse(content[:position], "ledger.csv")
        except UserError:
            continue
        whole.append(position)
        assert len(entries) == content[:position].rstrip("\n").count("accept,") + content[:position].count("reject,")
    # What is left over: cuts at the ends of the header and of the three rows, with or without their line feed.
    assert len(whole) == 8


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_byte(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One byte changed anywhere is either refused in words or changes nothing that is read."""
    book = Book(tmp_path_factory.mktemp("ledger"))
    content = "".join(three(book)).encode()
    expected = ledger.read(book.path)
    position = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[position] = data.draw(st.integers(0, 255))
    book.path.write_bytes(changed)
    with contextlib.suppress(UserError):
        assert ledger.read(book.path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "line 1: wanted the columns time, decision", id="empty"),
        pytest.param(b"time,decision\n", "line 1: wanted the columns", id="other columns"),
        pytest.param(b"\xff\xfe\x00", "not UTF-8", id="not text"),
        pytest.param(",".join(COLUMNS).encode() + b"\n\n", "row 1: 0 fields, wanted 8", id="blank line"),
        pytest.param(
            ",".join(COLUMNS).encode() + b'\n"' + b"x" * 200_000, "is not a table (field", id="quote without an end"
        ),
    ],
)
def test_no_ledger(content: bytes, message: str, book: Book) -> None:
    """A file that is no ledger is refused, and the message says to restore it."""
    book.path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        ledger.read(book.path)
    assert message in str(caught.value)
    assert "git" in str(caught.value)


def test_missing(book: Book) -> None:
    """A missing ledger is an error that names the command that brings it back."""
    with pytest.raises(UserError, match=r"ledger\.csv is missing; .*git checkout -- "):
        ledger.read(book.path)


def test_nothing_is_appended_to_a_broken_chain(book: Book) -> None:
    """A decision on top of an edited row would hide the edit: it is refused, and the file stays as it is."""
    content = "".join(three(book)).replace("Ada", "Bob", 1)
    refusal(book, content)
    with pytest.raises(UserError, match=r"row 1 .* was edited"):
        book.decide("accept")
    assert book.path.read_bytes().decode() == content


def test_last_line_feed_lost(book: Book) -> None:
    """An editor that takes the last line feed away does no harm: the next row still begins on a line of its own."""
    rows = three(book)
    book.path.write_bytes("".join(rows).encode().removesuffix(b"\n"))
    book.decide("accept")
    assert len(ledger.read(book.path)) == 4


@pytest.mark.parametrize("reviewer", ["", "  ", "\n"], ids=["none", "blanks", "line feed"])
def test_no_reviewer(reviewer: str, book: Book) -> None:
    """Nobody's decision is no decision."""
    with pytest.raises(UserError, match="a decision needs a reviewer: give --reviewer NAME"):
        ledger.append(book.path, "accept", image_id=A, label_digest=OLD, reviewer=reviewer, reason="", lock=book.lock)
    assert not book.path.exists()


def _append_many(folder: Path, reviewer: str, count: int) -> None:
    for number in range(count):
        ledger.append(
            folder / "ledger.csv",
            "accept",
            image_id=sha(number),
            label_digest=OLD,
            reviewer=reviewer,
            reason=f"{number}\nof {count}",
            lock=folder / "lock",
        )


def test_appending_at_once(book: Book, tmp_path: Path) -> None:
    """Processes that append at the same time lose nothing, and leave one chain."""
    context = multiprocessing.get_context("fork")
    people = ["Ada", "Bob", "Cy"]
    workers = [context.Process(target=_append_many, args=(tmp_path, name, 15)) for name in people]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    entries = ledger.read(book.path)
    for name in people:
        mine = [entry.reason for entry in entries if entry.reviewer == name]
        assert mine == [f"{number}\nof 15" for number in range(15)]
    assert len(entries) == 45


def test_append_leaves_nothing_else(book: Book, tmp_path: Path) -> None:
    """Beside the ledger there is its lock, and no temporary file."""
    three(book)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.csv", "lock"]


def test_accept(book: Book) -> None:
    """An image is accepted with the labels that were seen, and with no others."""
    book.decide("accept")
    assert book.standing((A, OLD), (A, NEW), (B, OLD)) == {(A, OLD)}


@pytest.mark.parametrize("decision", ["reject", "relabel"])
def test_taken_back(decision: Decision, book: Book) -> None:
    """A later rejection, or other labels, withdraw an acceptance until somebody accepts again."""
    book.decide("accept")
    book.decide(decision, A, NEW)
    assert book.standing((A, OLD), (A, NEW)) == set()
    book.decide("accept", A, NEW)
    assert book.standing((A, OLD), (A, NEW)) == {(A, NEW)}


def test_accepting_other_labels(book: Book) -> None:
    """Only the newest acceptance of an image stands."""
    book.decide("accept", A, OLD)
    book.decide("accept", A, NEW)
    assert book.standing((A, OLD), (A, NEW)) == {(A, NEW)}


def test_import(book: Book) -> None:
    """An accepted import accepts all that its list names; single images can be rejected later."""
    book.take_in((A, OLD), (B, OLD))
    assert book.standing((A, OLD), (B, OLD), (B, NEW)) == {(A, OLD), (B, OLD)}
    book.decide("reject", B)
    assert book.standing((A, OLD), (B, OLD)) == {(A, OLD)}
    book.take_in((B, NEW))
    assert book.standing((A, OLD), (B, OLD), (B, NEW)) == {(A, OLD), (B, NEW)}


def test_import_edited(book: Book) -> None:
    """A list that is not the accepted one is refused: an image slipped in would count as verified."""
    path = book.take_in((A, OLD))
    path.write_text(path.read_text() + f"{B} {OLD}\n")
    with pytest.raises(UserError, match="was edited; the ledger accepted another list"):
        book.standing((B, OLD))


def test_import_missing(book: Book) -> None:
    """A list that is gone is an error: what it accepted is unknown."""
    book.take_in((A, OLD)).unlink()
    with pytest.raises(UserError, match=r"is missing; the ledger accepts it\. Restore it with `git checkout"):
        book.standing((A, OLD))


def test_time_of_acceptance() -> None:
    """The time of an item is that of the newest decision that accepts it as it is."""
    entries = [
        Entry(time=time, decision="accept", image_id=A, label_digest=seen, reviewer="", reason="", previous="", hash="")
        for time, seen in (("2026-01-01", OLD), ("2026-01-02", NEW), ("2026-01-03", NEW))
    ]
    assert ledger.accepted(entries, [(A, OLD), (A, NEW)], Path("none")) == {(A, NEW): "2026-01-03"}


def test_import_ignores_order() -> None:
    """The same images in another order are the same import."""
    assert ledger.list_digest([(A, OLD), (B, NEW)]) == ledger.list_digest([(B, NEW), (A, OLD)])


DECISIONS = st.lists(
    st.tuples(
        st.sampled_from([decision for decision in get_args(Decision) if decision != "accept-import"]),
        st.sampled_from([A, B]),
        st.sampled_from([OLD, NEW]),
    ),
    max_size=8,
)


@given(DECISIONS)
def test_only_the_newest_decision_counts(decisions: list[tuple[Decision, str, str]]) -> None:
    """An image's state follows from the last decision about it alone."""
    entries = [
        Entry(time="", decision=what, image_id=image, label_digest=seen, reviewer="", reason="", previous="", hash="")
        for what, image, seen in decisions
    ]
    items = [(image, seen) for image in (A, B) for seen in (OLD, NEW)]
    last = {entry.image_id: entry for entry in entries}
    expected = {(one.image_id, one.label_digest) for one in last.values() if one.decision == "accept"}
    assert set(ledger.accepted(entries, items, Path("none"))) == expected
