"""Measure, beside its peers, what Tailwatch costs: `uv run python -m benchmarks`."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks import comparing
from benchmarks.comparing import Comparison, Results

ROWS = (
    "training",
    "starts",
    "inference",
    "audit",
    "neighbours",
    "mix",
    "ingest",
    "generators",
    "nothing",
    "nights",
    "project",
)
RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parent / "results.md"


@click.command()
@click.argument("rows", nargs=-1, type=click.Choice(ROWS))
@click.option("--quick", is_flag=True, help="Small sizes, held against what is kept: a ratio worse by a third fails.")
@click.option("--write/--no-write", default=None, help="Keep what was measured; done unless --quick is given.")
def main(rows: tuple[str, ...], *, quick: bool, write: bool | None) -> None:
    """Measure what Tailwatch costs beside its peers, all of it or some rows."""
    kind = "quick" if quick else "full"
    results = comparing.read(RESULTS)
    kept = results.get(kind, Results(machine={}))
    found = [one for row in rows or ROWS for one in _measured(row, quick=quick)]
    fresh = Results(machine=comparing.machine(), comparisons={one.name: one for one in found})
    click.echo(comparing.table(fresh))
    if write or (write is None and not quick):
        others = {name: one for name, one in kept.comparisons.items() if one.row not in (rows or ROWS)}
        whole = {**others, **fresh.comparisons}
        ordered = sorted(whole, key=lambda name: ROWS.index(whole[name].row))
        results[kind] = Results(machine=fresh.machine, comparisons={name: whole[name] for name in ordered})
        comparing.write(RESULTS, results)
        if not quick:
            PAGE.write_text(comparing.table(comparing.read(RESULTS)["full"]))  # with the digits that are kept
        return
    if not comparing.alike(fresh.machine, kept.machine):
        click.echo("Kept is what another processor measured: these ratios are not held against it.", err=True)
        return
    worse = [one for one in found if _is_worse(one, kept)]
    if worse:  # or the machine was busy just then
        again = {one.name: one for row in {one.row for one in worse} for one in _measured(row, quick=quick)}
        worse = [again[one.name] for one in worse if _is_worse(again[one.name], kept)]
    for one in worse:
        before = kept.comparisons[one.name].ratio
        click.echo(f"{one.name}: the ratio is {one.ratio:.3g} a second time too, kept is {before:.3g}", err=True)
    if worse:
        sys.exit(1)


def _measured(row: str, *, quick: bool) -> list[Comparison]:
    began = time.monotonic()
    click.echo(f"{row} …", err=True)
    with tempfile.TemporaryDirectory(prefix="tailwatch-benchmark-") as folder:
        found: list[Comparison] = importlib.import_module(f"benchmarks.{row}").compare(Path(folder), quick=quick)
    click.echo(f"{row}: {time.monotonic() - began:.0f} s", err=True)
    return found


def _is_worse(one: Comparison, kept: Results) -> bool:
    return one.name in kept.comparisons and comparing.worse(one, kept.comparisons[one.name])


if __name__ == "__main__":
    main()
