"""A project that has only its base run yet is a whole project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import accept, create
from tests.test_nightly import least


@pytest.mark.slow
def test_no_generation_yet(tmp_path: Path) -> None:
    """Without a run `dvc repro` comes through, also in a clone, and the report says that there is no generation."""
    project = create(tmp_path / "project", least)
    accept(project)
    done = project.run("dvc", "repro")
    assert done.code == 0, done.output
    assert done.executed[-2:] in (["report", "review"], ["review", "report"])
    assert "- **guarded**: no run yet." in (project.folder / "reports" / "summary.md").read_text()
    assert "No generation was made yet." in (project.folder / "reports" / "index.html").read_text()
    assert project.run("dvc", "repro").executed == []
    checked = project.run("tailwatch", "check")
    assert (checked.code, "params.yaml has no run" in checked.output) == (1, True), checked.output
