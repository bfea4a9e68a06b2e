"""The notebooks: they run, they are committed clean, and they say what to run first."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.project import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIRST = {  # what is missing first in a project that has not run, and what makes it
    "01_look_at_the_data": ("data/verified/manifest.parquet is missing", "uv run dvc repro"),
    "02_read_an_audit": ("data/audit/base/audit.json is missing", "uv run dvc repro"),
    "03_what_collapse_looks_like": ("studies/collapse/results/summary.csv", "python -m studies.collapse run"),
    "04_how_much_real_data": ("studies/collapse/results/summary.csv", "python -m studies.collapse run"),
}
MACHINE = re.compile(r"/(?:work|home|root|tmp|Users|opt|mnt)/|https?://")
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def execute(notebook: Path, folder: Path) -> Any:
    """Run a notebook in a folder as Jupyter would, and give it back with its outputs.

    Raises:
        CellExecutionError: a cell failed.
    """
    read = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        read, timeout=300, startup_timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return read


def outputs(read: Any) -> list[Any]:
    """What the cells of a notebook gave."""
    return [output for cell in read.cells if cell.cell_type == "code" for output in cell.outputs]


def test_all_are_there() -> None:
    """The four notebooks are numbered in the order in which they are read."""
    assert [path.stem for path in NOTEBOOKS] == list(FIRST)


@each_notebook
def test_committed_clean(notebook: Path) -> None:
    """A notebook is valid, has no outputs and no counts, and names neither a place of a machine nor an address."""
    text = notebook.read_text()
    nbformat.validate(nbformat.reads(text, as_version=4))
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in cells] == [([], None)] * len(cells)
    assert MACHINE.findall(text) == []


@each_notebook
def test_short_and_ends_with_the_reader(notebook: Path) -> None:
    """A notebook has few cells, each a screen at most, and its last heading is the reader's turn."""
    cells = json.loads(notebook.read_text())["cells"]
    headings = [line for cell in cells if cell["cell_type"] == "markdown" for line in cell["source"] if line[:1] == "#"]
    assert headings[-1].strip() == "## Your turn"
    assert len(cells) <= 20
    assert max(len(cell["source"]) for cell in cells) <= 35


@pytest.mark.slow
@each_notebook
def test_missing_inputs_are_told_in_a_line(notebook: Path, tmp_path: Path) -> None:
    """In a project that has not run, a notebook stops with one line that says what to run, and no traceback."""
    (tmp_path / "notebooks").mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    with pytest.raises(CellExecutionError) as caught:
        execute(notebook, tmp_path / "notebooks")
    lines = caught.value.traceback.strip().splitlines()
    told = [line for line in lines if line.startswith(FIRST[notebook.stem][0])]
    assert len(told) == 1
    assert FIRST[notebook.stem][1] in told[0]
    assert "Traceback" not in caught.value.traceback
    assert not [line for line in lines if line.lstrip().startswith("File ")]


@pytest.mark.slow
def test_outside_a_project(tmp_path: Path) -> None:
    """Started outside a project, a notebook says where to start."""
    with pytest.raises(CellExecutionError, match="is in no project"):
        execute(NOTEBOOKS[0], tmp_path)
