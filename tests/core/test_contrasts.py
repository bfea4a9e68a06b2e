"""Differences of figures with intervals."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from pipeline.core import contrasts
from pipeline.core.figures import Figure
from tests.builders import figure

COUNTS = st.integers(1, 200).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


def wilson(found: int, trials: int) -> Figure:
    """A proportion with Wilson's interval."""
    low, high = proportion_confint(found, trials, method="wilson")
    return Figure(value=found / trials, low=float(low), high=float(high), samples=trials)


@settings(max_examples=60)
@given(COUNTS, COUNTS)
def test_newcombe_is_the_oracle(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Of two proportions with Wilson's intervals, the difference has the interval of Newcombe's method 10."""
    found = contrasts.difference(wilson(*one), wilson(*other))
    low, high = confint_proportions_2indep(*one, *other, method="newcomb", compare="diff")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.value == pytest.approx(one[0] / one[1] - other[0] / other[1])


@settings(max_examples=60)
@given(COUNTS, COUNTS)
def test_turned_round(one: tuple[int, int], other: tuple[int, int]) -> None:
    """The difference the other way round is the same with its sign changed."""
    there, back = (contrasts.difference(wilson(*a), wilson(*b)) for a, b in ((one, other), (other, one)))
    assert there is not None
    assert back is not None
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


@pytest.mark.parametrize(
    "absent", [Figure(value=None, reason="no test box"), Figure(value=0.5), Figure(value=0.5, low=0.4)],
    ids=["no value", "no interval", "one end"],
)  # fmt: skip
def test_absent(absent: Figure) -> None:
    """A figure without value or interval has no difference to any other, and that is a figure with a reason."""
    assert contrasts.difference(absent, figure(0.5)) is None
    assert contrasts.difference(figure(0.5), absent) is None
    assert contrasts.as_figure(None).value is None
    assert contrasts.as_figure(None).reason


@pytest.mark.parametrize(
    ("width", "margin", "expected"),
    [(0.1, 0.1, True), (0.1, 0.3, False), (0.9, 0.1, False)],
    ids=["shown and enough", "under the margin", "not shown"],
)
def test_reaches(width: float, margin: float, *, expected: bool) -> None:
    """A difference counts when it is shown to be over nought and its estimate is at least the margin."""
    found = contrasts.difference(figure(0.7, width=width), figure(0.5, width=width))
    assert found is not None
    assert found.reaches(margin) is expected


def test_differences_of_differences() -> None:
    """A difference can be compared in its turn: intervals grow by square and add."""
    gap = contrasts.as_figure(contrasts.difference(figure(0.9, width=0.06), figure(0.6, width=0.08)))
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.3, 0.25, 0.35))
    grown = contrasts.difference(gap, gap)
    assert grown is not None
    assert (grown.value, grown.low, grown.high) == pytest.approx((0.0, -(0.005**0.5), 0.005**0.5))
