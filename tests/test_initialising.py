"""`tailwatch init`: what it sees, what it writes, and what it refuses."""

from __future__ import annotations

import difflib
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline import probing
from pipeline.adapters import yolo as adapter
from pipeline.adapters.yolo import StepTime
from pipeline.cli import main
from pipeline.core import files, params, paths
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Train
from tests import dataset_builders as datasets
from tests.project import BCCD, ROOT

SPLITS = {"train": 12, "val": 4, "test": 6}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with the params.yaml and the frozen test split of a fresh clone, as the working directory."""
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    for name in ("params.yaml", "data/test.lock"):
        shutil.copyfile(ROOT / name, project / name)
    monkeypatch.chdir(project)
    return tmp_path


@pytest.fixture
def timed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Instead of a training, 0.1 s a step at 64 pixels; gives the models and sizes that were asked for."""
    asked: list[tuple[str, int]] = []

    def step(listed: list[Path], classes: list[str], settings: Train, *, steps: int) -> StepTime:
        assert all(path.is_file() for path in listed)
        asked.append((settings.model, settings.image_size))
        wall = 0.1 * (settings.image_size / 64) ** 2
        return StepTime(wall=wall, processor=2 * wall, cores=2, device="cpu", steps=steps)

    monkeypatch.setattr(adapter, "time_steps", step)
    monkeypatch.setattr(adapter, "device_of", lambda _: "cpu")
    return asked


def init(source: Path, *options: str, probe: bool = False) -> Result:
    """The command line; without a probe unless it is asked for."""
    quick = [] if probe else ["--no-probe"]
    return CliRunner().invoke(main, ["init", "--source", str(source), *quick, *options])


def refused(found: Result) -> str:
    """The message of a refusal: exit code 1, no traceback, and nothing was written."""
    assert found.exit_code == 1, found.output
    assert isinstance(found.exception, SystemExit)
    assert found.output.startswith("error: ")
    assert paths.PARAMS.read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert paths.TEST_LOCK.exists()
    return found.output


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        pytest.param(lambda root: datasets.yolo(root, SPLITS), "yolo", id="yolo"),
        pytest.param(lambda root: datasets.coco(root, SPLITS), "coco", id="coco"),
        pytest.param(
            lambda root: datasets.voc(
                root, 22, splits={"train": slice(12), "val": slice(12, 16), "test": slice(16, 22)}
            ),
            "voc",
            id="voc",
        ),
    ],
)
def test_each_layout_is_found_with_its_splits(folder: Path, build: Callable[[Path], Path], kind: str) -> None:
    """The layout, the place and the splits of a source go into params.yaml; the digits' frozen split leaves."""
    source = build(folder / "mine")
    found = init(source)
    assert found.exit_code == 0, found.output
    settings = params.load()
    assert (settings.ingest.source, settings.ingest.path) == (kind, str(source))
    assert settings.verify.splits == "source"
    assert settings.generate.images == 12
    assert "22 images (train 12, val 4, test 6)" in found.output
    assert not paths.TEST_LOCK.exists()


def test_only_values_change(folder: Path) -> None:
    """Every line of params.yaml that holds no changed value stays; on the others, the comments do."""
    assert init(datasets.yolo(folder / "mine", SPLITS)).exit_code == 0
    before, after = (text.splitlines() for text in ((ROOT / "params.yaml").read_text(), paths.PARAMS.read_text()))
    assert len(before) == len(after)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {old.split(":")[0].strip() for old, _ in changed} >= {"source", "path", "augment", "images"}
    for old, new in changed:
        assert old.partition(" #")[2] == new.partition(" #")[2]
        assert old.split(":")[0] == new.split(":")[0]


def test_a_dry_run_prints_the_difference_and_writes_nothing(folder: Path) -> None:
    """What would change is a unified diff; params.yaml and the frozen split stay."""
    found = init(datasets.yolo(folder / "mine", SPLITS), "--dry-run")
    assert found.exit_code == 0
    assert "-  source: digits # digits | yolo | coco | voc\n" in found.output
    assert "+  source: yolo # digits | yolo | coco | voc\n" in found.output
    assert paths.PARAMS.read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert paths.TEST_LOCK.exists()
    assert not list(paths.STATE.glob("before-init-*"))


