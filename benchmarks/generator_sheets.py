"""Sheets of what each generator draws, beside the images that it was fitted to; the pictures of docs/generators.md.

Runs on the default project's digits, which it composes anew, or with ``--voc FOLDER`` on a Pascal VOC folder (BCCD).
Writes one JPEG file a generator to ``--out``, with the labels drawn as thin boxes. Some seconds.
`uv run python benchmarks/generator_sheets.py --out docs/images/generators`
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).parent.parent
COLOURS = ((60, 60, 230), (60, 180, 60), (230, 120, 40), (30, 170, 230), (200, 60, 200), (170, 170, 40))
SHEETS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "mixture": ("mixture", {}, {}),
    "mixture-patches": ("mixture", {"backgrounds": "patches"}, {}),
    "copy-paste-soft": ("copy_paste", {}, {"blend": "soft"}),
    "copy-paste-poisson": ("copy_paste", {}, {"blend": "poisson"}),
    "copy-paste-multiband": ("copy_paste", {}, {"blend": "multiband"}),
}


def digits(folder: Path, count: int) -> list[Any]:
    """The first training pages of the default project."""
    from pipeline import ingest
    from pipeline.core import labels, manifest, paths
    from pipeline.core.synthesis import Example

    text = (ROOT / "params.yaml").read_text()
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("params.yaml").write_text(text)
        ingest.main()
        rows = [row for row in manifest.read(paths.REAL_MANIFEST) if row.split == "train"][:count]
        return [
            Example(image_id=row.image_id, path=Path(row.path).absolute(), boxes=tuple(labels.read(row.label_path)))
            for row in rows
        ]
    finally:
        os.chdir(before)


def voc(source: Path, folder: Path, count: int, side: int) -> list[Any]:
    """Images of a Pascal VOC folder, made smaller."""
    from pipeline.core import images
    from pipeline.core.sources import reading
    from pipeline.core.sources.found import to_box
    from pipeline.core.synthesis import Example

    found = reading.read("voc", source)

    def made(one: Any) -> Example:
        pixels = images.read(one.path)
        height, width = pixels.shape[:2]
        size = {"width": width, "height": height}
        boxes = [to_box(box, class_id=found.classes.index(box.class_name), tolerance=0.01, **size) for box in one.boxes]
        scale = side / max(width, height)
        small = cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        path = folder / f"{one.path.stem}.png"
        path.write_bytes(images.encode_png(np.asarray(small, dtype=np.uint8)))
        return Example(image_id=hashlib.sha256(one.name.encode()).hexdigest(), path=path, boxes=tuple(boxes))

    return [made(image) for image in [one for one in found.images if one.problem is None][:count]]


def sheet(pages: Sequence[tuple[Any, Any]], *, across: int, cell: int, labels: bool) -> Any:
    """Pages side by side, made equally wide."""
    cells = []
    for pixels, boxes in pages:
        scale = cell / max(pixels.shape[:2])
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
        for box in boxes if labels else ():
            left, top, right, bottom = box.corners()
            start, end = (
                (int(left * size[0]), int(top * size[1])),
                (int(right * size[0]) - 1, int(bottom * size[1]) - 1),
            )
            cv2.rectangle(small, start, end, COLOURS[box.class_id % len(COLOURS)], 1)
        cells.append(small)
    height = max(one.shape[0] for one in cells)
    padded = [
        cv2.copyMakeBorder(one, 2, 2 + height - one.shape[0], 2, 2, cv2.BORDER_CONSTANT, value=(255,) * 3)
        for one in cells
    ]
    rows = [np.concatenate(padded[first : first + across], axis=1) for first in range(0, len(padded), across)]
    return np.concatenate(rows, axis=0)


def main() -> None:
    """Draw all sheets."""
    from pipeline.adapters import generators
    from pipeline.core import images, params

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--voc", type=Path)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--across", type=int, default=5)
    parser.add_argument("--cell", type=int, default=96, help="pixels")
    parser.add_argument("--quality", type=int, default=75, help="of the JPEG files")
    parser.add_argument("--no-labels", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    settings = params.load(ROOT / "params.yaml").generate
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = voc(given.voc, folder, given.examples, 320) if given.voc else digits(folder, given.examples)
        shown = {"real": [(images.read(one.path), one.boxes) for one in examples[: given.pages]]}
        for title, (generator, mixture, copy_paste) in SHEETS.items():
            chosen = replace(
                settings,
                generator=generator,
                mixture=replace(settings.mixture, **mixture),
                copy_paste=replace(settings.copy_paste, **copy_paste),
            )
            draw: Any = generators.find(chosen).fit(examples, chosen, np.random.default_rng(1))
            source = np.random.default_rng(2)
            drawn = [draw(source) for _ in range(given.pages)]
            shown[title] = [(page.pixels, page.boxes) for page in drawn]
    from PIL import Image

    for title, pages in shown.items():
        picture = sheet(pages, across=given.across, cell=given.cell, labels=not given.no_labels)
        file = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))
        file.save(given.out / f"{title}.jpg", quality=given.quality, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
