"""The page of the report, laid out by Jinja2; every text is escaped."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.report_page import Page

_TEMPLATES = Path(__file__).parent.parent / "templates"


def render(page: Page, arm_colours: list[tuple[str, str]]) -> str:
    """The page as HTML.

    Args:
        page: what it shows; only the charts are taken as markup.
        arm_colours: colour of each arm on a light and on a dark page.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(page=page, arm_colours=arm_colours)
