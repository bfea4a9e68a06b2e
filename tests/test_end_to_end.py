"""The whole pipeline, small but real: DVC, YOLO, FiftyOne and its MongoDB."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from studies.collapse import tables
from tests import study_builders
from tests.project import ROOT, Project, accept, create, free_port, small
from tests.test_notebooks import NOTEBOOKS, execute, outputs

RESULTS = study_builders.PLACES.results

pytestmark = pytest.mark.slow

SAME = (
    "data/*/manifest.parquet",
    "data/[acgm]*/*/*.csv",
    "data/[acgm]*/*/*.parquet",
    "data/audit/*/audit.json",
    "data/gate/*.json",
)
BASE = ["mix-base", "train-base", "audit-base"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project that has run once."""
    made = create(tmp_path_factory.mktemp("a project with spaces"), small)
    accept(made)
    done = made.run("dvc", "repro")
    assert done.code == 0, done.output
    return made


def of_run(*runs: str) -> set[str]:
    """The stages that one run has."""
    return {f"{stage}@{run}" for run in runs for stage in ("generate", "mix", "train", "audit", "confirm", "gate")}


def test_a_run_leaves_verdicts_report_and_dataset(project: Project) -> None:
    """After `dvc repro` there are a verdict a run, a report, and a dataset whose mAP is the audit's."""
    summary = json.loads((project.folder / "data/review/summary.json").read_text())
    for run in ("base", "guarded-1", "recursive-1"):
        audit = json.loads((project.folder / f"data/audit/{run}/audit.json").read_text())
        assert summary["runs"][run]["map50_95"] == pytest.approx(audit["map50_95"]["value"], abs=1e-6)
    page = (project.folder / "reports/index.html").read_text()
    assert "guarded" in page
    assert "recursive" in page


def test_a_second_project_is_identical(project: Project, tmp_path: Path) -> None:
    """The same settings and the same ledger give the same manifests, predictions and verdicts, file by file."""
    second = create(tmp_path / "second", small, lambda params: params["runs"].pop("guarded-1"))
    shutil.copy(project.folder / "data/ledger.csv", second.folder / "data")
    shutil.copytree(project.folder / "data/imports", second.folder / "data/imports", dirs_exist_ok=True)
    done = second.run("dvc", "repro", "gate@recursive-1")
    assert done.code == 0, done.output
    made, before = second.digest(*SAME), project.digest(*SAME)
    assert len(made) > 10
    assert made == {path: before[path] for path in made}


def test_check_gives_text_json_and_exit_code(project: Project) -> None:
    """`tailwatch check` says the same thing in words, in JSON and in its exit code."""
    told = project.run("tailwatch", "check", "--json")
    value = json.loads(told.output)
    assert told.code == {"HEALTHY": 0, "COLLAPSING": 3, "INCONCLUSIVE": 4}[value["verdict"]]
    run = value["arms"]["recursive"]["runs"]["recursive-1"]
    assert {"verdict", "reason", "map50_95", "map50", "classes", "rare_classes"} <= set(run)
    assert all({"recall", "support"} <= set(one) for one in run["classes"].values())
    assert f"recursive: {run['verdict']}" in project.run("tailwatch", "check").output
    alone = project.run("tailwatch", "check", "--arm", "guarded", "--json")
    assert set(json.loads(alone.output)["arms"]) == {"guarded"}
    assert project.run("tailwatch", "check", "--arm", "gaurded").code == 1


