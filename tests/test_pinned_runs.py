"""Nights between which people decide: finished runs stay as they are, the next generation follows the decisions."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from pipeline.core import manifest
from pipeline.core.manifest import Row
from tests.project import Project, create
from tests.test_nightly import EXIT_CODES, least

pytestmark = pytest.mark.slow

OLD = [f"data/{stage}/{run}{end}" for run in ("base", "guarded-1") for stage in ("generate", "mix", "train", "audit",
       "confirm", "gate") for end in ("/**/*.*", ".json")]  # fmt: skip
OF_A_RUN = ("generate", "mix", "train", "audit", "confirm", "gate")
DECIDE = """
import sys
from pathlib import Path
from pipeline.core import deciding, labels, manifest, paths
what, name = sys.argv[1:]
row = next(row for row in manifest.read(paths.REAL_MANIFEST) if row.name == name)
if what == "correct":
    deciding.correct(row.image_id, labels.read(row.label_path)[1:], reviewer="Cy")
else:
    deciding.decide(what, row.image_id, row.label_digest, reviewer="Cy", reason="" if what == "accept" else "so")
"""


def decide(project: Project, what: str, image: str) -> None:
    """One decision of one person, as the App makes it."""
    done = project.run("python", "-c", DECIDE, what, image)
    assert done.code == 0, done.output


def table(project: Project, path: str) -> dict[str, Row]:
    """A table of images, by the name that the source gives them."""
    return {row.name: row for row in manifest.read(project.folder / path)}


def night(project: Project) -> set[str]:
    """One night; returns the stages that ran."""
    done = project.run("tailwatch", "nightly", timeout=580)
    assert done.code in EXIT_CODES.values(), done.output
    found = [json.loads(path.read_text()) for path in project.folder.glob(".tailwatch/nights/*/night.json")]
    newest = max(found, key=lambda one: one["number"])
    assert newest["phase"] == "done", done.output
    return {stage["name"] for stage in newest["stages"]}


def pins(project: Project) -> dict[str, str]:
    """The section `pins` of params.yaml."""
    return dict(yaml.safe_load((project.folder / "params.yaml").read_text())["pins"])


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """What is decided on each image between the nights, by the decision; filled when the project is made."""
    return {}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, images: dict[str, str]) -> Project:
    """A project that had one night, in which one training image was held back."""
    made = create(tmp_path_factory.mktemp("decisions") / "project", least)
    assert made.run("dvc", "repro", "ingest").code == 0
    real = table(made, "data/real/manifest.parquet")
    training = [name for name, row in real.items() if row.split == "train" and row.boxes]
    images.update(zip(("accept", "reject", "correct"), training, strict=False))
    images["reject val"] = next(name for name, row in real.items() if row.split == "val")
    decide(made, "reject", images["accept"])
    done = made.run("tailwatch", "accept", "--yes", "--reviewer", "Ada", "--reason", "made for this test")
    assert done.code == 0, done.output
    night(made)
    return made


@pytest.fixture(scope="module")
def before(project: Project) -> dict[str, str]:
    """Digests of all that the first night's runs are, and of val and test."""
    assert pins(project) == {}
    return project.digest(*OLD, "data/verified/held-out.parquet")


@pytest.fixture(scope="module")
def second(project: Project, before: dict[str, str], images: dict[str, str]) -> set[str]:
    """The stages of a second night, before which people accepted, rejected and corrected images."""
    assert any("data/train/guarded-1/weights.pt" in path for path in before)
    for what, image in images.items():
        decide(project, what.split()[0], image)
    return night(project)


def test_only_what_is_new_runs(second: set[str]) -> None:
    """Of the old runs nothing but the quick mixtures runs: no training, no audit, no confirmation, no verdict."""
    assert second == {
        "verify",
        "mix-base",
        "mix@guarded-1",
        "report",
        "review",
        *(f"{one}@guarded-2" for one in OF_A_RUN),
    }


@pytest.mark.usefixtures("second")
def test_finished_runs_stay(project: Project, before: dict[str, str]) -> None:
    """What the old runs are made of and what came of them stays, to the byte; and so do val and test."""
    assert project.digest(*OLD, "data/verified/held-out.parquet") == before
    first = [line.rsplit(",", 1)[1] for line in (project.folder / "data/ledger.csv").read_text().splitlines()][2]
    assert pins(project) == dict.fromkeys(("base", "guarded-1"), first[:12])
    assert project.run("dvc", "status").output.endswith("Data and pipelines are up to date.\n")


@pytest.mark.usefixtures("second")
def test_the_new_run_follows_the_decisions(project: Project, images: dict[str, str]) -> None:
    """It trains on the new image, not on the rejected one, and on corrected labels; the old run as it did."""
    old, new = (table(project, f"data/mix/guarded-{number}/manifest.parquet") for number in (1, 2))
    assert [images["accept"] in rows for rows in (old, new)] == [False, True]
    assert [images["reject"] in rows for rows in (old, new)] == [True, False]
    was, now = old[images["correct"]], new[images["correct"]]
    assert was.label_digest != now.label_digest
    lines = [(project.folder / row.label_path).read_text() for row in (was, now)]
    assert lines[1].splitlines() == lines[0].splitlines()[1:]
    decisions = pd.read_csv(project.folder / "data/verified/decisions.csv").set_index("name")
    told = decisions.loc[images["reject val"]]
    assert (told["outcome"], told["reason"].split(";")[0]) == ("val", "decided on later")


@pytest.mark.usefixtures("second")
def test_a_night_without_decisions(project: Project) -> None:
    """Nothing is pinned anew, and nothing but the new run is made."""
    pinned = pins(project)
    assert night(project) == {"report", "review", *(f"{one}@guarded-3" for one in OF_A_RUN)}
    assert pins(project) == pinned
