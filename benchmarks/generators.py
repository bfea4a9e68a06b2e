"""Images a second of each generator, beside a bare OpenCV loop that does the same blends.

The examples are made: pages of 320 pixels with four round objects of 40 to 80 pixels in three classes. Each generator
is fitted once and draws ``--images`` pages, after as many to fill its caches; `diffusion`, which draws in batches, and
`folder`, which reads files, are left out. The bare loop has its objects and masks ready in memory and no rules at all:
it picks, turns, scales and blends, anywhere. Times are those of the processor, all threads together, so that a shared
machine matters little: images a second a core. Prints one JSON object as its last line; a minute or so.
`uv run python -m benchmarks.generators`; `--images 50` for a short one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import comparing
from benchmarks.comparing import Comparison

ROOT = Path(__file__).parent.parent
ROW = "generators"
WANTED = 200.0  # images/s a core
SIDE = 320  # pixels
OBJECTS = 4  # a page
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "copy_paste soft": ("copy_paste", {}, {"blend": "soft"}),
    "copy_paste soft, boxes": ("copy_paste", {}, {"blend": "soft", "masks": "box"}),
    "copy_paste multiband": ("copy_paste", {}, {"blend": "multiband"}),
    "copy_paste poisson": ("copy_paste", {}, {"blend": "poisson"}),
    "mixture": ("mixture", {}, {}),
    "mixture patches": ("mixture", {"backgrounds": "patches"}, {}),
}


def examples(folder: Path, count: int) -> list[Any]:
    """Pages with light, grain and round objects."""
    from pipeline.core import images, labels
    from pipeline.core.synthesis import Example

    made = []
    rng = np.random.default_rng(0)
    for number in range(count):
        light = cv2.resize(
            rng.uniform(60, 190, (5, 5, 3)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
        )
        page = np.clip(light + rng.normal(0, 6, light.shape), 0, 255).astype(np.uint8)
        boxes = []
        for index in range(OBJECTS):
            radius = int(rng.integers(20, 41))
            x, y = (
                80 + 160 * (index % 2) + int(rng.integers(-30, 31)),
                80 + 160 * (index // 2) + int(rng.integers(-30, 31)),
            )
            class_id = int(rng.integers(3))
            cv2.circle(page, (x, y), radius, [int(one) for one in rng.integers(0, 255, 3)], cv2.FILLED, cv2.LINE_AA)
            corners = ((x - radius) / SIDE, (y - radius) / SIDE, (x + radius) / SIDE, (y + radius) / SIDE)
            boxes.append(labels.from_corners(class_id, corners))
        path = folder / f"{number}.png"
        path.write_bytes(images.encode_png(page))
        made.append(Example(image_id=f"{number:064x}", path=path, boxes=tuple(boxes)))
    return made


def rate(draw: Callable[[], object], count: int) -> float:
    """Images a second of processor time."""
    begun = time.process_time()
    for _ in range(count):
        draw()
    return count / (time.process_time() - begun)


def bare(pages: list[Any], objects: list[tuple[Any, Any]], blend: str) -> Callable[[], object]:
    """A loop with OpenCV and nothing else."""
    rng = np.random.default_rng(3)

    def bands(pixels: Any, count: int) -> list[Any]:
        found = []
        for _ in range(count):
            coarse = cv2.pyrDown(pixels)
            found.append(pixels - cv2.pyrUp(coarse, dstsize=pixels.shape[1::-1]))
            pixels = coarse
        return [*found, pixels]

    def draw() -> object:
        page = pages[rng.integers(len(pages))].copy()
        for _ in range(OBJECTS):
            crop, mask = objects[rng.integers(len(objects))]
            height, width = crop.shape[:2]
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-10, 10), rng.uniform(0.8, 1.2))
            turned = cv2.warpAffine(crop, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
            opacity = cv2.warpAffine(mask, turn, (width, height))
            x, y = int(rng.integers(1, SIDE - width)), int(rng.integers(1, SIDE - height))
            under = page[y : y + height, x : x + width]
            if blend == "poisson":
                solid = (opacity > 0).astype(np.uint8) * np.uint8(255)
                page = cv2.seamlessClone(turned, page, solid, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
            elif blend == "multiband":
                alpha = opacity.astype(np.float32) / 255
                masks = [alpha]
                for _ in range(3):
                    masks.append(cv2.pyrDown(masks[-1]))
                pairs = zip(bands(turned.astype(np.float32), 3), bands(under.astype(np.float32), 3), masks, strict=True)
                mixed = [one * part[:, :, None] + other * (1 - part[:, :, None]) for one, other, part in pairs]
                whole = mixed[-1]
                for band in reversed(mixed[:-1]):
                    whole = cv2.pyrUp(whole, dstsize=band.shape[1::-1]) + band
                under[:] = np.clip(whole, 0, 255)
            else:
                alpha = opacity.astype(np.float32)[:, :, None] / 255
                under[:] = under + alpha * (turned - under.astype(np.float32))
        return page

    return draw


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Images a second a core of each blend, beside the loop and beside what is wanted."""
    way = partial(comparing.python, "-m", "benchmarks.generators", "--images", "50" if quick else "200", folder=folder)
    rates = [one.told["rates"] for one in comparing.in_turns({"all": way}, turns=2)["all"]]
    lines = []
    for blend in ("soft", "multiband", "poisson"):
        ours = [one[f"copy_paste {blend}"] for one in rates]
        bare = [one[f"bare OpenCV {blend}"] for one in rates]
        line = partial(Comparison, row=ROW, what=f"copy_paste {blend}, {SIDE} px", unit="images/s a core", ours=ours)
        lines += [
            line(peer="the same blends alone", theirs=bare),
            line(peer="200 images/s", theirs=[WANTED] * len(ours), wanted=1.0),
        ]
    return lines


