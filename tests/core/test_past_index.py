"""Looking up a little in a long past: the same answers as from all of it, and nothing is read twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core import impostors, past_index, paths, portraits, sketch_codes, synthetic_past
from pipeline.core.candidates import Candidates
from pipeline.core.impostors import Known, Match
from pipeline.core.portraits import Portrait, Sketch
from pipeline.core.sketch_codes import Codes
from pipeline.core.synthetic_past import Made
from tests.builders import sha


def page(seed: int) -> Sketch:
    """One of a few pages."""
    rng = np.random.default_rng(seed)
    grey = np.kron(rng.integers(60, 220, (8, 8)), np.ones((8, 8)))
    return np.asarray(np.clip(grey + rng.normal(0, 3, grey.shape), 0, 255), dtype=np.uint8)


def look(seed: int, change: int) -> Sketch:
    """A page, mirrored or not, lit anew, with little noise or much."""
    grey = page(seed).astype(np.float64)
    if change & 1:
        grey = grey[:, ::-1]
    if change & 2:
        grey = grey[::-1] * 0.8
    # No two looks are equal but for a mirror: which of two equal ones comes first would hang on the last bits.
    noise = np.random.default_rng((seed, change)).normal(0, 12 if change & 4 else 3, grey.shape)
    grey = grey + np.kron(noise[::4, ::4], np.ones((4, 4)))
    return np.clip(grey, 0, 255).astype(np.uint8)


def portrait(seed: int, change: int) -> Portrait:
    """A portrait of a page, which is named by what is shown; some have a second view."""
    sketches = (look(seed, change),) if (seed + change) % 3 else (look(seed + 50, change), look(seed, change))
    name = sha(f"{seed} {change}")
    return Portrait(image_id=name, name=name, pixels=name, sketches=sketches)


def put(run: str, shown: Sequence[tuple[int, int]]) -> None:
    """Put images on record; each but the first is made from the one before."""
    images = [portrait(*one) for one in dict.fromkeys(shown)]
    made = [
        Made(portrait=one, run=run, parents=(images[place - 1].image_id,) if place else ())
        for place, one in enumerate(images)
    ]
    synthetic_past.write(run, sorted(made, key=lambda one: one.portrait.image_id), source="")


def from_all(queries: Sequence[Portrait]) -> dict[str, tuple[str, str]]:
    """What all images on record together say, each query held against each of them: image id, and what was done."""
    made = list(synthetic_past.everything())
    parents = {one.portrait.image_id: one.parents for one in made}

    def descends(query: str, known: str) -> bool:
        ahead, seen = [known], set[str]()
        while ahead:
            new = set(parents.get(ahead.pop(), ())) - seen
            seen |= new
            ahead += new
        return query in seen

    found = Known(one.portrait for one in made).find_each(queries, exempt=descends)
    return {one.image_id: said(match) for one, match in zip(queries, found, strict=True) if match}


def found_in_all(queries: Sequence[Portrait]) -> list[list[tuple[str, int, Any]]]:
    """The candidates of each sketch among all sketches on record together: image id, mirror image and similarity."""
    owners = [(one, sketch) for one in synthetic_past.everything() for sketch in one.portrait.sketches]
    found = Candidates([sketch for _, sketch in owners]).find([one for query in queries for one in query.sketches])
    return [
        [
            (owners[one.position][0].portrait.image_id, one.mirror, pytest.approx(one.similarity, abs=1e-5))
            for one in some
        ]
        for some in found
    ]


def found(queries: Sequence[Portrait]) -> list[list[tuple[str, int, float]]]:
    """The candidates that the look-up finds."""
    sketches = [one for query in queries for one in query.sketches]
    some = past_index.ask(lambda past: past.resembling(sketches), judge=impostors.judge)
    return [[(one.image_id, one.mirror, one.similarity) for one in each] for each in some]


def said(match: Match) -> tuple[str, str]:
    """What a match says."""
    return match.image_id, match.how


def asked(queries: Sequence[Portrait]) -> dict[str, tuple[str, str]]:
    """What the look-up says."""
    return {image_id: said(match) for image_id, match in impostors.screen(queries).items()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder as the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHOWN = st.tuples(st.integers(0, 3), st.integers(0, 7))


@given(
    runs=st.lists(st.lists(SHOWN, min_size=1, max_size=9), min_size=1, max_size=4),
    queries=st.lists(SHOWN, min_size=1, max_size=6, unique=True),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_as_from_all(project: Path, runs: list[list[tuple[int, int]]], queries: list[tuple[int, int]]) -> None:
    """Whatever was asked before, and however the runs came, the answers are those that all images together give."""
    shutil.rmtree(paths.STATE, ignore_errors=True)
    looked = [portrait(*one) for one in queries]
    for number, shown in enumerate(runs):
        put(f"tame-{number}", shown)
        some = looked[number % 2 :: 2]
        assert asked(some) == from_all(some)
    assert asked(looked) == from_all(looked)
    assert found(looked) == found_in_all(looked)
    put("tame-0", [*runs[0], (3, 3), (4, 5)])
    assert asked(looked) == from_all(looked)


def test_the_likeliest_stay(project: Path) -> None:
    """Of a later run, what is likelier than the sixth so far takes its place, though the first is likelier still."""

    def noisy(number: int, noise: int) -> Portrait:
        grey = page(0) + np.random.default_rng(number).normal(0, noise, (64, 64))
        name = sha(f"{number}")
        sketch = np.clip(grey, 0, 255).astype(np.uint8)
        return Portrait(image_id=name, name=name, pixels=name, sketches=(sketch,))

    def record(run: str, images: Sequence[Portrait]) -> None:
        made = [Made(portrait=one, run=run, parents=()) for one in images]
        synthetic_past.write(run, sorted(made, key=lambda one: one.portrait.image_id), source="")

    query = [noisy(0, 0)]
    record("tame-0", [noisy(1, 1), *(noisy(number, 160) for number in range(2, 7))])
    first = found(query)
    record("tame-1", [noisy(7, 90)])
    assert first[0][0][2] > found(query)[0][1][2] + 0.02
    assert found(query)[0][1][0] == noisy(7, 90).image_id
    assert found(query) == found_in_all(query)


def never(*_: object, **__: object) -> None:
    """Fails."""
    raise AssertionError("portraits were read")


def test_nothing_is_read_twice(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing new, no portrait and no code is read; with one new run, that one alone."""
    queries = [portrait(seed, 1) for seed in range(4)]
    for run in range(3):
        put(f"tame-{run}", [(run, 0), (run + 20, 0)])
    before = asked(queries)
    assert len(before) == 3
    read: list[object] = []
    codes, of_run = past_index._read_codes, synthetic_past.of_run
    with monkeypatch.context() as patch:
        for module, name in ((past_index, "_read_codes"), (synthetic_past, "of_run"), (sketch_codes, "encode")):
            patch.setattr(module, name, never)
        assert asked(queries) == before
        with pytest.raises(AssertionError, match="portraits were read"):
            asked([portrait(30, 0)])
    put("tame-3", [(3, 0)])

    def noted(number: int, *rest: Any) -> Iterator[Codes]:
        read.append(number)
        return codes(number, *rest)

    def noted_run(run: str) -> list[Made]:
        read.append(run)
        return of_run(run)

    monkeypatch.setattr(past_index, "_read_codes", noted)
    monkeypatch.setattr(synthetic_past, "of_run", noted_run)
    assert len(asked(queries)) == 4
    assert read == ["tame-3", 4]


