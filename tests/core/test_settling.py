"""How many boxes would settle a verdict: by drawing them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import settling, statistics
from pipeline.core.settling import Rule

RULE = Rule(margin=0.1, alpha=0.05, level=0.02, trainings=1)


def power(boxes: int, rule: Rule, *, lost: float, gained: float, trials: int = 400) -> float:
    """How often a drawn test split settles it, in each of the trainings that have to."""
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(boxes, [lost, gained, 1 - lost - gained], size=(trials, rule.trainings))
    settled = 0
    for trainings in drawn.tolist():
        if lost - gained < rule.margin:
            one = trainings[0]
            settled += statistics.rules_out(one[0], one[1], boxes, margin=rule.margin, alpha=rule.alpha)
        else:
            settled += all(
                statistics.mcnemar_loss(one[0], one[1]) <= rule.level and (one[0] - one[1]) / boxes >= rule.margin
                for one in trainings
            )
    return settled / trials


@pytest.mark.parametrize(
    ("lost", "gained", "trainings"),
    [
        pytest.param(3, 3, 1, id="nothing-lost"),
        pytest.param(5, 3, 1, id="less-than-the-margin"),
        pytest.param(14, 2, 1, id="lost"),
        pytest.param(14, 2, 2, id="lost-and-confirmed"),
        pytest.param(30, 5, 2, id="much-lost"),
    ],
)
def test_boxes_have_the_power(lost: int, gained: int, trainings: int) -> None:
    """Drawn at the rates that were seen, as many boxes as are named settle the class in four draws of five."""
    rule = replace(RULE, trainings=trainings)
    need = settling.boxes_to_settle(lost, gained, 60, rule)
    assert need is not None
    named = max(need, 61)
    assert power(named, rule, lost=(lost + 0.5) / 61, gained=(gained + 0.5) / 61) >= 0.75
    if need > 90:
        assert power(need // 2, rule, lost=lost / 60, gained=gained / 60) < 0.8


@settings(max_examples=60)
@given(lost=st.integers(0, 30), gained=st.integers(0, 30), total=st.integers(60, 200))
def test_boxes_laws(lost: int, gained: int, total: int) -> None:
    """It is always more than there are; a stricter level, or a second training, asks for no fewer."""
    need = settling.boxes_to_settle(lost, gained, total, RULE)
    assert need is None or total < need <= settling.LIMIT
    for stricter in (replace(RULE, level=0.001), replace(RULE, trainings=2), replace(RULE, power=0.95)):
        more = settling.boxes_to_settle(lost, gained, total, stricter)
        assert more is None or (need is not None and more >= need)


def test_at_the_margin_no_number_settles() -> None:
    """A loss of just the margin is neither, with any number of boxes or images."""
    assert settling.boxes_to_settle(6, 0, 60, RULE) is None
    assert settling.images_to_settle(0.1, 0.02, 300, RULE) is None
    assert settling.images_to_settle(0.0999, 0.02, 300, RULE) is None


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.14], ids=["none", "half-the-margin", "more-than-the-margin"])
def test_images_have_the_power(loss: float) -> None:
    """Drawn about this loss, with the error that so many images have, four draws of five settle it."""
    need = settling.images_to_settle(loss, 0.05, 100, RULE)
    assert need is not None
    error = 0.05 * (100 / need) ** 0.5
    drawn = np.random.default_rng(6).normal(loss, error, size=4000)
    settled = drawn + 1.645 * error < 0.1 if loss < 0.1 else (drawn >= 0.1) & (drawn >= 2.054 * error)
    assert settled.mean() == pytest.approx(0.8, abs=0.04) or need == 101


def test_more_of_a_sure_thing_is_one_more() -> None:
    """Where a figure would nearly be settled, the answer is at least one more than there are."""
    assert settling.images_to_settle(0.0, 0.0001, 100, RULE) == 101


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        pytest.param({"margin": 0.0}, (1, 0, 10), id="no-margin"),
        pytest.param({"margin": 1.0}, (1, 0, 10), id="margin-of-all"),
        pytest.param({"alpha": 0.5}, (1, 0, 10), id="alpha-of-a-coin"),
        pytest.param({"level": 0.0}, (1, 0, 10), id="no-level"),
        pytest.param({"trainings": 3}, (1, 0, 10), id="three-trainings"),
        pytest.param({"power": 0.5}, (1, 0, 10), id="power-of-a-coin"),
        pytest.param({}, (6, 5, 10), id="more-than-all"),
        pytest.param({}, (-1, 0, 10), id="negative"),
        pytest.param({}, (0, 0, 0), id="no-boxes"),
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, float], counts: tuple[int, int, int]) -> None:
    """Numbers out of range raise."""
    with pytest.raises(ValueError, match=r"out of range|together at most all"):
        settling.boxes_to_settle(*counts, replace(RULE, **changes))  # type: ignore[arg-type]


def test_there_is_something_to_show_or_to_rule_out() -> None:
    """No boxes show a loss of nought, and none rule out a loss of the margin where it is there."""
    with pytest.raises(ValueError, match="wanted more than 0"):
        settling.boxes_to_show(0.0, 0.1, RULE)
    with pytest.raises(ValueError, match="wanted less than the margin"):
        settling.boxes_to_rule_out(0.1, 0.1, RULE)


@pytest.mark.parametrize("discordant", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("boxes", [0, 5, 40, 400, 4000])
def test_smallest_loss_is_the_edge(boxes: int, discordant: float) -> None:
    """So many boxes are enough for the smallest loss, and not for a hundredth less; more boxes see no less."""
    rule = settling.Rule(margin=0.1, alpha=0.05, level=0.003, trainings=2)
    found = settling.smallest_loss(boxes, discordant, rule)
    more = settling.smallest_loss(2 * boxes + 1, discordant, rule)
    assert found is None or (more is not None and more <= found)

    def enough(loss: float) -> bool:
        needed = settling.boxes_needed(loss, min(discordant + loss, 1.0), rule)
        return needed is not None and needed <= boxes

    if found is None:
        assert not enough(1.0)
    else:
        assert enough(found)
        assert found == pytest.approx(0.11) or not enough(found - 0.01)