def main() -> None:
    """Measure, and print."""
    from pipeline.adapters import generators
    from pipeline.core import cutting, images, params, synthesis

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--examples", type=int, default=150)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    plain = params.load(ROOT / "params.yaml").generate
    result: dict[str, Any] = {"images": given.images, "side": SIDE, "objects": OBJECTS, "rates": {}, "fit": {}}
    with tempfile.TemporaryDirectory() as name:
        made = examples(Path(name), given.examples)
        for title, (generator, mixture, copy_paste) in VARIANTS.items():
            settings = replace(
                plain,
                generator=generator,
                images=given.images,
                mixture=replace(plain.mixture, **mixture),
                copy_paste=replace(plain.copy_paste, max_repeats=10**6, **copy_paste),
            )
            begun = time.process_time()
            draw: Any = generators.find(settings).fit(made, settings, np.random.default_rng(1))
            result["fit"][title] = round(time.process_time() - begun, 2)
            source = np.random.default_rng(2)
            rate(partial(draw, source), given.images)
            result["rates"][title] = round(rate(partial(draw, source), given.images), 1)
        cut = cutting.collect(made, plain.copy_paste, np.random.default_rng(1))
        objects = [
            (one.pixels, one.mask if one.mask is not None else np.full(one.pixels.shape[:2], 255, np.uint8))
            for members in cut.values()
            for one in members
        ]
        pages = [synthesis.background(one, np.random.default_rng(0)) for one in made]
        for blend in ("soft", "multiband", "poisson"):
            result["rates"][f"bare OpenCV {blend}"] = round(rate(bare(pages, objects, blend), given.images), 1)
        encoded = pages[:20]
        result["rates"]["PNG encoding alone"] = round(
            rate(lambda: [images.encode_png(one) for one in encoded], 5) * 20, 1
        )
    print(json.dumps(result))  # noqa: T201 - a command line's output


if __name__ == "__main__":
    main()
