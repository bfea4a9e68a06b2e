"""Paths never leave a source, and whatever stands in a file's place is neither waited for nor read without end."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuzz import texts
from tests.fuzz.driving import SOURCES, Outcome, put, run, settings
from tests.fuzz.images import plain

# The files of a good source of one image: those that describe it, the labels and the image.
FILES = {
    "yolo": ("data.yaml", "labels/a.txt", "images/a.png"),
    "coco": ("instances_train.json", "a.png"),
    "voc": ("Annotations/a.xml", "JPEGImages/a.png"),
}
EACH_FILE = pytest.mark.parametrize(
    ("layout", "name"), [pytest.param(layout, name, id=name) for layout, names in FILES.items() for name in names]
)


def _socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has at most 108 bytes
    try:
        server.bind(path.name)
    finally:
        os.chdir(here)
        server.close()


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


PLACES: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a folder": lambda path: path.mkdir(),
    "a link to a device without end": lambda path: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": _loop,
    "a link out of the source": lambda path: path.symlink_to("/etc/passwd"),
    "a link to a process": lambda path: path.symlink_to("/proc/self/environ"),
    "a terabyte of nothing": _sparse,
}


def _ingest(layout: str) -> Outcome:
    settings(Path(), layout, "source")
    return run()


@EACH_FILE
@pytest.mark.parametrize("place", PLACES)
def test_what_stands_in_a_files_place(project: Path, layout: str, name: str, place: str) -> None:
    """A pipe, a device, a folder or a link in the place of any file of a source is refused, and nothing of it kept."""
    source = project / "source"
    SOURCES[layout](source)
    (source / name).unlink()
    PLACES[place](source / name)
    outcome = _ingest(layout)
    assert outcome.refused or all(line["decision"] == "rejected" for line in outcome.of("image"))
    assert "root:" not in outcome.reasons() + (outcome.refused or "")


def test_a_link_inside_the_source_is_followed(project: Path) -> None:
    """A link to another file of the source is as good as the file."""
    SOURCES["yolo"](project / "source")
    (project / "source/images/b.png").symlink_to("../more.png")
    put(project / "source/more.png", plain("PNG", seed=8))
    put(project / "source/labels/b.txt", texts.BOX)
    assert [line["decision"] for line in _ingest("yolo").of("image")] == ["kept", "kept"]


@pytest.mark.parametrize("layout", SOURCES)
def test_a_linked_folder_is_not_entered(project: Path, layout: str) -> None:
    """A link to a folder, even to one above it, is named in the decisions and not entered."""
    source = project / "source"
    SOURCES[layout](source)
    folder = {"yolo": "images", "coco": ".", "voc": "JPEGImages"}[layout]
    (source / folder / "up").symlink_to("..")
    (source / folder / "root").symlink_to("/")
    outcome = _ingest(layout)
    assert {Path(line["where"]).name for line in outcome.of("label")} == {"up", "root"}
    assert len(outcome.of("image")) == 1


NAMES = {
    "blanks": " a  b .png",
    "line feed": "a\nb.png",
    "carriage return": "a\rb.png",
    "escape": "a\x1b[2Jb.png",
    "quotes": "a\"b'c`d.png",
    "commas": "a,b,,c.png",
    "formula": "=cmd|'a'!A1.png",
    "option": "-rf.png",
    "shell": "$(id);a|b&c.png",
    "markup": "<script>alert(1)<&>.png",
    "percent": "%s%n%2e%2e.png",
    "backslashes": "..\\..\\a.png",
    "right-to-left override": "a\u202egnp.png",
    "emoji": "\U0001f984.png",
    "combining letters": "e\u0301.png",
    "composed letters": "\xe9.png",
    "not UTF-8": os.fsdecode(b"a\xff.png"),
    "255 bytes": "a" * 251 + ".png",
    "only a suffix": ".png",
    "two dots and a suffix": "..png",
    "three dots and a suffix": "...png",
    "two suffixes": "a.tar.png",
    "Apple's shadow": "._a.png",
    "Windows' device": "CON.png",
    "capitals": "A.PNG",
    "small": "a.png",
    "tilde": "~.png",
    "a mark of nothing": "\ufeffa.png",
}


@pytest.mark.parametrize("layout", SOURCES)
def test_names(project: Path, layout: str) -> None:
    """Each image is in the decisions once, whatever its name; one that is no text is rejected."""
    source = project / "source"
    folder = {"yolo": "images", "coco": "train", "voc": "JPEGImages"}[layout]
    for number, name in enumerate(NAMES.values()):
        put(source / folder / name, plain("PNG", seed=200 + number))
    if layout == "yolo":
        put(source / "data.yaml", "names: [cat]\ntrain: images\n")
        for name in NAMES.values():
            put(source / "labels" / f"{name.rsplit('.', 1)[0]}.txt", "")
    elif layout == "coco":
        listed = [{"id": number, "file_name": name} for number, name in enumerate(NAMES.values())]
        put(source / "train/_annotations.coco.json", texts.made(texts.coco(images=listed, annotations=[])))
    else:
        for name in NAMES.values():
            put(source / "Annotations" / f"{name.rsplit('.', 1)[0]}.xml", "<annotation/>")
    outcome = _ingest(layout)
    lines = outcome.of("image")
    assert len(lines) == len(NAMES) == len({line["image"] for line in lines})
    rejected = {line["image"]: line["reason"] for line in lines if line["decision"] == "rejected"}
    assert all("UTF-8" in reason or "shares" in reason or "no suffix" in reason for reason in rejected.values())
    assert len(rejected) <= 5
    assert len(outcome.of("image")) - len(rejected) >= len(NAMES) - 5


def test_names_that_differ_by_case(project: Path) -> None:
    """Two images that one label file would serve are not both taken."""
    source = project / "source"
    SOURCES["yolo"](source)
    put(source / "images/a.PNG", plain("PNG", seed=8))
    reasons = [line["reason"] for line in _ingest("yolo").of("image")]
    assert sorted(bool(reason) for reason in reasons) == [False, True]
    assert any("shares its label file" in reason for reason in reasons)


@pytest.fixture
def apart() -> Iterator[Path]:
    """A folder that is not in pytest's own, whose way of removing is nested as deep as what it removes."""
    folder = Path(tempfile.mkdtemp(prefix="tailwatch-deep-"))
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def test_folders_nested_deep(project: Path, apart: Path) -> None:
    """Folders in folders, as deep as the system takes them, are an error and no crash."""
    SOURCES["yolo"](apart)
    here = os.open(apart / "images", os.O_RDONLY)
    for _ in range(1000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    settings(project, "yolo", str(apart))
    refused = run().refused
    assert refused is not None
    assert "deep" in refused


@pytest.mark.parametrize(
    ("layout", "path"),
    [
        pytest.param(layout, path, id=f"{layout} {name}")
        for layout in SOURCES
        for name, path in {
            "NUL": '"a\\0b"',
            "half of a pair": '"\\ud800"',
            "device": "/dev/zero",
            "pipe": "pipe",
            "long": "a" * 5000,
            "file": "params.yaml",
            "empty folder": "empty",
            "archive": "source.zip",
        }.items()
    ],
)
def test_a_source_that_is_none(project: Path, layout: str, path: str) -> None:
    """A path in params.yaml that leads to no source is refused."""
    os.mkfifo("pipe")
    Path("empty").mkdir()
    put(project / "source.zip", b"PK\x03\x04")
    settings(project, layout, path)
    assert run().refused


@pytest.mark.parametrize("name", ["train", "trainval", "test"])
@pytest.mark.parametrize("place", ["a pipe", "a folder", "a link to a device without end", "a terabyte of nothing"])
def test_list_of_voc(project: Path, name: str, place: str) -> None:
    """A list of stems that cannot be read is an error: without it, images would lose their split in silence."""
    SOURCES["voc"](project / "source")
    lists = project / "source/ImageSets/Main"
    lists.mkdir(parents=True)
    PLACES[place](lists / f"{name}.txt")
    refused = _ingest("voc").refused
    assert refused is not None
    assert f"{name}.txt" in refused