def test_what_was_there_is_kept_aside(folder: Path) -> None:
    """The params.yaml and the frozen split of before lie in a folder that is named."""
    assert init(datasets.yolo(folder / "mine", SPLITS)).exit_code == 0
    (aside,) = paths.STATE.glob("before-init-*")
    assert (aside / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert (aside / "test.lock").read_bytes() == (ROOT / "data/test.lock").read_bytes()


def test_a_second_time_changes_nothing_more(folder: Path) -> None:
    """The proposal of a project that has it already is no change."""
    source = datasets.yolo(folder / "mine", SPLITS)
    assert init(source).exit_code == 0
    assert "params.yaml is as proposed already" in init(source, "--dry-run").output


def test_a_dataset_in_the_project(folder: Path) -> None:
    """Under data/source, the path is relative, and DVC is to keep the images out of git."""
    found = init(datasets.yolo(Path("data/source/mine"), SPLITS))
    assert found.exit_code == 0, found.output
    assert params.load().ingest.path == "data/source/mine"
    assert "uv run dvc add data/source/mine " in found.output


def test_a_dataset_one_folder_down(folder: Path) -> None:
    """A repository that keeps its dataset in a folder is as good as the folder."""
    datasets.voc(folder / "repository" / "BCCD", 20)
    assert init(folder / "repository").exit_code == 0
    assert params.load().ingest.path == str(folder / "repository" / "BCCD")


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        pytest.param({"train": 30}, "no labelled val and no test", id="train alone"),
        pytest.param({"train": 20, "val": 10}, "no labelled test", id="no test"),
    ],
)
def test_a_missing_split_is_drawn(folder: Path, splits: dict[str, int], told: str) -> None:
    """Without train, val and test of its own, the source is divided anew, and the reason is given."""
    found = init(datasets.yolo(folder / "mine", splits))
    assert found.exit_code == 0, found.output
    assert params.load().verify.splits == "identity"
    assert told in found.output
    assert "about train 21 val 3 test 6" in found.output


def test_without_any_split(folder: Path) -> None:
    """A VOC folder without lists has no splits, which is said."""
    found = init(datasets.voc(folder / "mine", 20))
    assert "20 images (20 without a split)" in found.output
    assert "the source has no splits" in found.output


def test_minutes_decide_how_much_is_trained(timed: list[tuple[str, int]], folder: Path) -> None:
    """With little time there are fewer generations; with much, all three, and all steps that are wanted."""
    source = datasets.yolo(folder / "mine", {"train": 200, "val": 20, "test": 40})
    little = init(source, "--minutes", "7", probe=True)
    assert little.exit_code == 0, little.output
    few = params.load()
    assert init(source, "--minutes", "600", probe=True).exit_code == 0
    many = params.load()
    assert len(few.runs) < len(many.runs) == 6
    assert few.train.steps < many.train.steps
    assert timed[-1] == (many.train.model, many.train.image_size)
    assert "A step takes 0.1 s (2 cores)" in little.output


def test_what_does_not_fit_is_said(timed: list[tuple[str, int]], folder: Path) -> None:
    """Where not even the least fits, it is proposed, with the time that it will really take."""
    found = init(datasets.yolo(folder / "mine", SPLITS), "--minutes", "1", probe=True)
    assert found.exit_code == 0
    assert "That is more than --minutes 1" in found.output
    assert params.load().train.steps == 300
    assert set(params.load().runs) == {"guarded-1", "recursive-1"}


