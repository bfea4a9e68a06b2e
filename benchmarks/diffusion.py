"""How long the small model of `diffusion` takes, and what it draws, on the default project's digits.

Fits it to the training pages, which are composed anew, and draws as many; with ``--generations 2`` and more, each
generation learns from the pages of the one before. Times are of this process, one thread, so that a shared machine
matters less. Whether a digit can be told is asked of a classifier (RBF-SVM) that was trained on half of the real ones:
the share that it takes for what they are, of the other half of the real ones and of each generation's. ``--out FOLDER``
gets sheets of objects, real ones to the left, and of the first generation's pages. Prints one JSON object as its last
line; minutes.
`uv run python -m benchmarks.diffusion --out docs/images/generators`; needs `uv sync --extra diffusion`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.core import cores

os.environ[cores.THREADS_VARIABLE] = "1"
ROOT = Path(__file__).parent.parent
SIDE = 16  # pixels at which objects are told apart


def objects(examples: Sequence[Any]) -> list[tuple[int, Any]]:
    """Class and pixels of all objects, in grey levels above the light around them, at one side."""
    from pipeline.adapters import diffusion_pages

    found = diffusion_pages.collect(examples, side=SIDE, rng=np.random.default_rng(0))
    return [(int(one), patch) for one, patch in zip(found.classes, found.appearance, strict=True)]


def seen(listed: Sequence[tuple[int, Any]]) -> Any:
    """Objects as the classifier sees them: grey, as high as they are."""
    grey = np.array([patch.mean(axis=2) for _, patch in listed])
    highest = np.abs(grey).max(axis=(1, 2), keepdims=True) + 1e-6
    return (grey / highest).reshape(len(listed), -1)


def told(classifier: Any, listed: Sequence[tuple[int, Any]], names: Sequence[str]) -> dict[str, float]:
    """Share of the objects of each class, and of all, that are taken for what they are."""
    truth = np.array([class_id for class_id, _ in listed])
    right = classifier.predict(seen(listed)) == truth
    each = {name: right[truth == class_id] for class_id, name in enumerate(names)}
    return {name: round(float(one.mean()), 3) for name, one in (*each.items(), ("all", right)) if len(one)}


def strip(real: Sequence[tuple[int, Any]], drawn: Sequence[tuple[int, Any]], *, classes: int, across: int) -> Any:
    """One row a class: real objects, a gap, drawn ones."""
    cell = 2 * SIDE

    def row(listed: Sequence[tuple[int, Any]], class_id: int) -> Any:
        patches = [patch for one, patch in listed if one == class_id][:across]
        cells = [
            np.clip(cv2.resize(patch, (cell, cell), interpolation=cv2.INTER_CUBIC) + 128, 0, 255) for patch in patches
        ]
        cells += [np.full((cell, cell, 3), 255.0)] * (across - len(cells))
        return np.concatenate(cells, axis=1)

    gap = np.full((cell, cell // 2, 3), 255.0)
    rows = [np.concatenate([row(real, one), gap, row(drawn, one)], axis=1) for one in range(classes)]
    return np.concatenate(rows, axis=0).astype(np.uint8)


def save(picture: Any, path: Path) -> None:
    """Write a JPEG file."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])).save(path, quality=80, subsampling=0, optimize=True)


def generation(examples: Sequence[Any], settings: Any, folder: Path, *, number: int, classes: Sequence[str]) -> Any:
    """Fit, draw, and write the pages: the next generation's examples, and what it took."""
    from pipeline.adapters import diffusion
    from pipeline.core import images
    from pipeline.core.synthesis import Example, Task

    task = Task(
        run=f"recursive-{number}", arm="recursive", generation=number, classes=tuple(classes), depth=number - 1,
        device="cpu", scratch=folder / f"scratch-{number}",
    )  # fmt: skip
    begun = time.process_time()
    batched = diffusion.fit(examples, settings, np.random.default_rng(number), task)
    fitted = time.process_time()
    drawn: list[Any] = []
    while len(drawn) < settings.images:
        count = min(batched.size, settings.images - len(drawn))
        drawn += batched.draw([np.random.default_rng([number, len(drawn) + index]) for index in range(count)])
    ended = time.process_time()
    made = []
    for index, page in enumerate(drawn):
        path = folder / f"{number}-{index}.png"
        path.write_bytes(images.encode_png(page.pixels))
        made.append(Example(image_id=f"{number:032x}{index:032x}", path=path, boxes=page.boxes))
    return made, {
        "fit_s": round(fitted - begun, 1),
        "draw_s": round(ended - fitted, 1),
        "images_a_second": round(len(drawn) / (ended - fitted), 1),
    }


def main() -> None:
    """Measure, draw sheets and print."""
    from sklearn.svm import SVC

    from benchmarks.generator_sheets import digits, sheet
    from pipeline.core import images, params

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", default="{}", help="settings of generate.diffusion, as JSON")
    given = parser.parse_args()
    whole = params.load(ROOT / "params.yaml")
    changes = json.loads(given.set)
    settings = replace(whole.generate, diffusion=replace(whole.generate.diffusion, **changes))
    names = whole.ingest.digits.classes
    result: dict[str, Any] = {"settings": changes, "generations": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = digits(folder, settings.images)
        real = objects(examples)
        classifier = SVC(C=10, class_weight="balanced").fit(seen(real[::2]), [one for one, _ in real[::2]])
        result["real"] = told(classifier, real[1::2], names)
        for number in range(1, given.generations + 1):
            examples, took = generation(examples, settings, folder, number=number, classes=names)
            drawn = objects(examples)
            result["generations"].append({**took, "told": told(classifier, drawn, names)})
            if given.out:
                given.out.mkdir(parents=True, exist_ok=True)
                ending = f"-{number}" if number > 1 else ""
                if number == 1:
                    pages = [(images.read(one.path), one.boxes) for one in examples[:6]]
                    save(sheet(pages, across=6, cell=96, labels=True), given.out / "diffusion.jpg")
                picture = strip(real[1::2], drawn, classes=len(names), across=12)
                save(picture, given.out / f"diffusion-objects{ending}.jpg")
    print(json.dumps(result))  # noqa: T201 - for a person, or a script


if __name__ == "__main__":
    main()
