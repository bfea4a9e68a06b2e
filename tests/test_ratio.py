"""`tailwatch ratio` without a training: what it refuses, what it makes, what a cut-off leaves, and what it says."""

from __future__ import annotations

import csv
import fcntl
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from pipeline import ratio, ratio_folders, ratio_plan
from pipeline.chains import stages
from pipeline.chains.steps import Step
from pipeline.cli import main
from pipeline.core import acceptance_times, files, manifest, paths, processes, project_lock, ratio_words, records
from pipeline.core.comparisons import Side
from pipeline.core.errors import UserError
from pipeline.core.paths import TrainingPaths
from pipeline.core.project_lock import Holder
from pipeline.core.ratio_records import VERSION, Contradiction, Level, Ratio
from pipeline.ratio import Budget
from pipeline.ratio_plan import Plan, Wanted
from tests import builders
from tests.project import ROOT

TRAINING, TEST = 40, 120
WANTED = Wanted(shares=(0.75, 0.5, 0.25), generations=1, max_seeds=3)


def edit(change: Callable[[dict[str, Any]], None]) -> None:
    """Change params.yaml."""
    value = yaml.safe_load(paths.PARAMS.read_text())
    change(value)
    files.write_text(paths.PARAMS, yaml.safe_dump(value, sort_keys=False))


