"""Images of another generator: what can be used is used as it is, all else is named with what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.core import images, labels, manifest, outside, params, paths
from pipeline.core.errors import UserError
from pipeline.core.generate_settings import Folder, Generate
from pipeline.core.synthesis import Drawn, Example, Task
from tests import builders
from tests.imports import ROOT

COUNT = 4
TASK = Task(run="guarded-1", arm="guarded", generation=1, classes=("one", "two"), depth=0, device="cpu", scratch=Path())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images of another generator, one more than wanted, beside a project with a few real ones."""
    monkeypatch.chdir(tmp_path)
    real = tmp_path / "data/real/images"
    real.mkdir(parents=True)
    rows = []
    for number in range(3):
        one = builders.example(real, f"real{number}", seed=100 + number)
        rows.append(builders.row(f"real{number}", path=str(one.path.relative_to(tmp_path)), split="test"))
    manifest.write(paths.REAL_MANIFEST, rows)
    place = tmp_path / "data/outside/guarded-1"
    (place / "images").mkdir(parents=True)
    (place / "labels").mkdir()
    for number in range(COUNT + 1):
        made = builders.example(place / "images", f"made{number}", seed=number)
        text = labels.format_boxes([builders.box(number % 2, x=0.25 + 0.1 * number)])
        (place / "labels" / f"{made.path.stem}.txt").write_text(text)
    return place


def settings(**changes: Any) -> Generate:
    """The project's settings with the generator `folder`."""
    plain = params.load(ROOT / "params.yaml").generate
    given = Folder(**({"path": "data/outside", "of_a_run": "{run}", "labels": "own"} | changes))
    return replace(plain, generator="folder", images=COUNT, folder=given)


def drawn(chosen: Generate | None = None) -> list[Drawn]:
    """All images of the run."""
    examples = [Example(image_id=builders.sha("real0"), path=Path("data/real/images/real0.png"), boxes=())]
    draw = outside.fit(examples, chosen or settings(), np.random.default_rng(0), task=TASK)
    return [draw(np.random.default_rng(1)) for _ in range(COUNT)]


def test_images_as_they_are(folder: Path) -> None:
    """Pixels and boxes come as they are, in the order of names; parents that nobody knows stay away."""
    pages = drawn()
    names = [page.details["file"] for page in pages]
    assert names == sorted(names)
    for page, name in zip(pages, names, strict=True):
        assert np.array_equal(page.pixels, images.read(folder / name))
        assert list(page.boxes) == labels.read(folder / "labels" / f"{Path(name).stem}.txt")
        assert page.parents == ()
    assert [page.details for page in drawn()] == [page.details for page in pages]


def test_side_by_side(folder: Path) -> None:
    """Labels may lie beside their images, and the folder of a run may be named by arm and generation."""
    other = folder.parent / "guarded of generation 1"
    other.mkdir()
    for kind in ("images", "labels"):
        for path in (folder / kind).iterdir():
            path.rename(other / path.name)
    pages = drawn(settings(of_a_run="{arm} of generation {generation}"))
    assert [len(page.boxes) for page in pages] == [1] * COUNT


def test_without_labels(folder: Path) -> None:
    """Where labels are left to the detector, none are read."""
    (folder / "labels/made0.txt").write_text("nonsense\n")
    assert all(page.boxes == () for page in drawn(settings(labels="none")))


def test_parents(folder: Path) -> None:
    """A table says what images were made from."""
    parent = builders.sha("real0")
    lines = "".join(f"images/made{number}.png,{parent}\n" for number in range(2))
    (folder / "parents.csv").write_text(f"image,parents\n{lines}")
    known = {page.details["file"]: page.parents for page in drawn()}
    listed = {"images/made0.png", "images/made1.png"}
    assert any(name in listed for name in known)
    assert all(parents == ((parent,) if name in listed else ()) for name, parents in known.items())


def _few(folder: Path) -> None:
    for number in range(2):
        (folder / f"images/made{number}.png").unlink()


def _broken(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.write_bytes(path.read_bytes()[:200])


def _twice(folder: Path) -> None:
    for number in range(1, COUNT + 1):
        (folder / f"images/made{number}.png").write_bytes((folder / "images/made0.png").read_bytes())


def _real(folder: Path) -> None:
    real = images.read("data/real/images/real1.png")
    for number in range(COUNT + 1):
        shifted = np.clip(real.astype(int) + number, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"images/made{number}.png"), shifted)


def _unlabelled(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        path.unlink()


def _labels(line: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for path in (folder / "labels").iterdir():
            path.write_text(f"\n{line}\n")

    return change


def _beside(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(_few, "has 3 images, wanted generate.images, which is 4, or more", id="too few"),
        pytest.param(_broken, r"images/made\d.png: PNG is broken or cut off.*; and 1 more", id="unreadable"),
        pytest.param(_twice, r"images/made\d.png: the same pixels as images/made\d.png", id="duplicates"),
        pytest.param(_real, r"images/made\d.png: a copy of real1: .*, a real image", id="real ones come back"),
        pytest.param(_unlabelled, "no label file labels/made.*an image without objects has an empty one", id="labels"),
        pytest.param(_labels("2 0.5 0.5 0.2 0.2"), "line 2: class 2, wanted 0 to 1", id="class"),
        pytest.param(_labels("0 0.9 0.5 0.4 0.2"), "line 2: box is outside the frame by 0.1", id="box outside"),
        pytest.param(_labels("0 0.9 0.5 0.4"), "line 2: 4 fields, wanted 5", id="fields"),
        pytest.param(_beside("classes.txt", "two\none\n"), "has the classes 'two, one', wanted.*one, two", id="order"),
        pytest.param(_beside("parents.csv", "image;parents\n"), "wanted the columns image,parents", id="table"),
        pytest.param(
            _beside("parents.csv", "image,parents\nmade0.png,abc\n"), "line 2: the parent 'abc' of", id="stranger"
        ),
        pytest.param(_beside("parents.csv", ""), "wanted the columns image,parents", id="empty table"),
        pytest.param(lambda folder: folder.rename(folder.parent / "x"), "wanted the images of the run", id="no folder"),
    ],
)
def test_refused(folder: Path, change: Callable[[Path], object], said: str) -> None:
    """What cannot be used is named with its file, and nothing is taken."""
    change(folder)
    with pytest.raises(UserError, match=said):
        drawn()
