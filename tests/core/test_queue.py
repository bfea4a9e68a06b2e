"""The queue shows first what a decision is worth most for, and plants what nobody can tell from the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import queue
from pipeline.core.queue import Candidate, Evidence, Item, Kind
from tests.builders import sha

NAMES = ("common", "rare", "rarest")
KNOWN = Evidence(names=NAMES, boxes=(900, 80, 20), rare=frozenset({1, 2}))
KINDS: list[Kind] = ["conflict", "awaiting", "import", "synthetic"]


def candidate(name: object, kind: Kind = "awaiting", *classes: int, note: str = "") -> Candidate:
    """A candidate with boxes of these classes."""
    return Candidate(
        image_id=sha(name), label_digest=sha(f"labels of {name}"), kind=kind, classes=frozenset(classes), note=note
    )


def names(items: Sequence[Item], known: Sequence[object]) -> list[object]:
    """The names that the candidates were built with, in the order of the items."""
    by_id = {sha(name): name for name in known}
    return [by_id[item.image_id] for item in items]


def ranked(evidence: Evidence, *candidates: Candidate) -> list[str]:
    """Image ids in the order of the queue."""
    return [item.image_id for item in queue.rank(candidates, evidence)]


def test_rare_classes_first() -> None:
    """The rarest class goes before the others, a rare one before conflicts on common ones."""
    order = [candidate("c", "synthetic", 0, 2), candidate("b", "awaiting", 1), candidate("a", "conflict", 0)]
    assert ranked(KNOWN, *order[::-1]) == [one.image_id for one in order]


@pytest.mark.parametrize(
    ("column", "more", "less"),
    [
        pytest.param("disagreement", 0.5, 0.2, id="disagreement"),
        pytest.param("confidence", 0.3, 0.6, id="low confidence"),
        pytest.param("children", 9, 3, id="influence"),
        pytest.param("closeness", 1.0, 0.5, id="near duplicate"),
    ],
)
def test_columns(column: str, more: float, less: float) -> None:
    """Of two alike, the one with more disagreement, less confidence, more children, or nearer to another is first."""
    for high, low in (("a", "b"), ("b", "a")):
        measured = replace(KNOWN, **{column: {sha(high): more, sha(low): less}})  # type: ignore[arg-type]
        pages = (candidate("a", "synthetic"), candidate("b", "synthetic"), candidate("not measured", "synthetic"))
        assert ranked(measured, *pages)[:2] == [sha(high), sha(low)]


def test_columns_in_their_order() -> None:
    """Each column decides only where those before it are equal: disagreement, confidence, influence, nearness."""
    pages = ["disagreement", "unsure", "children", "near", "nothing"]
    evidence = replace(
        KNOWN,
        disagreement={sha("disagreement"): 0.3},
        confidence={sha("unsure"): 0.2, sha("disagreement"): 0.9, sha("children"): 1.0},
        children={sha("children"): 50, sha("unsure"): 1},
        closeness={sha("near"): 1.0},
    )
    found = queue.rank([candidate(name, "synthetic") for name in pages[::-1]], evidence)
    assert names(found, pages) == pages


def test_equals() -> None:
    """Images that are alike in every column are in the order of their ids, however they are given."""
    alike = [candidate(number) for number in range(6)]
    assert ranked(KNOWN, *alike) == ranked(KNOWN, *alike[::-1]) == sorted(one.image_id for one in alike)


def test_small_differences_do_not_decide() -> None:
    """A hundredth of disagreement does not hide that a detector is unsure."""
    evidence = replace(
        KNOWN, disagreement={sha("a"): 0.51, sha("b"): 0.50}, confidence={sha("a"): 0.9, sha("b"): 0.2}
    )  # fmt: skip
    assert ranked(evidence, candidate("a"), candidate("b")) == [sha("b"), sha("a")]


def test_imports_without_a_reason_are_left_out() -> None:
    """What was accepted with its import is shown only where something speaks for a look at it; the rest always is."""
    evidence = replace(KNOWN, disagreement={sha("differs"): 0.2, sha("same"): 0.0}, confidence={sha("sure"): 0.95})
    given_names = ["differs", "same", "sure", "rare"]
    imports = [candidate(name, "import", 2 if name == "rare" else 0) for name in given_names]
    assert names(queue.rank(imports, evidence), given_names) == ["rare", "differs"]
    others: list[Kind] = ["conflict", "awaiting", "synthetic"]
    assert len(queue.rank([candidate(kind, kind, 0) for kind in others], evidence)) == 3


def test_reasons() -> None:
    """An item says in words why it is there."""
    evidence = replace(
        KNOWN,
        disagreement={sha("a"): 0.4},
        confidence={sha("a"): 0.31},
        children={sha("a"): 24, sha("b"): 1},
        closeness={sha("a"): 0.95},
    )
    (item,) = queue.rank([candidate("a", "conflict", 0, 1, 2, note="Ada says accept, Bob says reject")], evidence)
    assert item.reason == (
        "people disagree; Ada says accept, Bob says reject; rare class rarest (training boxes: 20) and rare (training "
        "boxes: 80); the base run and a newer one differ on 40% of its boxes; its least sure detection has confidence "
        "0.31; 24 synthetic images made from it; nearly a duplicate"
    )
    assert (item.rarity, item.disagreement, item.influence, item.closeness) == (2, 0.4, 24, 0.95)
    assert item.uncertainty == pytest.approx(0.69)


SCORES = st.dictionaries(st.sampled_from([sha(n) for n in range(8)]), st.floats(0, 1))
CANDIDATES = st.lists(
    st.builds(candidate, st.integers(0, 7), st.sampled_from(KINDS), st.integers(0, 2)),
    max_size=8,
    unique_by=lambda one: one.image_id,
)


@settings(max_examples=40)
@given(candidates=CANDIDATES, scores=st.tuples(SCORES, SCORES, SCORES), data=st.data())
def test_order_of_the_candidates_does_not_matter(
    candidates: list[Candidate], scores: tuple[dict[str, float], ...], data: st.DataObject
) -> None:
    """The queue is the same in whatever order the images are given, and each is in it at most once."""
    evidence = replace(KNOWN, disagreement=scores[0], confidence=scores[1], closeness=scores[2])
    found = queue.rank(candidates, evidence)
    assert queue.rank(data.draw(st.permutations(candidates)), evidence) == found
    assert len({item.image_id for item in found}) == len(found)
    kept = {item.image_id for item in found}
    assert all(one.kind == "import" for one in candidates if one.image_id not in kept)
    assert [item.rarity for item in found] == sorted((item.rarity for item in found), reverse=True)


# Plants


def pages(count: int, kind: Kind, classes: tuple[int, ...] = (1,)) -> list[Item]:
    """A ranked list of items of one kind."""
    return queue.rank([candidate(f"{kind} {number}", kind, *classes) for number in range(count)], KNOWN)


def control(image_id: str) -> Item:
    """The control of an image of a rare class."""
    one = Candidate(image_id=image_id, label_digest=sha("broken"), kind="control", classes=frozenset({1}))
    return queue.rank([one], KNOWN)[0]


def plant(items: Sequence[Item], *, seed: int = 0, share: float = 0.1, opinions: int = 100) -> list[Item]:
    """Plant second opinions and controls, for which there are images to spare."""
    return queue.plant(
        items,
        pages(opinions, "second-opinion"),
        [sha(f"spare {number}") for number in range(100)],
        broken=control,
        share=share,
        rng=np.random.default_rng(seed),
    )


def planted(items: Sequence[Item]) -> list[Kind]:
    """The kinds of the planted items, in order."""
    return [item.kind for item in items if item.kind in ("control", "second-opinion")]


@settings(max_examples=40)
@given(
    count=st.integers(0, 120),
    kind=st.sampled_from(KINDS),
    share=st.sampled_from([0.05, 0.1, 0.25, 0.5]),
    seed=st.integers(0, 99),
)
def test_share(count: int, kind: Kind, share: float, seed: int) -> None:
    """There is one planted item in each stretch of 1 / share; the others stay in order, each image is there once."""
    items = pages(count, kind)
    found = plant(items, share=share, seed=seed, opinions=200)
    stretch = round(1 / share)
    for start in range(0, len(found) - stretch + 1, stretch):
        assert len(planted(found[start : start + stretch])) == 1
    kept = {item.image_id for item in found}
    assert len(kept) == len(found)
    assert kept >= {item.image_id for item in items}
    left = [item for item in found if item.kind == kind]
    assert left == [item for item in items if item in left]


def test_turns() -> None:
    """Controls and second opinions take turns; where one kind is used up, the other goes on."""
    kinds = planted(plant(pages(180, "import")))
    assert len(kinds) >= 17
    assert abs(kinds.count("control") - kinds.count("second-opinion")) <= 1
    kinds = planted(plant(pages(90, "import"), opinions=2))
    assert kinds.count("second-opinion") == 2
    assert kinds.count("control") >= 6
    assert kinds[:4] in (["second-opinion", "control"] * 2, ["control", "second-opinion"] * 2)


def test_everyone_has_other_plants() -> None:
    """The same generator plants the same items at the same places, another one others elsewhere."""
    items = pages(60, "import")
    assert plant(items, seed=1) == plant(items, seed=1)
    places = {
        tuple(number for number, item in enumerate(plant(items, seed=seed)) if item.kind != "import")
        for seed in range(5)
    }
    assert len(places) == 5


def test_a_control_stands_where_its_image_would() -> None:
    """The next image that was accepted with its import is shown with broken labels, and comes back later."""
    items = pages(60, "import")
    found = plant(items, opinions=0)
    assert [item.image_id for item in found] == [item.image_id for item in items]
    assert 5 <= planted(found).count("control") <= 6
    # An image of the queue that nobody decided on has no known labels: a spare one is planted.
    assert {item.image_id for item in plant(pages(60, "awaiting"), opinions=0) if item.kind == "control"} <= {
        sha(f"spare {number}") for number in range(100)
    }


def test_a_control_cannot_be_made() -> None:
    """Where no labels can be broken, the queue stays as it is."""
    items = pages(30, "import")
    assert queue.plant(items, [], ["x"], broken=lambda _: None, share=0.5, rng=np.random.default_rng(0)) == items


def test_nothing_tells_a_plant() -> None:
    """A planted item gives a reason as the others around it do, and one with nothing to say is not taken first."""
    assert {item.reason for item in plant(pages(30, "import"))} == {
        "decided on before, worth another look; rare class rare (training boxes: 80)"
    }
    assert {item.reason for item in plant(pages(30, "awaiting"))} == {
        "nobody decided on it yet; rare class rare (training boxes: 80)"
    }
    telling = replace(KNOWN, disagreement={sha(f"second-opinion {number}"): 0.5 for number in range(3)})
    dull = queue.rank([candidate(f"second-opinion {number}", "second-opinion", 0) for number in range(30)], telling)
    found = queue.plant(
        pages(60, "import"), dull, [], broken=lambda _: None, share=0.1, rng=np.random.default_rng(0)
    )  # fmt: skip
    assert ["; " in item.reason for item in found if item.kind == "second-opinion"][:4] == [True, True, True, False]


def test_second_opinions_are_as_rare_as_what_is_around() -> None:
    """Among images of the rarest class, the second opinions are of that class too, as long as there are any."""
    around = pages(60, "awaiting", (2,)) + pages(60, "awaiting", (0,))
    opinions = pages(30, "second-opinion", (2,)) + [
        replace(item, image_id=sha(item.image_id)) for item in pages(30, "second-opinion", (0,))
    ]
    found = queue.plant(around, opinions, [], broken=lambda _: None, share=0.1, rng=np.random.default_rng(0))
    rarities = [item.rarity for item in found]
    assert rarities == sorted(rarities, reverse=True)
    assert len(planted(found)) >= 12


def test_without_plants() -> None:
    """A share of nought plants nothing, nor does an empty queue."""
    items = pages(20, "import")
    assert plant(items, share=0.0) == items
    assert plant([]) == []
