"""What DVC shows of what the report and the study write: columns of experiments, and plots."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from pipeline.core import files, paths, report_files
from studies.collapse import tables
from tests import report_builders, study_builders
from tests.project import Project, create

RESULTS = study_builders.PLACES.results

pytestmark = pytest.mark.slow

COLUMNS = ("--only-changed", "--drop", ".*/")  # as the README says


def commit(project: Project) -> None:
    """Commit all of the project, its metrics too."""
    by = ("-c", "user.name=a tester", "-c", "user.email=tester@localhost")
    for command in (("add", "-A"), ("add", "-f", str(paths.REPORT_METRICS)), (*by, "commit", "-qm", "one more")):
        subprocess.run(["git", *command], cwd=project.folder, check=True)


def test_experiments_have_few_columns(tmp_path: Path) -> None:
    """Two experiments with another ratio differ, in `dvc exp show`, in that ratio and in a few figures of each arm."""
    project = create(tmp_path)
    metrics = report_files.metrics(report_builders.history())
    files.write_json(project.folder / paths.REPORT_METRICS, metrics)
    commit(project)
    project.change(lambda settings: settings["arms"]["guarded"].update(ratio=0.5))
    metrics["tame"]["map50_95"], metrics["tame"]["verdict"] = 0.1, "COLLAPSING"
    files.write_json(project.folder / paths.REPORT_METRICS, metrics)
    shown = project.run("dvc", "exp", "show", "--csv", *COLUMNS)
    assert shown.code == 0, shown.output
    rows = list(csv.DictReader(line for line in shown.output.splitlines() if "," in line))
    assert set(rows[0]) - {"Experiment", "rev", "typ", "Created", "parent", "State", "Executor"} == {
        "tame.map50_95", "tame.verdict", "arms.guarded.ratio",
    }  # fmt: skip


def test_all_metrics_fit_on_a_screen(tmp_path: Path) -> None:
    """Of two arms there are a dozen columns of metrics at most, however many runs and classes there are."""
    metrics = report_files.metrics(report_builders.history())
    assert sum(len(one) for one in metrics.values()) <= 12
    project = create(tmp_path)
    files.write_json(project.folder / paths.REPORT_METRICS, metrics)
    shown = project.run("dvc", "metrics", "show", "--json")
    assert shown.code == 0, shown.output
    found = json.loads(shown.output[shown.output.index("{") :])
    assert found[""]["data"][str(paths.REPORT_METRICS)]["data"] == metrics


def test_plots_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dvc plots show` draws the study's curves, heat map and streams from its tables, each by its own template."""
    project = create(tmp_path / "project")
    study = study_builders.ready(tmp_path, monkeypatch)
    study_builders.make(study)
    tables.write(study)
    for table in (RESULTS / "plots").iterdir():
        files.write_bytes(project.folder / RESULTS / "plots" / table.name, table.read_bytes())
    done = project.run("dvc", "--cd", "studies/collapse", "plots", "show", "--json")
    assert done.code == 0, done.output
    data = json.loads(done.output[done.output.index("{") :])["data"]
    drawn = {title.removeprefix("Collapse study: "): one for title, one in data.items() if "Collapse study: " in title}
    assert set(drawn) == {
        "mAP50-95", "recall of rare classes", "recall of rare classes by ratio", "class shares of the training data",
    }  # fmt: skip
    curve = json.loads(drawn["mAP50-95"][0]["content"]) if isinstance(drawn["mAP50-95"][0]["content"], str) else drawn[
        "mAP50-95"][0]["content"]  # fmt: skip
    assert [layer["mark"]["type"] for layer in curve["layer"]] == ["area", "line"]
    assert {row["arm"] for row in curve["data"]["values"]} == {"real only", "replace 1", "accumulate 1"}
