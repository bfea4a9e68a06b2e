"""The images of the study: real ones, and the synthetic ones that are made from a part of them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline import ingest
from pipeline.core import copy_paste, images, labels, manifest, mixture, params, paths, rng
from pipeline.core.images import Pixels
from pipeline.core.manifest import Row
from pipeline.core.synthesis import Example

SEED = 15
_GENERATORS = {"mixture": mixture.fit, "copy_paste": copy_paste.fit}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Real images, and synthetic ones that are made from the first part of them.

    Attributes:
        name: of the dataset.
        used: real images that synthetic ones are made from.
        new: real images that no synthetic one is made from.
        synthetic: the synthetic images, BGR.
        pixels: of the real images, by image id.
    """

    name: str
    used: tuple[Row, ...]
    new: tuple[Row, ...]
    synthetic: tuple[Pixels, ...]
    pixels: dict[str, Pixels]


def read(name: str, folder: Path, *, settings: dict[str, Any], synthetic: int) -> Dataset:
    """Ingest real images in an empty folder, and make synthetic ones of half of them.

    Args:
        name: of the dataset.
        folder: empty; it becomes a project's.
        settings: of params.yaml.
        synthetic: how many to make with each generator.
    """
    (folder / paths.PARAMS).write_text(yaml.safe_dump(settings))
    with contextlib.chdir(folder):
        ingest.main()
        rows = sorted(manifest.read(paths.REAL_MANIFEST), key=lambda row: row.name)
        # Pages have splits that share no digit. Photographs have an order: pairs of neighbours are taken in turn, so
        # that a new photograph stands beside one that was used.
        if name == "digits":
            used = [row for row in rows if row.split == "train"]
        else:
            used = [row for number, row in enumerate(rows) if number % 4 >= 2]  # noqa: PLR2004
        ids = {row.image_id for row in used}
        return Dataset(
            name=name,
            used=tuple(used),
            new=tuple(row for row in rows if row.image_id not in ids),
            synthetic=tuple(_made(used, synthetic)),
            pixels={row.image_id: images.read(row.path) for row in rows},
        )


def _made(rows: Sequence[Row], number: int) -> list[Pixels]:
    settings = params.load()
    examples = [
        Example(image_id=row.image_id, path=Path(row.path), boxes=tuple(labels.read(row.label_path))) for row in rows
    ]
    made = []
    for name, fit in _GENERATORS.items():
        draw = fit(examples, settings.generate, rng.generator(SEED, "fit", name))
        source = rng.generator(SEED, "draw", name)
        made += [draw(source).pixels for _ in range(number)]
    return made


def image_id(number: int) -> str:
    """The id of a synthetic image of the study."""
    return hashlib.sha256(f"synthetic {number}".encode()).hexdigest()
