"""Every path of the study, once; all are relative to the project's folder."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.paths import STATE

HERE = Path("studies/collapse")
PARAMS = HERE / "params.yaml"
CELLS = HERE / "cells.yaml"  # the grid, multiplied out, for dvc.yaml
PIPELINE = HERE / "dvc.yaml"

MADE = HERE / "made"  # what the study's stages hand to one another: small, kept by DVC
INPUTS = MADE / "inputs"
MADE_DATA = MADE / "data.json"
MADE_BASES = MADE / "base"
MADE_CELLS = MADE / "cells"
MEASURED = "measured.json"  # in the folder of a base or a cell

RESULTS = HERE / "results"  # in git
PAGE = Path("docs/benchmark.md")

WORK = STATE / "collapse"  # images and weights: the bulk, which may be deleted at any time
WORK_DATA = WORK / "data"
WORK_BASES = WORK / "base"
WORK_CELLS = WORK / "cells"
SETTLE_LOG = WORK / "dvc.log"


def inputs(group: str) -> Path:
    """What the stages of a group depend on: data, base or cells."""
    return INPUTS / f"{group}.json"


def made_base(seed: int) -> Path:
    """What is kept of a seed's base run."""
    return MADE_BASES / str(seed)


def made_cell(name: str) -> Path:
    """What is kept of a cell."""
    return MADE_CELLS / name


def work_base(seed: int) -> Path:
    """Folder of a seed's base run."""
    return WORK_BASES / str(seed)


def work_cell(name: str) -> Path:
    """Folder of a cell's generations."""
    return WORK_CELLS / name
