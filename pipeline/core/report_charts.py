"""What the report's charts show; `adapters.charts` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.figures import Figure, ReliabilityBin
from pipeline.core.reporting import Line

DASHES = ("", "10 4", "3 3", "12 4 3 4")  # of the arms in turn, as SVG has them; in pixels of a line 2 wide
SMALL = (320, 215)  # width and height of a small chart in pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """A figure of each arm over its generations.

    Attributes:
        lines: one an arm.
        floor: a dashed line, below which lies a loss that matters; None for none.
        floor_name: what stands beside it; may be empty.
        size: width and height in pixels.
        title: drawn above; empty for none.
        named: whether the arms are named at the ends of their lines.
        font: size of the letters in pixels.
        span: ends of the axis of values.
    """

    lines: Sequence[Line]
    size: tuple[int, int]
    floor: float | None = None
    floor_name: str = ""
    title: str = ""
    named: bool = True
    font: float = 11.5
    span: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityChart:
    """Observed against predicted precision: the base run's in grey, an arm's newest run's in the arm's colour.

    Attributes:
        base: bins of the base run.
        bins: those of the newest run.
        number: of the arm, for its colour.
        size: width and height in pixels.
    """

    base: Sequence[ReliabilityBin]
    bins: Sequence[ReliabilityBin]
    number: int
    size: tuple[int, int] = (320, 300)
    font: float = 11.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """The training boxes of a class in one arm, and what is forecast of them.

    Attributes:
        number: of the arm, for its colour and dashes.
        boxes: of each generation so far, the base first.
        half_life: generations in which the share halves.
        crossing: generation in which the boxes fall under the need.
    """

    number: int
    boxes: tuple[int, ...]
    half_life: Figure
    crossing: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclineChart:
    """The training boxes of a class over generations, on a logarithmic axis, with half-lives and need."""

    declines: Sequence[Decline]
    need: int
    size: tuple[int, int] = SMALL
    font: float = 11.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareChart:
    """The class shares of an arm's training data over its generations, as a stream.

    Attributes:
        generations: where the shares are known, ascending, two or more.
        shares: of each class in the order of their ids, in [0, 1], one a generation.
        size: width and height in pixels.
    """

    generations: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]
    size: tuple[int, int] = SMALL
    font: float = 11.5


Chart = LineChart | ShareChart | ReliabilityChart | DeclineChart
