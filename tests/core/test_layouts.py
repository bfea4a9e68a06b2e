"""The layout of a dataset is told by its names, wherever in the folder it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core import layouts
from pipeline.core.errors import UserError
from tests import dataset_builders as datasets


def test_folders_are_preferred_to_their_descriptions(tmp_path: Path) -> None:
    """DVC watches the path: of a YOLO dataset that is the folder with its images, though a file was given."""
    root = datasets.yolo(tmp_path / "a", {"train": 1})
    assert layouts.choose(root / "data.yaml").path == root
    assert layouts.choose(root).path == root
    (root / "data.yaml").rename(root / "cells.yaml")
    assert layouts.choose(root).path == root


def test_one_description_of_several(tmp_path: Path) -> None:
    """Where a folder has other YAML files too, the dataset's is the path: its reader could not choose."""
    root = datasets.yolo(tmp_path / "a", {"train": 1})
    (root / "data.yaml").rename(root / "cells.yaml")
    (root / "notes.yaml").write_text("author: Ada\n")
    assert layouts.choose(root).path == root / "cells.yaml"


def test_json_of_something_else_is_no_dataset(tmp_path: Path) -> None:
    """A JSON file without images and annotations is not COCO."""
    datasets.photo(tmp_path / "a.png", 1)
    (tmp_path / "notes.json").write_text('{"author": "Ada"}')
    with pytest.raises(UserError, match="images without labels"):
        layouts.choose(tmp_path)


def test_one_json_file(tmp_path: Path) -> None:
    """A COCO file may be given itself."""
    root = datasets.coco(tmp_path / "a", {"train": 1})
    file = root / "annotations/instances_train.json"
    assert layouts.choose(file) == layouts.Layout(kind="coco", path=file, sign="instances_train.json")


def test_roboflow_exports(tmp_path: Path) -> None:
    """Roboflow's COCO files lie beside the images of each split."""
    root = datasets.coco(tmp_path / "a", {"train": 1})
    (root / "annotations/instances_train.json").rename(root / "images/train/_annotations.coco.json")
    assert layouts.choose(root / "images").kind == "coco"


def test_two_datasets_below(tmp_path: Path) -> None:
    """Two datasets of one layout side by side: one of them is to be given."""
    for name in ("a", "b"):
        datasets.voc(tmp_path / name, 1)
    with pytest.raises(UserError, match="2 datasets"):
        layouts.choose(tmp_path)


def test_three_folders_down_is_too_far(tmp_path: Path) -> None:
    """Nobody's whole disk is searched."""
    datasets.voc(tmp_path / "a/b/c", 1)
    with pytest.raises(UserError, match="Annotations and JPEGImages"):
        layouts.choose(tmp_path)
