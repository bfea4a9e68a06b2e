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
@click.option("--study", "name", default="", metavar="NAME", help="A folder in studies/collapse with a params.yaml.")
@click.pass_context
def main(context: click.Context, name: str) -> None:
    """Policy x ratio x labels x generator x generation x seed: who collapses, and how much real data prevents it."""
    context.obj = name


@main.command()
@click.pass_obj
def plan(name: str) -> None:
    """List the cells and what they take, and write cells.yaml, which dvc.yaml goes through, and dvc.yaml itself."""
    from studies.collapse import planning

    with _told():
        study = settings.load(name)
        found = settings.cells(study)
        _write_graph(study)
        for line in planning.lines(study, found):
            click.echo(line)


@main.command()
@click.option(
    "--only", multiple=True, metavar="PATTERN", help="Cells whose name matches, as 'replace-*-1'; repeatable."
)
@click.option("--engine", type=click.Choice(["processes", "ray"]), default="processes", show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Generations side by side; as many as there are cores for.")
@click.option("--address", metavar="HOST:PORT", help="Of the Ray cluster's head node; without it, the one here.")
@click.pass_obj
def run(name: str, only: tuple[str, ...], engine: Any, jobs: int | None, address: str | None) -> None:
    """Make the cells that are not there, side by side, then the tables of all that are; what was cut off goes on."""
    from studies.collapse import data as real
    from studies.collapse import engines

    with _told():
        study = settings.load(name)
        cells = settings.chosen(study, only)
        _write_graph(study)
        real.require_source(study)
        with engines.opened(engine, study, jobs=jobs, address=address) as place:
            stage.report(f"collapse: {len(cells)} cells, {place.jobs} side by side")
            engines.repro(study, "data")
            failed = None
            try:
                engines.advance(study, cells, place)
            except UserError as error:
                failed = error
        engines.settle(study, cells)
        if failed:
            raise failed
        engines.repro(study, "table", alone=True)


@main.command()
@click.pass_obj
def inputs(name: str) -> None:
    """Write what the other stages depend on (a stage of dvc.yaml)."""
    from studies.collapse import inputs as collected

    with _told():
        collected.write(settings.load(name))


@main.command()
@click.pass_obj
def data(name: str) -> None:
    """Ingest and verify the real images (a stage of dvc.yaml)."""
    from studies.collapse import data as real

    _end_with_dvc()
    with _told():
        real.prepare(settings.load(name), root=Path.cwd())


@main.command()
@click.argument("seed", type=int)
@click.pass_obj
def base(name: str, seed: int) -> None:
    """Train and audit the base run of a SEED (a stage of dvc.yaml)."""
    from studies.collapse import engines, making

    _end_with_dvc()
    with _told():
        study = settings.load(name)
        if seed not in study.seeds:
            known = ", ".join(map(str, study.seeds))
            raise UserError(f"no seed {seed} in {study.places.params}; there are: {known}.")
        making.write_base(study, making.advance_base(study, seed, engines.here), seed)


@main.command()
@click.argument("cell")
@click.pass_obj
def cell(name: str, cell: str) -> None:
    """Make the generations of a CELL that are not there (a stage of dvc.yaml)."""
    from studies.collapse import engines, making

    _end_with_dvc()
    with _told():
        study = settings.load(name)
        chosen = settings.cell(study, cell)
        making.write_cell(study, making.advance_cell(study, chosen, engines.here), chosen)


@main.command()
@click.pass_obj
def table(name: str) -> None:
    """Write tables and figures of the cells that are there, into results/ (a stage of dvc.yaml)."""
    from studies.collapse import tables

    with _told():
        tables.write(settings.load(name))


@main.command()
def page() -> None:
    """Write docs/benchmark.md from the tables of all studies."""
    from studies.collapse import page as written

    with _told():
        for one in places.present():
            written.require_present(settings.load(one.name))
        files.write_text(places.PAGE, written.render())
        click.echo(f"{places.PAGE} is written")


def _write_graph(study: Study) -> None:
    """Keep cells.yaml as the grid has it, and dvc.yaml as the first study has it; what is as it was stays untouched."""
    from studies.collapse import graph

    wanted = {study.places.cells: settings.cells_text(study)}
    if study.name:
        wanted[study.places.pipeline] = graph.text(study.places)
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            files.write_text(path, text)


def _end_with_dvc() -> None:
    """End with the `dvc repro` that started this: one that is killed would leave its stage behind."""
    above = processes.dvc_above()
    if above is not None:
        processes.end_with(above)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Have what is the user's or the machine's to mend told in a sentence.

    Raises:
        ClickException: with that sentence.
    """
    try:
        yield
    except UserError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(stage.explain(error)) from error


if __name__ == "__main__":
    main()
