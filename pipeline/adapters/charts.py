"""The report's charts as SVG, drawn by matplotlib.

A chart within the page takes its colours and its font from the page's style sheet, so it follows a dark scheme; alone
in a file it is dark on white. Equal input gives equal bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, assert_never

from pipeline.core import colours
from pipeline.core.figures import ReliabilityBin
from pipeline.core.judgements import Verdict
from pipeline.core.report_charts import DASHES, Chart, Decline, DeclineChart, LineChart, ReliabilityChart, ShareChart
from pipeline.core.reporting import Line, Point

_INK, _GRID, _PAPER, _ALARM = "#3a4350", "#dde2e8", "#fffffe", "#b42318"
_MARKERS = {Verdict.HEALTHY: "o", Verdict.COLLAPSING: "X", Verdict.INCONCLUSIVE: "D"}
_WIDTH = 2.2  # of a line, pixels
_GAP = 0.07  # of the axis: least distance between two labels at the ends of lines
_MOST_TICKS = 8
_LABELLED = 4  # arms that are named at the ends of their lines; of more, the legend alone tells
_AHEAD = 12  # generations after the newest that a forecast is drawn for, at most


def inline(chart: Chart, *, name: str, alt: str) -> str:
    """The chart as an ``<svg>`` element for an HTML page.

    Args:
        chart: what to draw.
        name: letters and digits, other for each chart of a page: ids within the SVG start with it.
        alt: what it shows, in words.
    """
    drawn = _draw(chart)
    text = drawn[drawn.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r' (xmlns(:\w+)?|version|width|height)="[^"]*"', "", text, count=5)
    text = re.sub(r"xlink:href", "href", text)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    for number in _arms(chart):
        colour = colours.arm_colour(number)
        text = text.replace(colour, f"var(--arm-{number}, {colour})")
    for colour, variable in ((_INK, "--ink-2"), (_GRID, "--grid"), (_PAPER, "--paper"), (_ALARM, "--bad")):
        text = text.replace(colour, f"var({variable}, {colour})")
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"(\d\.\d{3})\d+", r"\1", text)  # a thousandth of a pixel is fine enough
    text = re.sub(r"\s*\n\s*", " ", text)
    label = alt.translate({ord("&"): "&amp;", ord('"'): "&quot;", ord("<"): "&lt;", ord(">"): "&gt;"})
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def standalone(chart: Chart) -> str:
    """The chart as an SVG file, dark on white."""
    return _alone(_draw(chart))


def _alone(text: str) -> str:
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"font-family: [^;\"]*", "font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif", text)


def _arms(chart: Chart) -> list[int]:
    """Numbers of the arms in a chart."""
    match chart:
        case LineChart():
            return [line.number for line in chart.lines]
        case ReliabilityChart():
            return [chart.number]
        case DeclineChart():
            return [one.number for one in chart.declines]
        case ShareChart():
            return []
        case _:
            assert_never(chart)


def _draw(chart: Chart) -> str:
    match chart:
        case LineChart():
            return _canvas(chart, _frame(chart), lambda axes: _draw_lines(axes, chart))
        case ReliabilityChart():
            return _canvas(chart, _box(chart.size, left=44), lambda axes: _draw_reliability(axes, chart))
        case DeclineChart():
            return _canvas(chart, _box(chart.size, left=44), lambda axes: _draw_declines(axes, chart))
        case ShareChart():
            return _canvas(chart, _box(chart.size), lambda axes: _draw_shares(axes, chart))
        case _:
            assert_never(chart)


def _canvas(chart: Chart, frame: tuple[float, float, float, float], draw: Callable[[Any], None]) -> str:
    return _drawn(chart.size, chart.font, frame, draw)


def drawing(size: tuple[int, int], draw: Callable[[Any], None], *, font: float = 11.5) -> str:
    """A drawing of one's own as an SVG file in the style of the charts, dark on white.

    Args:
        size: width and height in pixels.
        draw: is given matplotlib's axes, which fill the picture; more can be added to their figure.
        font: size of the letters in pixels.
    """
    return _alone(_drawn(size, font, (0.0, 0.0, 1.0, 1.0), draw))


def _drawn(
    size: tuple[int, int], font: float, frame: tuple[float, float, float, float], draw: Callable[[Any], None]
) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none", "svg.hashsalt": "tailwatch", "font.family": ["DejaVu Sans"], "font.size": font,
        "path.simplify": False,
    }  # fmt: skip
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names of arms in any script: the reader's font draws them
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), facecolor=_PAPER)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(frame)
        axes.set_facecolor(_PAPER)
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", length=0, colors=_INK, labelsize=font)
        axes.spines[:].set_visible(False)
        draw(axes)
        file = io.BytesIO()
        figure.savefig(file, format="svg", facecolor=_PAPER, metadata={"Date": None, "Creator": None})
    return file.getvalue().decode()


def _box(
    size: tuple[int, int], *, left: int = 34, right: int = 10, top: int = 8, bottom: int = 40
) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of the axes, as fractions of the figure; arguments in pixels."""
    width, height = size
    return left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height


