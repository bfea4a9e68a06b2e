"""Whether a larger share that does worse is seen."""

from __future__ import annotations

import pytest

from pipeline.core import comparisons, ratio_monotony
from pipeline.core.comparisons import Side
from pipeline.core.ratio_judging import Rule
from pipeline.core.ratio_monotony import Sides
from tests.night_builders import side

RULE = Rule(min_seeds=2, max_seeds=4, map_margin=0.05, recall_margin=0.1, alpha=0.05, levels=3)


def level(*values: float, found: int = 80) -> Side:
    """A level with a seed a value, which finds so many of 80 boxes."""
    hits = {"four": [number < found for number in range(80)], "six": []}
    first, *rest = (side("a", hits, value=value) for value in values)
    for one in rest:
        first = comparisons.joined(first, one)
    return first


@pytest.mark.parametrize(
    ("higher", "lower", "figures"),
    [
        pytest.param(level(0.7, 0.701), level(0.6, 0.601), [], id="less is worse"),
        pytest.param(level(0.6, 0.601), level(0.7, 0.701), ["mAP50-95"], id="more is worse"),
        pytest.param(level(0.7, 0.701, found=40), level(0.7, 0.701), ["recall of four"], id="more loses a class"),
        pytest.param(level(0.6, 0.8), level(0.7, 0.9), [], id="by chance"),
    ],
)
def test_check(higher: Side, lower: Side, figures: list[str]) -> None:
    """Only a larger share that does worse beyond chance contradicts; the pairs that were held are counted."""
    found = [Sides(share=0.25, side=lower), Sides(share=0.5, side=higher)]
    pairs, against = ratio_monotony.check(found, {1: "four"}, RULE)
    assert pairs == 1
    assert [(one.figure, one.higher, one.lower) for one in against] == [(name, 0.5, 0.25) for name in figures]


def test_one_level() -> None:
    """One level is no pair."""
    assert ratio_monotony.check([Sides(share=0.5, side=level(0.7, 0.7))], {}, RULE) == (0, ())
