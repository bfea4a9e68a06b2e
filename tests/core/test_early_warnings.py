"""What is warned of before a model shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import early_warnings
from pipeline.core.audits import Audit
from pipeline.core.figures import Figure
from tests.builders import audit, class_figures, diversity, drift, duplication, figure, forecast, freshness

NEWER = "2026-02-28T12:00:00+00:00"
RECURSIVE: dict[str, Any] = {"real_images": 0, "synthetic_images": 100, "lineage": {"1": 0, "3": 100}}
ABSENT = Figure(value=None, reason="too few objects")


def names(run: Audit, **options: int) -> list[str]:
    """Names of the warnings."""
    return [one.name for one in early_warnings.warn(audit(), run, **options)]


def text(run: Audit, name: str) -> str:
    """The text of one warning."""
    return {one.name: one.text for one in early_warnings.warn(audit(), run)}[name]


def test_nothing_to_warn_of() -> None:
    """A run that keeps all real images, and the base itself, are warned of nothing."""
    assert names(audit("guarded-1")) == []
    assert names(audit()) == []


def test_names_are_fixed() -> None:
    """The names that gate.fail_on may hold are lower-case words with hyphens, each once."""
    assert len(set(early_warnings.NAMES)) == len(early_warnings.NAMES) == 7
    assert all(name.replace("-", "").isalpha() and name.islower() for name in early_warnings.NAMES)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"near_share": figure(0.3)}, True),
        ({"near_share": figure(0.3), "expected": figure(0.28)}, False),
        ({"near_share": figure(0.06, width=0.01)}, False),
        ({"near_share": figure(0.3, width=0.7)}, False),
        ({"near_share": ABSENT, "expected": ABSENT}, False),
    ],
    ids=["more than real ones", "as real ones", "hardly more", "not shown", "not known"],
)
@pytest.mark.parametrize("level", ["image", "object"])
def test_near_copies(level: Any, change: dict[str, Any], *, expected: bool) -> None:
    """Near copies are warned of at either level where there are more of them than among real ones."""
    run = audit("guarded-1", duplication=(duplication(level, **change),))
    assert names(run) == (["near-copies"] if expected else [])
    if expected:
        assert text(run, "near-copies") == (
            f"30% of the synthetic {level}s are near copies of another one, 2% of as many real ones."
        )


@pytest.mark.parametrize(
    ("coverage", "real", "expected"),
    [
        (figure(0.5), 0, True), (figure(0.5), 100, False), (figure(0.5), 5, True), (figure(0.5), 60, False),
        (figure(0.95), 0, False), (ABSENT, 0, False),
    ],
    ids=["nothing real", "all real", "hardly any real", "most real", "as real ones", "not known"],
)  # fmt: skip
def test_low_coverage(coverage: Figure, real: int, *, expected: bool) -> None:
    """Low coverage is warned of as far as real images do not make up for it."""
    run = audit("guarded-1", diversity=(diversity(coverage=coverage),), real_images=real)
    assert ("low-coverage" in names(run)) is expected


def test_low_coverage_of_a_class() -> None:
    """The class that is not covered is named, with what real objects would cover."""
    run = audit(
        "wild-1", diversity=(diversity(coverage=figure(1.0)), diversity("lynx", coverage=figure(0.2))), **RECURSIVE
    )
    assert text(run, "low-coverage").endswith(": 20% of lynx. As many real ones would cover 97%.")


def test_low_coverage_of_several() -> None:
    """What real objects would cover is said once: a share, or the least and the most."""
    lynx, wolf = (diversity(name, coverage=figure(0.2)) for name in ("lynx", "wolf"))
    told = text(audit("wild-1", diversity=(lynx, wolf), **RECURSIVE), "low-coverage")
    assert told.endswith(": 20% of lynx, 20% of wolf. As many real ones would cover 97%.")
    few = replace(wolf, samples=6)
    told = text(audit("wild-1", diversity=(lynx, few), **RECURSIVE), "low-coverage")
    assert told.endswith(": 20% of lynx, 20% of wolf. As many real ones would cover 97% to 100%.")


def test_coverage_counts_only_what_is_trained_on() -> None:
    """A run without a synthetic image is not warned of what its generator covers."""
    run = audit("real-1", diversity=(diversity(coverage=figure(0.1)),), real_images=10, synthetic_images=0)
    assert names(run) == []


@settings(max_examples=60)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 20))
def test_covered_is_a_share(coverage: float, kept: float, neighbours: int) -> None:
    """Real images only add to what synthetic ones cover; all of them cover everything."""
    found = early_warnings.covered(coverage, kept=kept, neighbours=neighbours)
    assert coverage - 1e-9 <= found <= 1
    assert early_warnings.covered(coverage, kept=1, neighbours=neighbours) == 1
    assert early_warnings.covered(coverage, kept=0, neighbours=neighbours) == pytest.approx(coverage)


@pytest.mark.parametrize("k", [1, 3])
def test_kept_real_objects_cover_their_neighbours(k: int) -> None:
    """A real object is covered when it or one of its k neighbours is kept, or a synthetic one is near: counted."""
    rng = np.random.default_rng(1)
    kept, near = rng.random((20_000, k + 1)) < 0.3, rng.random(20_000) < 0.2
    found = early_warnings.covered(0.2, kept=0.3, neighbours=k)
    assert found == pytest.approx((kept.any(axis=1) | near).mean(), abs=0.015)


@pytest.mark.parametrize(("samples", "k"), [(12, 3), (40, 5)], ids=["few", "more"])
def test_usual_coverage_is_what_equal_samples_have(samples: int, k: int) -> None:
    """Two samples of one distribution cover one another as often as is said: drawn and counted."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        real, other = rng.normal(size=(2, samples, 3))
        among = np.sort(np.linalg.norm(real[:, None] - real[None], axis=2), axis=1)
        across = np.linalg.norm(real[:, None] - other[None], axis=2)
        shares.append((across.min(axis=1) <= among[:, k]).mean())  # column 0 is the object itself
    error = float(np.std(shares)) / len(shares) ** 0.5
    assert early_warnings.usual_coverage(samples, neighbours=k) == pytest.approx(np.mean(shares), abs=4 * error)


