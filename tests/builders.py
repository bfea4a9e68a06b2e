"""Small things that tests are made of; each builder gives a valid one, changed as asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.core import images, labels
from pipeline.core.audits import Audit, ClassFigures, DuplicateFigures, Figure
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.synthesis import Example

Pixels = npt.NDArray[np.uint8]


def sha(name: object) -> str:
    """A SHA-256 that belongs to a name."""
    return hashlib.sha256(str(name).encode()).hexdigest()


def row(name: str = "a", /, **changes: Any) -> Row:
    """A verified real training image with one box of class 0; its id follows from the name."""
    plain = Row(
        image_id=sha(name),
        name=name,
        path=f"data/real/images/{sha(name)[:16]}.png",
        split="train",
        origin="real",
        generation=0,
        run="",
        parents=(),
        lineage_depth=0,
        human_verified=True,
        label_digest=sha(f"labels of {name}"),
        width=64,
        height=48,
        boxes=((0, 1),),
    )
    return replace(plain, **changes)


def synthetic_row(name: str = "s", /, **changes: Any) -> Row:
    """A synthetic training image of the first generation, made of the image ``a``."""
    made = {
        "origin": "synthetic",
        "generation": 1,
        "run": "guarded-1",
        "parents": (sha("a"),),
        "lineage_depth": 1,
        "human_verified": False,
        "path": f"data/generate/guarded-1/images/{sha(name)[:16]}.png",
    }
    return row(name, **(made | changes))


def picture(seed: int, *, width: int = 48, height: int = 40) -> Pixels:
    """Smooth light with some grain, BGR, shape (height, width, 3): something that a hash and a filter can grip."""
    rng = np.random.default_rng(seed)
    across = np.cos(np.pi * np.outer(np.arange(8), np.linspace(0, 1, width)))
    down = np.cos(np.pi * np.outer(np.arange(8), np.linspace(0, 1, height)))
    shape = down.T @ rng.normal(size=(8, 8)) @ across
    pixels = 128 + 8 * shape[:, :, None] * rng.uniform(0.7, 1, 3) + rng.normal(0, 2, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def example(
    folder: Path, name: str, boxes: Sequence[Box] = (), *, width: int = 48, height: int = 40, seed: int = 0
) -> Example:
    """An image on the disk, its objects drawn as filled rectangles, with its boxes."""
    pixels = picture(seed, width=width, height=height)
    for box in boxes:
        left, top, right, bottom = box.corners()
        place = (
            slice(round(top * height), max(round(bottom * height), round(top * height) + 1)),
            slice(round(left * width), max(round(right * width), round(left * width) + 1)),
        )
        pixels[place] = (40 * box.class_id % 256, 30, 200)
    path = folder / f"{name}.png"
    path.write_bytes(images.encode_png(pixels))
    return Example(image_id=sha(name), path=path, boxes=tuple(boxes))


def box(class_id: int = 0, *, x: float = 0.5, y: float = 0.5, width: float = 0.25, height: float = 0.25) -> Box:
    """A box, rounded as it would be written."""
    return labels.rounded(Box(class_id=class_id, x=x, y=y, width=width, height=height))


def class_figures(name: str = "one", **changes: Any) -> ClassFigures:
    """A common class with 100 test boxes, 90 of them found."""
    plain = ClassFigures(
        name=name,
        rare=False,
        support=100,
        found=90,
        recall=Figure(value=0.9, low=0.82, high=0.95),
        precision=0.8,
        ap50_95=0.7,
        ap50=0.9,
        training_boxes=500,
    )
    return replace(plain, **changes)


def audit(run: str = "base", /, **changes: Any) -> Audit:
    """The audit of the base run (or of the first generation of the arm ``guarded``), which has one common class."""
    base = run == "base"
    plain = Audit(
        run=run,
        arm="" if base else "guarded",
        generation=0 if base else 1,
        test_images=100,
        confidence=0.3,
        iou=0.5,
        map50_95=Figure(value=0.7, low=0.66, high=0.74),
        map50=Figure(value=0.9, low=0.87, high=0.93),
        classes=(class_figures(),),
        real_images=100,
        synthetic_images=0 if base else 100,
        lineage={"0": 100} if base else {"0": 100, "1": 100},
        duplicates=None if base else DuplicateFigures(images=100, exact=0, near=3, near_real=2, threshold=2),
        inputs={"verify": sha("manifest of verify"), "mix": sha(f"manifest of {run}")},
    )
    return replace(plain, **changes)
