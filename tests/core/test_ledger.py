"""The ledger: nothing in it can be changed unseen, and nothing that was acknowledged is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import files, ledger, ledger_rows
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


@settings(max_examples=40)
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
    """Wherever a write stopped, the whole rows before it are read, the rest is no decision, and the next row fits."""
    rows = [row.encode() for row in three(book)]
    content = b"".join(rows)
    entries = ledger.read(book.path)
    ends = [sum(map(len, rows[:count])) - 1 for count in range(1, 5)]  # a row without its line feed is whole
    for position in range(ends[0], len(content)):
        book.path.write_bytes(content[:position])
        whole = sum(position >= end for end in ends[1:])
        assert ledger.read(book.path) == entries[:whole]
        if position % 9 == 0:  # each append waits for the disk
            book.decide("accept", B)
            assert ledger.read(book.path)[:-1] == entries[:whole]
    book.path.write_bytes(content[: ends[0] - 1])
    with pytest.raises(UserError, match="wanted the columns"):
        ledger.read(book.path)


def test_what_is_cut_off_is_kept(book: Book) -> None:
    """The beginning of a row is cut off by the next append, and kept beside the lock."""
    *rows, last = three(book)
    torn = last[:100].encode()
    book.path.write_bytes("".join(rows).encode() + torn)
    book.decide("accept", B, reason="again")
    assert [entry.reason for entry in ledger.read(book.path)] == ["seen", "first, \nsecond", "again"]
    (kept,) = book.lock.parent.glob("torn-row-*.csv")
    assert kept.read_bytes() == torn


def test_a_row_with_both_hashes_is_not_torn(book: Book) -> None:
    """Whoever edits the last row and takes its line feed away cannot make it pass for one that was never finished."""
    content = "".join(three(book)).removesuffix("\n")
    edited = content[:-200] + content[-200:].replace("Ada", "Bob")
    assert edited != content
    assert "row 3" in refusal(book, edited)
    with pytest.raises(UserError, match="newest row: it was edited"):
        book.decide("accept")
    assert book.path.read_text() == edited


@settings(max_examples=60)
@given(garbage=st.binary(min_size=1, max_size=40))
def test_what_no_append_writes_is_refused(garbage: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What stands at the end and is not the beginning of a row is never passed over, nor built upon."""
    book = Book(tmp_path_factory.mktemp("ledger"))
    three(book)
    content = book.path.read_bytes() + garbage
    book.path.write_bytes(content)
    if ledger_rows.torn(garbage):
        assert len(ledger.read(book.path)) == 3
        return
    with pytest.raises(UserError):
        ledger.read(book.path)
    with pytest.raises(UserError):
        book.decide("accept")
    assert book.path.read_bytes() == content


@settings(max_examples=100)
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
            ",".join(COLUMNS).encode() + b'\n"' + b"x" * 200_000,
            "row 1 is not a row of a table (field",
            id="quote without an end",
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


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda rows: [*rows[:3], rows[3].replace("Ada", "Bob")], id="newest edited"),
        pytest.param(lambda rows: [rows[0], rows[1], rows[3]], id="the one before removed"),
        pytest.param(lambda rows: [rows[0], rows[3]], id="all before removed"),
        pytest.param(lambda rows: [*rows[:3], rows[3].replace("Ada", '"da')], id="quote in the newest"),
        pytest.param(lambda rows: [*rows, "\n"], id="blank line"),
        pytest.param(lambda rows: [*rows, "a note\n"], id="other text"),
        pytest.param(lambda rows: [*rows[:3], rows[3].replace("\n", "\r\n")], id="other line end"),
    ],
)
def test_nothing_is_appended_to_a_broken_end(damage: Callable[[list[str]], list[str]], book: Book) -> None:
    """A decision on top of an edited row would hide the edit: it is refused, and the file stays as it is."""
    content = "".join(damage(three(book)))
    refusal(book, content)
    with pytest.raises(UserError, match=r"newest row: it was edited, .* tailwatch ledger check"):
        book.decide("accept")
    assert book.path.read_bytes().decode() == content


