"""Small things that tests are made of; each builder gives a valid one, changed as asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.core import images, labels
from pipeline.core.audits import Ancestor, Audit
from pipeline.core.figures import (
    ClassFigures,
    Confusion,
    DetectionFigures,
    Diversity,
    Drift,
    Duplication,
    Figure,
    Fit,
    Forecast,
    Freshness,
    ReliabilityBin,
    SizeFigures,
)
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


def figure(value: float | None = 0.8, /, *, width: float = 0.1, samples: int = 100) -> Figure:
    """A share with an interval about it; None: absent, with a reason."""
    if value is None:
        return Figure(value=None, reason="no test box")
    low, high = max(value - width / 2, 0.0), min(value + width / 2, 1.0)
    return Figure(value=value, low=round(low, 10), high=round(high, 10), samples=samples)


def class_figures(name: str = "one", **changes: Any) -> ClassFigures:
    """A common class with 100 test boxes, 90 of them found."""
    plain = ClassFigures(
        name=name,
        rare=False,
        support=100,
        found=90,
        recall=Figure(value=0.9, low=0.82, high=0.95, samples=100),
        precision=figure(0.8),
        ap50_95=figure(0.7),
        ap50=figure(0.9),
        training_boxes=500,
    )
    return replace(plain, **changes)


def detection_figures(names: Sequence[str] = ("one",), **changes: Any) -> DetectionFigures:
    """A detector that finds 90 of 100 boxes of each class and confuses none with another."""
    count = len(names)
    counts = [[90 * (row == column) for column in range(count)] + [10] for row in range(count)]
    plain = DetectionFigures(
        sizes=(
            SizeFigures(name="small", low=0.0, high=16.0, recall=figure(0.8)),
            SizeFigures(name="medium", low=16.0, high=20.0, recall=figure(0.9)),
            SizeFigures(name="large", low=20.0, high=None, recall=figure(0.95)),
        ),
        reliability=(
            ReliabilityBin(low=0.0, high=0.5, predicted=0.2, observed=figure(0.15)),
            ReliabilityBin(low=0.5, high=1.0, predicted=0.9, observed=figure(0.92)),
        ),
        calibration_error=figure(0.04),
        false_positives=figure(0.3),
        confusion=Confusion(classes=tuple(names), counts=tuple(tuple(row) for row in [*counts, [5] * count + [0]])),
    )
    return replace(plain, **changes)


def fit(**changes: Any) -> Fit:
    """A detector that does as well on images that it never saw as on those that it was trained on."""
    plain = Fit(
        train_map50=figure(0.92),
        val_map50=figure(0.9),
        test_map50=figure(0.9),
        val_map50_95=0.7,
        losses={"box": (4.0, 2.0, 1.0), "class": (16.0, 4.0, 2.0), "dfl": (2.0, 1.2, 1.0)},
        train_ap50={"one": 0.92},
    )
    return replace(plain, **changes)


def duplication(level: Literal["image", "object"] = "image", **changes: Any) -> Duplication:
    """A hundred synthetic items, three of them near another one and two near a real one."""
    plain = Duplication(
        level=level,
        items=100,
        exact=0,
        reencoded=1,
        near=3,
        groups=3,
        largest=2,
        near_share=figure(0.03, width=0.04),
        expected=figure(0.02, width=0.03),
        threshold=0.98,
        quantile=0.01,
        copies={"train": 2, "val": 0, "test": 0},
        copy_share=figure(0.02, width=0.03),
        examples=(),
        suspicious=(),
        hash_distance=2,
    )
    return replace(plain, **changes)


def diversity(name: str = "all", **changes: Any) -> Diversity:
    """Synthetic objects that are nearly as diverse as real ones."""
    plain = Diversity(
        name=name,
        samples=100,
        vendi_synthetic=Figure(value=30.0, low=28.0, high=32.0, samples=100),
        vendi_real=Figure(value=33.0, low=31.0, high=35.0, samples=100),
        coverage=figure(0.9),
        density=Figure(value=1.0, low=0.9, high=1.1, samples=100),
        lost_tail=figure(0.05, width=0.04),
    )
    return replace(plain, **changes)


def drift(quantity: str = "sharpness", **changes: Any) -> Drift:
    """A quantity that did not drift."""
    plain = Drift(
        quantity=quantity,
        unit="",
        real=10.0,
        synthetic=9.8,
        effect=-0.02,
        effect_name="Cliff's delta",
        test="Mann-Whitney",
        p_value=0.6,
        samples=(100, 100),
    )
    return replace(plain, **changes)


def freshness(**changes: Any) -> Freshness:
    """A hundred verified images."""
    plain = Freshness(
        verified=100,
        share=Figure(value=1.0, samples=100),
        newest="2026-01-31T12:00:00+00:00",
        oldest="2026-01-01T12:00:00+00:00",
        median="2026-01-15T12:00:00+00:00",
        depths={"one": {"0": 500}},
    )
    return replace(plain, **changes)


def forecast(name: str = "one", **changes: Any) -> Forecast:
    """A class whose share stays."""
    plain = Forecast(
        name=name,
        boxes=(500, 498),
        shares=(0.5, 0.5),
        half_life=Figure(value=None, reason="the share does not shrink"),
        need=20,
        generation=Figure(value=None, reason="the share does not shrink"),
        warning=False,
    )
    return replace(plain, **changes)


def ancestor(run: str = "base", **changes: Any) -> Ancestor:
    """A run of a line, as good as any."""
    plain = Ancestor(run=run, generation=0, val_map50_95=0.7, map50_95=0.7, recalls={"one": 0.9})
    return replace(plain, **changes)


def audit(run: str = "base", /, **changes: Any) -> Audit:
    """The audit of the base run (or of the first generation of the arm ``guarded``), which has one common class."""
    base = run == "base"
    plain = Audit(
        run=run,
        arm="" if base else "guarded",
        generation=0 if base else 1,
        seeds=1,
        test=sha("test split"),
        test_images=100,
        confidence=0.3,
        iou=0.5,
        map50_95=Figure(value=0.7, low=0.66, high=0.74, samples=100),
        map50=Figure(value=0.9, low=0.87, high=0.93, samples=100),
        seed_map50_95=(0.7,),
        classes=(class_figures(),),
        detection=detection_figures(),
        fit=fit(),
        real_images=100,
        synthetic_images=0 if base else 100,
        lineage={"0": 100} if base else {"0": 100, "1": 100},
        freshness=freshness(),
        duplication=() if base else (duplication("image"), duplication("object")),
        diversity=() if base else (diversity("all"), diversity("one")),
        drift=() if base else (drift(),),
        forecasts=() if base else (forecast(),),
        line=(ancestor("base"),) if base else (ancestor("base"), ancestor(run, generation=1)),
        best="base",
        inputs={"verify": sha("manifest of verify"), "mix": sha(f"manifest of {run}")},
    )
    return replace(plain, **changes)
