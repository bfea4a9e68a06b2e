"""The collapse study: `uv run python -m studies.collapse run`; the other commands are what its stages do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pipeline.core import files, processes, stage
from pipeline.core.errors import UserError
from studies.collapse import places, settings
from studies.collapse.settings import Study


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Policy x ratio x labels x generator x generation x seed: who collapses, and how much real data prevents it."""


@main.command()
def plan() -> None:
    """List the cells and what they take, and write cells.yaml, which dvc.yaml goes through."""
    from studies.collapse import planning

    with _told():
        study = settings.load()
        found = settings.cells(study)
        _write_cells(study)
        for line in planning.lines(study, found):
            click.echo(line)


@main.command()
@click.option(
    "--only", multiple=True, metavar="PATTERN", help="Cells whose name matches, as 'replace-*-1'; repeatable."
)
@click.option("--engine", type=click.Choice(["processes", "ray"]), default="processes", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Generations side by side; as many as there are cores for.")
@click.option("--address", metavar="HOST:PORT", help="Of the Ray cluster's head node; without it, the one here.")
def run(only: tuple[str, ...], engine: Any, jobs: int | None, address: str | None) -> None:
    """Make the cells that are not there, side by side, then the tables; what was cut off goes on."""
    from studies.collapse import engines

    with _told():
        study = settings.load()
        cells = settings.chosen(settings.cells(study), only)
        _write_cells(study)
        with engines.opened(engine, threads=study.threads, jobs=jobs, address=address) as place:
            stage.report(f"collapse: {len(cells)} cells, {place.jobs} side by side")
            engines.repro("data")
            failed = None
            try:
                engines.advance(study, cells, place)
            except UserError as error:
                failed = error
        engines.settle(study, cells)
        if failed:
            raise failed
        if not only:
            engines.repro("table")


@main.command()
def inputs() -> None:
    """Write what the other stages depend on (a stage of dvc.yaml)."""
    from studies.collapse import inputs as collected

    with _told():
        collected.write(settings.load())


@main.command()
def data() -> None:
    """Ingest and verify the real images (a stage of dvc.yaml)."""
    from studies.collapse import data as real

    _end_with_dvc()
    with _told():
        real.prepare(settings.load(), root=Path.cwd())


@main.command()
@click.argument("seed", type=int)
def base(seed: int) -> None:
    """Train and audit the base run of a SEED (a stage of dvc.yaml)."""
    from studies.collapse import engines, making

    _end_with_dvc()
    with _told():
        study = settings.load()
        if seed not in study.seeds:
            raise UserError(f"no seed {seed} in {places.PARAMS}; there are: {', '.join(map(str, study.seeds))}.")
        making.write_base(study, making.advance_base(study, seed, engines.here), seed)


@main.command()
@click.argument("name")
def cell(name: str) -> None:
    """Make the generations of the cell NAME that are not there (a stage of dvc.yaml)."""
    from studies.collapse import engines, making

    _end_with_dvc()
    with _told():
        study = settings.load()
        chosen = settings.cell(study, name)
        making.write_cell(study, making.advance_cell(study, chosen, engines.here), chosen)


@main.command()
def table() -> None:
    """Write tables and figures of the cells that are there, into results/ (a stage of dvc.yaml)."""
    from studies.collapse import tables

    with _told():
        tables.write(settings.load())


@main.command()
def page() -> None:
    """Write docs/benchmark.md from the tables in results/."""
    from studies.collapse import page as written

    with _told():
        written.require_present(settings.load(), places.RESULTS)
        files.write_text(places.PAGE, written.render())
        click.echo(f"{places.PAGE} is written")


def _write_cells(study: Study) -> None:
    """Keep cells.yaml as the grid has it; one that is as it was stays untouched."""
    text = settings.cells_text(settings.cells(study))
    if not places.CELLS.exists() or places.CELLS.read_text() != text:
        files.write_text(places.CELLS, text)


def _end_with_dvc() -> None:
    """End with the `dvc repro` that started this: one that is killed would leave its stage behind."""
    above = processes.dvc_above()
    if above is not None:
        processes.end_with(above)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
