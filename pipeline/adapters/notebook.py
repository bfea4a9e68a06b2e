"""What the notebooks share: where they run, how they stop, and how they show the report's pictures and charts."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pipeline.adapters import charts
from pipeline.core import colours, paths
from pipeline.core.errors import UserError
from pipeline.core.pictures import Picture
from pipeline.core.report_charts import Chart

_GRAPH = Path("dvc.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A piece of a notebook's page; Jupyter shows what is the last line of a cell."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def begin() -> None:
    """Go to the project's folder, and have mistakes that a person can mend told by their message alone.

    Raises:
        UserError: neither the working directory nor a folder above it is a project.
    """
    setattr(UserError, "_render_traceback_", _message)  # noqa: B010 - what IPython asks an exception for
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / paths.PARAMS).is_file() and (folder / _GRAPH).is_file():
            os.chdir(folder)
            return
    raise UserError(f"{here} is in no project: no {paths.PARAMS} is there or above. Start Jupyter in the project.")


def _message(error: UserError) -> list[str]:
    return [str(error)]


def gallery(pictures: Sequence[Picture]) -> Shown:
    """Pictures side by side with their captions."""
    return Shown(html=_row([_figure(one) for one in pictures]))


def strips(pictures: Sequence[tuple[str, Picture | None]]) -> Shown:
    """Titled pictures under one another; a title without a picture has a dash."""
    lines = [
        f"<div style='width:11em;font-size:13px'>{escape(title)}</div>{'–' if one is None else _figure(one)}"  # noqa: RUF001
        for title, one in pictures
    ]
    return Shown(html="".join(_row([line]) for line in lines))


def legend(names: Sequence[str]) -> Shown:
    """The colours of the classes, in the order of their ids."""
    return Shown(html=_row([
        f"<span style='font-size:13px'><b style='color:{colours.class_colour(number)}'>■</b> {escape(name)}</span>"
        for number, name in enumerate(names)
    ]))  # fmt: skip


def drawing(chart: Chart) -> Shown:
    """A chart of the report."""
    return _image(charts.standalone(chart), width=f"{chart.size[0]}px")


def svg(path: Path) -> Shown:
    """A figure from a file.

    Raises:
        UserError: it is missing.
    """
    try:
        return _image(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Run `uv run python -m studies.collapse table`.") from None


def _image(text: str, width: str = "auto") -> Shown:
    """An SVG as a picture of its own: what it says of style and ids then holds for itself alone."""
    data = base64.b64encode(text.encode()).decode()
    return Shown(html=f"<img src='data:image/svg+xml;base64,{data}' style='max-width:100%;width:{width}' alt=''>")


def _row(parts: Sequence[str]) -> str:
    return f"<div style='display:flex;flex-wrap:wrap;align-items:center;gap:8px'>{''.join(parts)}</div>"


def _figure(one: Picture) -> str:
    lines = "<br>".join(escape(line) for line in one.caption)
    caption = f"<figcaption style='font-size:12px;line-height:1.3'>{lines}</figcaption>" if lines else ""
    image = f"<img src='{one.uri}' width='{one.width}' height='{one.height}' alt='{escape(one.alt)}'>"
    return f"<figure style='margin:0;max-width:{one.width}px'>{image}{caption}</figure>"
