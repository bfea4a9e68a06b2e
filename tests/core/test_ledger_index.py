"""The index of the ledger says what reading the whole ledger would say, however old, broken or shared it is."""

from __future__ import annotations

import dataclasses
import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import agreement, files, ledger, ledger_index, ledger_lookup, standing
from pipeline.core.errors import UserError
from pipeline.core.ledger import COLUMNS, GENESIS, Decision, Entry
from tests.builders import sha

IMAGES = [sha(number) for number in range(4)]
LABELS = [sha(f"labels {number}") for number in range(3)]
PEOPLE = ["Ada", "Bob", 'Cy, "the eye"']
LEAST = 0.8


class Book:
    """A ledger in a folder of its own, with its index."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self.folder = folder
        self.path, self.index = folder / "ledger.csv", folder / "state" / "ledger.sqlite"

    def add(self, *decided: Decided) -> list[Entry]:
        """Append decisions; written at once, since no test here is about the disk."""
        entries = ledger.read(self.path) if self.path.exists() else []
        for number, one in enumerate(decided, start=len(entries)):
            entry = Entry(
                time=f"2026-01-01T{number // 60:02d}:{number % 60:02d}:00+00:00",
                previous=entries[-1].hash if entries else GENESIS,
                hash="",
                **dataclasses.asdict(one),
            )
            entries.append(dataclasses.replace(entry, hash=entry.digest()))
        lines = [files.csv_line(COLUMNS)]
        lines += [files.csv_line([getattr(entry, name) for name in COLUMNS]) for entry in entries]
        self.path.write_text("".join(lines), newline="")
        return entries

    def of(self, image_id: str) -> list[Entry]:
        """What the index finds of an image."""
        return ledger_index.entries_of(image_id, path=self.path, index=self.index)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a row says."""

    decision: Decision = "accept"
    image_id: str = IMAGES[0]
    label_digest: str = LABELS[0]
    reviewer: str = "Ada"
    reason: str = ""


DECISIONS = st.builds(
    Decided,
    decision=st.sampled_from(["accept", "reject", "relabel", "undo", "control-right", "control-wrong"]),
    image_id=st.sampled_from(IMAGES),
    label_digest=st.sampled_from(LABELS),
    reviewer=st.sampled_from(PEOPLE),
    reason=st.sampled_from(["", "two\nlines", 'a "quote", a comma']),
)
RELEASES = st.builds(
    Decided,
    decision=st.just("release"),
    image_id=st.just(""),
    label_digest=st.just(""),
    reviewer=st.just("Dee"),
    reason=st.sampled_from([f"{name}: looked at" for name in PEOPLE]),
)
ROWS = st.lists(st.one_of(*[DECISIONS] * 6, RELEASES), max_size=30)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """A ledger of six decisions on three images."""
    made = Book(tmp_path)
    made.add(*(Decided(image_id=IMAGES[number % 3], reviewer=PEOPLE[number % 2]) for number in range(6)))
    return made