def write_data(*, rare: int = TEST) -> None:
    """Write verified images: a common class and a rare one, which so many test images have."""
    rows = [builders.row(f"r{n}", boxes=((0, 9), (1, 1)) if n % 2 else ((0, 9),)) for n in range(TRAINING)]
    held = [builders.row(f"t{n}", split="test", boxes=((0, 1), (1, 1)) if n < rare else ((0, 1),)) for n in range(TEST)]
    place = TrainingPaths()
    for path, some in ((place.real, rows), (paths.VERIFIED_HELD_OUT, held)):
        path.parent.mkdir(parents=True, exist_ok=True)
        manifest.write(path, some)
    acceptance_times.write(place.times, {})
    files.write_text(place.synthetic, "image_id,label_digest,state\n")
    files.write_json(place.row, {"row": "0" * 64})
    files.write_json(paths.REAL_CLASSES, ["common", "rare"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with verified images and without runs, as the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, name)
    edit(lambda value: value["audit"].update(rare_share=0.2))
    write_data()
    return tmp_path


@dataclass(slots=True)
class Trained:
    """Stands for the stages: a level under `enough` real images loses `loss`, the others nothing.

    Attributes:
        enough: real images.
        loss: of mAP50-95 under that.
        fails: words of the step at which it breaks off.
        ran: what it ran.
    """

    enough: int = 20
    loss: float = 0.3
    fails: str = ""
    ran: list[str] = field(default_factory=list)

    def __call__(self, step: Step) -> None:
        """Run a step."""
        self.ran.append(step.what)
        if self.fails and self.fails in step.what:
            raise KeyboardInterrupt
        for out in stages.outs(step.run).values():
            (step.folder / out).mkdir(parents=True, exist_ok=True)
        taken = {name: {"seconds": 5.0, "processor": 5.0} for name in stages.outs(step.run)}
        files.write_json(step.folder / stages.progress(step.run), {"key": step.key, "stages": taken})

    def measured(self, step: Step, plan: Plan) -> tuple[Side, ratio._Measured]:
        """What the run of a step came to."""
        kind, *_ = step.folder.name.split("-")
        real = plan.total if kind == "real" else int(step.folder.name.split("-")[1])
        chance = np.random.default_rng(sum(map(ord, str(step.folder) + step.run)))
        value = 0.7 - self.loss * (kind != "real" and real < self.enough) + 0.004 * chance.normal()
        drawn = value + 0.004 * chance.normal(size=(100, 1))
        names = {"image_id": [f"{n:03}" for n in range(TEST)], "box": range(TEST), "class_id": [1] * TEST}
        side = Side(
            name=step.what, boxes=pd.DataFrame(names), found=np.ones((TEST, 1), dtype=bool), replicates=drawn,
            maps=(value,), images=TEST,
        )  # fmt: skip
        number = 0 if step.run == paths.BASE else int(step.run[1:])
        return side, ratio._Measured(number=number, real=real, figures={"mAP50-95": value, "recall of rare": 1.0})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Trained:
    """Stages that take no time, in a project that is ready."""
    assert folder.is_dir()
    found = Trained()
    monkeypatch.setattr(ratio, "_measured", found.measured)
    monkeypatch.setattr(ratio, "here", found)
    return found


def find(trained: Trained, wanted: Wanted = WANTED, **budget: Any) -> Ratio:
    """Run the command's work."""
    return ratio.find(ratio_plan.plan(wanted), Budget(**budget), trained)


def command(*arguments: str) -> Result:
    """The command line."""
    return CliRunner().invoke(main, ["ratio", *arguments])


def test_the_answer(trained: Trained) -> None:
    """Both answers, their interval, what it cost and what was not tested are in the four files."""
    found = find(trained)
    assert [one.smallest for one in found.answers] == [Level(share=0.5, real=20, synthetic=20)] * 2
    assert [one.largest_inferior for one in found.answers] == [Level(share=0.25, real=10, synthetic=30)] * 2
    assert found.answered
    assert records.read(ratio.REPORT / ratio.RECORD, Ratio, VERSION) == found
    # 2 references; of `share` 2 levels with 2 seeds; of `number` the same, with a base each
    assert (found.cost.trainings, found.cost.new, len(trained.ran)) == (14, 14, 14)
    assert found.cost.grid == 3 * (1 + 3 * 1 + 3 * 2)
    page = (ratio.REPORT / ratio.ANSWER).read_text()
    assert (
        "Smallest share of real images: 0.5 (20 images) of 40 is non-inferior in mAP50-95 and in the recall of rare."
        in page
    )
    assert "above 0.25 (10 images), which is shown inferior (90% interval)" in page
    assert "the levels 0.75 (30 images)" in page
    assert "10 without any synthetic image: mAP50-95 0.4" in page
    with (ratio.REPORT / ratio.TRIALS).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * found.cost.trainings  # two figures a run
    assert {row["generation"] for row in rows if row["question"] == "share"} == {"1"}
    assert {row["question"] for row in rows} == {"", "share", "number"}
    assert ET.fromstring((ratio.REPORT / ratio.CURVE).read_text()).tag.endswith("svg")  # noqa: S314 - written here


def test_nothing_suffices(trained: Trained) -> None:
    """Where nothing below all-real was shown, that is the answer, and it is not called one."""
    trained.enough = 100
    found = find(trained)
    assert not found.answered
    assert "NONE below all 40 was shown non-inferior" in ratio_words.summary(found)


def test_nothing_is_made_twice(trained: Trained) -> None:
    """The same again trains nothing; one generation more trains that one alone."""
    first = find(trained)
    again = Trained()
    second = find(again)
    assert again.ran == []
    assert replace(second.cost, new=14) == first.cost
    find(again, replace(WANTED, generations=2))
    assert all("generation 2" in what for what in again.ran)


@pytest.mark.parametrize("fails", ["all 40 real images, seed 2", "20 of 40 images real (number), seed 1, generation 1"])
def test_cut_off(trained: Trained, fails: str) -> None:
    """What was cut off goes on with the run that it was at, and comes to the same answer."""
    trained.fails = fails
    with pytest.raises(KeyboardInterrupt):
        find(trained)
    assert not ratio.REPORT.exists()
    done, again = trained.ran[:-1], Trained()
    found = find(again)
    assert again.ran[0] == trained.ran[-1]
    assert not set(again.ran) & set(done)
    assert (found.cost.trainings, found.cost.new) == (14, 14 - len(done))


def test_other_settings_begin_anew(trained: Trained) -> None:
    """Runs of other settings are not taken; a margin is none of theirs, and is told as another question."""
    find(trained)
    again = Trained()
    edit(lambda value: value["gate"].update(map_margin=0.06))
    assert len(find(again).plans) == 1
    assert again.ran == []
    edit(lambda value: value["train"].update(steps=3))
    find(again)
    assert len(again.ran) == 14


def test_a_budget(trained: Trained) -> None:
    """A budget ends the search before its end: what is known then is said, and the same command goes on."""
    found = find(trained, trainings=4)
    assert (found.cost.new, found.stopped) == (4, "--trainings 4 are made")
    assert not found.answered
    said = ratio_words.summary(found)
    assert "0.5 (20 images) of 40 is non-inferior" in said
    assert "not known; no level was tried to its end" in said
    assert "The same command goes on." in said
    assert find(trained).answered
    assert len(trained.ran) == 14


def test_too_small_a_budget(trained: Trained) -> None:
    """A budget under one comparison is refused before anything is trained, unless the comparison is there already."""
    with pytest.raises(UserError, match="--trainings 3, wanted 4 or more: one comparison takes 2 seeds"):
        find(trained, trainings=3)
    assert trained.ran == []
    find(trained, trainings=4)
    assert find(trained, trainings=1).cost.new == 1


def test_no_time(trained: Trained) -> None:
    """Minutes that are over train nothing, and the answer says that it knows nothing."""
    found = find(trained, end=0.0)
    assert (trained.ran, found.cost.trainings) == ([], 0)
    assert "--minutes are over" in found.stopped


def test_a_level_of_number_sees_few_real_images(trained: Trained) -> None:
    """Its folder has so many real training images and no other, those of a lower level among those of a higher one."""
    find(trained)
    seen = {
        number: {row.image_id for row in manifest.read(ratio_plan.WORK / f"number-{number}-1" / TrainingPaths().real)}
        for number in (20, 10)
    }
    assert (len(seen[20]), len(seen[10])) == (20, 10)
    assert seen[10] < seen[20]
    rows = manifest.read(TrainingPaths().real)
    assert ratio_folders.chosen(rows, 10, 1) != ratio_folders.chosen(rows, 10, 2)
    held = ratio_plan.WORK / "number-20-1" / paths.VERIFIED_HELD_OUT
    assert held.read_bytes() == paths.VERIFIED_HELD_OUT.read_bytes()


def test_settings_of_a_level(trained: Trained) -> None:
    """A level has its share of real images in a fixed total, by the arm's policy, and each generation its seed."""
    find(trained, replace(WANTED, generations=2))
    value = yaml.safe_load((ratio_plan.WORK / "share-20-2" / paths.PARAMS).read_text())
    assert value["arms"] == {"guarded": {"policy": "accumulate", "ratio": 0.5}}
    assert (value["mix"]["total"], value["seed"], value["train"]["seeds"]) == (TRAINING, 2, 1)
    assert value["runs"]["g2"] == {"arm": "guarded", "generation": 2, "previous": "g1", "seed": 2}


@pytest.mark.parametrize("boxes", [0, 5])
def test_a_rare_class_without_test_objects(trained: Trained, boxes: int) -> None:
    """A rare class with no test object, or too few, is named before and after; the answer does not count for it."""
    write_data(rare=boxes)
    dry = command("--dry-run")
    assert dry.exit_code == 0
    assert f"NOT TESTABLE: the rare class rare has {boxes} test boxes" in dry.output
    found = find(trained)
    assert (found.rare, found.answered) == ((), False)
    assert f"NOT TESTED: the rare class rare has {boxes} test boxes" in ratio_words.summary(found)
    assert any(one.startswith("Recall of the rare class rare") for one in ratio_words.untested(found))


def test_plan(folder: Path) -> None:
    """A dry run says levels, margins and cost, and makes nothing; after a training it says hours."""
    said = command("--dry-run", "--generations", "1", "--seeds", "3", "--shares", "0.75,0.5,0.25").output
    assert "40 verified real training images, 120 test images" in said
    assert "share: 0.75 (30), 0.5 (20), 0.25 (10); at most 2 of 3 are tried, each with 2 to 3 seeds." in said
    assert "Trainings: 14 to 21; the whole grid with all seeds would take 30." in said
    assert "is not known before the first one" in said
    assert not (folder / ratio_plan.WORK).exists()
    note = {"stages": {name: {"seconds": 900.0} for name in ("generate", "mix", "train", "audit")}}
    files.write_json(folder / ratio_plan.WORK / "share-20-1/progress/g1.json", note)
    assert "took 3600 s (median of 1): 14 to 21 hours" in command("--dry-run", "--generations", "1", "--seeds", "3",
                                                                  "--shares", "0.75,0.5,0.25").output  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--arm", "gaurded"), "no arm 'gaurded' in params.yaml; did you mean 'guarded'?", id="arm"),
        pytest.param(("--map-margin", "0"), "the margin of map is 0, wanted a number in (0, 1)", id="margin"),
        pytest.param(("--recall-margin", "-0.1"), "the margin of recall is -0.1", id="margin under 0"),
        pytest.param(("--shares", "0.5,1"), "--shares: got 1, wanted shares of real images in [0, 1)", id="share"),
        pytest.param(("--shares", ""), "--shares: got none", id="no share"),
        pytest.param(("--generations", "0"), "--generations 0, wanted 1 or more", id="no generation"),
        pytest.param(("--min-seeds", "1"), "1 to 4 seeds, wanted 2 or more", id="one seed"),
        pytest.param(("--trainings", "5"), "--trainings 5, wanted 6 or more", id="budget"),
    ],
)
def test_refused(trained: Trained, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be done is refused in a line that says what to do, with exit code 1, before anything is trained."""
    found = command(*arguments)
    assert found.exit_code == 1
    assert said in found.output
    assert trained.ran == []
    assert not ratio.REPORT.exists()


def test_shares_that_are_no_numbers(folder: Path) -> None:
    """Words for shares are a wrong use of the command."""
    found = command("--shares", "half")
    assert (found.exit_code, folder.exists()) == (2, True)
    assert "wanted numbers with commas between" in found.output


@pytest.mark.parametrize("missing", ["data/verified", "an image", "a test image"])
def test_no_verified_images(folder: Path, missing: str) -> None:
    """Without verified images nothing can be held against anything: it is said how to get them."""
    if missing == "data/verified":
        shutil.rmtree(folder / missing)
    else:
        manifest.write(TrainingPaths().real if missing == "an image" else paths.VERIFIED_HELD_OUT, [])
    found = command()
    assert found.exit_code == 1
    assert "uv run tailwatch accept" in found.output


def test_images_of_another_tool(folder: Path) -> None:
    """Images that another tool made once cannot answer for other shares."""
    edit(lambda value: value["generate"].update(generator="folder"))
    assert "generate.generator is `folder`" in command("--dry-run").output
    assert folder.exists()


def test_a_second_one_at_the_same_time(trained: Trained) -> None:
    """A second call is refused while the first is at work, and it is said who that is."""
    paths.PROJECT_LOCK.parent.mkdir(parents=True, exist_ok=True)
    me = processes.identity()
    other = Holder(pid=me.pid, started=me.started, since="now", what="tailwatch ratio", token="another's")  # noqa: S106
    with paths.PROJECT_LOCK.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(msgspec.json.encode(other).decode())
        handle.flush()
        found = command()
    assert found.exit_code == 1
    assert "tailwatch ratio cannot begin: the project is held by tailwatch ratio" in found.output
    assert trained.ran == []
    assert project_lock.holder() is None


def test_interrupted(trained: Trained) -> None:
    """Ctrl-C ends with exit code 130 and says that the same command goes on."""
    trained.fails = "seed 2"
    found = command("--shares", "0.5", "--generations", "1")
    assert found.exit_code == 130
    assert "Run the same command again to go on." in found.output


def test_exit_codes(trained: Trained) -> None:
    """0 when both questions are answered, 4 when something is open; JSON is what was written."""
    found = command("--shares", "0.5,0.25", "--generations", "1", "--json")
    assert found.exit_code == 0
    assert json.loads(found.stdout) == json.loads((ratio.REPORT / ratio.RECORD).read_text())
    trained.enough = 100
    assert command("--shares", "0.5,0.25", "--generations", "1", "--question", "share").exit_code == 4


def test_a_contradiction_is_told(trained: Trained) -> None:
    """A larger share that does worse is a warning in the summary and on the page."""
    found = find(trained)
    against = Contradiction(figure="mAP50-95", higher=0.5, lower=0.25, loss=0.1, p_value=0.001)
    told = replace(found, answers=(replace(found.answers[0], contradictions=(against,)), *found.answers[1:]))
    for text in (ratio_words.summary(told), ratio_words.page(told, curve="")):
        assert "WARNING: mAP50-95 is lower by 0.100 at the share 0.5 than at 0.25" in text
