"""Forecasts of classes that will have too few training boxes, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import forecasts, futures
from pipeline.core.errors import UserError
from pipeline.core.figures import Forecast
from pipeline.core.forecasts import Outlook
from pipeline.core.futures import Generation
from pipeline.core.statistics import clopper_pearson
from tests.core.test_futures import kept, replaced

HALVING = replaced((800, 160), (880, 80), (920, 40))


def forecast(history: list[Generation], *, need: int = 20, horizon: int = 10, seed: int = 0) -> tuple[Forecast, ...]:
    """Forecasts of an arm that replaces; classes are called by letters."""
    names = "abcdefgh"[: len(history[0].training)]
    rng = np.random.default_rng(seed)
    return forecasts.forecast(
        history, list(names), need=need, horizon=horizon, policy="replace", generations=1, rng=rng
    )


def test_a_halving_class() -> None:
    """40 boxes that halve each generation are 20 in the next and 10 in the one after: under 20 in generation 3 or 4."""
    common, rare = forecast(HALVING)
    assert rare.boxes == (160, 80, 40)
    assert rare.shares == pytest.approx((1 / 6, 1 / 12, 1 / 24))
    assert rare.half_life.value == pytest.approx(1, abs=0.1)
    assert rare.half_life.low is not None
    assert rare.half_life.high is not None
    assert rare.half_life.low < 1 < rare.half_life.high
    assert rare.generation.value in (3, 4)
    assert rare.warning
    assert not common.warning
    assert common.generation.value is None
    assert "keeps 20 boxes" in common.generation.reason


def test_wide_with_two_points_narrower_with_five() -> None:
    """The interval of a half-life narrows as generations of the same pace are added."""
    counts = [(2000, round(600 * 0.8**step)) for step in range(5)]
    widths = []
    for seen in (2, 3, 5):
        half_life = forecast(replaced(*counts[:seen]))[1].half_life
        assert half_life.low is not None
        assert half_life.high is not None
        widths.append(half_life.high - half_life.low)
    assert widths[0] > widths[1] > widths[2]


def test_one_generation() -> None:
    """The base alone foretells nothing, and says so; a class that has too few boxes now is warned of all the same."""
    steady, rare = forecast(HALVING[:1], need=161)
    assert (steady.half_life.value, steady.generation.value, steady.warning) == (None, None, False)
    assert steady.generation.reason == "one generation so far: a forecast takes two"
    assert (rare.generation.value, rare.warning) == (0, True)
    assert rare.generation.reason == "160 training boxes now, under 161 since generation 0"


def test_too_few_since() -> None:
    """A class under the need now fell in the generation since which it has been; an earlier dip is over."""
    history = replaced((500, 30, 19), (500, 18, 40), (500, 25, 40), (500, 15, 40), (500, 12, 40))
    _, lost, well = forecast(history)
    assert (lost.generation.value, lost.generation.low, lost.warning) == (3, None, True)
    assert lost.generation.reason == "12 training boxes now, under 20 since generation 3"
    assert well.generation.value is None or well.generation.value > 4


def test_nothing_left() -> None:
    """A class without a box has no half-life, and says so."""
    _, lost = forecast(replaced((500, 30), (500, 0)))
    assert lost.half_life.value is None
    assert lost.half_life.reason == "it has no training box left"


@pytest.mark.parametrize(("horizon", "warned"), [(1, False), (6, True)], ids=["too near", "far enough"])
def test_horizon(horizon: int, warned: bool) -> None:  # noqa: FBT001 - a parameter
    """What lies beyond the horizon is foretold without a warning."""
    history = replaced((2000, 400), (2100, 200), (2150, 100))
    assert forecast(history, horizon=horizon)[1].warning is warned


def test_horizon_counts_from_now() -> None:
    """The horizon is generations ahead: a pipeline of a hundred nights is still warned."""
    late = [replace(one, generation=one.generation + 100) for one in HALVING]
    rare = forecast(late)[1]
    assert rare.generation.value in (103, 104)
    assert rare.warning


def test_interval_is_that_of_futures() -> None:
    """The generation is the median of the futures, its interval from their 5th to their 95th percentile."""
    history = replaced((800, 400), (980, 200), (1060, 100))
    rng = np.random.default_rng(0)
    falls = futures.draw(history, policy="replace", generations=1, rng=rng).falls(need=20, steps=20, rng=rng)[:, 1]
    found = forecast(history)[1].generation
    wanted = [float(one) if np.isfinite(one) else None for one in np.sort(falls)[[49, 499, 949]]]
    assert [found.low, found.value, found.high] == wanted
    assert wanted[0] != wanted[1] != wanted[2]
    assert found.samples == len(falls) == 1000


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_interval_holds_its_middle(seed: int) -> None:
    """Intervals are in order and hold their figure, whatever the counts."""
    rng = np.random.default_rng(seed)
    history = replaced(*[tuple(int(one) for one in rng.integers(0, 200, size=4)) for _ in range(3)])
    for one in forecast(history):
        for figure in (one.generation, one.half_life):
            if figure.value is not None and figure.low is not None:
                assert figure.low <= figure.value
            if figure.value is not None and figure.high is not None:
                assert figure.value <= figure.high
            if figure.value is None:
                assert figure.reason


def simulated(seed: int, factor: float = 1.0) -> list[Generation]:
    """Five generations drawn from the one before, the share of the last class times a factor."""
    rng = np.random.default_rng(seed)
    counts = [np.array([400, 150, 60, 40])]
    for _ in range(4):
        weights = counts[-1] * np.array([1, 1, 1, factor])
        counts.append(rng.multinomial(650, weights / weights.sum()))
    return replaced(*[tuple(int(one) for one in some) for some in counts])


def test_constant_shares_seldom_warn() -> None:
    """Where shares move by chance alone, classes of 40 boxes and more are warned of in 5 % of the cases at most.

    The horizon is 5 generations; the interval that 40 simulations leave has to hold 5 %, or lie below it.
    """
    warned = cases = 0
    for seed in range(40):
        for one in forecast(simulated(seed)[:3], horizon=5, seed=seed):
            cases += one.boxes[-1] >= 40
            warned += one.boxes[-1] >= 40 and one.warning
    interval = clopper_pearson(warned, cases)
    assert cases > 100
    assert interval is not None
    assert interval.low <= 0.05


@pytest.mark.parametrize("factor", [1.0, 0.8], ids=["by chance", "shrinking"])
def test_interval_covers_what_happens(factor: float) -> None:
    """Of classes with boxes enough after three generations, the 90 % interval holds the generation in which they fall.

    Two generations are held back; what has not happened by then may lie beyond. The interval that 40 simulations leave
    has to hold 90 %, or lie above it.
    """
    covered = cases = 0
    for seed in range(40):
        history = simulated(seed, factor)
        for class_id, one in enumerate(forecast(history[:3], horizon=5, seed=seed)):
            if one.boxes[-1] < 20:
                continue
            fell = next((after.generation for after in history[3:] if after.training[class_id] < 20), None)
            low = one.generation.low if one.generation.low is not None else np.inf
            high = one.generation.high if one.generation.high is not None else np.inf
            cases += 1
            covered += low <= fell <= high if fell is not None else high > history[-1].generation
    interval = clopper_pearson(covered, cases)
    assert interval is not None
    assert interval.high >= 0.9


def test_classes_that_changed() -> None:
    """Counts of other classes than there are now are an error that says what to do."""
    with pytest.raises(UserError, match=r"boxes of 2 classes, wanted 1 \(a\).*dvc repro"):
        forecasts.forecast(
            HALVING, ["a"], need=20, horizon=5, policy="replace", generations=1, rng=np.random.default_rng(0)
        )


def test_no_generation() -> None:
    """There is always the base."""
    with pytest.raises(ValueError, match="wanted the base at least"):
        forecasts.forecast([], ["a"], need=20, horizon=5, policy="replace", generations=1, rng=np.random.default_rng(0))


def test_warning_in_words() -> None:
    """A warning says how fast, when, and how sure."""
    rare = forecast(HALVING)[1]
    exact = replace(rare.half_life, value=1.04)
    when = replace(rare.generation, value=4.0, low=3.0, high=5.0)
    said = forecasts.warning(replace(rare, half_life=exact, generation=when))
    assert said == "class b: share halves every 1.0 generations; under 20 training boxes in generation 4 (3 to 5)"
    said = forecasts.warning(replace(rare, half_life=exact, generation=replace(when, high=None)))
    assert said.endswith("in generation 4 (3 or later)")
    lost = forecast(replaced((500, 30), (500, 3)))[1]
    assert forecasts.warning(lost) == "class b: 3 training boxes now, under 20 since generation 1"


def test_written_and_read(tmp_path: Path) -> None:
    """An outlook reads as it was written, to the bit, and two writings are equal."""
    history = kept((300, 25), (320, 4), (322, 1))
    outlook = Outlook(run="guarded-2", history=tuple(history), forecasts=forecast(history))
    path = tmp_path / "forecasts.json"
    forecasts.write(path, outlook)
    assert forecasts.read(path) == outlook
    first = path.read_bytes()
    forecasts.write(path, replace(outlook, forecasts=forecast(history)))
    assert path.read_bytes() == first


def test_an_older_version(tmp_path: Path) -> None:
    """A file of another version is refused, not misread."""
    path = tmp_path / "forecasts.json"
    forecasts.write(path, Outlook(run="base", history=(HALVING[0],), forecasts=()))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 0}))
    with pytest.raises(UserError, match="it has version 0, wanted 1"):
        forecasts.read(path)