def _frame(chart: LineChart) -> tuple[float, float, float, float]:
    longest = max((len(line.arm) for line in chart.lines), default=0)
    named = chart.named and len(chart.lines) <= _LABELLED
    right = min(6 + round(0.62 * chart.font * longest), chart.size[0] // 3) if named else 10
    left = 34 if chart.span == (0, 1) else 52  # wider numbers
    return _box(chart.size, left=left, right=right, top=30 if chart.title else 8)


def _draw_lines(axes: Any, chart: LineChart) -> None:
    _dress(axes, chart)
    for line in chart.lines:
        _draw_line(axes, line)
    if chart.named and len(chart.lines) <= _LABELLED:
        _name_lines(axes, chart.lines)


def _dress(axes: Any, chart: LineChart) -> None:
    last = max((point.generation for line in chart.lines for point in line.points), default=0)
    _generations(axes, last, chart.font)
    low, high = chart.span
    axes.set_ylim(low - 0.02 * (high - low), high + 0.03 * (high - low))
    if chart.span == (0, 1):
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    if chart.title:
        axes.set_title(
            chart.title, loc="left", color=_INK, fontsize=chart.font + 3, fontweight="bold", parse_math=False
        )
    if chart.floor is not None:
        axes.axhline(chart.floor, color=_ALARM, linewidth=1.1, linestyle=(0, (4, 3)))
    if chart.floor is not None and chart.floor_name:
        below = chart.floor > 0.2  # noqa: PLR2004 - room for the words under the line
        axes.annotate(
            chart.floor_name, xy=(0, chart.floor), xycoords=("axes fraction", "data"), textcoords="offset points",
            xytext=(3, -3 if below else 3), va="top" if below else "bottom", color=_ALARM, fontsize=chart.font - 1.5,
        )  # fmt: skip


def _generations(axes: Any, last: float, font: float) -> None:
    """The axis of generations, from 0 to the last."""
    end = max(math.ceil(last), 1)
    axes.set_xlim(-0.08 * end, end * 1.06)
    axes.set_xticks(range(0, end + 1, -(-end // _MOST_TICKS)))
    axes.set_xlabel("generation", color=_INK, fontsize=font)


def _dashes(number: int) -> Any:
    pattern = [float(length) / _WIDTH for length in DASHES[number % len(DASHES)].split()]
    return (0, pattern) if pattern else "solid"


def _draw_line(axes: Any, line: Line) -> None:
    colour = colours.arm_colour(line.number)
    for piece in _unbroken(line.points):
        generations = [point.generation for point in piece]
        axes.plot(
            generations, [point.figure.value for point in piece], color=colour, linewidth=_WIDTH,
            linestyle=_dashes(line.number),
        )  # fmt: skip
        banded = [point for point in piece if point.figure.low is not None and point.figure.high is not None]
        at = [point.generation for point in banded]
        lows, highs = [point.figure.low for point in banded], [point.figure.high for point in banded]
        axes.fill_between(at, lows, highs, color=colour, alpha=0.13, linewidth=0)
        axes.vlines(at, lows, highs, color=colour, linewidth=1, alpha=0.55)
        # One call a verdict, and not one a point: of a year, that is what a report's time goes to.
        for verdict in dict.fromkeys(point.verdict for point in piece):
            alike = [point for point in piece if point.verdict == verdict]
            marker = _MARKERS[verdict] if verdict else "o"
            axes.plot([point.generation for point in alike], [point.figure.value for point in alike],
                      marker=marker, markersize=8 if marker == "X" else 6, color=colour if verdict else _INK,
                      markeredgecolor=_PAPER, markeredgewidth=1, linestyle="none", clip_on=False, zorder=5)  # fmt: skip


def _unbroken(points: Sequence[Point]) -> list[list[Point]]:
    """The points that have a value, in stretches: no line is drawn over a generation without one."""
    pieces: list[list[Point]] = [[]]
    for point in points:
        if point.figure.value is None:
            pieces.append([])
        else:
            pieces[-1].append(point)
    return [piece for piece in pieces if piece]


def _name_lines(axes: Any, lines: Sequence[Line]) -> None:
    ends = []
    for line in lines:
        with_value = [point for point in line.points if point.figure.value is not None]
        if with_value and with_value[-1].figure.value is not None:
            ends.append((with_value[-1].figure.value, with_value[-1].generation, line))
    previous, gap = -math.inf, _GAP * (axes.get_ylim()[1] - axes.get_ylim()[0])
    for value, generation, line in sorted(ends, key=lambda end: (end[0], end[2].number)):
        height = max(value, previous + gap)
        previous = height
        axes.annotate(
            line.arm, xy=(generation, height), xytext=(9, 0), textcoords="offset points", va="center",
            fontweight="bold", color=colours.arm_colour(line.number), annotation_clip=False, parse_math=False,
        )  # fmt: skip


def _draw_reliability(axes: Any, chart: ReliabilityChart) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.03))
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    axes.set_xlabel("confidence", color=_INK, fontsize=chart.font)
    axes.set_ylabel("precision", color=_INK, fontsize=chart.font)
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle=(0, (2, 3)))
    if chart.base is not chart.bins:
        _draw_bins(axes, chart.base, _INK, faint=True)
    _draw_bins(axes, chart.bins, colours.arm_colour(chart.number), faint=False)


def _draw_bins(axes: Any, bins: Sequence[ReliabilityBin], colour: str, *, faint: bool) -> None:
    known = [one for one in bins if one.observed.value is not None]
    at, observed = [one.predicted for one in known], [one.observed.value for one in known]
    axes.plot(at, observed, color=colour, linewidth=1.2 if faint else _WIDTH, alpha=0.55 if faint else 1, marker="o",
              markersize=3 if faint else 5)  # fmt: skip
    if not faint:
        sure = [one for one in known if one.observed.low is not None and one.observed.high is not None]
        axes.vlines([one.predicted for one in sure], [one.observed.low for one in sure],
                    [one.observed.high for one in sure], color=colour, linewidth=1, alpha=0.6)  # fmt: skip


def _draw_declines(axes: Any, chart: DeclineChart) -> None:
    last = max((_end(one) for one in chart.declines), default=1.0)
    _generations(axes, last, chart.font)
    most = max((boxes for one in chart.declines for boxes in one.boxes), default=1)
    top = 10 ** math.ceil(math.log10(max(most, chart.need, 2) * 1.3))
    axes.set_yscale("symlog", linthresh=1, linscale=0.4)  # a class that is gone has 0 boxes, which has no logarithm
    axes.set_ylim(-0.15, top)
    ticks = [0, *(10**power for power in range(round(math.log10(top)) + 1))]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.axhline(chart.need, color=_ALARM, linewidth=1.1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"need {chart.need}", xy=(0, chart.need), xycoords=("axes fraction", "data"), textcoords="offset points",
        xytext=(3, -3), va="top", color=_ALARM, fontsize=chart.font - 1.5,
    )  # fmt: skip
    for one in chart.declines:
        _draw_decline(axes, one, last, chart.need)


def _draw_shares(axes: Any, chart: ShareChart) -> None:
    _generations(axes, chart.generations[-1], chart.font)
    palette = [colours.class_colour(number) for number in range(len(chart.shares))]
    axes.stackplot(chart.generations, *chart.shares, colors=palette, edgecolor=_PAPER, linewidth=0.6)
    axes.set(xlim=(chart.generations[0], chart.generations[-1]), ylim=(0, 1))
    axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])


