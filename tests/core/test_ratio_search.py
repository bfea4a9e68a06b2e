"""Which share is tried next: error, cost, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import ratio_search
from pipeline.core.ratio_search import Outcome, Tried

ALPHA = 0.05


def walk(levels: int, outcomes: list[Outcome]) -> list[Tried]:
    """Go through the grid with these outcomes, in order, to its end."""
    tried: list[Tried] = []
    while (found := ratio_search.following(levels, tried, alpha=ALPHA)) is not None:
        tried.append(Tried(position=found.position, outcome=outcomes[len(tried)]))
    return tried


def worst_error(levels: int, first_inferior: int, tried: tuple[Tried, ...] = ()) -> float:
    """Probability of calling an inferior level non-inferior, where tests use their alpha up and miss nothing else."""
    found = ratio_search.following(levels, tried, alpha=ALPHA)
    if found is None:
        return 0.0
    inferior = found.position >= first_inferior
    outcome: Outcome = "open" if inferior else "non-inferior"
    on = worst_error(levels, first_inferior, (*tried, Tried(position=found.position, outcome=outcome)))
    return found.alpha + (1 - found.alpha) * on if inferior else on


@pytest.mark.parametrize("levels", [1, 2, 3, 5, 7, 15])
def test_alpha_holds_wherever_the_truth_lies(levels: int) -> None:
    """Wherever the first inferior level is, the error is at most alpha, and nearly all of it where all are inferior."""
    errors = [worst_error(levels, first) for first in range(levels + 1)]
    assert max(errors) <= ALPHA
    assert errors[0] > 0.98 * ALPHA
    assert errors[-1] == 0


def test_a_fixed_sequence_going_down() -> None:
    """What is shown leads down, and nothing of alpha is used up; the last level gets all of it."""
    found = [ratio_search.following(7, walk(7, ["non-inferior"] * 3)[:number], alpha=ALPHA) for number in range(3)]
    assert [one.position for one in found if one] == [3, 5, 6]
    assert [one.alpha for one in found if one] == pytest.approx([ALPHA / 3, ALPHA / 2, ALPHA])


def test_a_failure_costs_its_alpha() -> None:
    """After a failure the way leads up, with what is left of alpha."""
    tried = [Tried(position=3, outcome="inferior")]
    found = ratio_search.following(7, tried, alpha=ALPHA)
    assert found
    assert found.position == 1
    assert found.alpha == pytest.approx((ALPHA - ALPHA / 3) / 2)


@given(st.integers(1, 40), st.lists(st.sampled_from(["non-inferior", "inferior", "open"]), min_size=6, max_size=6))
def test_the_end(levels: int, outcomes: list[Outcome]) -> None:
    """After few tests nothing is left between the smallest level that was shown and the next that was not."""
    tried = walk(levels, outcomes)
    assert len(tried) <= ratio_search.most_tests(levels)
    shown = ratio_search.smallest(tried)
    failed = min((one.position for one in tried if one.outcome != "non-inferior"), default=levels)
    assert failed == (-1 if shown is None else shown) + 1
    worse = ratio_search.largest_inferior(tried)
    assert worse is None or shown is None or worse > shown


def test_another_way_is_refused() -> None:
    """What this search would not have tried is no history of it."""
    with pytest.raises(ValueError, match="not on the way"):
        ratio_search.following(7, [Tried(position=6, outcome="open")], alpha=ALPHA)