@settings(max_examples=25)
@given(batches=st.lists(ROWS, min_size=1, max_size=3))
def test_as_the_whole_ledger_says(batches: list[list[Decided]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is decided, and however often the index is brought up to date meanwhile, it finds what is there."""
    book = Book(tmp_path_factory.mktemp("ledger"))
    for batch in batches:
        entries = book.add(*batch)
        for image_id in IMAGES:
            assert book.of(image_id) == [entry for entry in entries if entry.image_id == image_id]
        held = agreement.held_back(entries, min_agreement=LEAST)
        found = ledger_index.held_after(min_agreement=LEAST, path=book.path, index=book.index)
        assert found == {name: one.position + 1 for name, one in held.items()}


@settings(max_examples=40)
@given(
    before=st.integers(0, 8),
    rows=ROWS,
    imported=st.lists(st.tuples(st.sampled_from(IMAGES), st.sampled_from(LABELS)), max_size=4),
    after=ROWS,
)
def test_standing_as_the_whole_ledger_says(
    before: int,
    rows: list[Decided],
    imported: list[tuple[str, str]],
    after: list[Decided],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The standing of an image from its few rows is the one from all, held-back reviewers and imports included."""
    book = Book(tmp_path_factory.mktemp("ledger"))
    imports, corrections = book.folder / "imports", book.folder / "corrections"
    for digest in LABELS:
        files.write_text(corrections / f"{digest}.txt", "")
    digest = ledger.list_digest(imported)
    files.write_text(ledger.list_path(imports, digest), ledger.format_list(imported))
    # Ada and Bob are wrong so often that they are held back, from some row on.
    wrong = [Decided(decision="control-wrong", reviewer=PEOPLE[one % 2]) for one in range(2 * before)]
    book.add(*rows, *wrong, Decided(decision="accept-import", image_id=digest, label_digest=""), *after)
    entries = ledger.read(book.path)
    items = [(image_id, LABELS[0]) for image_id in IMAGES]
    expected = standing.standings(entries, items, imports, corrections, min_agreement=LEAST)
    elsewhere = standing.elsewhere(entries, (), min_agreement=LEAST)
    for image_id in IMAGES:
        found = ledger_lookup.looked_up(image_id, min_agreement=LEAST, path=book.path, index=book.index)
        one = ledger_lookup.standing_of(found, image_id, LABELS[0], imports=imports, corrections=corrections)
        assert one == expected[image_id]
        assert ledger_lookup.standings_elsewhere(found) == [other for other in elsewhere if other.image_id == image_id]


def test_a_reviewer_is_held_back_and_let_back_in(book: Book) -> None:
    """What is remembered of who is held back follows the ledger."""

    def held() -> dict[str, int]:
        return ledger_index.held_after(min_agreement=LEAST, path=book.path, index=book.index)

    assert held() == {}
    book.add(*[Decided(decision="control-wrong", reviewer="Ada")] * 20)
    assert set(held()) == {"Ada"}
    book.add(Decided(image_id=IMAGES[3]))
    assert held() == held()
    book.add(Decided(decision="release", image_id="", label_digest="", reviewer="Bob", reason="Ada: looked at"))
    assert held() == {}


def test_who_is_held_back_follows_second_opinions_and_undos(book: Book) -> None:
    """Rows that come after the index was made change who is held back, as they do in the whole ledger."""

    def held() -> set[str]:
        found = ledger_index.held_after(min_agreement=LEAST, path=book.path, index=book.index)
        entries = ledger.read(book.path)
        assert set(found) == set(agreement.held_back(entries, min_agreement=LEAST))
        return set(found)

    images = [sha(f"seen by several {number}") for number in range(20)]
    book.add(*(Decided(decision="reject", image_id=one, reviewer="Eve") for one in images))
    assert held() == set()
    book.add(*(Decided(image_id=one, reviewer=name) for one in images for name in ("Ada", "Bob")))
    assert held() == {"Eve"}
    planted = sha("seen by Flo alone")
    book.add(*[Decided(decision="control-wrong", image_id=planted, reviewer="Flo")] * 20)
    assert held() == {"Eve", "Flo"}
    # An undo takes back the vote before it, not one of the answers to the plants.
    book.add(*[Decided(image_id=planted, reviewer="Flo")] * 19)
    book.add(*[Decided(decision="undo", image_id=planted, reviewer="Flo")] * 19)
    assert held() == {"Eve", "Flo"}
    book.add(*[Decided(decision="undo", image_id=planted, reviewer="Flo")] * 19)
    assert held() == {"Eve"}


def test_prefix(book: Book) -> None:
    """The beginning of an id finds the ids that begin so; an import's digest is no image."""
    book.add(Decided(decision="accept-import", image_id=sha("list"), label_digest=""))

    def found(prefix: str) -> list[str]:
        return ledger_index.ids_beginning(prefix, path=book.path, index=book.index)

    for image_id in IMAGES[:3]:
        for length in (4, 15, 16, 64):
            assert found(image_id[:length]) == [image_id]
    assert found(IMAGES[0][:20] + ("0" if IMAGES[0][20] != "0" else "1")) == []
    assert found(sha("list")) == found("zz") == []
    assert book.of("no id") == []


def test_new_rows_alone_are_read(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is behind reads the rows that it does not know, and one that is not reads none."""
    book.of(IMAGES[0])
    book.add(Decided(), Decided(image_id=IMAGES[1]))
    read: list[bytes] = []
    real = ledger.chained

    def watched(stream: BinaryIO, where: str, *, previous: str, first: int) -> Iterator[bytes]:
        for raw in real(stream, where, previous=previous, first=first):
            read.append(raw)
            yield raw

    monkeypatch.setattr("pipeline.core.ledger.chained", watched)
    assert len(book.of(IMAGES[0])) == 3
    assert len(read) == 2
    before = book.index.read_bytes()
    assert len(book.of(IMAGES[0])) == 3
    assert len(read) == 2
    assert book.index.read_bytes() == before


def shortened(book: Book) -> None:
    """Take the last two rows away."""
    lines = book.path.read_bytes().splitlines(keepends=True)
    book.path.write_bytes(b"".join(lines[:-2]))


def another(book: Book) -> None:
    """Put another ledger in its place."""
    book.path.unlink()
    book.add(*(Decided(image_id=IMAGES[number % 2], reviewer="Bob") for number in range(9)))


def another_as_long(book: Book) -> None:
    """Put another ledger in its place, whose rows stand where the others stood."""
    book.path.unlink()
    book.add(*(Decided(image_id=IMAGES[3 - number % 3], reviewer=PEOPLE[number % 2]) for number in range(6)))


def garbage(book: Book) -> None:
    """Write over the index."""
    book.index.write_bytes(b"no database" * 1000)


def holes(book: Book) -> None:
    """Write over the middle of the index."""
    content = bytearray(book.index.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    book.index.write_bytes(content)


def older(book: Book) -> None:
    """Make the index one of another version."""
    with sqlite3.connect(book.index) as database:
        database.execute("UPDATE state SET version = 0")
        database.execute("DELETE FROM decided")
    database.close()


def misled(book: Book) -> None:
    """Let the index point to places where no rows are."""
    with sqlite3.connect(book.index) as database:
        database.execute("UPDATE decided SET start = start + 7")
    database.close()


@pytest.mark.parametrize(
    "change", [shortened, another, another_as_long, garbage, holes, older, misled], ids=lambda one: one.__name__
)
def test_an_index_that_does_not_fit(change: Callable[[Book], None], book: Book) -> None:
    """An index of another ledger, of another version or broken is made anew."""
    book.of(IMAGES[0])
    change(book)
    entries = ledger.read(book.path)
    for image_id in IMAGES:
        assert book.of(image_id) == [entry for entry in entries if entry.image_id == image_id]


def test_edited_row(book: Book) -> None:
    """A row that was edited is refused when it is looked up, even though the index knew it before."""
    book.of(IMAGES[0])
    content = book.path.read_text().replace("Ada", "Eva", 1)
    book.path.write_text(content)
    with pytest.raises(UserError, match=r"row 1 .* was edited"):
        book.of(IMAGES[0])


def test_torn_and_unended_rows(book: Book) -> None:
    """A row without its line feed counts, the beginning of a row does not, and what comes next is found after both."""
    book.path.write_bytes(book.path.read_bytes().removesuffix(b"\n"))
    assert [len(book.of(one)) for one in IMAGES] == [2, 2, 2, 0]
    book.path.write_bytes(book.path.read_bytes() + b"\n2026-01-01T00:00")
    assert [len(book.of(one)) for one in IMAGES] == [2, 2, 2, 0]
    ledger.append(
        book.path, "accept", image_id=IMAGES[3], label_digest="", reviewer="Ada", reason="", lock=book.folder / "lock"
    )
    assert [len(book.of(one)) for one in IMAGES] == [2, 2, 2, 1]


@pytest.mark.parametrize("end", ["", "\n"], ids=["without line feed", "with line feed"])
def test_no_rows(end: str, tmp_path: Path) -> None:
    """A ledger of column names alone has an index, and goes on."""
    book = Book(tmp_path)
    book.path.write_text(",".join(COLUMNS) + end)
    assert book.of(IMAGES[0]) == []
    ledger.append(
        book.path, "accept", image_id=IMAGES[0], label_digest="", reviewer="Ada", reason="", lock=tmp_path / "lock"
    )
    assert len(book.of(IMAGES[0])) == 1


def test_missing(tmp_path: Path) -> None:
    """Without a ledger there is no index."""
    with pytest.raises(UserError, match=r"ledger\.csv is missing"):
        Book(tmp_path).of(IMAGES[0])


def _look_often(folder: Path) -> None:
    book = Book(folder)
    for number in range(20):
        ledger.append(
            book.path, "accept", image_id=IMAGES[0], label_digest="", reviewer="Ada", reason="",
            lock=folder / "state" / "lock",
        )  # fmt: skip
        assert len(book.of(IMAGES[0])) > number


def test_several_processes(book: Book) -> None:
    """Processes that append and look up at the same time, with one index, each find their own rows."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_look_often, args=(book.folder,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(book.of(IMAGES[0])) == 62