def _end(one: Decline) -> float:
    """The last generation that the chart shows for an arm: where the forecast falls, but not too far away."""
    newest = len(one.boxes) - 1
    far = one.crossing.high or one.crossing.value or newest
    return min(max(far, newest), newest + _AHEAD)


def _draw_decline(axes: Any, one: Decline, last: float, need: int) -> None:
    colour, newest = colours.arm_colour(one.number), len(one.boxes) - 1
    axes.plot(range(len(one.boxes)), one.boxes, color=colour, linewidth=_WIDTH, linestyle=_dashes(one.number),
              marker="o", markersize=5, markeredgecolor=_PAPER, clip_on=False)  # fmt: skip
    life, crossing = one.half_life, one.crossing
    if life.value is not None and one.boxes[-1] and last > newest:
        steps = [newest + (last - newest) * part / 40 for part in range(41)]

        def shrunk(half_life: float | None) -> list[float]:
            return [one.boxes[-1] * (2 ** (-(at - newest) / half_life) if half_life else 1) for at in steps]

        axes.plot(steps, shrunk(life.value), color=colour, linewidth=1.3, linestyle=(0, (1, 1.5)))
        if life.low is not None:
            axes.fill_between(steps, shrunk(life.low), shrunk(life.high), color=colour, alpha=0.13, linewidth=0)
    if crossing.value is not None and crossing.value <= last:
        low, high = crossing.low, crossing.high
        ends = (crossing.value if low is None else low, last if high is None else min(high, last))
        axes.hlines(need, *ends, color=colour, linewidth=4, alpha=0.5)
        axes.plot([crossing.value], [need], marker="v", markersize=8, color=colour, markeredgecolor=_PAPER, zorder=6)
