"""Retirement in a small but real project: DVC stays content, a clone gets all that it needs, and runs come back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import appending, params
from pipeline.core.sections import Run
from tests.project import Project, accept, create, small

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NEVER_IN_GIT = {"report"}  # its small files are neither in git nor in the cache: a clone writes them anew
STATUS = "Data and pipelines are up to date."
RETIRE = """
from pathlib import Path
from pipeline import retention
from pipeline.core import appending, params
text = Path("params.yaml").read_text()
retired = retention.retire(params.parse(text))
Path("params.yaml").write_text(appending.edited(text, add={}, remove=retired.leaving, anchors=retired.anchors))
retention.finish(params.load())
"""


def _chain(newest: int) -> dict[str, Run]:
    return {
        f"guarded-{one}": Run(arm="guarded", generation=one, previous=f"guarded-{one - 1}" if one > 1 else "base")
        for one in range(1, newest + 1)
    }


def _one_arm(value: dict[str, Any]) -> None:
    """One arm of two generations, of which the newest is to stay, that draws from the newest images alone."""
    value["arms"] = {"guarded": value["arms"]["guarded"]}
    value["runs"] = {
        name: {"arm": run.arm, "generation": run.generation, "previous": run.previous}
        for name, run in _chain(2).items()
    }
    value["mix"]["generations"] = 1
    value["train"]["steps"] = 20
    value["nightly"] = {**value.get("nightly", {}), "keep": {"last": 1, "every": 0}}


def _done(project: Project, *command: str) -> str:
    result = project.run(*command, timeout=1500)
    assert result.code == 0, result.output
    return result.output


def _git(folder: Path, *arguments: str) -> None:
    named = ["-c", "user.name=a tester", "-c", "user.email=tester@localhost"]
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two generations that are pushed; then a night appends the third, and the two leave params.yaml."""
    folder = tmp_path_factory.mktemp("a project")
    made = create(folder / "project", small, _one_arm)
    accept(made)
    _done(made, "dvc", "remote", "add", "-d", "there", str(folder / "remote"))
    _done(made, "dvc", "repro")
    _done(made, "dvc", "push")
    path = made.folder / "params.yaml"
    path.write_text(appending.edited(path.read_text(), add={"guarded-3": _chain(3)["guarded-3"]}))
    _done(made, "python", "-c", RETIRE)
    return made


def test_nothing_that_stays_is_made_again(project: Project) -> None:
    """After a retirement only the new run, the report and the review are made; then DVC has nothing to say."""
    settings = params.load(project.folder / "params.yaml")
    assert (list(settings.runs), list(settings.anchors)) == (["guarded-3"], ["guarded-2"])
    result = project.run("dvc", "repro", timeout=1500)
    assert result.code == 0, result.output
    own = {f"{stage}@guarded-3" for stage in ("generate", "mix", "train", "audit", "confirm", "gate")}
    assert set(result.executed) == own | {"report", "review"}
    assert STATUS in _done(project, "dvc", "status")
    assert project.run("dvc", "repro", timeout=1500).executed == []
    _done(project, "dvc", "push")


def test_history_is_shown(project: Project) -> None:
    """`check` and the report have the retired runs, with their figures."""
    told = project.run("tailwatch", "check").output
    assert [line.split()[0] for line in told.splitlines() if line.endswith("retired")] == ["guarded-1", "guarded-2"]
    page = (project.folder / "reports/index.html").read_text()
    assert "2 retired runs" in page
    lines = (project.folder / "reports/plots/map.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["0", "1", "2", "3"]


def test_the_dataset_lets_go(project: Project) -> None:
    """The fields of retired runs have left the dataset."""
    code = (
        "from pipeline.adapters import voxel; fo = voxel.connect(); d = fo.load_dataset('tailwatch');"
        "print([one for one in d.get_field_schema() if one.startswith('guarded')], d.list_evaluations())"
    )
    told = _done(project, "python", "-c", code).splitlines()[-1]
    assert told == "['guarded_3'] ['eval_base', 'eval_guarded_3']"


def test_a_clone_gets_all_that_it_needs(project: Project, tmp_path: Path) -> None:
    """Cloned and pulled, there is nothing to train, and no file of an anchor is missing."""
    _git(project.folder, "add", "-A")
    _git(project.folder, "commit", "-qm", "a night")
    _git(tmp_path, "clone", "-q", str(project.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    _done(clone, "dvc", "pull")
    anchored = ("data/generate/guarded-2/**/*", "data/mix/guarded-2/*", "data/audit/guarded-2/*")
    there = {path: digest for path, digest in _files(project, *anchored).items() if not path.startswith("data/gate")}
    assert there
    assert _files(clone, *anchored) == there
    result = clone.run("dvc", "repro", timeout=1500)
    assert result.code == 0, result.output
    assert set(result.executed) <= NEVER_IN_GIT
    assert STATUS in _done(clone, "dvc", "status")


def _files(project: Project, *patterns: str) -> dict[str, str]:
    paths = [path for pattern in patterns for path in project.folder.glob(pattern) if path.is_file()]
    return project.digest(*(str(path.relative_to(project.folder)) for path in paths))


def test_pruned_and_restored(project: Project) -> None:
    """The oldest run leaves the cache, comes back whole from the remote, and DVC does not mind either."""
    before = set((project.folder / ".dvc/cache/files/md5").glob("??/*"))
    told = _done(project, "tailwatch", "prune")
    assert "guarded-1: removed" in told
    assert "guarded-2: stays" in told
    assert len(set((project.folder / ".dvc/cache/files/md5").glob("??/*"))) < len(before)
    assert STATUS in _done(project, "dvc", "status")
    assert "data/train/guarded-1" in _done(project, "tailwatch", "restore", "guarded-1")
    assert len(list((project.folder / "data/generate/guarded-1/images").iterdir())) == 48
    assert STATUS in _done(project, "dvc", "status")
    assert "guarded-1: removed" in _done(project, "tailwatch", "prune")
    assert not (project.folder / "data/generate/guarded-1").exists()


def test_promoted_weights_are_tracked(project: Project) -> None:
    """A promoted run's weights are those of its training, and DVC finds nothing to do about them."""
    said = ("--reviewer", "Ada", "--reason", "looked at it")
    _done(project, "tailwatch", "promote", "guarded-3", *said)
    weights = project.folder / "models/current/guarded.pt"
    assert weights.read_bytes() == (project.folder / "data/train/guarded-3/weights.pt").read_bytes()
    assert STATUS in _done(project, "dvc", "status")
    _done(project, "tailwatch", "promote", "guarded-1", *said)
    assert STATUS in _done(project, "dvc", "status")
    _done(project, "tailwatch", "rollback", "guarded", *said)
    assert weights.read_bytes() == (project.folder / "data/train/guarded-3/weights.pt").read_bytes()
    shutil.rmtree(project.folder / "models/current")
