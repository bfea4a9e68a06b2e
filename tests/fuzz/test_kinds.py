"""Every kind of malformed input is kept or refused with a reason, by the stage that people run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from pipeline.core import paths
from tests.fuzz import texts
from tests.fuzz.driving import SOURCES, Outcome, put, run, settings
from tests.fuzz.images import KINDS, plain

_Make = Callable[[str], Outcome]


def only(lines: Iterable[dict[str, str]]) -> dict[str, str]:
    """The one line that there is."""
    (line,) = lines
    return line


def _name(kind: str) -> str:
    """A file's name for a kind."""
    return "".join(one if one.isalnum() else "-" for one in kind)


def _with_images(source: Path, layout: str) -> None:
    """A source of the layout that holds an image of every kind, each labelled."""
    folder = {"yolo": "images", "coco": "train", "voc": "JPEGImages"}[layout]
    files = {kind: f"{_name(kind)}{one.suffix}" for kind, one in KINDS.items()}
    for kind, one in KINDS.items():
        put(source / folder / files[kind], one.make())
    if layout == "yolo":
        put(source / "data.yaml", "names: [cat]\ntrain: images\n")
    elif layout == "coco":
        listed = [{"id": number, "file_name": name} for number, name in enumerate(files.values())]
        put(source / "train" / "_annotations.coco.json", json.dumps(texts.coco(images=listed, annotations=[])))
    for kind in KINDS:
        if layout == "yolo":
            put(source / "labels" / f"{_name(kind)}.txt", texts.BOX)
        elif layout == "voc":
            put(source / "Annotations" / f"{_name(kind)}.xml", "<annotation/>")


@pytest.fixture(scope="module")
def images_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Make]:
    """What became of the images of all kinds in a source of a layout; each is read once."""
    outcomes: dict[str, Outcome] = {}
    with pytest.MonkeyPatch.context() as patch:

        def of(layout: str) -> Outcome:
            if layout not in outcomes:
                project = tmp_path_factory.mktemp(layout)
                _with_images(project / "source", layout)
                settings(project, layout, "source")
                patch.chdir(project)
                outcomes[layout] = run()
            return outcomes[layout]

        yield of


def test_there_are_enough() -> None:
    """The corpus has at least 200 kinds of images, and as many of all else."""
    assert len(KINDS) >= 200
    assert sum(map(len, (texts.YOLO_LABELS, texts.DATA_YAML, texts.LISTS, texts.COCO, texts.VOC))) >= 200


@pytest.mark.parametrize("kind", KINDS)
def test_image(kind: str, images_of: _Make) -> None:
    """In every layout an image is kept, or rejected for what it is; one line of the decisions says which."""
    file = f"/{_name(kind)}{KINDS[kind].suffix}"
    reason = KINDS[kind].reason
    for layout in SOURCES:
        line = only(line for line in images_of(layout).of("image") if line["image"].endswith(file))
        assert line["decision"] == ("kept" if reason is None else "rejected"), (layout, line["reason"])
        assert (reason or "") in line["reason"], layout


def test_yolo_labels(project: Path) -> None:
    """A label file's boxes are kept or rejected for what they are; the others of the source are not touched."""
    source = project / "source"
    put(source / "data.yaml", "names: [cat, dog, eel]\ntrain: images\n")
    for number, (kind, (content, _)) in enumerate(texts.YOLO_LABELS.items()):
        put(source / "images" / f"{_name(kind)}.png", plain("PNG", seed=100 + number))
        put(source / "labels" / f"{_name(kind)}.txt", texts.made(content))
    settings(project, "yolo", "source")
    outcome = run()
    for kind, (_, reason) in texts.YOLO_LABELS.items():
        lines = [line for line in outcome.decisions if line["image"] == f"images/{_name(kind)}.png"]
        rejected = [line["reason"] for line in lines if line["decision"] == "rejected"]
        assert lines, kind
        assert bool(rejected) == (reason is not None), (kind, rejected)
        assert all((reason or "") in one for one in rejected), (kind, rejected)


def test_voc_annotations(project: Path) -> None:
    """An annotation's objects are kept or rejected for what they are; no entity is expanded, no file is read."""
    source = project / "source"
    for number, (kind, (content, _)) in enumerate(texts.VOC.items()):
        put(source / "JPEGImages" / f"{_name(kind)}.png", plain("PNG", seed=100 + number))
        put(source / "Annotations" / f"{_name(kind)}.xml", texts.made(content))
    settings(project, "voc", "source")
    outcome = run()
    for kind, (_, reason) in texts.VOC.items():
        lines = [line for line in outcome.decisions if line["image"] == f"JPEGImages/{_name(kind)}.png"]
        rejected = [line["reason"] for line in lines if line["decision"] == "rejected"]
        assert lines, kind
        assert bool(rejected) == (reason is not None), (kind, rejected)
        assert not rejected or any((reason or "") in one for one in rejected), (kind, rejected)
    assert "root:" not in paths.REAL_DECISIONS.read_text()


def _expect(outcome: Outcome, reason: str | None) -> None:
    if reason is None:
        assert outcome.refused is None
        assert outcome.of("image")
    else:
        assert outcome.refused is not None
        assert reason in outcome.refused


@pytest.mark.parametrize("kind", texts.DATA_YAML)
def test_data_yaml(project: Path, kind: str) -> None:
    """A data.yaml is read, or refused for what is wrong; nothing is written then."""
    SOURCES["yolo"](project / "source")
    content, reason = texts.DATA_YAML[kind]
    put(project / "source" / "data.yaml", texts.made(content))
    settings(project, "yolo", "source")
    _expect(run(), reason)


@pytest.mark.parametrize("kind", texts.LISTS)
def test_list_of_images(project: Path, kind: str) -> None:
    """A list of images is read, or refused for a line; an image that it names is kept or rejected."""
    SOURCES["yolo"](project / "source")
    put(project / "source" / "data.yaml", "names: [cat, dog, eel]\ntrain: train.txt\n")
    content, reason = texts.LISTS[kind]
    put(project / "source" / "train.txt", texts.made(content))
    settings(project, "yolo", "source")
    outcome = run()
    _expect(outcome, reason)
    if reason is None:
        listed = len(texts.made(content).decode("utf-8-sig").split())
        assert len(outcome.of("image")) == listed


@pytest.mark.parametrize("kind", texts.COCO)
def test_coco_document(project: Path, kind: str) -> None:
    """A COCO file is read, or refused for what is wrong; all that it lists is in the decisions."""
    SOURCES["coco"](project / "source")
    put(project / "source" / "b.png", plain("PNG", seed=8))
    content, reason = texts.COCO[kind]
    put(project / "source" / "instances_train.json", texts.made(content))
    settings(project, "coco", "source")
    outcome = run()
    _expect(outcome, reason)
    if outcome.refused is None:
        document = json.loads(texts.made(content).decode("utf-16" if kind == "UTF-16" else "utf-8-sig"))
        named = {line["image"] for line in outcome.of("image")}
        assert {"a.png", "b.png"} <= named
        assert len(outcome.of("image")) >= len(document["images"])
        assert len(outcome.of("box")) + len(outcome.of("label")) >= len(document["annotations"])
