"""What was found once is not looked for again, as long as nothing that it depends on has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import images, leak_memory, leaks
from pipeline.core.errors import UserError
from pipeline.core.leak_memory import Memory
from pipeline.core.leaks import Alike
from pipeline.core.manifest import Row
from tests.builders import picture, row
from tests.core.test_leak_search import counting

MEMORY = Path("memory.msgpack")
KINDS = ["train", "train", "val"]


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Three images, of which the first and the last are the same."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        Path(f"{name}.png").write_bytes(images.encode_png(picture(seed)))
    return [row(name, path=f"{name}.png") for name in "abc"]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each search that was made."""
    made: list[int] = []
    find = leaks.find

    def counted(asked: Sequence[Row], **settings: Any) -> list[Alike]:
        made.append(len(asked))
        return find(asked, **settings)

    monkeypatch.setattr(leaks, "find", counted)
    return made


def ask(rows: list[Row], *, within: int = 2, kinds: list[str] | None = KINDS) -> list[Alike]:
    """Ask with a memory of its own, which is kept."""
    memory = Memory(MEMORY)
    found = memory.find(rows, within=within, kinds=kinds)
    memory.save()
    return found


def test_the_same_question_is_searched_once(rows: list[Row], searches: list[int]) -> None:
    """The answer is that of the search, in this run and in the next one."""
    wanted = leaks.find(rows, within=2, kinds=KINDS)
    assert [(one.first, one.second) for one in wanted] == [(0, 2)]
    searches.clear()
    assert [ask(rows), ask(rows)] == [wanted, wanted]
    assert searches == [3]


@pytest.mark.parametrize("change", ["distance", "splits", "no splits", "order", "fewer", "file", "code"])
def test_another_question_is_searched(
    change: str, rows: list[Row], searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other images, splits, distances, files or code: the answer of before says nothing of that."""
    ask(rows)
    if change == "file":
        Path(rows[1].path).write_bytes(images.encode_png(picture(9, width=64)))
    elif change == "code":
        monkeypatch.setattr(leak_memory, "_CODE", (leaks,))
    asked = {"order": rows[::-1], "fewer": rows[1:]}.get(change, rows)
    kinds = {"no splits": None, "splits": ["", "", ""], "order": KINDS[::-1], "fewer": KINDS[1:]}.get(change, KINDS)
    ask(asked, within=0 if change == "distance" else 2, kinds=kinds)
    assert len(searches) == 2


def test_what_is_not_asked_is_forgotten(rows: list[Row], searches: list[int]) -> None:
    """The memory has the answers of the last run alone, so that it does not grow."""
    ask(rows)
    ask(rows[:2], kinds=KINDS[:2])
    ask(rows)
    assert searches == [3, 2, 3]


def test_without_a_pair_nothing_is_searched_again(rows: list[Row], searches: list[int]) -> None:
    """That nothing was found is an answer too."""
    assert ask(rows[:2], kinds=["train", "val"]) == ask(rows[:2], kinds=["train", "val"]) == []
    assert searches == [2]


@pytest.mark.parametrize("text", ["", "[]", '{"a": [[1, "b"]]}', "\xff"])
def test_a_damaged_memory(text: str, rows: list[Row], searches: list[int]) -> None:
    """It is no memory."""
    MEMORY.write_text(text, encoding="latin-1")
    assert len(ask(rows)) == 1
    assert searches == [3]


def test_an_image_that_is_gone(rows: list[Row]) -> None:
    """It is the search that says so, and nothing is remembered."""
    ask(rows)
    Path(rows[0].path).unlink()
    with pytest.raises(UserError, match=r"a\.png"):
        ask(rows)


def test_a_new_image_is_searched_for_alone(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is that of a search for all, and what was found of the others is taken from the memory."""
    held = counting(monkeypatch)
    wanted = leaks.find(rows, within=2)
    ask(rows[:2], kinds=None)
    held.clear()
    assert ask(rows, kinds=None) == wanted
    assert held == [(1, 2), (3, 1)]
    held.clear()
    ask(rows, kinds=None)
    ask([*rows, row("d", path="b.png")], kinds=None)
    assert held == [(1, 3), (4, 1)]
