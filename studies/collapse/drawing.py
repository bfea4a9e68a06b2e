"""The study's figures as SVG: curves, a heat map, class shares, and the objects of one class over generations."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.adapters import charts
from pipeline.chains.steps import run_name
from pipeline.core import colours, images
from pipeline.core.figures import Figure
from pipeline.core.report_charts import LineChart
from pipeline.core.reporting import Line, Point
from studies.collapse import crops, making
from studies.collapse.settings import Study
from studies.collapse.summarising import BASE, ClassRow, GenerationRow, SummaryRow

CURVES = {"map50_95": "map50-95.svg", "rare_recall": "rare-recall.svg"}
HEAT, SHARES, OBJECTS = "ratios.svg", "class-shares.svg", "objects.svg"
_TITLES = {"map50_95": "mAP50-95", "rare_recall": "Recall of the rare classes (mean)"}
_POLICIES = ("replace", "accumulate", "accumulate-subsample")
_SIZE = (640, 340)  # pixels
_PANEL = (250, 210)
_QUALITY = 82  # of the JPEG in the strip
_LABEL = 176  # pixels left of the strip
_MIDDLE = 0.55  # of the colour scale: white letters under it
_INK = "#3a4350"


def draw(
    study: Study, rows: Sequence[GenerationRow], classes: Sequence[ClassRow], summary: Sequence[SummaryRow]
) -> dict[str, str]:
    """All figures as SVG, by the names of their files; one that there is nothing for is left out."""
    arms = telling(summary)
    found = {name: _curves(summary, arms, figure) for figure, name in CURVES.items()}
    found[HEAT] = _heat(summary)
    found[SHARES] = _shares(classes, arms, study.generations)
    found[OBJECTS] = _objects(study, rows, arms)
    return {name: text for name, text in found.items() if text}


def telling(summary: Sequence[SummaryRow]) -> dict[str, str]:
    """The arms that the curves show, with what they are called: real images alone, and each policy at its extreme.

    Of a policy it is the one that takes images as they come, or else the one with the most synthetic images, with the
    commonest labels and generator.
    """
    labels, generator = principal(summary)
    found = {row.arm: "real only" for row in summary if row.arm == "real"}
    for policy in _POLICIES:
        some = {
            row.ratio: row.arm
            for row in summary
            if (row.policy, row.labels, row.generator) == (policy, labels, generator) and row.arm != "real"
        }
        if some:
            ratio = "pool" if "pool" in some else max(some, key=float)
            found[some[ratio]] = policy if ratio == "pool" else f"{policy} {ratio}"
    return found


def principal(summary: Sequence[SummaryRow]) -> tuple[str, str]:
    """The labels and the generator that the most arms have."""
    arms = {row.arm: (row.labels, row.generator) for row in summary if row.arm not in (BASE, "real")}
    return Counter(arms.values()).most_common(1)[0][0] if arms else ("", "")


def _curves(summary: Sequence[SummaryRow], arms: Mapping[str, str], figure: str) -> str:
    chosen = [row for row in summary if row.figure == figure]
    lines = []
    for number, (arm, name) in enumerate(arms.items()):
        points = tuple(
            Point(
                generation=row.generation, run=arm, verdict=None,
                figure=Figure(value=row.mean, low=row.low, high=row.high),
            )
            for row in chosen
            if row.arm in (BASE, arm)
        )  # fmt: skip
        lines.append(Line(arm=name, number=number, points=points))
    return charts.standalone(LineChart(lines=lines, size=_SIZE, title=_TITLES[figure]))


def _heat(summary: Sequence[SummaryRow]) -> str:
    labels, generator = principal(summary)
    tables: dict[str, dict[tuple[str, int], float | None]] = {}
    for row in summary:
        mine = (row.labels, row.generator) == (labels, generator) or row.arm == "real"
        if row.figure != "rare_recall" or not mine or not row.policy:
            continue
        for policy in _POLICIES if row.arm == "real" else (row.policy,):
            tables.setdefault(policy, {})[row.ratio, row.generation] = row.mean
    tables = {policy: table for policy, table in tables.items() if {ratio for ratio, _ in table} - {"0"}}
    if not tables:
        return ""
    size = (60 + _PANEL[0] * len(tables), _PANEL[1] + 60)

    def paint(axes: Any) -> None:
        axes.set_axis_off()
        for number, (policy, table) in enumerate(tables.items()):
            left = (60 + number * _PANEL[0]) / size[0]
            panel = axes.figure.add_axes((left, 46 / size[1], (_PANEL[0] - 70) / size[0], (_PANEL[1] - 20) / size[1]))
            _paint_heat(panel, policy, table)

    return charts.drawing(size, paint)


def _paint_heat(axes: Any, policy: str, table: Mapping[tuple[str, int], float | None]) -> None:
    ratios = sorted({ratio for ratio, _ in table}, key=lambda ratio: math.inf if ratio == "pool" else float(ratio))
    generations = sorted({generation for _, generation in table})
    values = np.array(
        [[_number(table.get((ratio, one))) for one in generations] for ratio in ratios], dtype=np.float64
    )  # fmt: skip
    axes.pcolormesh(values, cmap="viridis", vmin=0, vmax=1, edgecolors="white")
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(values):
        if not math.isnan(value):
            light = value > _MIDDLE
            axes.text(column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=10,
                      color="black" if light else "white")  # fmt: skip
    axes.set_xticks([one + 0.5 for one in range(len(generations))], [str(one) for one in generations])
    axes.set_yticks([one + 0.5 for one in range(len(ratios))], ratios)
    axes.tick_params(length=0, labelsize=10.5, colors=_INK)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("generation", color=_INK, fontsize=11)
    axes.set_ylabel("ratio", color=_INK, fontsize=11)
    axes.set_title(policy, loc="left", color=_INK, fontsize=12, fontweight="bold")


def _number(value: float | None) -> float:
    """A value for a drawing, which knows no None."""
    return math.nan if value is None else value


def _shares(classes: Sequence[ClassRow], arms: Mapping[str, str], generations: int) -> str:
    names = list(dict.fromkeys(row.name for row in classes))
    size = (20 + _PANEL[0] * len(arms), _PANEL[1] + 90)

    def paint(axes: Any) -> None:
        axes.set_axis_off()
        handles: list[Any] = []
        for number, (arm, title) in enumerate(arms.items()):
            left = (44 + number * _PANEL[0]) / size[0]
            panel = axes.figure.add_axes((left, 76 / size[1], (_PANEL[0] - 40) / size[0], (_PANEL[1] - 22) / size[1]))
            table = [
                [_mean_share(classes, arm, name, generation) for generation in range(generations + 1)]
                for name in names
            ]  # fmt: skip
            palette = [colours.class_colour(one) for one in range(len(names))]
            handles = panel.stackplot(range(generations + 1), table, colors=palette, linewidth=0)
            panel.set(xlim=(0, generations), ylim=(0, 1))
            panel.set_xticks(range(generations + 1))
            panel.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
            panel.tick_params(length=0, labelsize=10.5, colors=_INK)
            panel.spines[:].set_visible(False)
            panel.set_xlabel("generation", color=_INK, fontsize=11)
            panel.set_title(title, loc="left", color=_INK, fontsize=12, fontweight="bold", parse_math=False)
        axes.figure.legend(handles, names, loc="lower center", ncols=len(names), frameon=False, fontsize=10.5)

    return charts.drawing(size, paint) if arms and names else ""


def _mean_share(classes: Sequence[ClassRow], arm: str, name: str, generation: int) -> float:
    wanted = BASE if generation == 0 else arm
    found = [
        row.share or 0.0 for row in classes if (row.arm, row.name, row.generation) == (wanted, name, generation)
    ]  # fmt: skip
    return math.fsum(found) / len(found) if found else 0.0


def _objects(study: Study, rows: Sequence[GenerationRow], arms: Mapping[str, str]) -> str:
    """Objects of the rarest class, an arm a line and a generation a column, all of the first seed that has them."""
    cells = {row.arm: row.cell for row in reversed(rows) if row.arm in arms and row.arm != "real"}
    seeds = {row.cell: row.seed for row in rows}
    lines = {
        arms[arm]: [_picture(study.places.made_base(seeds[cell]), 0)]
        + [_picture(study.places.made_cell(cell), number) for number in range(1, study.generations + 1)]
        for arm, cell in cells.items()
    }
    width, gap, step = study.crops * crops.SIDE, 8, crops.SIDE + 10
    parts = []
    for row, (name, pictures) in enumerate(lines.items()):
        top = 26 + row * step
        parts.append(f'<text x="0" y="{top + 20}" font-weight="bold">{escape(name)}</text>')
        for column, data in enumerate(pictures):
            left = _LABEL + column * (width + gap)
            parts.append(f'<image x="{left}" y="{top}" width="{width}" height="{crops.SIDE}" href="{data}"/>')
    if not parts:
        return ""
    heads = [
        f'<text x="{_LABEL + number * (width + gap)}" y="16">generation {number}</text>'
        for number in range(study.generations + 1)
    ]
    size = (_LABEL + (study.generations + 1) * (width + gap), 26 + len(lines) * step)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" font-family="\'DejaVu Sans\', Helvetica, Arial, sans-serif" '
        f'font-size="12" fill="{_INK}"><rect width="100%" height="100%" fill="#fffffe"/>'
        + "".join([*heads, *parts])
        + "</svg>\n"
    )


def _picture(folder: Path, generation: int) -> str:
    """One strip as a link that holds it; smaller than the PNG."""
    pixels = images.read(folder / making.strip_name(run_name(generation)))
    encoded, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not encoded:
        raise RuntimeError("OpenCV writes no JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
