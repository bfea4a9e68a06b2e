"""Line charts as SVG, drawn by matplotlib.

A chart within the page takes its colours and its font from the page's style sheet, so it follows a dark scheme; alone
in a file it is dark on white. Equal input gives equal bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core import colours
from pipeline.core.reporting import Line, Point
from pipeline.core.verdicts import Verdict

_INK, _GRID, _PAPER, _ALARM = "#3a4350", "#dde2e8", "#fffffe", "#b42318"
_MARKERS = {Verdict.HEALTHY: "o", Verdict.COLLAPSING: "X", Verdict.INCONCLUSIVE: "D"}
DASHES = ("", "10 4", "3 3", "12 4 3 4")  # of the arms in turn, as SVG has them; in pixels of a line 2 wide
_WIDTH = 2.2  # of a line, pixels
_GAP = 0.07  # of the axis: least distance between two labels at the ends of lines
_MOST_TICKS = 8
_LABELLED = 4  # arms that are named at the ends of their lines; of more, the legend alone tells


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What to draw.

    Attributes:
        lines: one an arm; the axis of values runs from 0 to 1.
        floor: a dashed line, below which lies a loss that matters; None for none.
        floor_name: what stands beside it; may be empty.
        size: width and height in pixels.
        title: drawn above; empty for none.
        named: whether the arms are named at the ends of their lines.
        font: size of the letters in pixels.
    """

    lines: Sequence[Line]
    floor: float | None
    floor_name: str
    size: tuple[int, int]
    title: str = ""
    named: bool = True
    font: float = 11.5


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
    for number in {line.number for line in chart.lines}:
        colour = colours.arm_colour(number)
        text = text.replace(colour, f"var(--arm-{number}, {colour})")
    for colour, variable in ((_INK, "--ink-2"), (_GRID, "--grid"), (_PAPER, "--paper"), (_ALARM, "--bad")):
        text = text.replace(colour, f"var({variable}, {colour})")
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    label = alt.translate({ord("&"): "&amp;", ord('"'): "&quot;", ord("<"): "&lt;", ord(">"): "&gt;"})
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def standalone(chart: Chart) -> str:
    """The chart as an SVG file, dark on white."""
    text = _draw(chart)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"font-family: [^;\"]*", "font-family: 'DejaVu Sans', Helvetica, Arial, sans-serif", text)


def _draw(chart: Chart) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none", "svg.hashsalt": "tailwatch", "font.family": ["DejaVu Sans"], "font.size": chart.font,
        "path.simplify": False,
    }  # fmt: skip
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names of arms in any script: the reader's font draws them
        figure = Figure(figsize=(chart.size[0] / 72, chart.size[1] / 72), facecolor=_PAPER)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(_frame(chart))
        _dress(axes, chart)
        for line in chart.lines:
            _draw_line(axes, line)
        if chart.named and len(chart.lines) <= _LABELLED:
            _name_lines(axes, chart.lines)
        file = io.BytesIO()
        figure.savefig(file, format="svg", facecolor=_PAPER, metadata={"Date": None, "Creator": None})
    return file.getvalue().decode()


def _frame(chart: Chart) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of the axes, as fractions of the figure."""
    width, height = chart.size
    longest = max((len(line.arm) for line in chart.lines), default=0)
    right = (
        min(6 + round(0.62 * chart.font * longest), width // 3) if chart.named and len(chart.lines) <= _LABELLED else 10
    )
    top = 30 if chart.title else 8
    return 34 / width, 40 / height, (width - 34 - right) / width, (height - 40 - top) / height


def _dress(axes: Any, chart: Chart) -> None:
    last = max((point.generation for line in chart.lines for point in line.points), default=0)
    axes.set(xlim=(-0.08 * max(last, 1), max(last, 1) * 1.06), ylim=(-0.02, 1.03))
    step = -(-max(last, 1) // _MOST_TICKS)
    axes.set_xticks(range(0, last + 1, step))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
    axes.set_xlabel("generation", color=_INK, fontsize=chart.font)
    axes.set_facecolor(_PAPER)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_INK, labelsize=chart.font)
    axes.spines[:].set_visible(False)
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


def _draw_line(axes: Any, line: Line) -> None:
    pattern = [float(length) / _WIDTH for length in DASHES[line.number % len(DASHES)].split()]
    colour, dashes = colours.arm_colour(line.number), (0, pattern) if pattern else "solid"
    pieces = _unbroken(line.points)
    for piece in pieces:
        generations = [point.generation for point in piece]
        axes.plot(
            generations, [point.figure.value for point in piece], color=colour, linewidth=_WIDTH, linestyle=dashes
        )
        banded = [point for point in piece if point.figure.low is not None and point.figure.high is not None]
        at = [point.generation for point in banded]
        lows, highs = [point.figure.low for point in banded], [point.figure.high for point in banded]
        axes.fill_between(at, lows, highs, color=colour, alpha=0.13, linewidth=0)
        axes.vlines(at, lows, highs, color=colour, linewidth=1, alpha=0.55)
        for point in piece:
            marker = _MARKERS[point.verdict] if point.verdict else "o"
            size = 8 if marker == "X" else 6
            axes.plot([point.generation], [point.figure.value], marker=marker, markersize=size,
                      color=colour if point.verdict else _INK,
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
    previous = -1.0
    for value, generation, line in sorted(ends, key=lambda end: (end[0], end[2].number)):
        height = max(value, previous + _GAP)
        previous = height
        axes.annotate(
            line.arm, xy=(generation, height), xytext=(9, 0), textcoords="offset points", va="center",
            fontweight="bold", color=colours.arm_colour(line.number), annotation_clip=False, parse_math=False,
        )  # fmt: skip
