"""How near the match table's mAP comes to the real one: on the same splits, from the predictions themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core import evaluation, metrics, rng
from pipeline.core.evaluation import Evaluated
from studies.calibration import draws
from studies.calibration.draws import Split
from studies.calibration.matches import Floats, Ints, MatchTable

SPLITS = 240  # splits whose mAP is computed for each training
BOOTSTRAPS = 12  # of these splits, those on which the bootstrap is run too
REPLICATES = 400
SIZES = (20, 60, 200)


def compare(table: MatchTable, seen: Sequence[Evaluated], *, seed: int) -> dict[str, float]:
    """Compare mAP50-95 of the table with that of the predictions, on splits as the simulation draws them.

    Returns:
        Over splits and pairs of trainings, of the difference of two trainings' mAP: `correlation` of the table's with
        the real one, `slope` of the real one on the table's, and `rest`, the standard deviation of what is left. And
        `error_ratio`: the table's bootstrap error over that of real bootstrap replicates, the mean over splits.
    """
    source = rng.generator(seed, "calibration", "checks")
    splits = [
        draws.draw_split(
            table, number % len(table.rare), boxes=SIZES[number // len(table.rare) % len(SIZES)], rng=source
        )
        for number in range(SPLITS)
    ]
    weights = np.stack([_weights(split.draws, table.images) for split in splits])
    real = np.stack([_mean_precision(one, weights) for one in seen], axis=1)
    everyone = np.arange(table.trainings)
    ours = np.stack([draws.see(table, split, everyone, iou=next(iter(table.found))).mean for split in splits])
    one, other = np.triu_indices(table.trainings, k=1)
    real_difference, difference = (real[:, one] - real[:, other]).ravel(), (ours[:, one] - ours[:, other]).ravel()
    slope = float(real_difference @ difference / (difference @ difference))
    ratios = [_error_ratio(table, seen, splits[number], pair=number, source=source) for number in range(BOOTSTRAPS)]
    return {
        "splits": SPLITS,
        "correlation": float(np.corrcoef(real_difference, difference)[0, 1]),
        "slope": slope,
        "spread": float(real_difference.std()),
        "rest": float((real_difference - slope * difference).std()),
        "error_ratio": float(np.mean(ratios)),
    }


def _weights(chosen: Ints, images: int) -> Ints:
    return np.bincount(chosen, minlength=images)


def _mean_precision(one: Evaluated, weights: Ints) -> Floats:
    return evaluation.mean_precision(metrics.average_precision(one.matches, weights=weights))[:, 0]


def _error_ratio(
    table: MatchTable, seen: Sequence[Evaluated], split: Split, *, pair: int, source: np.random.Generator
) -> float:
    """The table's error of a difference of two trainings' mAP, over that of bootstrap replicates of the split."""
    base, run = pair % table.trainings, (pair + 1) % table.trainings
    drawn = np.zeros((REPLICATES, table.images), dtype=np.int64)
    for stratum in np.unique(split.strata):
        members = split.draws[split.strata == stratum]
        for replicate in drawn:
            np.add.at(replicate, source.choice(members, size=members.size), 1)
    replicates = _mean_precision(seen[base], drawn) - _mean_precision(seen[run], drawn)
    found = draws.see(table, split, np.array([base, run]), iou=next(iter(table.found)))
    error = draws.error_of_mean(found.influence[:1], found.influence[1:], split.strata)
    return float(error[0] / replicates.std(ddof=1))
