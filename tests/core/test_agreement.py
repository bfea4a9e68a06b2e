"""How often reviewers are right, and who is held back: exact intervals, and nobody is wrong for coming second."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from pipeline.core import agreement
from pipeline.core.ledger import Entry
from tests.builders import sha
from tests.ledger_builders import FIXED, OTHER, SOURCE, A, entry, release, timed

JANUARY, FEBRUARY = "2026-01-31T23:59:59+00:00", "2026-02-01T00:00:00+00:00"


def controls(right: int, wrong: int, reviewer: str = "Ada") -> list[Entry]:
    """Answers to planted labels, the right ones first."""
    return [
        entry("control-right" if number < right else "control-wrong", reviewer, sha(f"plant {number}"), sha("broken"))
        for number in range(right + wrong)
    ]


def counts(rows: Sequence[Entry]) -> dict[str, tuple[int, int, int]]:
    """Right, total and undecided of each reviewer; all rows are of one month."""
    return {one.reviewer: (one.right, one.total, one.undecided) for one in agreement.agreement(rows)}


def test_by_month() -> None:
    """Each reviewer has a row for each month with an answer, by the time of the decision in UTC."""
    rows = [
        entry("control-right", "Bob", sha(1), time=JANUARY),
        entry("control-wrong", "Bob", sha(2), time=FEBRUARY),
        entry("control-right", "Ada", sha(1), time=FEBRUARY),
        entry("accept", "Ada", time=FEBRUARY),
    ]
    found = [(one.month, one.reviewer, one.right, one.total) for one in agreement.agreement(rows)]
    assert found == [("2026-01", "Bob", 1, 1), ("2026-02", "Ada", 1, 1), ("2026-02", "Bob", 0, 1)]


@settings(max_examples=40)
@given(right=st.integers(0, 40), wrong=st.integers(0, 40))
def test_interval(right: int, wrong: int) -> None:
    """The interval of the agreement is the exact one of statsmodels."""
    rows = controls(right, wrong)
    if not rows:
        assert agreement.agreement(rows) == []
        return
    (found,) = agreement.agreement(rows)
    low, high = proportion_confint(right, right + wrong, alpha=0.05, method="beta")
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        pytest.param([entry("accept")], {}, id="alone"),
        pytest.param([entry("accept"), entry("accept", "Bob")], {"Ada": (1, 1, 0), "Bob": (1, 1, 0)}, id="agree"),
        pytest.param([entry("reject"), entry("reject", "Bob")], {"Ada": (1, 1, 0), "Bob": (1, 1, 0)}, id="reject"),
        pytest.param(
            [entry("accept"), entry("reject", "Bob")], {"Ada": (0, 0, 1), "Bob": (0, 0, 1)}, id="nobody is wrong yet"
        ),
        pytest.param(
            [entry("accept"), entry("reject", "Bob"), entry("reject", "Cy")],
            {"Ada": (0, 1, 0), "Bob": (1, 1, 0), "Cy": (1, 1, 0)}, id="third decides against the first",
        ),
        pytest.param(
            [entry("accept"), entry("reject", "Bob"), entry("reject")],
            {"Ada": (1, 1, 0), "Bob": (1, 1, 0)}, id="changed mind",
        ),
        pytest.param(
            [entry("accept"), entry("relabel", "Bob", A, FIXED)],
            {"Ada": (0, 0, 1), "Bob": (0, 0, 1)}, id="accepted what another corrects",
        ),
        pytest.param([entry("reject"), entry("relabel", "Bob", A, FIXED)], {}, id="rejected what another corrects"),
        pytest.param([entry("accept"), entry("accept", "Bob", A, OTHER)], {}, id="the source's labels changed"),
        pytest.param([entry("accept"), entry("accept", "Bob"), entry("undo", "Bob")], {}, id="taken back"),
        pytest.param([*controls(1, 1), entry("undo", "Ada", sha("plant 1"), sha("broken"))],
                     {"Ada": (1, 1, 0)}, id="answer taken back"),
    ],
)  # fmt: skip
def test_second_opinions(rows: list[Entry], found: dict[str, tuple[int, int, int]]) -> None:
    """An opinion is right when more people share it than not; while two stand against each other nobody is wrong."""
    assert counts(rows) == found


@settings(max_examples=40)
@given(
    votes=st.lists(
        st.builds(
            entry,
            st.sampled_from(["accept", "reject"]),
            st.sampled_from(["Ada", "Bob", "Cy", "Di"]),
            st.sampled_from([sha(1), sha(2)]),
        ),
        max_size=10,
        unique_by=lambda one: (one.reviewer, one.image_id),
    ),
    data=st.data(),
)
def test_who_came_first_does_not_matter(votes: list[Entry], data: st.DataObject) -> None:
    """The agreement is the same in whatever order people decided."""
    assert counts(data.draw(st.permutations(votes))) == counts(votes)


def first_under(answers: Sequence[bool], least: float) -> int | None:
    """Number of answers after which statsmodels' upper bound falls under the least agreement."""
    for total in range(1, len(answers) + 1):
        if proportion_confint(sum(answers[:total]), total, alpha=0.05, method="beta")[1] < least:
            return total
    return None


