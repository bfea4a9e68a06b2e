"""What theory says, held against the tables: each claim is a number with an interval over the seeds, and an outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.core.figures import Figure
from studies.collapse.summarising import BASE, ClassRow, GenerationRow, mean

Outcome = Literal["agrees", "contradicts", "open", "not tested"]
Series = dict[int, dict[int, float]]  # value by generation, by seed
REPLACE, ACCUMULATE, SUBSAMPLE = ("replace", "1"), ("accumulate", "pool"), ("accumulate-subsample", "pool")
TENTH = ("replace", "0.9")
GOLDEN = 0.382  # synthetic share at a weight of 0.618 on real data


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One statement of theory.

    Attributes:
        theory: what it says, and who.
        measured: what was measured here, in words; above 0 it agrees.
        figure: that, with its interval over the seeds.
    """

    theory: str
    measured: str
    figure: Figure

    @property
    def outcome(self) -> Outcome:
        """What the interval says of it."""
        if self.figure.value is None:
            return "not tested"
        if self.figure.low is None or self.figure.high is None:
            return "open"
        return "agrees" if self.figure.low > 0 else "contradicts" if self.figure.high < 0 else "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables, of one way of labels and one generator."""

    rows: Sequence[GenerationRow]
    classes: Sequence[ClassRow]
    labels: str
    generator: str

    @property
    def last(self) -> int:
        """The last generation."""
        return max((row.generation for row in self.rows), default=0)

    def arm(self, policy: str, ratio: str) -> str:
        """Name of an arm; empty where it is not in the tables."""
        if ratio == "0":
            return "real"
        wanted = (policy, ratio, self.labels, self.generator)
        return next((row.arm for row in self.rows if (row.policy, row.ratio, row.labels, row.generator) == wanted), "")

    def series(self, arm: str, value: Callable[[GenerationRow], float | None]) -> Series:
        """A figure of an arm; generation 0 is the base's."""
        found: Series = {}
        seeds = {row.seed for row in self.rows if row.arm == arm}
        for row in self.rows:
            one = value(row)
            if row.arm in (BASE, arm) and row.seed in seeds and one is not None:
                found.setdefault(row.seed, {})[row.generation] = one
        return found

    def recalls(self, arm: str, *, rare: bool) -> Series:
        """Mean recall of the rare classes of an arm, or that of the commonest one."""
        counts: dict[str, int] = {}
        for one in self.classes:
            if one.arm == BASE:
                counts[one.name] = counts.get(one.name, 0) + one.training_boxes
        commonest = max(counts, key=lambda name: counts[name], default="")
        seeds = {one.seed for one in self.classes if one.arm == arm}
        values: dict[tuple[int, int], list[float]] = {}
        for one in self.classes:
            wanted = one.rare if rare else one.name == commonest
            if wanted and one.arm in (BASE, arm) and one.seed in seeds and one.recall is not None:
                values.setdefault((one.seed, one.generation), []).append(one.recall)
        found: Series = {}
        for (seed, generation), some in values.items():
            found.setdefault(seed, {})[generation] = sum(some) / len(some)
        return found


def against_theory(tables: Tables) -> list[Claim]:
    """The claims, in the order in which the page tells them."""
    return [*_of_policies(tables), *_of_ratios(tables), *_of_classes(tables)]


