"""Which images a run trains on: the ratio is met to the image, by every policy, or the run is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import manifest, mixing
from pipeline.core.errors import UserError
from pipeline.core.manifest import Row
from pipeline.core.mixing import Shares
from pipeline.core.schema import InvalidSection
from pipeline.core.sections import Arm, Mix, Policy
from tests.builders import row, synthetic_row

POLICIES: list[Policy] = list(get_args(Policy))
ARMS = st.builds(Arm, policy=st.sampled_from(POLICIES), ratio=st.integers(0, 100).map(lambda percent: percent / 100))
POOLING: tuple[Policy, ...] = ("accumulate", "accumulate-subsample")
ALL_REAL = Mix(total="all-real", min_real_a_class=0, min_support=20)


def real_rows(count: int) -> list[Row]:
    """Real images of class 0; every tenth has one box of class 1, every fiftieth one of class 2 too."""
    return [
        row(f"real {n}", boxes=((0, 2), *([(1, 1)] if n % 10 == 0 else []), *([(2, 1)] if n % 50 == 0 else [])))
        for n in range(count)
    ]


def synthetic_rows(count: int, generation: int = 1) -> list[Row]:
    """Synthetic images of one generation."""
    return [synthetic_row(f"synthetic {generation} {n}", generation=generation) for n in range(count)]


def rng(seed: int = 0) -> np.random.Generator:
    """A generator of its own for each draw."""
    return np.random.default_rng(seed)


def choose(real: list[Row], newest: list[Row], pool: list[Row], *further: Any, **named: Any) -> list[Row]:
    """The rows that are chosen of these."""
    first, second, third = (manifest.to_table(rows) for rows in (real, newest, pool))
    return manifest.to_rows(mixing.choose(first, second, third, *further, **named))


def origins(rows: list[Row]) -> Shares:
    """How many images of each origin were chosen."""
    synthetic = sum(one.origin == "synthetic" for one in rows)
    return Shares(real=len(rows) - synthetic, synthetic=synthetic)


def share(arm: Arm) -> float:
    """The arm's ratio, which is a number."""
    assert arm.ratio != "pool"
    return arm.ratio


@given(real=st.integers(0, 2000), arm=ARMS, total=st.just("all-real") | st.integers(1, 2000))
def test_ratio_is_met_to_the_image(real: int, arm: Arm, total: int | str) -> None:
    """No other number of synthetic images would be nearer to the ratio, and no real image is asked for twice."""
    mix = Mix(total=total, min_real_a_class=0, min_support=20)  # type: ignore[arg-type]
    try:
        found = mixing.shares(real, arm, mix)
    except UserError:
        assert isinstance(total, int)
        assert total - round(total * share(arm)) > real
        return
    assert found.real <= real
    if arm.ratio == 1:
        assert found == Shares(real=0, synthetic=real if total == "all-real" else int(total))
    elif total == "all-real" and arm.policy != "accumulate-subsample":
        assert found.real == real
        exact = real * share(arm) / (1 - share(arm))
        assert abs(found.synthetic - exact) <= 0.5 + 1e-9
    else:
        wanted = real if total == "all-real" else int(total)
        assert found.real + found.synthetic == wanted
        assert abs(found.synthetic - wanted * share(arm)) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("policy", "ratio", "total", "wanted"),
    [
        pytest.param("accumulate", 0.5, "all-real", Shares(real=640, synthetic=640), id="half, all real kept"),
        pytest.param("replace", 0.5, "all-real", Shares(real=640, synthetic=640), id="half of the newest"),
        pytest.param("replace", 1.0, "all-real", Shares(real=0, synthetic=640), id="synthetic only"),
        pytest.param("accumulate", 0.0, "all-real", Shares(real=640, synthetic=0), id="real only"),
        pytest.param("accumulate", 0.25, "all-real", Shares(real=640, synthetic=213), id="a quarter"),
        pytest.param("accumulate-subsample", 0.25, "all-real", Shares(real=480, synthetic=160), id="subsample"),
        pytest.param("accumulate", 0.25, 100, Shares(real=75, synthetic=25), id="fixed total"),
        pytest.param("accumulate-subsample", 1.0, 900, Shares(real=0, synthetic=900), id="fixed, synthetic only"),
    ],
)
def test_shares(policy: Policy, ratio: float, total: int, wanted: Shares) -> None:
    """The numbers of the default project and of studies, worked out by hand."""
    mix = Mix(total=total, min_real_a_class=0, min_support=20)
    assert mixing.shares(640, Arm(policy=policy, ratio=ratio), mix) == wanted


def test_too_few_real() -> None:
    """A total that asks for more real images than there are is refused, with what would help."""
    with pytest.raises(UserError, match=r"mix\.total is 100 and the ratio 0\.2: wanted 80 real images, there are 79"):
        mixing.shares(79, Arm(policy="accumulate", ratio=0.2), Mix(total=100, min_real_a_class=0, min_support=20))


