"""Images are divided by identity, by the shares, whatever their order; a frozen test split stays as it is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import splits
from pipeline.core.errors import UserError
from pipeline.core.manifest import SPLITS, Row, Split
from tests.builders import row, sha

SHARES: dict[Split, float] = {"train": 0.7, "val": 0.1, "test": 0.2}
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Images:
    """Rows, and which of them are near duplicates of one another."""

    rows: list[Row]
    groups: list[list[int]]


@st.composite
def images(draw: st.DrawFn) -> Images:
    """Up to 40 images with boxes of up to five classes, some without a box, in groups of up to four."""
    contents = draw(
        st.lists(st.dictionaries(st.integers(0, 4), st.integers(1, 3), max_size=3), min_size=1, max_size=40)
    )
    rows = [row(f"{number}", boxes=tuple(sorted(boxes.items()))) for number, boxes in enumerate(contents)]
    order = draw(st.permutations(range(len(rows))))
    sizes = draw(st.lists(st.integers(1, 4), min_size=len(rows), max_size=len(rows)))
    ends = [end for end in itertools.accumulate(sizes) if end < len(rows)] + [len(rows)]
    starts = [0, *ends[:-1]]
    return Images([*rows], [sorted(order[start:end]) for start, end in zip(starts, ends, strict=True)])


def divide(given: Images, *, frozen: frozenset[str] = NONE, seed: int = 0) -> dict[str, Split]:
    """The split of each image id, at the usual shares."""
    return splits.stratified(given.rows, given.groups, shares=SHARES, frozen_test=frozen, seed=seed)


@settings(max_examples=60)
@given(images())
def test_groups_stay_together(given_: Images) -> None:
    """Every image is in one split, and near duplicates are in the same."""
    assigned = divide(given_)
    assert assigned.keys() == {one.image_id for one in given_.rows}
    for group in given_.groups:
        assert len({assigned[given_.rows[position].image_id] for position in group}) == 1


@settings(max_examples=60)
@given(images(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_order_does_not_matter(given_: Images, seed: int, random: object) -> None:
    """Rows, groups and members in any order are divided alike."""
    positions = list(range(len(given_.rows)))
    random.shuffle(positions)  # type: ignore[attr-defined]
    where = {old: new for new, old in enumerate(positions)}
    groups = [[where[position] for position in reversed(group)] for group in reversed(given_.groups)]
    shuffled = Images([given_.rows[old] for old in positions], groups)
    assert divide(shuffled, seed=seed) == divide(given_, seed=seed)


@settings(max_examples=60)
@given(images(), st.data())
def test_frozen_test(given_: Images, data: st.DataObject) -> None:
    """A frozen test split keeps its images and gets no other, not even their near duplicates."""
    ids = [one.image_id for one in given_.rows]
    frozen = frozenset(data.draw(st.sets(st.sampled_from(ids), min_size=1)))
    assigned = divide(given_, frozen=frozen)
    assert {image_id for image_id, split in assigned.items() if split == "test"} == frozen


def long_tailed(count: int, *, seed: int) -> list[Row]:
    """Images with one to four boxes of five classes, the last of them in one image of fifty or so."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(5, p=[0.5, 0.3, 0.13, 0.05, 0.02], size=rng.integers(1, 5)) for _ in range(count)]
    return [row(f"{seed}/{n}", boxes=tuple(sorted(Counter(map(int, one)).items()))) for n, one in enumerate(drawn)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1, 3], ids=["single images", "groups of three"])
def test_shares_of_each_class(seed: int, size: int) -> None:
    """Every class, rare ones most exactly of all, is divided by the shares, give or take a group."""
    rows = long_tailed(400, seed=seed)
    groups: Sequence[Sequence[int]] = [range(start, min(start + size, 400)) for start in range(0, 400, size)]
    assigned = splits.stratified(rows, groups, shares=SHARES, frozen_test=NONE, seed=seed)
    found: dict[Split, Counter[int]] = {split: Counter() for split in SPLITS}
    for one in rows:
        found[assigned[one.image_id]].update(dict(one.boxes))
    totals = sum(found.values(), Counter[int]())
    for split in SPLITS:
        for class_id, total in totals.items():
            # A class that is not an image's rarest goes where the rarer one takes it; hence a few per cent.
            assert abs(found[split][class_id] - SHARES[split] * total) <= 4 * size + 0.03 * total
        images_there = sum(split == here for here in assigned.values())
        assert abs(images_there - SHARES[split] * 400) <= 20


