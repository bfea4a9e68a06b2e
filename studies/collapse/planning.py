"""What the grid takes: cells, trainings, and an estimate of the time from those that were made."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from pipeline.core import cores
from studies.collapse import measuring
from studies.collapse.measuring import Measured
from studies.collapse.places import MEASURED
from studies.collapse.settings import Cell, Study


def lines(study: Study, cells: Mapping[str, Cell]) -> list[str]:
    """Each cell with how far it is, then the sum of it all."""
    made = {name: found for name in cells if (found := kept(study, name)) is not None}
    told = [f"{'done' if name in made else '    '}  {name}" for name in cells]
    trainings = len(study.seeds) + len(cells) * study.generations
    told.append(
        f"{len(cells)} cells of {study.generations} generations and {len(study.seeds)} bases: {trainings} trainings, "
        f"{len(made)} cells done"
    )
    spent = [one.seconds for found in made.values() for one in found.generations]
    if spent:
        each, jobs = statistics.median(spent), max(cores.present() // study.threads, 1)
        left = (len(cells) - len(made)) * study.generations
        told.append(
            f"a generation took {each:.0f} s (median of {len(spent)}): {left * each / jobs / 3600:.1f} hours for the "
            f"{left} that are left, {jobs} side by side"
        )
    else:
        told.append("no cell is done yet: one of them, made with --only, gives an estimate of the time")
    return told


def kept(study: Study, name: str) -> Measured | None:
    """What is kept of a cell; None where nothing is."""
    folder = study.places.made_cell(name)
    return measuring.read(folder) if (folder / MEASURED).exists() else None