@settings(max_examples=80)
@given(arm=ARMS, total=st.just("all-real") | st.integers(1, 60), seed=st.integers(0, 3))
def test_choice(arm: Arm, total: int | str, seed: int) -> None:
    """The chosen images are as many of each origin as wanted, each once, from the sets that the policy allows."""
    mix = Mix(total=total, min_real_a_class=0, min_support=20)  # type: ignore[arg-type]
    real, old, newest = real_rows(60), synthetic_rows(40), synthetic_rows(40, generation=2)
    try:
        wanted = mixing.shares(60, arm, mix)
        chosen = choose(real, newest, old + newest, arm, mix, rng(seed))
    except UserError as error:
        assert "generate.images" in str(error)  # noqa: PT017 - the other outcome is below
        return
    assert origins(chosen) == wanted
    assert len({one.image_id for one in chosen}) == len(chosen)
    if arm.policy == "replace":
        assert {one.generation for one in chosen} <= {0, 2}
    if total == "all-real" and arm.policy != "accumulate-subsample" and share(arm) < 1:
        assert [one for one in chosen if one.origin == "real"] == real
    assert choose(real, newest, old + newest, arm, mix, rng(seed)) == chosen


@pytest.mark.parametrize(("policy", "generations"), [("replace", {2}), ("accumulate", {1, 2})])
def test_newest_only_for_replace(policy: Policy, generations: set[int]) -> None:
    """Replace takes the newest generation alone; accumulate takes all of them."""
    old, newest = synthetic_rows(50), synthetic_rows(50, generation=2)
    chosen = choose(real_rows(40), newest, old + newest, Arm(policy=policy, ratio=0.5), ALL_REAL, rng())
    assert {one.generation for one in chosen if one.origin == "synthetic"} == generations


@pytest.mark.parametrize("policy", POLICIES)
def test_too_few_synthetic(policy: Policy) -> None:
    """Too few synthetic images are an error that says how many to generate: the ratio is never missed in silence."""
    arm = Arm(policy=policy, ratio=0.5)
    wanted = 20 if policy == "accumulate-subsample" else 40
    newest = synthetic_rows(wanted - 1)
    with pytest.raises(UserError, match=f"wants {wanted} synthetic images.*Raise generate.images to {wanted} or more"):
        choose(real_rows(40), newest, newest, arm, ALL_REAL, rng())


