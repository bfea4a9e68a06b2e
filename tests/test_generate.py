"""The stage `generate`: whatever a generator does, an error names it and the image, and nothing is half written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline import generate
from pipeline.adapters import generators
from pipeline.core import drawn_checks, files, images, labels, manifest, params, paths
from pipeline.core.drawn_checks import Limits
from pipeline.core.errors import UserError
from pipeline.core.paths import RunPaths
from tests import bad_generators, builders
from tests.imports import ROOT

CLASSES = ["one", "two", "three"]
COUNT = 12  # examples, and images that are drawn


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose base run has some images to learn from, and with the generators of `bad_generators.py`."""
    monkeypatch.chdir(tmp_path)
    rows = []
    (tmp_path / "data/real/images").mkdir(parents=True)
    (tmp_path / "data/real/labels").mkdir()
    for number in range(COUNT):
        boxes = (builders.box(0, x=0.3, width=0.3), builders.box(1, x=0.75, y=0.3 + 0.03 * number))
        made = builders.example(tmp_path / "data/real/images", f"page{number}", boxes, seed=number)
        labels_file = manifest.label_path(made.path)
        labels_file.write_text(labels.format_boxes(boxes))
        depth = {"origin": "synthetic", "lineage_depth": 2, "run": "g", "generation": 2} if number == 0 else {}
        rows.append(
            builders.row(
                made.image_id, image_id=made.image_id, path=str(made.path.relative_to(tmp_path)), width=48, height=40,
                label_digest=labels.digest(boxes), **depth,
            )
        )  # fmt: skip
    manifest.write(RunPaths("base").mix_manifest, rows)
    files.write_json(paths.REAL_CLASSES, CLASSES)
    (tmp_path / "generators").mkdir()
    shutil.copyfile(bad_generators.__file__, tmp_path / "generators/bad.py")
    configure(tmp_path)
    return tmp_path


def configure(folder: Path, name: str = "generators/bad.py:right", /, **changes: Any) -> None:
    """Write params.yaml with this generator."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["generate"].update(generator=name, labels="layout", images=COUNT, **changes)
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


def refusal(name: str, folder: Path, /, **changes: Any) -> str:
    """What is said of a bad generator; nothing of the run is left."""
    configure(folder, f"generators/bad.py:{name}", **changes)
    with pytest.raises(UserError) as caught:
        generate.main("guarded-1")
    assert not (folder / "data/generate/guarded-1").exists()
    assert not list((folder / "data/generate").glob(".guarded-1*"))
    return str(caught.value)


def made(folder: Path) -> list[manifest.Row]:
    """The manifest of the run."""
    return manifest.read(folder / RunPaths("guarded-1").synthetic_manifest)


def test_own_generator(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A function in a file of the project draws; its name and the file's digest are in manifest and provenance."""
    generate.main("guarded-1")
    rows = made(project)
    version = files.sha256_file(project / "generators/bad.py")[:12]
    assert len(rows) == COUNT
    assert {(row.generator, row.generator_version) for row in rows} == {("generators/bad.py:right", version)}
    assert {row.lineage_depth for row in rows} <= {1, 3}
    for row in rows:
        with Image.open(row.path) as file:
            mark = json.loads(file.text[images.SYNTHETIC_MARK])  # type: ignore[attr-defined]  # of PNG files
        assert (mark["generator"], mark["generator_version"]) == ("generators/bad.py:right", version)
        assert tuple(mark["parents"]) == row.parents
        assert labels.digest(labels.read(row.label_path)) == row.label_digest
    told = capfd.readouterr()
    assert "on standard output" in told.err
    assert told.out == ""
    assert "too few objects to learn a class from: three 0" in told.err
    assert not list((project / "generators").glob("__pycache__"))
    assert not (project / paths.GENERATING / "guarded-1").exists()
    first = project.joinpath(rows[0].path).read_bytes()
    generate.main("guarded-1")
    assert project.joinpath(rows[0].path).read_bytes() == first


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        pytest.param("raises_later", {}, r"image 3: it raised ZeroDivisionError: a tensor of no elements \(bad.py line "
                     r"\d+\)\. The traceback is in \S+error\.txt\. Mend it", id="raises"),
        pytest.param("raises_while_fitted", {}, r"while it was fitted: it raised KeyError: 'layers' \(bad", id="fit"),
        pytest.param("leaves", {}, "image 0: it raised SystemExit: enough", id="leaves"),
        pytest.param("hangs", {"timeout": 1.5}, r"image \d: nothing came for 1.5 s.*raise generate.time", id="hangs"),
        pytest.param("dies", {}, "image 0: its process ended by SIGSEGV", id="dies"),
        pytest.param("the_same_always", {}, "image 11 and all before it are the same", id="the same always"),
        pytest.param("floats", {}, "image 0: pixels are of type float64, wanted uint8", id="wrong type"),
        pytest.param("no_function", {}, "fitted: its fit returned NoneType, wanted a function", id="nothing to draw"),
        pytest.param("short_batch", {}, "images 0 to 3: it gave 3 for a batch of 4", id="short batch"),
    ],
)  # fmt: skip
def test_bad_generators(project: Path, name: str, changes: Mapping[str, Any], said: str) -> None:
    """Who failed, at which image, what was wanted, and what to do; nothing is half written."""
    told = refusal(name, project, **changes)
    assert told.startswith(f"generator generators/bad.py:{name}: ")
    assert re.search(said, told), told


