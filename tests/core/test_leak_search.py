"""Looking for copies among real images: what was found before is found again without looking, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import impostors, leak_search, likeliest, sketch_codes
from pipeline.core.candidates import Candidates, Floats
from pipeline.core.impostors import Known
from pipeline.core.leak_search import Searched, search
from pipeline.core.portraits import Portrait
from pipeline.core.sketch_codes import Codes, Pairs
from tests.core.test_past_index import portrait

SHOWN = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=12, unique=True)


Likely = tuple[str, int, int, Any]  # image, view, mirror image, similarity


def digits(similarity: float) -> Any:
    """A similarity but for its last digits, which hang on how many were looked at together."""
    return pytest.approx(similarity, abs=3e-6)


def taken(shown: Sequence[tuple[int, int]]) -> list[Portrait]:
    """Portraits of these looks of pages."""
    return [portrait(*one) for one in shown]


def exact(asked: Sequence[Portrait], known: Sequence[Portrait]) -> list[list[list[Likely]]]:
    """The candidates of each view among all that is known, without a memory and without codes."""
    each = sorted((one.image_id, view) for one in known for view in range(len(one.sketches)))
    by_id = {one.image_id: one for one in known}
    all_known = Candidates([by_id[image_id].sketches[view] for image_id, view in each])
    return [
        [
            [(*each[like.position], like.mirror, digits(like.similarity)) for like in some]
            for some in all_known.find(one.sketches)
        ]
        for one in asked
    ]


def found(searched: Searched, asked: Sequence[Portrait]) -> list[list[list[Likely]]]:
    """What a search says of these, as :func:`exact` does."""
    return [
        [
            [(like.image_id, like.view, like.mirror, digits(like.similarity)) for like in view]
            for view in searched.asked[one.image_id].views
        ]
        for one in asked
    ]


def copied(searched: Searched) -> dict[str, list[list[str | None]]]:
    """Of each candidate, what was done to it where it is a copy."""
    return {
        image_id: [[like.how if like.correlation else None for like in view] for view in one.views]
        for image_id, one in searched.asked.items()
    }


@settings(max_examples=25, deadline=None)
@given(before=SHOWN, now=SHOWN, others=SHOWN)
def test_as_if_everything_were_looked_at(
    before: list[tuple[int, int]], now: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    """Whatever came and went since, the answer is that of a search that remembers nothing."""
    earlier = search(taken(before), taken([*before, *others[:3]]))
    asked, known = taken(now), taken(list(dict.fromkeys([*now, *others])))
    for one in (search(asked, known), search(asked, known, earlier)):
        assert found(one, asked) == exact(asked, known)
        assert copied(one) == copied(search(asked, known))


@settings(max_examples=15, deadline=None)
@given(shown=SHOWN)
def test_copies_are_those_of_the_guard(shown: list[tuple[int, int]]) -> None:
    """Who is a copy of another one is what :class:`Known` says, which lays every candidate on every image."""
    seen = taken(shown)
    wanted = Known(seen).find_each(seen, exempt=lambda query, known: query == known)
    said = search(seen, seen)
    for one, match in zip(seen, wanted, strict=True):
        copies = [like for view in said.asked[one.image_id].views for like in view if like.correlation is not None]
        assert all(like.image_id != one.image_id for like in copies)
        assert (copies[0].correlation if copies else None) == (match.correlation if match else None)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many sketches were held against how many, of each search."""
    made: list[tuple[int, int]] = []
    likely = sketch_codes.likely

    def counted(asked: Floats, codes: Codes, *, at_least: Floats) -> Pairs:
        made.append((len(asked), len(codes.values)))
        return likely(asked, codes, at_least=at_least)

    monkeypatch.setattr(sketch_codes, "likely", counted)
    return made


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What each search held against what."""
    return counting(monkeypatch)


def whole(seed: int) -> Portrait:
    """A portrait of one view, of a page of its own."""
    return replace(portrait(seed, 0), sketches=portrait(seed, 0).sketches[:1])


def test_only_what_is_new_is_looked_at(looked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """One image more: it is held against the others, and they against it; nothing is judged twice."""
    seen = [whole(seed) for seed in range(8)]
    first = search(seen, seen)
    assert looked == [(8, 8)]
    looked.clear()
    judged: list[int] = []
    monkeypatch.setattr(impostors, "judge", lambda *_: judged.append(1))
    assert search(seen, seen, first) == first
    assert (looked, judged) == ([], [])
    search([*seen, whole(9)], [*seen, whole(9)], first)
    assert looked == [(1, 8), (9, 1)]


def test_what_resembled_an_image_that_is_gone_is_looked_for_again(looked: list[tuple[int, int]]) -> None:
    """An image that a sixth one kept from being named may be named now."""
    twins = [replace(whole(1), image_id=f"{number}") for number in range(3)]
    seen = [*twins, whole(2), whole(3)]
    first = search(seen, seen)
    looked.clear()
    search(seen[1:], seen[1:], first)
    assert looked == [(2, 4)]


def test_another_picture_under_the_same_id_is_another_image() -> None:
    """What was found of the old one says nothing of the new one."""
    seen = [whole(1), replace(whole(3), image_id="twin")]
    changed = [replace(whole(3), image_id=seen[0].image_id), seen[1]]
    wanted = search(changed, changed)
    assert "" in copied(wanted)["twin"][0]
    assert search(changed, changed, search(seen, seen)) == wanted


def test_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer does not hang on how many are looked at together."""
    seen = taken([(seed, change) for seed in range(5) for change in range(4)])
    wanted = search(seen, seen)
    monkeypatch.setattr(leak_search, "_SKETCHES_A_PART", 3)
    monkeypatch.setattr(likeliest, "_TOGETHER", 1)
    assert search(seen, seen) == wanted


def test_nothing() -> None:
    """Among nothing there is nothing."""
    assert search([], []) == Searched({}, {})
    alone = whole(1)
    assert search([alone], []).asked[alone.image_id].views == [[]]
