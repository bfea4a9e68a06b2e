"""The dose-response curve of `tailwatch ratio`: the loss of each figure by the real images of a level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.adapters import charts
from pipeline.core import colours
from pipeline.core.ratio_judging import FigureFound
from pipeline.core.ratio_records import Answer, LevelFound, Ratio

_PANEL = (262, 212)  # pixels, with what is around it
_LEFT, _TOP, _BOTTOM, _RIGHT = 58, 34, 46, 10
_HEAD = 20  # over each row: its question
_MOST = 4  # figures: mAP50-95 and the rare classes that lose most
_INK, _ALARM, _PAPER = "#3a4350", "#b42318", "#fffffe"
_TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)  # the axis goes by the square root: what matters lies near none
_MARKERS = {"non-inferior": "o", "inferior": "X", "open": "D"}
_TITLES = {"share": "Share of real images in the mixture", "number": "Real images that there are"}


def curve(found: Ratio) -> str:
    """An SVG: a row a question, a panel a figure; points with their intervals, the band between, the margin dashed."""
    figures = _telling(found)
    rows = len(found.answers)
    size = (_PANEL[0] * len(figures), rows * (_PANEL[1] + _HEAD) + 24)

    def paint(axes: Any) -> None:
        axes.set_axis_off()
        span = _span(found, figures)
        for row, answer in enumerate(found.answers):
            top = size[1] - row * (_PANEL[1] + _HEAD)
            axes.figure.text(8 / size[0], (top - 16) / size[1], _TITLES[answer.question], color=_INK, weight="bold")
            for column, figure in enumerate(figures):
                box = (
                    (column * _PANEL[0] + _LEFT) / size[0], (top - _HEAD - _PANEL[1] + _BOTTOM) / size[1],
                    (_PANEL[0] - _LEFT - _RIGHT) / size[0], (_PANEL[1] - _TOP - _BOTTOM) / size[1],
                )  # fmt: skip
                _panel(axes.figure.add_axes(box), found, answer, figure, span)
        _legend(axes, size)

    return charts.drawing(size, paint, font=10.5)


def _telling(found: Ratio) -> list[str]:
    """The figures that have a panel: mAP50-95, then the classes that lost most anywhere."""
    worst: dict[str, float] = {f"recall of {name}": 0.0 for name in found.rare}
    for answer in found.answers:
        for one in answer.tried:
            for figure in one.judgement.figures[1:]:
                worst[figure.figure] = max(worst[figure.figure], figure.loss or 0.0)
    return ["mAP50-95", *sorted(worst, key=lambda name: (-worst[name], name))[: _MOST - 1]]


def _points(answer: Answer, name: str) -> list[tuple[LevelFound, FigureFound]]:
    ordered = sorted(answer.tried, key=lambda one: one.level.real)
    return [(one, figure) for one in ordered for figure in one.judgement.figures if figure.figure == name]


def _span(found: Ratio, figures: Sequence[str]) -> tuple[float, float]:
    """One scale for all panels, so that they can be compared."""
    values = [max(found.map_margin, found.recall_margin), 0.0]
    for answer in found.answers:
        for name in figures:
            points = [figure for _, figure in _points(answer, name)]
            values += [one for figure in points for one in (figure.low, figure.high, figure.loss) if one is not None]
    low, high = min(values), max(values)
    return max(low, -0.5), min(high, 1.0)


def _panel(panel: Any, found: Ratio, answer: Answer, name: str, span: tuple[float, float]) -> None:
    low, high = span
    room = 0.06 * (high - low)
    panel.set_facecolor(_PAPER)
    panel.spines[:].set_visible(False)
    panel.tick_params(which="both", length=0, colors=_INK, labelsize=9.5)
    panel.set(ylim=(low - room, high + room), xlim=(-0.04, 1.06))
    panel.grid(axis="y", color="#dde2e8", linewidth=0.8)
    panel.set_title(name, loc="left", color=_INK, fontsize=11, parse_math=False)
    told = [f"{one:g}" if answer.question == "share" else f"{round(one * found.total)}" for one in _TICKS]
    panel.set_xticks([math.sqrt(one) for one in _TICKS], told)
    panel.set_xlabel("share of real images" if answer.question == "share" else "real images", color=_INK, fontsize=10)
    panel.set_ylabel("loss", color=_INK, fontsize=10)
    margin = found.map_margin if name == "mAP50-95" else found.recall_margin
    panel.axhline(0, color=_INK, linewidth=0.8)
    panel.axhline(margin, color=_ALARM, linewidth=1.1, linestyle=(0, (4, 3)))
    _draw(panel, _points(answer, name))


def _draw(panel: Any, points: Sequence[tuple[LevelFound, FigureFound]]) -> None:
    colour = colours.arm_colour(0)
    known = [(one, figure) for one, figure in points if figure.loss is not None]
    at = [*(math.sqrt(one.level.share) for one, _ in known), 1.0]
    panel.plot(at, [*(figure.loss for _, figure in known), 0.0], color=colour, linewidth=1.8)
    banded = [
        (math.sqrt(one.level.share), figure.low, figure.high)
        for one, figure in known
        if figure.low is not None and figure.high is not None
    ]
    if banded:
        places, lows, highs = (list(part) for part in zip(*banded, (1.0, 0.0, 0.0), strict=True))
        panel.fill_between(places, lows, highs, color=colour, alpha=0.15, linewidth=0)
        panel.vlines(places[:-1], lows[:-1], highs[:-1], color=colour, linewidth=1.2, alpha=0.7)
    style = {"markersize": 7, "color": colour, "markeredgecolor": _PAPER, "markeredgewidth": 1, "linestyle": "none"}
    for one, figure in known:
        marker = _MARKERS[one.judgement.outcome]
        panel.plot([math.sqrt(one.level.share)], [figure.loss], marker=marker, **style, clip_on=False, zorder=5)
    panel.plot([1.0], [0.0], marker="s", markersize=5, color=_INK, linestyle="none", clip_on=False, zorder=5)


def _legend(axes: Any, size: tuple[int, int]) -> None:
    words = "● non-inferior   ✕ inferior   ◆ open   ■ all real   - - margin   band: interval of the loss"
    axes.figure.text(8 / size[0], 8 / size[1], words, color=_INK, fontsize=9.5)
