"""What the App's panel shows: verdicts with their reasons, and charts as Plotly takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.core import audits, colours, judgements, params, paths, reporting
from pipeline.core.figures import Figure
from pipeline.core.paths import RunPaths
from pipeline.core.reporting import History, Line, RunRecord

HEIGHT = 280  # pixels, of a chart
Chart = dict[str, Any]  # of Plotly
_INK, _GRID = "#c9cdd3", "#3a3f46"


def history() -> History:
    """The base run and the arms, as far as they are audited and judged.

    Raises:
        UserError: nothing is audited, or a file is damaged.
    """
    settings = params.load()
    done = {run for run in settings.runs if RunPaths(run).figures.exists() and RunPaths(run).gate.exists()}
    runs = {run: item for run, item in settings.runs.items() if done.issuperset(params.ancestry(settings, run))}
    known = {run: audits.read(RunPaths(run).figures) for run in (paths.BASE, *runs)}
    judged = {run: judgements.read(RunPaths(run).gate) for run in runs}
    return reporting.arrange(replace(settings, runs=runs), known, judged)


def map_chart(told: History) -> tuple[list[Chart], Chart]:
    """mAP50-95 of each arm over its generations, with intervals: traces and layout."""
    traces = [_line(line, line.arm) for line in reporting.lines(told, lambda audit: audit.map50_95)]
    return traces, _layout("mAP50-95", "generation")


def recall_chart(told: History, name: str) -> tuple[list[Chart], Chart]:
    """Recall of one class in each arm over its generations, with intervals: traces and layout."""
    traces = [_line(line, line.arm) for line in reporting.lines(told, reporting.recall_of(name))]
    return traces, _layout(f"Recall of {name}", "generation")


def share_chart(told: History) -> tuple[list[Chart], Chart]:
    """Shares of the classes in the training boxes of each run, stacked: traces and layout."""
    runs: list[RunRecord] = told.runs
    shares = [reporting.class_shares(run.audit) for run in runs]
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": [run.name for run in runs],
            "y": [one[number].share for one in shares],
            "ids": [f"{run.name}/{name}" for run in runs],
            "customdata": [one[number].boxes for one in shares],
            "hovertemplate": "%{x}: %{y:.1%} (%{customdata} boxes)",
            "marker": {"color": colours.class_colour(number)},
        }
        for number, name in enumerate(told.classes)
    ]
    return traces, _layout("Class shares of the training boxes", "", barmode="stack")


def _line(line: Line, name: str) -> Chart:
    points = [point for point in line.points if point.figure.value is not None]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [point.generation for point in points],
        "y": [point.figure.value for point in points],
        "ids": [point.run for point in points],
        "text": [point.run if point.verdict is None else f"{point.run}: {point.verdict}" for point in points],
        "hovertemplate": "%{text}<br>%{y:.3f}",
        "error_y": {
            "type": "data",
            "symmetric": False,
            "thickness": 1,
            "array": [_reach(point.figure, point.figure.high) for point in points],
            "arrayminus": [_reach(point.figure, point.figure.low) for point in points],
        },
        "marker": {"size": 9, "color": colours.arm_colour_on_dark(line.number)},
        "line": {"color": colours.arm_colour_on_dark(line.number)},
    }


def _reach(figure: Figure, end: float | None) -> float | None:
    return None if end is None or figure.value is None else abs(end - figure.value)


def _layout(title: str, across: str, **more: Any) -> Chart:
    return {
        "title": {"text": title, "font": {"size": 14}, "x": 0, "xref": "paper", "y": 0.97, "yanchor": "top"},
        "showlegend": True,
        "height": HEIGHT,
        "margin": {"l": 44, "r": 12, "t": 64, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _INK},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        "xaxis": {"title": {"text": across}, "gridcolor": _GRID, **({"dtick": 1} if across else {})},
        "yaxis": {"range": [0, 1], "gridcolor": _GRID},
        "hovermode": "closest",
        **more,
    }