def test_no_memory(project: Path) -> None:
    """A generator that is refused memory ends as any stage does that is."""
    configure(project, "generators/bad.py:needs_memory")
    with pytest.raises(MemoryError, match="image 0"):
        generate.main("guarded-1")


def test_batches_go_on(project: Path) -> None:
    """A run that was cut off goes on from its last batch, and gives what an undisturbed one gives."""
    told = refusal("in_batches", project, options={"dies_at": 1})
    assert "images 5 to 9: its process ended by SIGKILL" in told
    (kept,) = (project / paths.GENERATING / "guarded-1").glob("*/drawn")
    assert len(list(kept.iterdir())) == 5
    first = (kept / "000000.png").stat().st_mtime_ns
    configure(project, "generators/bad.py:in_batches", options={"dies_at": 1})
    (kept.parent / "batch-1").touch()  # it dies at the second batch, and so no more
    generate.main("guarded-1")
    again = made(project)
    assert first
    shutil.rmtree(project / "data/generate")
    configure(project, "generators/bad.py:in_batches")
    generate.main("guarded-1")
    assert [replace(row) for row in made(project)] == again
    assert not (project / paths.GENERATING / "guarded-1").exists()


LIMITS = Limits(classes=3, parents=frozenset(builders.sha(f"page{number}") for number in range(2)), sides=(40, 48),
                knows_parents=True)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("a_pair", r"wanted a Drawn", id="pair"),
        pytest.param("flat", r"the shape \(40, 48\), wanted \(height, width, 3\)", id="grey"),
        pytest.param("channels_first", r"the shape \(3, 40, 48\)", id="channels first"),
        pytest.param("four_channels", r"the shape \(40, 48, 4\)", id="four channels"),
        pytest.param("huge", r"5000 x 4 pixels, wanted sides from 5 to 384", id="huge"),
        pytest.param("empty", r"48 x 0 pixels", id="empty"),
        pytest.param("a_list", "pixels are list, wanted a NumPy array", id="list"),
        pytest.param("box_outside", "box 0 lies outside the image by 0.15 of its side", id="box outside"),
        pytest.param("box_of_nothing", "box 0 is empty: 0.048 x 20 pixels", id="empty box"),
        pytest.param("no_such_class", "box 0 is of class 7, wanted 0 to 2", id="class"),
        pytest.param("numpy_class", "box 0 is of class", id="class of NumPy"),
        pytest.param("tuples_for_boxes", "box 0 is .*wanted a Box", id="tuples"),
        pytest.param("no_boxes", "boxes are 'None'|boxes are None", id="no boxes"),
        pytest.param("strange_parents", "its parent .f.* is no example", id="strange parents"),
        pytest.param("no_parents", "it has no parents", id="no parents"),
        pytest.param("parents_as_text", "parents are .*wanted a tuple", id="parents as text"),
        pytest.param("details_as_text", "details are .*wanted a mapping", id="details"),
    ],
)
def test_bad_images(tmp_path: Path, name: str, said: str) -> None:
    """What a generator gives is held against what it was given, and the fault is named."""
    examples = [builders.example(tmp_path, f"page{number}", [builders.box(0)], seed=number) for number in range(2)]
    settings = params.load(ROOT / "params.yaml").generate
    page = getattr(bad_generators, name)(examples, settings, np.random.default_rng(0))(np.random.default_rng(1))
    with pytest.raises(ValueError, match=said):
        drawn_checks.checked(page, LIMITS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("generators/none.py:fit", "does not exist; in generators/ there is bad.py", id="no file"),
        pytest.param(
            "generators/bad.py:fitt", "has no function 'fitt'; it has a_list, a_pair, batches_of_none", id="no function"
        ),
        pytest.param("elsewhere/bad.py:fit", "wanted a file in the project's folder generators/", id="other folder"),
        pytest.param("generators/../bad.py:fit", "wanted a file in the project's folder", id="out of the folder"),
        pytest.param("/bad.py:fit", "wanted a file in the project's folder", id="absolute"),
        pytest.param("generators/broken.py:fit", "cannot be loaded: .*SyntaxError", id="broken"),
        pytest.param("generators/bad.py:not_a_function", "it is SimpleNamespace, wanted a function", id="no callable"),
    ],
)
def test_files_refused(project: Path, name: str, said: str) -> None:
    """A file of one's own has to be where the stage depends on it, and to hold the function."""
    (project / "generators/broken.py").write_text("def fit(:\n")
    configure(project, name)
    with pytest.raises(UserError, match=said):
        generators.find(params.load().generate)