@settings(max_examples=40)
@given(answers=st.lists(st.booleans(), max_size=40), least=st.sampled_from([0.5, 0.8, 0.95]))
def test_held_back_from_the_first_sure_answer_on(answers: list[bool], least: float) -> None:
    """A reviewer is held back at the first answer at which the exact upper bound is under the least agreement."""
    rows = [
        entry("control-right" if right else "control-wrong", "Ada", sha(number)) for number, right in enumerate(answers)
    ]
    found = agreement.held_back(rows, min_agreement=least)
    expected = first_under(answers, least)
    assert (found["Ada"].position + 1 if found else None) == expected
    if expected:
        assert (found["Ada"].right, found["Ada"].total) == (sum(answers[:expected]), expected)
        assert found["Ada"].high < least


def test_what_is_held_back_is_counted() -> None:
    """Held back are the reviewer's decisions after the answer, of whatever kind, and nobody else's."""
    rows = timed([entry("accept"), *controls(0, 3), entry("reject"), entry("accept", "Bob"), entry("accept")])
    (found,) = agreement.held_back(rows, min_agreement=0.8).values()
    assert (found.reviewer, found.since, found.decisions) == ("Ada", rows[3].time, 2)


def test_release() -> None:
    """After a release by another person the reviewer begins anew; one's own release, or another's, is none."""
    rows = controls(0, 4)
    assert list(agreement.held_back([*rows, release("Ada", by="Ada")], min_agreement=0.8)) == ["Ada"]
    assert list(agreement.held_back([*rows, release("Bob", by="Cy")], min_agreement=0.8)) == ["Ada"]
    assert agreement.held_back([*rows, release("Ada")], min_agreement=0.8) == {}
    again = [*rows, release("Ada"), *controls(0, 2)]
    assert agreement.held_back(again, min_agreement=0.8) == {}
    assert list(agreement.held_back([*again, *controls(0, 1)], min_agreement=0.8)) == ["Ada"]


def test_who_is_outvoted_is_held_back() -> None:
    """Second opinions count as planted labels do, once a third person has decided."""
    images = [sha(number) for number in range(4)]
    rows = [one for image in images for one in (entry("accept", "Ada", image), entry("reject", "Bob", image))]
    assert agreement.held_back(rows, min_agreement=0.8) == {}
    rows += [entry("reject", "Cy", image) for image in images]
    found = agreement.held_back(rows, min_agreement=0.8)
    assert {name: one.total for name, one in found.items()} == {"Ada": 3}
    assert rows[found["Ada"].position] == entry("accept", "Ada", images[2], SOURCE)
