"""Whether what was tried speaks against monotony: a larger share of real images that does worse than a smaller one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.core import comparisons, statistics
from pipeline.core.comparisons import Side
from pipeline.core.ratio_judging import Rule
from pipeline.core.ratio_records import Contradiction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """What the trainings of a level did on the test split, all seeds side by side."""

    share: float
    side: Side


def check(found: Sequence[Sides], rare: Mapping[int, str], rule: Rule) -> tuple[int, tuple[Contradiction, ...]]:
    """Hold each level that was tried against the next lower one, Holm-adjusted; gives the pairs, and what contradicts.

    That nothing contradicts is no proof: few levels are tried, and each with few seeds.
    """
    ordered = sorted(found, key=lambda one: -one.share)
    pairs = list(itertools.pairwise(ordered))
    tests = [
        (higher.share, lower.share, test)
        for higher, lower in pairs
        for test in comparisons.compare(
            lower.side, higher.side, rare, map_margin=rule.map_margin, recall_margin=rule.recall_margin,
            alpha=rule.alpha,
        )
    ]  # fmt: skip
    adjusted = statistics.holm(
        {number: test.evidence.p_value for number, (*_, test) in enumerate(tests) if test.evidence.p_value is not None}
    )
    return len(pairs), tuple(
        Contradiction(
            figure=tests[number][2].figure, higher=tests[number][0], lower=tests[number][1],
            loss=tests[number][2].evidence.loss or 0.0, p_value=p_value,
        )
        for number, p_value in adjusted.items()
        if p_value <= rule.alpha
    )  # fmt: skip