def test_packages(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package gives a generator by an entry point; its name and version are its own."""
    info = project / "packages/someones-1.4.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: someones\nVersion: 1.4\n")
    info.joinpath("entry_points.txt").write_text(
        "[tailwatch.generators]\nblobs = someones_blobs:right\ngone = someones_blobs:gone\n"
    )
    shutil.copyfile(bad_generators.__file__, project / "packages/someones_blobs.py")
    monkeypatch.syspath_prepend(project / "packages")
    configure(project, "blobs")
    found = generators.find(params.load().generate)
    assert (found.name, found.version, found.fit.__name__) == ("blobs", "1.4", "right")
    configure(project, "gone")
    with pytest.raises(UserError, match="generator gone of the package someones cannot be loaded: AttributeError"):
        generators.find(params.load().generate)
    configure(project, "blob")
    with pytest.raises(UserError, match=r"'blob'; did you mean 'blobs'\?, wanted one of mixture.*folder, blobs, gone"):
        params.load()


def test_built_in() -> None:
    """Each of the project's generators is found by its name, has a version, and is told apart by its code."""
    from pipeline.core import generator_names

    settings = params.load(ROOT / "params.yaml").generate
    for name in generator_names.BUILT_IN:
        if name == "diffusion":  # needs an extra, and has tests of its own
            continue
        found = generators.find(replace(settings, generator=name))
        assert found.name == name
        assert found.version or name == "folder"
        assert len(found.digest) == 64


def test_the_documented_example(project: Path) -> None:
    """The generator that docs/generators.md shows is the one in the folder, line by line, and it works as it stands."""
    text = (ROOT / "docs/generators.md").read_text()
    shown = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "def fit(" in block)
    assert shown == (ROOT / "generators/fog.py").read_text()
    (project / "generators/fog.py").write_text(shown)
    configure(project, "generators/fog.py:fit", options={"density": 0.5})
    generate.main("guarded-1")
    rows = made(project)
    assert len({row.image_id for row in rows}) == COUNT
    (row,) = [row for row in manifest.read(RunPaths("base").mix_manifest) if row.image_id == rows[0].parents[0]]
    assert images.read(rows[0].path).mean() > images.read(row.path).mean()


def test_images_of_a_folder(project: Path) -> None:
    """Images of another tool carry its name and version, and count as deep as the deepest that it may have seen."""
    place = project / "data/outside/guarded-1"
    place.mkdir(parents=True)
    for number in range(COUNT):
        made_elsewhere = builders.example(place, f"x{number}", [builders.box(1)], seed=50 + number)
        made_elsewhere.path.with_suffix(".txt").write_text(labels.format_boxes(made_elsewhere.boxes))
    own = {"path": "data/outside", "of_a_run": "{run}", "labels": "own", "tool": "blender", "version": "4.2"}
    configure(project, "folder", folder=own)
    generate.main("guarded-1")
    rows = made(project)
    assert {(row.generator, row.generator_version) for row in rows} == {("blender", "4.2")}
    assert {(row.parents, row.lineage_depth, row.boxes) for row in rows} == {((), 3, ((1, 1),))}