def _of_policies(tables: Tables) -> list[Claim]:
    first, last = 1, tables.last
    replace, accumulate = (tables.series(tables.arm(*one), _map) for one in (REPLACE, ACCUMULATE))
    subsample = tables.series(tables.arm(*SUBSAMPLE), _map)
    return [
        Claim(
            theory="Where each generation replaces the data, the error grows with every generation (2404.01413).",
            measured=f"fall of mAP50-95 from generation {first} to {last} under `replace` at ratio 1",
            figure=mean(_fall(one, first, last) for one in replace.values()),
        ),
        Claim(
            theory="Where data accumulates, the error stays bounded (2404.01413).",
            measured=f"fall from generation {first} to {last} under `replace`, less that under `accumulate`",
            figure=_paired(
                replace, accumulate, lambda one, two: _less(_fall(one, first, last), _fall(two, first, last))
            ),
        ),
        Claim(
            theory="A draw of fixed size from all that accumulated does better than replacing (2410.16713).",
            measured=f"mAP50-95 in generation {last} of `accumulate-subsample`, less that of `replace`",
            figure=_paired(subsample, replace, lambda one, two: _less(one.get(last), two.get(last))),
        ),
        Claim(
            theory="… and worse than training on all of it (2410.16713).",
            measured=f"mAP50-95 in generation {last} of `accumulate`, less that of `accumulate-subsample`",
            figure=_paired(accumulate, subsample, lambda one, two: _less(one.get(last), two.get(last))),
        ),
    ]


def _of_ratios(tables: Tables) -> list[Claim]:
    last = tables.last
    replace, tenth = (tables.series(tables.arm(*one), _map) for one in (REPLACE, TENTH))
    return [
        Claim(
            theory="A tenth of real data removes most of the damage (Shumailov et al. 2024).",
            measured=f"share of the loss of mAP50-95 in generation {last} that is gone at ratio 0.9, less one half",
            figure=_paired(replace, tenth, lambda one, two: _less(_spared(one, two, last), 0.5)),
        ),
        Claim(
            theory="A weight of 0.618 on real data does better than real data alone (2502.18049).",
            measured=_golden_words(tables, last),
            figure=_golden(tables, last),
        ),
    ]


def _of_classes(tables: Tables) -> list[Claim]:
    last, recursive = tables.last, tables.arm(*REPLACE)
    return [
        Claim(
            theory="The rare classes die …",
            measured=f"fall of the mean recall of rare classes to generation {last} under `replace` at ratio 1",
            figure=mean(_fall(one, 0, last) for one in tables.recalls(recursive, rare=True).values()),
        ),
        Claim(
            theory="… while the commonest gains.",
            measured=f"rise of the recall of the commonest class to generation {last}, likewise",
            figure=mean(_fall(one, last, 0) for one in tables.recalls(recursive, rare=False).values()),
        ),
    ]


def _map(row: GenerationRow) -> float | None:
    return row.map50_95


def _fall(values: dict[int, float], start: int, end: int) -> float | None:
    return _less(values.get(start), values.get(end))


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _spared(without: dict[int, float], with_real: dict[int, float], last: int) -> float | None:
    """Share of the loss that is gone; None where nothing was lost."""
    loss, left = _fall(without, 0, last), _fall(with_real, 0, last)
    return None if loss is None or left is None or loss <= 0 else 1 - left / loss


def _paired(
    one: Series, other: Series, difference: Callable[[dict[int, float], dict[int, float]], float | None]
) -> Figure:
    """Mean over the seeds that both have."""
    return mean(difference(one[seed], other[seed]) for seed in one if seed in other)


def nearest(tables: Tables) -> str:
    """The ratio of `replace` that is nearest to the golden one; empty without any."""
    ratios = {
        row.ratio for row in tables.rows
        if row.policy == "replace" and (row.labels, row.generator) == (tables.labels, tables.generator)
        and row.arm != "real"
    }  # fmt: skip
    return min(ratios, key=lambda ratio: abs(float(ratio) - GOLDEN), default="")


def _golden(tables: Tables, last: int) -> Figure:
    real = tables.series("real", _map)
    mixed = tables.series(tables.arm("replace", nearest(tables)), _map)
    return _paired(mixed, real, lambda one, two: _less(one.get(last), two.get(last)))


def _golden_words(tables: Tables, last: int) -> str:
    ratio = nearest(tables) or "–"  # noqa: RUF001 - a dash stands for what is not there
    return f"mAP50-95 in generation {last} at ratio {ratio}, the nearest to {GOLDEN}, less that of real images alone"
