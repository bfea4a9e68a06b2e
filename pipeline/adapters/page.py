"""The page of the report, laid out by Jinja2; every text is escaped."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from pipeline.adapters import charts
from pipeline.core.report_page import Drawing, Page

_TEMPLATES = Path(__file__).parent.parent / "templates"


def render(page: Page, arm_colours: list[tuple[str, str]]) -> str:
    """The page as HTML.

    Args:
        page: what it shows; only the charts, drawn here, are taken as markup.
        arm_colours: colour of each arm on a light and on a dark page.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup, escape

    numbers = count()

    def svg(drawing: Drawing) -> Markup:
        drawn = charts.inline(drawing.chart, name=f"chart{next(numbers)}", alt=drawing.alt)
        return Markup(drawn)  # noqa: S704 - matplotlib's own, its texts escaped

    def code(text: str) -> Markup:
        parts = text.split("`")
        if len(parts) % 2 == 0:  # a lone backtick is only a character
            return escape(text)
        return Markup().join(
            Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
        )

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code
    return environment.get_template("report.html.j2").render(page=page, arm_colours=arm_colours, svg=svg)
