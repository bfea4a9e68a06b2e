"""Settings follow object sizes, class counts and the time of a step."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import proposals
from pipeline.core.proposals import NANO, TINY, Numbers
from pipeline.core.surveys import ClassSurvey, Survey

COUNTS = Numbers(train=205, val=87, test=72)


def one(name: str, boxes: int = 100, *, small: float | None = 0.1, large: float | None = 0.2) -> ClassSurvey:
    """A class whose objects are so large, as fractions of the longer side."""
    return ClassSurvey(
        name=name, boxes={"train": boxes}, images=boxes, small=small, median=small, large=large, pixels=9
    )


def survey(*classes: ClassSurvey, side: int = 640, **changes: Any) -> Survey:
    """A source of such classes, all images of one size."""
    plain: dict[str, Any] = {
        "images": {"train": 205, "val": 87, "test": 72},
        "sides": (side, side, side),
        "measured": 364,
        "refused_images": 0,
        "refused_boxes": 0,
        "found_images": 364,
        "found_boxes": 100,
        "examples": (),
    }
    return Survey(classes=classes, **(plain | changes))


def test_the_smallest_class_decides_the_image_size() -> None:
    """From one and a half to three cells of stride 8 for the smaller quarter of the smallest class."""
    cells = survey(one("cell", small=0.15), one("platelet", small=0.055))
    sizes = proposals.image_sizes(cells)
    assert (sizes[0], sizes[-1]) == (448, 224)
    assert all(earlier - later == 32 for earlier, later in itertools.pairwise(sizes))


def test_a_handful_of_objects_does_not_decide_it() -> None:
    """A class of three objects has no say."""
    assert proposals.image_sizes(survey(one("cell", small=0.2), one("dust", 3, small=0.001)))[0] == 128


@given(
    st.lists(st.floats(min_value=1e-4, max_value=1), min_size=1, max_size=5), st.integers(min_value=8, max_value=20_000)
)
def test_image_sizes_can_be_trained(sizes: list[float], side: int) -> None:
    """Always one or more, falling, each a multiple of 32 in 64 to 1280, and no image is enlarged beyond need."""
    found = proposals.image_sizes(survey(*(one(str(n), small=size) for n, size in enumerate(sizes)), side=side))
    assert found == tuple(sorted(found, reverse=True))
    assert found
    assert all(size % 32 == 0 and 64 <= size <= 1280 for size in found)
    assert max(found) < max(side, 64) + 32


def test_the_model_encloses_the_largest_objects() -> None:
    """The net of one stride where all objects are small, the one of three where some are not."""
    cells = survey(one("cell", large=0.38))
    assert proposals.model(cells, 224) == TINY
    assert proposals.model(cells, 320) == NANO


def test_more_minutes_never_give_less() -> None:
    """With more time there are no fewer trainings' steps in all, and what fits says that it fits."""
    cells = survey(one("cell", small=0.15, large=0.38), one("platelet", small=0.055))

    def seconds(model: str, size: int, batch: int) -> float:
        return (0.5 if model == TINY else 0.7) * batch / 16 * (size / 224) ** 2

    before = 0
    for minutes in (5, 20, 60, 120, 300, 1000):
        found = proposals.choose(cells, COUNTS, minutes=minutes, gpu=False, seconds=seconds)
        work = found.steps * found.trainings * found.image_size**2
        assert work >= before
        before = work
        total = found.minutes(COUNTS)
        assert total is not None
        assert total <= minutes or (found.generations, found.image_size) == (1, 224)


def test_each_model_is_timed_once_and_the_choice_once_more() -> None:
    """Probes take time themselves: one a model, at its smallest size, and one of what is proposed."""
    cells = survey(one("cell", small=0.15, large=0.38), one("platelet", small=0.055))
    asked = []

    def seconds(model: str, size: int, _: int) -> float:
        asked.append((model, size))
        return 0.1

    found = proposals.choose(cells, COUNTS, minutes=10_000, gpu=False, seconds=seconds)
    assert found.image_size == 448
    assert asked == [(NANO, 256), (NANO, 448)]
    asked.clear()
    proposals.choose(cells, COUNTS, minutes=1, gpu=False, seconds=seconds)
    assert asked == [(NANO, 256), (TINY, 224)]


def test_without_a_limit_nothing_is_timed() -> None:
    """The data alone decide, and no minutes are told."""

    def never(*_: object) -> float:
        raise AssertionError

    found = proposals.choose(survey(one("cell")), COUNTS, minutes=None, gpu=False, seconds=never)
    assert (found.generations, found.minutes(COUNTS), found.minutes_a_generation(COUNTS)) == (3, None, None)


def test_few_images_make_a_small_batch() -> None:
    """A batch is no larger than the training split."""
    found = proposals.choose(survey(one("cell")), Numbers(train=7, val=1, test=2), minutes=None, gpu=True, seconds=_no)
    assert found.batch == 4


def _no(*_: object) -> float:
    raise AssertionError


def test_runs_are_those_of_both_arms() -> None:
    """Generation by generation, each on the one before it in its arm."""
    found = proposals.runs(2)
    assert list(found) == ["guarded-1", "recursive-1", "guarded-2", "recursive-2"]
    assert [run.previous for run in found.values()] == ["base", "base", "guarded-1", "recursive-1"]


@pytest.mark.parametrize(
    ("boxes", "rare"),
    [
        pytest.param([900, 60, 40], {"c1", "c2"}, id="a tail"),
        pytest.param([500, 500], {"c1", "c0"}, id="two alike"),
        pytest.param([500, 300, 200], {"c2"}, id="no small share"),
        pytest.param([500], set[str](), id="one class"),
        pytest.param(list(range(10, 90)), {f"c{n}" for n in range(10)}, id="eighty classes"),
    ],
)
def test_rare_classes(boxes: list[int], rare: set[str]) -> None:
    """The tail is rare; of classes alike, the least common by name; of very many, the ten rarest."""
    source = survey(*(one(f"c{number}", count) for number, count in enumerate(boxes)))
    share = proposals.rare_share(source, 0.1)
    named = set(proposals.rare_classes(source, share))
    under = {each.name for each in source.classes if (source.share(each) or 0) < share}
    assert under | named <= rare
    assert (under | named == rare) or len(named) == 1


@pytest.mark.parametrize(
    ("names", "mirrored"),
    [
        pytest.param(["cat", "dog"], True, id="animals"),
        pytest.param(["turn left", "turn right"], False, id="sides"),
        pytest.param(["A", "B"], False, id="letters"),
        pytest.param(["7", "12"], False, id="numbers"),
        pytest.param(["bright", "stone"], True, id="words that hold others"),
    ],
)
def test_what_may_be_mirrored(names: list[str], mirrored: bool) -> None:  # noqa: FBT001
    """Classes with sides, letters and digits are not mirrored."""
    assert proposals.flips(survey(*map(one, names))) is mirrored