@pytest.fixture(scope="module")
def studied(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with tables of the collapse study: the committed ones, or else ones that were written by hand."""
    results = project.folder / RESULTS
    if not (results / tables.SUMMARY).exists():
        with pytest.MonkeyPatch.context() as patch:
            made = study_builders.ready(tmp_path_factory.mktemp("study"), patch)
            study_builders.make(made)
            tables.write(made)
            shutil.copytree(RESULTS, results, dirs_exist_ok=True)
    return project


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(studied: Project, notebook: Path) -> None:
    """A notebook runs in a project that has run, shows pictures, and warns of nothing."""
    given = outputs(execute(notebook, studied.folder))
    assert [one.text for one in given if one.output_type == "stream" and one.name == "stderr"] == []
    shown = [one.data for one in given if one.output_type in ("display_data", "execute_result")]
    pictures = [one for one in shown if "image/png" in one or "image/svg+xml" in one or "<img" in one["text/html"]]
    assert len(pictures) >= 2


def test_nothing_to_do_runs_nothing(project: Project) -> None:
    """A second `dvc repro` executes no stage."""
    done = project.run("dvc", "repro")
    assert done.code == 0
    assert done.executed == []


def test_metrics_and_plots_are_read_by_dvc(project: Project) -> None:
    """`dvc metrics show` and `dvc plots show` understand what the report stage writes."""
    shown = project.run("dvc", "metrics", "show", "--json")
    assert shown.code == 0, shown.output
    assert '"recursive"' in shown.output
    plots = project.run("dvc", "plots", "show", "-o", "plots")
    assert plots.code == 0, plots.output


def test_the_dataset_has_runs_as_fields_and_views(project: Project) -> None:
    """Predictions, evaluations, provenance and saved views of every run are in FiftyOne."""
    code = (
        "from pipeline.adapters import voxel; fo = voxel.connect(); d = fo.load_dataset('tailwatch');"
        "import json; print(json.dumps({'evals': d.list_evaluations(), 'views': d.list_saved_views(),"
        "'fields': list(d.get_field_schema()), 'origins': d.count_values('origin'), 'persistent': d.persistent,"
        "'results': float(d.load_evaluation_results('eval_recursive_1').mAP())}))"
    )
    value = _asked(project, code)
    assert value["persistent"]
    assert set(value["evals"]) == {"eval_base", "eval_guarded_1", "eval_recursive_1"}
    assert {"base", "guarded_1", "image_id", "generation", "parents", "lineage_depth", "origin"} <= set(value["fields"])
    assert value["origins"]["synthetic"] == 96
    assert "recursive-1: lost rare boxes" in value["views"]


def test_evaluations_are_those_of_fiftyone(project: Project) -> None:
    """Every TP, FP and FN, matched id and IoU, and the mAP, are what FiftyOne's own evaluation gives."""
    code = (
        "from pipeline.adapters import voxel; import json, math; fo = voxel.connect();"
        "d = fo.load_dataset('tailwatch').clone('compared');"
        "v = d.exclude(d.info['plants']).match(fo.ViewField('split') == 'test');"
        "r = v.evaluate_detections('recursive_1', gt_field='ground_truth', eval_key='own', compute_mAP=True,"
        " classes=d.default_classes, progress=False);"
        "flat = lambda f: [x for image in v.values(f) for x in image];"
        "same = {n: flat(f'{f}.detections.own{n}') == flat(f'{f}.detections.eval_recursive_1{n}')"
        " for f in ('recursive_1', 'ground_truth') for n in ('', '_id')};"
        "near = max((abs(a - b) for f in ('recursive_1', 'ground_truth')"
        " for a, b in zip(flat(f'{f}.detections.own_iou'),"
        " flat(f'{f}.detections.eval_recursive_1_iou')) if a is not None), default=0.0);"
        "ours = d.load_evaluation_results('eval_recursive_1'); d.delete_evaluation('eval_recursive_1');"
        "print(json.dumps({'same': same, 'near': near, 'map': [float(r.mAP()), float(ours.mAP())],"
        "'report': ours.report() == r.report(), 'left': d.list_evaluations()})); fo.delete_dataset('compared')"
    )
    value = _asked(project, code)
    assert value["same"] == {"": True, "_id": True}
    assert value["near"] < 1e-3  # corners are written to a thousandth of a pixel
    assert value["map"][0] == pytest.approx(value["map"][1], abs=1e-4)  # ties: see decision 008
    assert value["report"]
    assert "eval_recursive_1" not in value["left"]


def _asked(project: Project, code: str) -> Any:
    done = project.run("python", "-c", code)
    assert done.code == 0, done.output
    return json.loads(done.output.strip().splitlines()[-1])


def test_review_serves_the_app_and_rebuilds_a_lost_database(project: Project) -> None:
    """`tailwatch review` makes the dataset anew when the database is gone, and serves the App on localhost."""
    gone = project.folder.parent / "gone"
    (project.folder / ".fiftyone").rename(gone)
    port = free_port()
    output = _interrupted_at_its_page(project, port, "tailwatch", "review", "--no-browser", "--port", str(port))
    assert "bringing the dataset up to date with the files" in output
    assert (project.folder / ".fiftyone").is_dir()


def test_ctrl_c_before_the_app_is_announced_is_an_end_like_any(project: Project) -> None:
    """Its page answers before its server knows the workspace: Ctrl-C between the two ends it without an error."""
    port = free_port()
    late = (
        "import time; from pipeline import review; from pipeline.adapters import voxel_app;"
        "voxel_app._await = lambda session: time.sleep(300);"
        f"review.open_app(port={port}, browser=False, rebuild=False)"
    )
    assert "FiftyOne App:" not in _interrupted_at_its_page(project, port, "python", "-c", late)


def _interrupted_at_its_page(project: Project, port: int, *command: str) -> str:
    """What a command that serves the App says until Ctrl-C, as soon as its page answers; it ends without an error."""
    app = project.start(*command)
    try:
        page = _fetch(f"http://127.0.0.1:{port}/", app)
        assert "FiftyOne" in page
    finally:
        os.killpg(app.pid, signal.SIGINT)
        output, _ = app.communicate(timeout=60)
    assert app.returncode == 0, output
    return str(output)


def _fetch(address: str, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - our own server on localhost
                return str(answer.read().decode())
        except OSError:
            time.sleep(1)
    raise AssertionError(f"no answer from {address}: exit code {process.poll()}")


def test_two_clones_never_share_a_database(project: Project, tmp_path: Path) -> None:
    """While one project's database is up, another project gets its own, and sees none of the first one's datasets."""
    code = "from pipeline.adapters import voxel; print(voxel.connect().list_datasets(), flush=True)"
    first = project.start("python", "-c", f"{code}; import time; time.sleep(300)")
    try:
        assert first.stdout is not None
        assert "tailwatch" in first.stdout.readline()
        other = create(tmp_path / "other", small).run("python", "-c", code)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate(timeout=60)
    assert other.code == 0, other.output
    assert other.output.strip().splitlines()[-1] == "[]"


def test_a_changed_margin_runs_gates_and_report_only(project: Project) -> None:
    """After a change of a gate margin nothing is trained, generated or audited."""
    project.change(lambda params: params["gate"].update(recall_margin=0.15))
    done = project.run("dvc", "repro")
    assert done.code == 0, done.output
    assert set(done.executed) == {"gate@guarded-1", "gate@recursive-1", "report"}


def test_one_more_generation_runs_only_what_is_new(project: Project) -> None:
    """A new line under `runs` trains one run; the finished ones stay as they are."""
    before = project.digest("data/*/recursive-1/*.csv")
    project.change(
        lambda params: params["runs"].update(
            {"recursive-2": {"arm": "recursive", "generation": 2, "previous": "recursive-1"}}
        )
    )
    done = project.run("dvc", "repro")
    assert done.code == 0, done.output
    assert set(done.executed) == {*of_run("recursive-2"), "report", "review"}
    assert project.digest("data/*/recursive-1/*.csv") == before


def test_a_damaged_weights_file_is_named(project: Project) -> None:
    """Weights that cannot be loaded give an error that names the file, and no traceback."""
    weights = project.folder / "data/train/base/weights.pt"
    whole = weights.read_bytes()
    try:
        weights.chmod(0o644)
        weights.write_bytes(whole[: len(whole) // 2])
        done = project.run("python", "-m", "pipeline.audit", "--run", "base")
    finally:
        weights.write_bytes(whole)
    assert done.code == 1
    assert "weights.pt cannot be loaded" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("variables", "blocked"),
    [
        pytest.param(
            {"FIFTYONE_DATABASE_URI": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=500"}, False, id="no-answer"
        ),
        pytest.param({}, True, id="no-folder-for-the-database"),
    ],
)
def test_a_database_that_does_not_start_is_an_error(
    project: Project,
    variables: Mapping[str, Any],
    blocked: bool,  # noqa: FBT001 - a parametrised value
) -> None:
    """Without a database `review` fails with a way out, and leaves its old output; the verdicts do not need it."""
    before = project.digest("data/review/*")
    database, aside = project.folder / ".fiftyone", project.folder.parent / "database-aside"
    if blocked:
        database.rename(aside)
        database.write_text("a file where the database's folder should be")
    try:
        done = project.run("python", "-m", "pipeline.review", **variables)
    finally:
        if blocked:
            database.unlink()
            aside.rename(database)
    assert done.code == 1
    assert "tailwatch doctor" in done.output
    assert "Traceback" not in done.output
    assert project.digest("data/review/*") == before
    assert project.run("tailwatch", "check").code in {0, 3, 4}


def test_a_full_disk_is_an_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """On a file system of two megabytes ingest says that the disk is full, and cleans up."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here: that takes root")
    try:
        (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        done = Project(tmp_path).run("python", "-m", "pipeline.ingest", PYTHONPATH=str(ROOT))
        left = [path.name for path in (tmp_path / "data").iterdir()]
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert done.code == 1
    assert "the disk is full" in done.output
    assert left == []


def test_a_killed_training_is_taken_up_again(project: Project) -> None:
    """After `kill -9` of everything in the middle of a training, the next `dvc repro` does what is left."""
    project.change(lambda params: params["train"].update(steps=2000))
    run = project.start("dvc", "repro", "train-base")
    assert run.stdout is not None
    for line in run.stdout:
        if "  step " in line:
            break
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    project.change(lambda params: params["train"].update(steps=60))
    done = project.run("dvc", "repro", "train-base")
    assert done.code == 0, done.output
    assert "train-base" in done.executed
    assert not list((project.folder / "data/train").glob(".base.*"))


def test_ctrl_c_ends_a_training_cleanly(project: Project) -> None:
    """Ctrl-C in the middle of a training leaves no half-written output, and no traceback of this project."""
    project.change(lambda params: params["train"].update(steps=2000))
    run = project.start("dvc", "repro", "train-base")
    assert run.stdout is not None
    printed = []
    for line in run.stdout:
        printed.append(line)
        if "  step " in line:
            break
    second = project.run("dvc", "repro")
    os.killpg(run.pid, signal.SIGINT)
    rest, _ = run.communicate(timeout=60)
    project.change(lambda params: params["train"].update(steps=120))
    output = "".join(printed) + rest
    assert run.returncode != 0
    assert "Traceback" not in output
    assert not (project.folder / "data/train/base").exists()
    assert second.code != 0
    assert "lock" in second.output