def lost(index: Path) -> None:
    """Remove the codes of a run."""
    (index / "1.codes").unlink()


def cut(index: Path) -> None:
    """Cut the codes of a run off."""
    codes = index / "1.codes"
    codes.write_bytes(codes.read_bytes()[:-1])


def garbled(index: Path) -> None:
    """Write something else over the tables."""
    (index / "index.sqlite").write_bytes(b"no tables" * 1000)


@pytest.mark.parametrize("damage", [lost, cut, garbled, shutil.rmtree], ids=["lost", "cut", "garbled", "removed"])
def test_a_damaged_index_is_made_anew(project: Path, damage: Callable[[Path], None]) -> None:
    """Whatever became of the index, the answers are the same."""
    for run in range(2):
        put(f"tame-{run}", [(run, 0)])
    queries = [portrait(seed, 1) for seed in range(2)]
    assert len(asked(queries[:1])) == 1
    damage(paths.PORTRAITS_INDEX)
    assert asked(queries) == from_all(queries)
    assert len(asked(queries)) == 2


def test_other_code_asks_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other code found is not believed."""
    put("tame-0", [(0, 0)])
    queries = [portrait(0, 1)]
    assert len(asked(queries)) == 1
    monkeypatch.setattr(impostors, "is_copy", lambda _: False)
    assert len(asked(queries)) == 1
    monkeypatch.setattr(past_index, "_CODE", (portraits,))
    assert asked(queries) == {}


def test_a_record_that_is_gone(project: Path) -> None:
    """A run whose portraits were removed is no longer known; what it kept from being seen is found."""
    put("tame-0", [(0, change) for change in (0, 1, 2, 3)])
    put("tame-1", [(0, 4)])
    queries = [portrait(0, 5)]
    assert asked(queries)[queries[0].image_id][0] != portrait(0, 4).image_id
    (paths.PORTRAITS / "tame-0.npz").unlink()
    assert asked(queries) == from_all(queries)
    assert {path.name for path in paths.PORTRAITS_INDEX.glob("*.codes")} == {"2.codes"}