def test_appending_does_not_read_the_ledger(book: Book) -> None:
    """An append looks at the end of the ledger alone: an edit far before it is for the check to find."""
    three(book)
    for number in range(100):
        book.decide("accept", sha(number))
    content = book.path.read_bytes().decode()
    book.path.write_bytes(content.replace("Ada", "Bob", 1).encode())
    entry = book.decide("accept")
    assert book.path.read_bytes().decode().endswith(f"{entry.hash}\n")
    with pytest.raises(UserError, match=r"row 1 .* was edited"):
        ledger.read(book.path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(",".join([*COLUMNS, "confidence"]) + "\n", "column 'confidence'", id="column"),
        pytest.param(None, "decision 'abstain'", id="decision"),
    ],
)
def test_newer(content: str | None, message: str, book: Book) -> None:
    """A ledger that a newer version wrote is named as such, by readers and by writers, and stays as it is."""
    if content is None:
        book.decide("abstain")  # type: ignore[arg-type]  # of a version to come
    else:
        book.path.write_text(content)
    before = book.path.read_bytes()
    for action in (lambda: ledger.read(book.path), lambda: book.decide("accept")):
        with pytest.raises(UserError, match=r"from a newer version of Tailwatch: update Tailwatch") as caught:
            action()
        assert message in str(caught.value)
    assert book.path.read_bytes() == before


@pytest.mark.parametrize(
    ("field", "length"), [("reason", ledger.LONGEST_REASON), ("reviewer", ledger.LONGEST_REVIEWER)], ids=str
)
def test_longest(field: str, length: int, book: Book) -> None:
    """The longest reason, all of it quotes, is appended after and read; one letter more is refused."""

    def decide(text: str) -> Entry:
        said = {"reviewer": "Ada", "reason": "", field: text}
        return ledger.append(book.path, "accept", image_id=A, label_digest=OLD, lock=book.lock, **said)

    appended = [decide('"' * length), decide("\u2603" * length), decide("x")]
    assert ledger.read(book.path) == appended
    with pytest.raises(UserError, match=f"{length + 1} characters, wanted at most {length}: nothing is recorded"):
        decide("x" * (length + 1))
    assert ledger.read(book.path) == appended


def test_release_names_the_reviewer() -> None:
    """The name of who is released comes back from the reason, whatever the reason says."""
    assert ledger.released(ledger.release_reason(" Ada B. ", "note: all: right")) == "Ada B."
    for name in ("", " ", "Ada: B"):
        with pytest.raises(UserError, match="wanted a name without a colon and a blank"):
            ledger.release_reason(name, "right")


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


def test_append_leaves_nothing_else(book: Book, tmp_path: Path) -> None:
    """Beside the ledger there is its lock, and no temporary file."""
    three(book)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.csv", "lock"]


def test_import_edited(book: Book) -> None:
    """A list that is not the accepted one is refused: an image slipped in would count as verified."""
    path = book.take_in((A, OLD))
    path.write_text(path.read_text() + f"{B} {OLD}\n")
    with pytest.raises(UserError, match="was edited; the ledger accepted another list"):
        ledger.read_list(book.imports, path.stem)


def test_import_missing(book: Book) -> None:
    """A list that is gone is an error: what it accepted is unknown."""
    path = book.take_in((A, OLD))
    path.unlink()
    with pytest.raises(UserError, match=r"is missing; the ledger accepts it\. Restore it with `git checkout"):
        ledger.read_list(book.imports, path.stem)


def test_import_list(book: Book) -> None:
    """The list of an import comes back sorted, whatever the order it was given in."""
    path = book.take_in((B, NEW), (A, OLD))
    assert ledger.read_list(book.imports, path.stem) == sorted([(A, OLD), (B, NEW)])


def test_import_ignores_order() -> None:
    """The same images in another order are the same import."""
    assert ledger.list_digest([(A, OLD), (B, NEW)]) == ledger.list_digest([(B, NEW), (A, OLD)])
