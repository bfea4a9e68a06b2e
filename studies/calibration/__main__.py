"""Calibrate the gate: `uv run python -m studies.calibration` writes result.json and docs/calibration.md."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pipeline.core import files, params
from pipeline.core.errors import UserError
from studies.calibration import matches, page, running, summary


@click.command()
@click.option("--schedules", default=1000, show_default=True, help="Schedules of each kind.")
@click.option("--fewer", default=300, show_default=True, help="Those of the other parts.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True, help="Side by side.")
@click.option("--result", default=summary.PATH, show_default=True, type=click.Path(path_type=Path), help="JSON file.")
@click.option("--docs", default=page.PATH, show_default=True, type=click.Path(path_type=Path), help="Markdown file.")
def main(schedules: int, fewer: int, processes: int, result: Path, docs: Path) -> None:
    """Simulate months of nights from the match table, let the gate judge them, and write the figures and the page."""
    try:
        table = matches.read()
        settings = params.load()
    except UserError as error:
        raise click.ClickException(str(error)) from None
    found = running.calibrate(table, settings.gate, schedules=schedules, fewer=fewer, processes=processes)
    summary.write(result, found)
    files.write_text(docs, page.render(summary.read(result)))
    click.echo(f"{result} and {docs} are written")


if __name__ == "__main__":
    main()