@pytest.mark.parametrize(
    ("boxes", "warning", "expected"),
    [((500, 100), True, ["vanishing-class"]), ((500, 100), False, []), ((500, 0), True, [])],
    ids=["within the horizon", "later", "already gone"],
)
def test_vanishing_class(boxes: tuple[int, ...], expected: list[str], *, warning: bool) -> None:
    """A class that is forecast to have too few boxes is warned of with its forecast; one that has none is absent."""
    soon = Figure(value=4.0, low=3.0, high=6.0, samples=1000)
    half_life = Figure(value=1.5, low=1.0, high=2.0, samples=2)
    one = forecast("lynx", boxes=boxes, warning=warning, generation=soon, half_life=half_life)
    run = audit("wild-1", forecasts=(one, forecast("cat")))
    assert names(run) == expected
    if expected:
        assert text(run, "vanishing-class") == (
            "class lynx: share halves every 1.5 generations; under 20 training boxes in generation 4 (3 to 6)."
        )


def test_absent_class() -> None:
    """A class that the base was trained on, and the run is not, is named; one that nobody was trained on is not."""
    base = audit(classes=(class_figures("cat"), class_figures("lynx"), class_figures("yeti", training_boxes=0)))
    run = audit("wild-1", classes=tuple(class_figures(name, training_boxes=0) for name in ("cat", "lynx", "yeti")))
    found = early_warnings.warn(base, run)
    assert [(one.name, one.text) for one in found] == [
        ("absent-class", "The training data has no box of cat and lynx.")
    ]


def test_no_real_data() -> None:
    """Training data without a real image is warned of with the depth of its lineage."""
    told = text(audit("wild-1", **RECURSIVE), "no-real-data")
    assert (
        told
        == "None of the 100 training images is real; their lineage is up to 3 deep, and grows with each generation."
    )


@pytest.mark.parametrize(
    ("change", "synthetic", "expected"),
    [
        ({"effect": -0.9, "p_value": 1e-9}, 300, True),
        ({"effect": 0.9, "p_value": 1e-9}, 300, True),
        ({"effect": -0.9, "p_value": 1e-9}, 33, False),
        ({"effect": -0.9, "p_value": 0.1}, 300, False),
        ({"effect": -0.5, "p_value": 1e-9}, 300, False),
        ({"effect": -0.9, "p_value": 1e-9, "quantity": "objects an image"}, 300, False),
    ],
    ids=["blurred", "sharpened", "mostly real", "not shown", "small among all", "no pixels"],
)
def test_pixel_drift(change: dict[str, Any], synthetic: int, *, expected: bool) -> None:
    """Pixels that lie far from real ones are warned of as far as they are trained on."""
    run = audit("guarded-1", drift=(drift(**change),), real_images=100, synthetic_images=synthetic)
    assert names(run) == (["pixel-drift"] if expected else [])


@pytest.mark.parametrize(
    ("generation", "change", "expected"),
    [
        (1, {"verified": 0, "newest": None}, True),
        (7, {}, True),
        (6, {}, False),
        (7, {"newest": NEWER}, False),
        (7, {"newest": None}, False),
    ],
    ids=["none verified", "none for long", "none for short", "new ones", "times not known"],
)
def test_no_fresh_images(generation: int, change: dict[str, Any], *, expected: bool) -> None:
    """A run without verified images, or without new ones for seven generations, is warned of."""
    run = audit("guarded-1", generation=generation, freshness=freshness(**change))
    assert names(run) == (["no-fresh-images"] if expected else [])


def test_stale_is_the_callers() -> None:
    """How many generations are too many is the caller's to say."""
    run = audit("guarded-2", generation=2)
    assert names(run) == []
    assert names(run, stale=2) == ["no-fresh-images"]


def test_order_is_that_of_the_names() -> None:
    """However many there are, warnings come in the order of their names, each once."""
    run = audit(
        "wild-9",
        generation=9,
        classes=(class_figures(training_boxes=0),),
        duplication=(duplication("image", near_share=figure(0.9)), duplication("object", near_share=figure(0.9))),
        diversity=(diversity(coverage=figure(0.1)),),
        drift=(drift(effect=-0.9, p_value=1e-9),),
        forecasts=(forecast(warning=True), forecast("two", warning=True)),
        freshness=freshness(verified=0),
        **RECURSIVE,
    )
    assert tuple(names(run)) == early_warnings.NAMES
