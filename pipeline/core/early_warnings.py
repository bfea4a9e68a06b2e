"""Early warnings: what a run's data says before its model shows it.

They are named, so that ``gate.fail_on`` can make one of them decide a verdict; by themselves they do not. Each is about
what the run trains on: where all real images are kept, a generator that blurs is no danger yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from pipeline.core import contrasts, forecasts, narrowing, symptoms
from pipeline.core.audits import Audit
from pipeline.core.figures import Diversity, Duplication, Forecast, Freshness
from pipeline.core.judgements import Warning as EarlyWarning
from pipeline.core.report_numbers import listed

Name = Literal[
    "near-copies",
    "low-coverage",
    "vanishing-class",
    "absent-class",
    "no-real-data",
    "pixel-drift",
    "no-fresh-images",
]
NAMES: tuple[Name, ...] = get_args(Name)

_NEAR = 0.05  # share of near copies over that of real items; the intervals take copies of one item for independent


def warn(base: Audit, run: Audit, *, neighbours: int = 5, stale: int = 7) -> tuple[EarlyWarning, ...]:
    """Warn of what the data of a run says.

    - ``near-copies``: more of the synthetic images or objects are near copies of one another than of as many real ones.
    - ``low-coverage``: the training data covers fewer real objects than as many real ones would.
    - ``vanishing-class``: a class is forecast to have too few boxes within the horizon, or has so already.
    - ``absent-class``: a class of the base run has no training box.
    - ``no-real-data``: no training image is real, so that lineage grows deeper each generation.
    - ``pixel-drift``: the pixels of the training data are far from those of real images.
    - ``no-fresh-images``: no training image is human-verified, or none was verified since the base run.

    Args:
        base: audit of the base run.
        run: audit of the run.
        neighbours: k of coverage, as in ``audit.neighbours``, at least 1.
        stale: generations without a newly verified image that are worth a warning.

    Returns:
        At most one of each name, in the order of :data:`NAMES`.
    """
    found: dict[Name, str] = {
        "near-copies": near_copies(run.duplication),
        "low-coverage": _low_coverage(base, run, neighbours),
        "vanishing-class": vanishing(run.forecasts),
        "absent-class": absent(
            {one.name: one.training_boxes for one in base.classes},
            {one.name: one.training_boxes for one in run.classes},
        ),
        "no-real-data": no_real_data(run.real_images, run.synthetic_images, symptoms.deepest(run)),
        "pixel-drift": _pixel_drift(run),
        "no-fresh-images": no_fresh_images(base.freshness, run.freshness, run.generation, stale=stale),
    }
    return tuple(EarlyWarning(name=name, text=text) for name, text in found.items() if text)


def covered(coverage: float, *, kept: float, neighbours: int) -> float:
    """Share of real objects that training data covers: kept real ones and synthetic ones together.

    A real object is not covered when it is not kept itself, none of its k nearest real neighbours is, and no synthetic
    one lies within their distance.

    Args:
        coverage: of synthetic objects alone, in [0, 1].
        kept: share of the real objects that is kept, drawn at random, in [0, 1].
        neighbours: k, at least 1.
    """
    return 1 - (1 - coverage) * (1 - kept) ** (neighbours + 1)


def usual_coverage(samples: int, *, neighbours: int) -> float:
    """Coverage that is expected of as many real objects as it is measured on, so of a perfect generator.

    Args:
        samples: objects of each kind, more than `neighbours`.
        neighbours: k, at least 1.

    Source: Naeem et al. 2020, ICML, the expectation of coverage on equal distributions: 1 - (N-1)…(N-k) /
    ((2N-1)…(2N-k)) for two samples of N.
    """
    steps = range(1, neighbours + 1)
    return 1 - math.prod((samples - step) / (2 * samples - step) for step in steps)


def near_copies(duplication: Sequence[Duplication]) -> str:
    """What is to be said of near copies among a run's synthetic images and objects; nothing if there is nothing."""
    told = []
    for one in duplication:
        more = contrasts.difference(one.near_share, one.expected)
        if more is not None and more.reaches(_NEAR):
            told.append(
                f"{one.near_share.value:.0%} of the synthetic {one.level}s are near copies of another one, "
                f"{one.expected.value:.0%} of as many real ones"
            )
    return f"{'; '.join(told)}." if told else ""


def _low_coverage(base: Audit, run: Audit, neighbours: int) -> str:
    kept = symptoms.kept_share(base, run)
    found = [_uncovered(one, kept, neighbours) for one in run.diversity] if run.synthetic_images else []
    few = [one for one in found if one]
    if not few:
        return ""
    shares, usual = ", ".join(now for now, _ in few), [one for _, one in few]
    wanted = " to ".join(dict.fromkeys(f"{one:.0%}" for one in (min(usual), max(usual))))
    return f"The training data covers too few of the real objects: {shares}. As many real ones would cover {wanted}."


def _uncovered(one: Diversity, kept: float, neighbours: int) -> tuple[str, float] | None:
    """What is covered of a class, in words, and the share that as many real objects would cover; None: enough is."""
    coverage = one.coverage
    if coverage.value is None or coverage.high is None:
        return None
    usual = usual_coverage(one.samples, neighbours=neighbours)
    if covered(coverage.high, kept=kept, neighbours=neighbours) >= usual:
        return None
    return f"{covered(coverage.value, kept=kept, neighbours=neighbours):.0%} of {one.name}", usual


def vanishing(expected: Sequence[Forecast]) -> str:
    """What is to be said of classes that still have boxes, and are forecast to have too few."""
    told = [forecasts.warning(one) for one in expected if one.warning and one.boxes[-1]]
    return f"{'; '.join(told)}." if told else ""


def absent(base: Mapping[str, int], run: Mapping[str, int]) -> str:
    """What is to be said of classes that had training boxes in the base run, and have none.

    Args:
        base: training boxes of the base run, by class name.
        run: training boxes of the run, by class name.
    """
    names = [name for name, boxes in run.items() if not boxes and base.get(name)]
    return f"The training data has no box of {listed(names)}." if names else ""


def no_real_data(real: int, synthetic: int, depth: int) -> str:
    """What is to be said of training data without a real image.

    Args:
        real: training images.
        synthetic: training images.
        depth: of the deepest lineage.
    """
    if real or not synthetic:
        return ""
    return (
        f"None of the {synthetic:,} training images is real; their lineage is up to "
        f"{depth} deep, and grows with each generation."
    )


def _pixel_drift(run: Audit) -> str:
    told = [
        f"{one.quantity} {narrowing.number(one.synthetic)}, of real ones {narrowing.number(one.real)}"
        for one in narrowing.drifted_pixels(run)
    ]
    if not told:
        return ""
    return f"The pixels of synthetic images are far from real ones (medians): {'; '.join(told)}."


def no_fresh_images(base: Freshness, run: Freshness, generation: int, *, stale: int = 7) -> str:
    """What is to be said of training data that nobody has verified anything of since the base run.

    Args:
        base: of the base run.
        run: of the run.
        generation: of the run.
        stale: generations without a newly verified image that are worth a warning.
    """
    if not run.verified:
        return "No training image is human-verified."
    newest, before = run.newest, base.newest
    if generation < stale or newest is None or before is None or newest > before:
        return ""
    return f"No training image was verified since the base run, {generation} generations ago; the newest: {newest}."