def test_rarest_class_is_everywhere() -> None:
    """Three images of a class are enough to have it in all splits when the shares are equal."""
    rows = [row(f"rare {number}", boxes=((1, 1),)) for number in range(3)]
    rows += [row(f"plain {number}") for number in range(30)]
    shares: dict[Split, float] = {"train": 1 / 3, "val": 1 / 3, "test": 1 / 3}
    groups = [[position] for position in range(33)]
    assigned = splits.stratified(rows, groups, shares=shares, frozen_test=NONE, seed=0)
    assert {assigned[one.image_id] for one in rows[:3]} == set(SPLITS)


def test_seed_moves_equal_images() -> None:
    """Among images that are alike, the seed decides."""
    given_ = Images([row(f"{number}") for number in range(40)], [[number] for number in range(40)])
    assert divide(given_, seed=0) != divide(given_, seed=1)
    assert Counter(divide(given_, seed=1).values()) == {"train": 28, "val": 4, "test": 8}


def test_share_of_nothing() -> None:
    """A split whose share is zero gets no image."""
    rows = [row(f"{number}") for number in range(10)]
    shares: dict[Split, float] = {"train": 1.0, "val": 0.0, "test": 0.0}
    groups = [[position] for position in range(10)]
    assert set(splits.stratified(rows, groups, shares=shares, frozen_test=NONE, seed=0).values()) == {"train"}


def test_frozen_and_nowhere_else_to_go() -> None:
    """With a frozen test split and no share for another, new images cannot be put anywhere: a person has to decide."""
    rows = [row("a"), row("b")]
    shares: dict[Split, float] = {"train": 0.0, "val": 0.0, "test": 1.0}
    with pytest.raises(UserError, match=r"the test split is frozen.*verify\.shares"):
        splits.stratified(rows, [[0], [1]], shares=shares, frozen_test=frozenset({sha("a")}), seed=0)


FROZEN = [row("a", split="test"), row("b", split="test")]


def test_lock_round_trip() -> None:
    """The lock names each image with its labels, sorted, below a comment."""
    text = splits.format_lock(FROZEN)
    assert text == splits.format_lock(FROZEN[::-1])
    assert text.startswith("# ")
    assert splits.parse_lock(text, "test.lock") == {one.image_id: one.label_digest for one in FROZEN}
    assert splits.parse_lock(text.replace("\n", "\r\n\n"), "test.lock") == splits.parse_lock(text, "test.lock")


@pytest.mark.parametrize("line", [sha("a"), f"{sha('a')} {sha('b')} x", "<<<<<<< HEAD"], ids=["one", "three", "merge"])
def test_lock_refused(line: str) -> None:
    """A line that is not two digests is named."""
    with pytest.raises(UserError, match=r"test\.lock line 2: wanted an image id and a label digest"):
        splits.parse_lock(f"# comment\n{line}\n", "test.lock")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([*FROZEN, row("c")], f"1 added (c {sha('c')[:12]})", id="added"),
        pytest.param(FROZEN[1:], f"1 missing or no longer verified ({sha('a')[:12]})", id="removed"),
        pytest.param(
            [replace(FROZEN[0], label_digest=sha("x")), FROZEN[1]],
            f"1 with other labels (a {sha('a')[:12]})",
            id="relabelled",
        ),
        pytest.param([row("c"), row("d"), row("e"), row("f"), *FROZEN], "4 added (", id="many added"),
    ],
)
def test_frozen_split_changed(rows: list[Row], message: str) -> None:
    """A test split that is not the frozen one is an error that says what changed and how to go on."""
    frozen = splits.parse_lock(splits.format_lock(FROZEN), "")
    with pytest.raises(UserError) as caught:
        splits.check_frozen(frozen, rows, "data/test.lock")
    assert message in str(caught.value)
    assert "tailwatch new-baseline" in str(caught.value)
    assert (" …)" in str(caught.value)) == (len(rows) > 5)


def test_frozen_split_unchanged() -> None:
    """The same images with the same labels, in any order, are the frozen split."""
    splits.check_frozen(splits.parse_lock(splits.format_lock(FROZEN), ""), FROZEN[::-1], "data/test.lock")
