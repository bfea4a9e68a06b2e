"""A run beside a baseline: the figures, what is refused, and that rows may come in any order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import comparisons, statistics
from pipeline.core.comparisons import Comparison, Side
from pipeline.core.errors import UserError
from tests.night_builders import IMAGES, boxes, first, replicates, side

RARE = {1: "four", 2: "six"}


def compare(base: Side, run: Side) -> list[Comparison]:
    """The family of one baseline."""
    return comparisons.compare(base, run, RARE, map_margin=0.05, recall_margin=0.1, alpha=0.05)


def pair(*, four: tuple[int, int, int, int] = (80, 70, 0, 0), value: float = 0.7) -> tuple[Side, Side]:
    """A base and a run: boxes of `four` in all, found by the base, lost and gained; `six` has none."""
    total, found, lost, gained = four
    before, after = first(total, found, lost=lost, gained=gained)
    return side("base", {"four": before, "six": []}), side("guarded-1", {"four": after, "six": []}, value=value)


def test_figures() -> None:
    """Counts, values and bounds are those of the boxes; a class without boxes has nothing."""
    mean, four, six = compare(*pair(four=(80, 70, 9, 2), value=0.66))
    assert (four.figure, four.baseline, four.samples, four.lost, four.gained) == ("recall of four", "base", 80, 9, 2)
    assert (four.base, four.run) == (70 / 80, 63 / 80)
    assert four.low is not None
    assert four.high is not None
    tango = statistics.paired_loss_interval(9, 2, 80, confidence=0.9)
    assert four.low <= tango.low < 7 / 80 < tango.high <= four.high
    assert (six.base, six.low, six.samples, six.evidence.loss) == (None, None, 0, None)
    assert (mean.figure, mean.samples, mean.lost) == ("mAP50-95", IMAGES, None)
    assert mean.evidence.loss == pytest.approx(0.04)
    assert mean.error == pytest.approx(0.005 * 2**0.5, rel=0.15)


def test_joined_trainings_are_means() -> None:
    """Two trainings side by side: the value is their mean, and lost boxes are means over pairs of trainings."""
    base, run = pair(four=(80, 80, 8, 0))
    other = pair(four=(80, 80, 24, 0), value=0.6)[1]
    both = comparisons.joined(run, other)
    mean, four, _ = compare(base, both)
    assert both.trainings == 2
    assert four.run == pytest.approx(64 / 80)
    assert four.lost == pytest.approx(16)
    assert mean.run == pytest.approx(0.65)
    assert "variance between trainings" in four.method


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_is_of_no_account(order: object) -> None:
    """The rows of a table in another order are the same test boxes."""
    base, run = pair(four=(30, 25, 5, 2))
    rows = list(range(30))
    order.shuffle(rows)  # type: ignore[attr-defined]
    table = pd.DataFrame({"map50_95": replicates(0.7, seed=9)})
    shuffled = boxes({"four": run.found[:, 0].tolist()}).iloc[rows]
    assert compare(base, comparisons.side("guarded-1", shuffled, table, (0.7,), images=IMAGES)) == compare(base, run)


def test_too_few_replicates_say_nothing() -> None:
    """Where mAP is not there in nearly all resamples, its loss has no error, so it is neither shown nor ruled out."""
    base, run = pair()
    drawn = np.where(np.arange(200) < 20, replicates(0.7), np.nan)
    few = comparisons.side(
        "guarded-1", boxes({"four": run.found[:, 0].tolist()}), pd.DataFrame({"map50_95": drawn}), (0.7,), images=IMAGES
    )
    mean = compare(base, few)[0]
    assert (mean.base, mean.low, mean.high) == (0.7, None, None)
    assert not mean.evidence.excluded
    assert mean.evidence.p_value is None


@pytest.mark.parametrize("lacking", ["boxes", "replicates"])
def test_tables_of_other_trainings_are_refused(lacking: str) -> None:
    """A run of two trainings needs both in each table; one that lacks the second is an error."""
    table = boxes({"four": [True, False]})
    drawn = pd.DataFrame({"map50_95": replicates(0.7)})
    if lacking == "replicates":
        table["found_1"] = True
    else:
        drawn["map50_95_1"] = 0.7
    with pytest.raises(UserError, match=r"audit of base is of 2 trainings.*dvc repro -f"):
        comparisons.side("base", table, drawn, (0.7, 0.7), images=IMAGES)


@pytest.mark.parametrize("other", [(81, 70, 0, 0), (79, 70, 0, 0)], ids=["one-more", "one-less"])
def test_other_test_boxes_are_refused(other: tuple[int, int, int, int]) -> None:
    """Runs that were not asked for the same boxes cannot be compared."""
    with pytest.raises(UserError, match=r"base and guarded-1 have other test boxes"):
        compare(pair()[0], pair(four=other)[1])


def test_other_resamples_are_refused() -> None:
    """Replicates are pairs: as many on either side."""
    base, _ = pair()
    run = side("guarded-1", {"four": base.found[:, 0].tolist()}, count=100)
    with pytest.raises(UserError, match="have 200 and 100 resamples"):
        compare(base, run)
