"""When a class will have too few training boxes, and how that is kept as JSON beside the mix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core import futures, records
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure, Forecast
from pipeline.core.futures import Floats, Generation
from pipeline.core.sections import Policy

VERSION = 1  # of the JSON; raised with every change that an older reader would misread


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The generations up to a run, the base first, and what they say of the next ones."""

    version: int = VERSION
    run: str
    history: tuple[Generation, ...]
    forecasts: tuple[Forecast, ...]


def forecast(
    history: Sequence[Generation],
    names: Sequence[str],
    *,
    need: int,
    horizon: int,
    policy: Policy,
    generations: int,
    rng: np.random.Generator,
) -> tuple[Forecast, ...]:
    """Say of each class in which generation its training boxes fall under `need`, if they do.

    The generation is the median over futures (see :mod:`pipeline.core.futures`), and its interval holds 90 % of them;
    an end that lies beyond twice the horizon is None. A class is warned of when the median lies within the next
    `horizon` generations, or when it has too few boxes already. The half-life is that of the training share, expected
    at the rates of the classes; its interval holds 95 % of what those may be.

    Args:
        history: the generations so far, the base first, at least that.
        names: of the classes, by id.
        need: training boxes under which a class is expected to be lost, 1 or more.
        horizon: generations ahead that are of interest, 1 or more.
        policy: of the arm: which synthetic images are trained on.
        generations: whose synthetic images an accumulating arm draws from, the newest so many, 1 or more.
        rng: draws the futures.

    Raises:
        UserError: counts that are not of these classes.
        ValueError: no generation at all.
    """
    _check(history, names)
    if len(history) == 1:
        reason = "one generation so far: a forecast takes two"
        none = Figure(value=None, reason=reason)
        return tuple(_forecast(history, class_id, name, need, none, none) for class_id, name in enumerate(names))
    drawn = futures.draw(history, policy=policy, generations=generations, rng=rng)
    falls = drawn.falls(need=need, steps=2 * horizon, rng=rng)
    halves = drawn.halvings()
    limit = history[-1].generation + horizon
    found = []
    for class_id, name in enumerate(names):
        when = _when(falls[:, class_id], need, history[-1].generation + 2 * horizon)
        half_life = _half_life(halves[:, class_id], history, class_id)
        found.append(_forecast(history, class_id, name, need, half_life, when, limit=limit))
    return tuple(found)


def warning(forecast: Forecast) -> str:
    """Say in one line what the forecast of a class is."""
    when = forecast.generation
    if when.value is None or when.low is None:
        return f"class {forecast.name}: {when.reason}"
    span = f"{when.low:.0f} to {when.high:.0f}" if when.high is not None else f"{when.low:.0f} or later"
    halves = forecast.half_life.value
    pace = f"share halves every {halves:.1f} generations; " if halves is not None else ""
    return f"class {forecast.name}: {pace}under {forecast.need} training boxes in generation {when.value:.0f} ({span})"


def write(path: Path, outlook: Outlook) -> None:
    """Write an outlook as JSON."""
    records.write(path, outlook)


def read(path: Path) -> Outlook:
    """Read an outlook.

    Raises:
        UserError: it is missing, of another version, or damaged.
    """
    return records.read(path, Outlook, VERSION)


def _check(history: Sequence[Generation], names: Sequence[str]) -> None:
    if not history:
        raise ValueError("no generation, wanted the base at least")
    for one in history:
        for counts in (one.training, one.real, one.synthetic):
            if len(counts) != len(names):
                raise UserError(
                    f"run {one.run}: boxes of {len(counts)} classes, wanted {len(names)} ({', '.join(names)}). "
                    "The classes have changed since: run `uv run dvc repro` to make the earlier generations anew."
                )


def _forecast(
    history: Sequence[Generation],
    class_id: int,
    name: str,
    need: int,
    half_life: Figure,
    when: Figure,
    *,
    limit: int = 0,
) -> Forecast:
    boxes = tuple(one.training[class_id] for one in history)
    short = len(boxes) - next((ago for ago, number in enumerate(reversed(boxes)) if number >= need), len(boxes))
    if short < len(boxes):  # no forecast, but what is so already
        since = history[short].generation
        reason = f"{boxes[-1]} training boxes now, under {need} since generation {since}"
        when = Figure(value=float(since), reason=reason)
    return Forecast(
        name=name,
        boxes=boxes,
        shares=tuple(float(futures.shares(one.training)[class_id]) for one in history),
        half_life=half_life,
        need=need,
        generation=when,
        warning=when.value is not None and when.value <= limit,
    )


def _when(falls: Floats, need: int, end: int) -> Figure:
    # Infinite values are ordered, but not to be averaged with others.
    low, middle, high = (_finite(one) for one in np.quantile(falls, [0.05, 0.5, 0.95], method="inverted_cdf"))
    reason = "" if middle is not None else f"in most futures it keeps {need} boxes up to generation {end}"
    return Figure(value=middle, low=low, high=high, samples=len(falls), reason=reason)


def _half_life(halves: Floats, history: Sequence[Generation], class_id: int) -> Figure:
    if not history[-1].training[class_id]:
        return Figure(value=None, samples=len(history), reason="it has no training box left")
    low, middle, high = (_finite(one) for one in np.quantile(halves, [0.025, 0.5, 0.975], method="inverted_cdf"))
    reason = "" if middle is not None else f"its share does not halve within {futures.HALVING_LIMIT} generations"
    return Figure(value=middle, low=low, high=high, samples=len(history), reason=reason)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
