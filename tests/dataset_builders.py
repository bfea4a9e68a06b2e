"""Small datasets of each layout on the disk, with images that can be decoded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from pipeline.core import images

Objects = Sequence[tuple[str, float]]  # class and side, as a fraction of the image's longer side
WIDTH, HEIGHT = 64, 48  # pixels


def photo(path: Path, seed: int, *, width: int = WIDTH, height: int = HEIGHT) -> None:
    """A PNG of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, size=(height, width, 3), dtype=np.uint8)
    path.write_bytes(images.encode_png(pixels))


def yolo(
    root: Path,
    splits: Mapping[str, int],
    objects: Objects = (("cat", 0.25), ("dog", 0.5)),
    *,
    classes: Sequence[str] = ("cat", "dog"),
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Path:
    """A YOLO dataset: so many images a split, each with the objects, side by side."""
    width, height = size
    for place, (split, number) in enumerate(splits.items()):
        for index in range(number):
            name = f"{split}{index:03d}"
            photo(root / split / "images" / f"{name}.png", 1000 * place + index, width=width, height=height)
            lines = [
                f"{classes.index(one)} 0.5 0.5 {side * max(size) / width:.4f} {side * max(size) / height:.4f}\n"
                for one, side in objects
            ]
            text = root / split / "labels" / f"{name}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("".join(dict.fromkeys(lines)))
    folders = {split: f"{split}/images" for split in splits}
    (root / "data.yaml").write_text(yaml.safe_dump({"names": list(classes), **folders}))
    return root


def voc(root: Path, number: int, *, splits: Mapping[str, slice] | None = None) -> Path:
    """A VOC dataset, each image with one cat of 16 by 12 pixels."""
    corners = "<xmin>8</xmin><ymin>8</ymin><xmax>24</xmax><ymax>20</ymax>"
    item = f"<object><name>cat</name><bndbox>{corners}</bndbox></object>"
    names = [f"{index:03d}" for index in range(number)]
    (root / "Annotations").mkdir(parents=True)
    for index, name in enumerate(names):
        photo(root / "JPEGImages" / f"{name}.png", index)
        text = f"<annotation><filename>{name}.png</filename>{item}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    for split, part in (splits or {}).items():
        file = root / "ImageSets" / "Main" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(names[part]) + "\n")
    return root


def coco(root: Path, splits: Mapping[str, int]) -> Path:
    """A COCO dataset, each image with one dog of 20 by 20 pixels."""
    for place, (split, number) in enumerate(splits.items()):
        names = [f"{split}{index:03d}.png" for index in range(number)]
        for index, name in enumerate(names):
            photo(root / "images" / split / name, 1000 * place + index)
        content = {
            "images": [{"id": index, "file_name": name} for index, name in enumerate(names)],
            "categories": [{"id": 7, "name": "dog"}],
            "annotations": [
                {"id": index, "image_id": index, "category_id": 7, "bbox": [5, 5, 20, 20]} for index in range(number)
            ],
        }
        file = root / "annotations" / f"instances_{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return root