def test_a_busy_machine_is_no_slow_machine(
    timed: list[tuple[str, int]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other programs have the cores, the proposal is that of the idle machine, and both times are told."""
    busy = StepTime(wall=10.0, processor=0.17, cores=2, device="cpu", steps=6)
    monkeypatch.setattr(adapter, "time_steps", lambda *_, **__: busy)
    found = init(datasets.yolo(folder / "mine", SPLITS), probe=True)
    assert "A step takes 0.1 s (2 cores)" in found.output
    assert "This one is busy: a step takes 10 s now" in found.output


def test_the_dataset_is_never_handed_to_training(
    timed: list[tuple[str, int]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe trains on copies: ultralytics rewrites images and leaves files beside labels."""
    source = datasets.yolo(folder / "mine", SPLITS)

    def step(listed: list[Path], *_: object, **__: object) -> StepTime:
        assert all(not path.is_symlink() and path.resolve().is_relative_to(Path.cwd()) for path in listed)
        assert all((path.parents[1] / "labels" / f"{path.stem}.txt").read_text() for path in listed)
        return StepTime(wall=0.1, processor=0.2, cores=2, device="cpu", steps=6)

    monkeypatch.setattr(adapter, "time_steps", step)
    before = sorted(source.rglob("*"))
    assert init(source, probe=True).exit_code == 0
    assert sorted(source.rglob("*")) == before
    assert not probing._PROBE.exists()


def test_classes_that_cannot_be_proved_are_named(folder: Path) -> None:
    """A class without test objects, one without any, and one with too few to learn from."""
    classes = ["cat", "dog", "eel"]
    source = datasets.yolo(folder / "mine", {"train": 30, "val": 5, "test": 5}, [("cat", 0.3)], classes=classes)
    for index in range(3):
        text = source / f"train/labels/train{index:03d}.txt"
        text.write_text(text.read_text() + "1 0.2 0.2 0.1 0.1\n")
    found = init(source)
    assert found.exit_code == 0, found.output
    assert "Warning: eel has no object at all" in found.output
    assert "Warning: dog has no test object" in found.output
    (line,) = (one for one in found.output.splitlines() if one.startswith("dog "))
    assert "none: no test box (rare: tested by itself)" in line


def test_few_training_objects_are_named(folder: Path) -> None:
    """A class with a handful of training objects is told before anybody waits for a training."""
    found = init(datasets.yolo(folder / "mine", {"train": 12, "val": 4, "test": 30}))
    assert "Warning: cat has 12 training objects, too few to be learned well." in found.output


def test_small_objects_in_huge_images(folder: Path) -> None:
    """Where the largest image size still leaves objects too small, tiles are advised."""
    source = datasets.yolo(folder / "mine", {"train": 4, "val": 3, "test": 3}, [("cat", 0.004)], size=(2000, 16))
    found = init(source)
    assert params.load().train.image_size == 1280
    assert "Cut the images into tiles" in found.output


def test_mirrors(folder: Path) -> None:
    """Classes with sides are not mirrored."""
    classes = ["left shoe", "right shoe"]
    objects = [("left shoe", 0.25), ("right shoe", 0.5)]
    assert init(datasets.yolo(folder / "mine", SPLITS, objects, classes=classes)).exit_code == 0
    assert params.load().train.augment["fliplr"] == 0.0
    assert init(datasets.yolo(folder / "other", SPLITS)).exit_code == 0
    assert params.load().train.augment["fliplr"] == 0.5


def both(root: Path) -> Path:
    """YOLO and COCO in one folder, as some tools export them."""
    datasets.coco(root, SPLITS)
    return datasets.yolo(root, SPLITS)


def emptied(root: Path) -> Path:
    """A dataset with images and label files, and no object."""
    for path in datasets.yolo(root, SPLITS).glob("*/labels/*.txt"):
        path.write_text("")
    return root


def unlabelled(root: Path) -> Path:
    """A dataset of which a third of the images has no label file."""
    for path in list(datasets.yolo(root, SPLITS).glob("train/labels/*.txt"))[:7]:
        path.unlink()
    return root


def misnamed(root: Path) -> Path:
    """A data.yaml that counts other classes than it names."""
    datasets.yolo(root, SPLITS)
    with (root / "data.yaml").open("a") as file:
        file.write("nc: 7\n")
    return root


def beyond(root: Path) -> Path:
    """Labels with more classes than data.yaml names."""
    datasets.yolo(root, SPLITS)
    (root / "data.yaml").write_text((root / "data.yaml").read_text().replace("- dog\n", ""))
    return root


def listed(root: Path) -> Path:
    """A classes.txt, as labelling tools write it, that orders the classes otherwise than data.yaml."""
    datasets.yolo(root, SPLITS)
    (root / "train" / "labels" / "classes.txt").write_text("dog\ncat\n")
    return root


def huge(root: Path) -> Path:
    """Images of which one claims a hundred and fifty million pixels."""
    datasets.yolo(root, SPLITS)
    path = root / "train/images/train000.png"
    data = bytearray(path.read_bytes())
    data[16:24] = (15000).to_bytes(4, "big") + (10000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    return root


def plain(root: Path) -> Path:
    """Images and nothing else."""
    datasets.photo(root / "a.png", 1)
    return root


def nameless(root: Path) -> Path:
    """Images and labels of YOLO without a data.yaml."""
    datasets.yolo(root, SPLITS)
    (root / "data.yaml").unlink()
    return root


def nothing(root: Path) -> Path:
    """An empty folder."""
    root.mkdir()
    return root


@pytest.mark.parametrize(
    ("build", "told"),
    [
        pytest.param(lambda root: root, "does not exist", id="missing"),
        pytest.param(nothing, "no image that is read", id="empty folder"),
        pytest.param(plain, "images without labels", id="images alone"),
        pytest.param(nameless, "names: [the classes, in the order of their ids]", id="no data.yaml"),
        pytest.param(both, "--format coco or --format yolo", id="two layouts"),
        pytest.param(emptied, "not one labelled object", id="no object"),
        pytest.param(unlabelled, "7 of the 22 images", id="images without labels"),
        pytest.param(misnamed, "nc does not equal the 2 names", id="other number of classes"),
        pytest.param(beyond, "class 1 of 1", id="classes beyond the list"),
        pytest.param(listed, "classes.txt names dog, cat", id="another class list"),
        pytest.param(huge, "wanted at most 100,000,000", id="huge image"),
        pytest.param(lambda root: datasets.yolo(root, {"train": 5}), "at least 10", id="five images"),
    ],
)
def test_bad_datasets(folder: Path, build: Callable[[Path], Path], told: str) -> None:
    """What is wrong is said in one message, and nothing is written."""
    assert told in refused(init(build(folder / "mine")))


def test_a_chosen_layout(folder: Path) -> None:
    """Of two layouts, the one that is asked for is taken; one that is not there is refused."""
    source = both(folder / "mine")
    assert "no VOC dataset" in refused(init(source, "--format", "voc"))
    assert init(source, "--format", "coco", "--max-rejected", "0.5").exit_code == 0
    assert params.load().ingest.source == "coco"


def test_unusable_images_may_be_left_out_on_purpose(folder: Path) -> None:
    """The share that the refusal names is taken, and goes into params.yaml, so that ingest takes it too."""
    source = unlabelled(folder / "mine")
    assert "--max-rejected 0.319" in refused(init(source))
    found = init(source, "--max-rejected", "0.319")
    assert found.exit_code == 0, found.output
    assert params.load().ingest.max_rejected == 0.319
    assert "7 images and 0 boxes or labels cannot be used" in found.output


@pytest.mark.parametrize("place", [".", "..", "data", "data/real", "elsewhere"])
def test_a_folder_of_the_project_is_no_source(folder: Path, place: str) -> None:
    """What the pipeline writes, or git has, is no dataset; nor is a folder that holds the project."""
    datasets.yolo(Path("data/real"), SPLITS)
    datasets.yolo(Path("elsewhere"), SPLITS)
    told = refused(init(Path(place)))
    assert "holds this project" in told or "is inside the project" in told


def test_an_unreadable_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without permission is named, with what to do."""
    source = datasets.yolo(folder / "mine", SPLITS)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be read. Correct its permissions" in refused(init(source))


def test_runs_with_outputs_are_not_thrown_away(folder: Path) -> None:
    """A project that has trained is changed with --force alone; its pins leave then."""
    source = datasets.yolo(folder / "mine", SPLITS)
    RunPaths("guarded-2").train.mkdir(parents=True)
    assert "runs have outputs already: guarded-2" in refused(init(source))
    text = paths.PARAMS.read_text()
    pinned = "".join(line if not line.startswith("pins") else "pins:\n" for line in text.splitlines(keepends=True))
    paths.PARAMS.write_text(f'{pinned}  guarded-1: "0123456789ab"\n')
    assert init(source, "--force").exit_code == 0
    assert params.load().pins == {}


def test_a_project_with_a_history_is_left_alone(folder: Path) -> None:
    """Retired runs stay known: their figures would stand beside those of other data."""
    source = datasets.yolo(folder / "mine", SPLITS)
    paths.HISTORY.mkdir(parents=True)
    (paths.HISTORY / "guarded-1.json").write_text("{}")
    assert "Clone it anew" in refused(init(source, "--force"))


def test_a_full_disk_leaves_the_old_params(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing fails, params.yaml is the old one and the frozen split is there."""
    source = datasets.yolo(folder / "mine", SPLITS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "params.yaml")

    monkeypatch.setattr(files, "write_bytes", full)
    found = init(source)
    assert found.exit_code == 1
    assert "error: the disk is full: params.yaml." in found.output
    assert paths.PARAMS.read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert paths.TEST_LOCK.exists()


@pytest.mark.skipif(not BCCD.exists(), reason="the photographs are not here")
def test_blood_cells(folder: Path) -> None:
    """BCCD from its VOC folder: the two commonest mistakes in it are counted, its rare classes and splits found."""
    found = init(BCCD)
    assert found.exit_code == 0, found.output
    assert "364 images (train 205, val 87, test 72), 4,886 boxes of 3 classes" in found.output
    assert "2 boxes or labels cannot be used" in found.output
    assert "rare are Platelets, WBC" in found.output
    settings = params.load()
    assert (settings.ingest.source, settings.verify.splits, settings.generate.images) == ("voc", "source", 205)
    assert settings.train.augment["fliplr"] == 0.5


def test_the_difference_is_what_is_written(folder: Path) -> None:
    """The diff of the dry run, applied by eye, is the file that the command writes."""
    source = datasets.yolo(folder / "mine", SPLITS)
    shown = init(source, "--dry-run").output
    assert init(source).exit_code == 0
    lines = (text.splitlines(keepends=True) for text in ((ROOT / "params.yaml").read_text(), paths.PARAMS.read_text()))
    before, after = lines
    assert "".join(difflib.unified_diff(before, after, fromfile="params.yaml", tofile="params.yaml")) in shown