def holders(rows: list[Row]) -> Counter[int]:
    """How many real images have a box of each class."""
    return Counter(class_id for one in rows if one.origin == "real" for class_id, _ in one.boxes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("floor", [0, 2, 6, 50], ids=["no floor", "two", "six", "more than there are"])
def test_floor(floor: int, seed: int) -> None:
    """Each class keeps as many real images as the floor asks for, or all that it has; the ratio is still met."""
    real, made = real_rows(200), synthetic_rows(100)
    mix = Mix(total=100, min_real_a_class=floor, min_support=20)
    chosen = choose(real, made, made, Arm(policy="accumulate", ratio=0.4), mix, rng(seed))
    assert origins(chosen) == Shares(real=60, synthetic=40)
    have, kept = holders(real), holders(chosen)
    for class_id, number in have.items():
        assert kept[class_id] >= min(floor, number)


def test_floor_does_not_fit() -> None:
    """A floor that takes more real images than the mixture has room for is refused."""
    mix = Mix(total=10, min_real_a_class=20, min_support=20)
    made = synthetic_rows(20)
    with pytest.raises(UserError, match=r"min_real_a_class is 20: that takes 20 real images, .* room for 5"):
        choose(real_rows(200), made, made, Arm(policy="accumulate", ratio=0.5), mix, rng())


def test_no_real_at_all() -> None:
    """At a ratio of 1 the floor asks for nothing: the arm is meant to have no real image."""
    made = synthetic_rows(20)
    chosen = choose(
        real_rows(20),
        made,
        made,
        Arm(policy="replace", ratio=1),
        Mix(total=20, min_real_a_class=5, min_support=20),
        rng(),
    )
    assert origins(chosen) == Shares(real=0, synthetic=20)


def test_draws_differ() -> None:
    """Another generator draws other images."""
    made = synthetic_rows(100)
    one, other = (
        choose(real_rows(20), made, made, Arm(policy="accumulate", ratio=0.5), ALL_REAL, rng(seed)) for seed in (0, 1)
    )
    assert one != other


@settings(max_examples=60)
@given(
    refused=st.sets(st.integers(0, 59), max_size=30),
    policy=st.sampled_from(POLICIES),
    ratio=st.sampled_from([0.2, 0.5]),
)
def test_refused_images_are_passed_over(refused: set[int], policy: Policy, ratio: float) -> None:
    """Refused images are not drawn, their places are taken by others, and all that was drawn before stays."""
    real, pool = real_rows(30), synthetic_rows(60)
    arm, ids = Arm(policy=policy, ratio=ratio), {pool[n].image_id for n in refused}
    before = {one.image_id for one in choose(real, pool, pool, arm, ALL_REAL, rng())}
    after = {one.image_id for one in choose(real, pool, pool, arm, ALL_REAL, rng(), refused=list(ids))}
    assert not after & ids
    assert before - ids <= after
    assert len(after) == len(before)


@pytest.mark.parametrize(
    ("policy", "generations", "wanted"),
    [
        pytest.param("accumulate", 3, {4, 5, 6}, id="accumulate"),
        pytest.param("accumulate-subsample", 2, {5, 6}, id="subsample"),
        pytest.param("accumulate", 99, {1, 2, 3, 4, 5, 6}, id="all so far"),
        pytest.param("accumulate", 1, {6}, id="the newest alone"),
        pytest.param("replace", 3, {6}, id="replace"),
    ],
)
def test_the_pool_is_bounded(policy: Policy, generations: int, wanted: set[int]) -> None:
    """An accumulating arm draws from the newest so many generations; one that replaces, from the newest."""
    made = {one: [synthetic_row(f"{one}", generation=one)] for one in range(1, 7)}
    carried = manifest.to_table([])
    arm, mix = Arm(policy=policy, ratio=0.5), replace(ALL_REAL, generations=generations)
    for one, rows in made.items():
        carried = mixing.pool(carried, manifest.to_table(rows), arm, mix, generation=one)
    assert set(carried.numbers("generation")) == wanted


@settings(deadline=None)
@given(real=st.integers(0, 300), made=st.integers(0, 300), total=st.just("all-real") | st.integers(1, 700))
def test_as_they_come(real: int, made: int, total: int | str) -> None:
    """At the ratio pool, `accumulate` takes all images, and a draw of fixed size takes as many as it should."""
    mix = Mix(total=total, min_real_a_class=0, min_support=20)  # type: ignore[arg-type]
    for policy in POOLING:
        try:
            found = mixing.as_they_come(real, made, Arm(policy=policy, ratio="pool"), mix, rng())
        except UserError:
            assert isinstance(total, int)
            assert total > real + made
            continue
        if total == "all-real":
            assert found.real + found.synthetic == (real + made if policy == "accumulate" else real)
        else:
            assert found.real + found.synthetic == total
        assert 0 <= found.real <= real
        assert 0 <= found.synthetic <= made


def test_the_draw_is_fair() -> None:
    """In a draw of fixed size every image is as likely: real ones have their share of the pool, up to chance."""
    arm = Arm(policy="accumulate-subsample", ratio="pool")
    drawn = [mixing.as_they_come(100, 300, arm, ALL_REAL, rng(seed)).real for seed in range(200)]
    # 100 of 400, a quarter of them real: a variance of 100 x 1/4 x 3/4 x 300/399 = 14.1, so 25 +- 3 x 0.27 for the mean
    assert np.mean(drawn) == pytest.approx(25, abs=0.8)
    assert np.var(drawn) == pytest.approx(14.1, rel=0.35)


def test_all_of_it() -> None:
    """`accumulate` at the ratio pool trains on every image of every generation, as the literature has it."""
    old, newest, real = synthetic_rows(40), synthetic_rows(40, generation=2), real_rows(40)
    arm = Arm(policy="accumulate", ratio="pool")
    assert choose(real, newest, old + newest, arm, ALL_REAL, rng()) == [*real, *old, *newest]
    refused = [old[0].image_id]
    assert choose(real, newest, old + newest, arm, ALL_REAL, rng(), refused=refused) == [
        *real,
        *old[1:],
        *newest,
    ]


def test_a_draw_from_all_of_it() -> None:
    """`accumulate-subsample` at the ratio pool draws as many as there are real images, from all generations."""
    old, newest, real = synthetic_rows(60), synthetic_rows(60, generation=2), real_rows(60)
    arm = Arm(policy="accumulate-subsample", ratio="pool")
    chosen = choose(real, newest, old + newest, arm, ALL_REAL, rng())
    assert len(chosen) == len({one.image_id for one in chosen}) == 60
    assert {one.generation for one in chosen} == {0, 1, 2}
    assert choose(real, newest, old + newest, arm, ALL_REAL, rng()) == chosen
    assert choose(real, newest, old + newest, arm, ALL_REAL, rng(1)) != chosen


def test_more_than_there_is() -> None:
    """A total beyond all images is refused at the ratio pool, with what there is."""
    mix = Mix(total=100, min_real_a_class=0, min_support=20)
    with pytest.raises(UserError, match="total is 100 at the ratio pool: there are 40 real images and 59 synthetic"):
        mixing.as_they_come(40, 59, Arm(policy="accumulate-subsample", ratio="pool"), mix, rng())


def test_equal_at_a_fixed_total() -> None:
    """At a ratio that is a number and a total that is one, both accumulating policies draw the same images."""
    old, newest, real = synthetic_rows(30), synthetic_rows(30, generation=2), real_rows(40)
    mix = Mix(total=40, min_real_a_class=0, min_support=20)
    one, other = (choose(real, newest, old + newest, Arm(policy=policy, ratio=0.5), mix, rng()) for policy in POOLING)
    assert one == other


def test_replace_has_no_pool() -> None:
    """A `replace` arm cannot take images as they come: it has those of the newest generation alone."""
    with pytest.raises(InvalidSection, match="has no pool"):
        Arm(policy="replace", ratio="pool")
    with pytest.raises(ValueError, match="met by a draw"):
        mixing.shares(10, Arm(policy="accumulate", ratio="pool"), ALL_REAL)
