"""Things done ahead of time: in their order, a few at a time, and an error in its turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline.core import ahead


def test_in_order() -> None:
    """What is made comes in the order of the things, however long each takes."""
    first = threading.Event()

    def made(number: int) -> int:
        if number == 0:
            assert first.wait(10)  # until the next is done
        else:
            first.set()
        return number * 2

    assert list(ahead.mapped(made, range(200))) == [2 * one for one in range(200)]


def test_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Things are taken as they are needed, not all at once."""
    monkeypatch.setattr(ahead, "_AHEAD", 3)
    taken = []

    def things() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    found = ahead.mapped(lambda one: one, things())
    assert next(found) == 0
    assert next(found) == 1
    assert len(taken) <= 5


def test_an_error_in_its_turn() -> None:
    """What went well before an error is handed out; the error is raised as it was."""
    found = ahead.mapped(lambda one: 6 // one, [3, 2, 0, 1])
    assert (next(found), next(found)) == (2, 3)
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_nothing() -> None:
    """Nothing is made of nothing."""
    assert list(ahead.mapped(str, [])) == []
