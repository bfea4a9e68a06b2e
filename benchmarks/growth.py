"""What each whole stage takes of a growing project: the second table of docs/scale.md.

Projects of 100, 1,000 and 10,000 training images, pictures of 64 pixels with four objects each, and as many synthetic
ones in the run that comes after; 200 test images in all of them, and twenty steps a training. Each stage is run by
itself, as DVC would run it; `ingest` on 100,000 images, too. Seconds are those of the processor, so that other programs
matter little; growth is the slope, log against log, of what is more than at 100 images. Prints the table; `--write`
keeps the figures in `benchmarks/growth.json` and the table in `docs/scale.md`. `uv run python -m benchmarks.growth`;
takes a quarter of an hour.
"""

from __future__ import annotations

import json
import math
import re
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from benchmarks import comparing
from tests.project import accept, create

RESULT = comparing.ROOT / "benchmarks" / "growth.json"
PAGE = comparing.ROOT / "docs" / "scale.md"
SIZES = (100, 1_000, 10_000)  # training images
MOST = 100_000  # of which the source is taken in, and nothing else is done
HELD_OUT = {"val": 50, "test": 200}
SIDE, OBJECTS, CLASSES = 64, 4, 3
RUN = "guarded-1"
STAGES = (
    "ingest", "verify", "mix --run base", "train --run base", "audit --run base", "confirm --run base",
    f"generate --run {RUN}", f"mix --run {RUN}", f"train --run {RUN}", f"audit --run {RUN}", f"confirm --run {RUN}",
    f"gate --run {RUN}", "report", "review",
)  # fmt: skip
_TABLE = re.compile(r"(<!-- growth -->\n).*?(<!-- end of growth -->)", re.DOTALL)


@click.command()
@click.option("--write", is_flag=True, help="Keep the figures, and put the table into docs/scale.md.")
def main(*, write: bool) -> None:
    """Measure what each stage takes of a growing project."""
    measured: dict[str, dict[str, list[float]]] = {}
    for size in (*SIZES, MOST):
        with tempfile.TemporaryDirectory(prefix="tailwatch-growth-") as folder:
            _measure(Path(folder), size, measured)
    text = table(measured)
    click.echo(text)
    if write:
        RESULT.write_text(json.dumps(measured, indent=2) + "\n")
        PAGE.write_text(_TABLE.sub(lambda match: f"{match[1]}{text}{match[2]}", PAGE.read_text()))


def table(measured: dict[str, dict[str, list[float]]]) -> str:
    """The figures as Markdown."""
    sizes = [f"{size:,}" for size in (*SIZES, MOST)]
    heads = [[f"{unit} at {one}" for one in sizes] for unit in ("s", "MB")]
    head = ["stage", *heads[0], "growth", *heads[1], "KB an image"]
    lines = [head, ["---"] * len(head)]
    for stage, found in measured.items():
        empty = [""] * (len(sizes) - len(found["seconds"]))
        lines.append([
            f"`{stage.replace(' --run', '')}`",
            *(f"{one:.1f}" for one in found["seconds"]), *empty, _growth(found["seconds"]),
            *(f"{one:,.0f}" for one in found["mb"]), *empty, f"{_further(found['mb']):.1f}",
        ])  # fmt: skip
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _growth(seconds: Sequence[float]) -> str:
    """The slope between the two largest sizes, of the time above that of the smallest."""
    low, high = (one - seconds[0] for one in seconds[-2:])
    sizes = (*SIZES, MOST)[len(seconds) - 2 : len(seconds)]
    least = 0.1 * seconds[0]  # less than that is what one machine takes more or less from run to run
    if high < least:
        return "none"
    return "little" if low <= least else f"n^{math.log(high / low) / math.log(sizes[1] / sizes[0]):.2f}"


def _further(mb: Sequence[float]) -> float:
    """KB of memory for each image more, between the two largest sizes."""
    sizes = (*SIZES, MOST)[len(mb) - 2 : len(mb)]
    return max(mb[-1] - mb[-2], 0) * 1024 / (sizes[1] - sizes[0])


def _measure(folder: Path, size: int, measured: dict[str, dict[str, list[float]]]) -> None:
    source = folder / "source"
    _write(source, {"train": size, **HELD_OUT})
    project = create(folder / "project", partial(_arrange, source, size))
    for stage in STAGES:
        cost = comparing.python("-m", f"pipeline.{stage.split()[0]}", *stage.split()[1:], folder=project.folder)
        sys.stderr.write(f"  {size:,} {stage}: {cost.processor:.1f} s, {cost.peak_mb:,.0f} MB\n")
        found = measured.setdefault(stage, {"seconds": [], "mb": []})
        found["seconds"].append(round(cost.processor, 2))
        found["mb"].append(round(cost.peak_mb))
        if size == MOST:
            break
        if stage == "ingest":
            accept(project)


def _arrange(source: Path, size: int, params: dict[str, Any]) -> None:
    params["ingest"].update(source="yolo", path=str(source))
    params["generate"].update(generator="copy_paste", labels="layout", images=size)
    params["train"].update(steps=20, device="cpu")
    params["runs"] = {RUN: {"arm": "guarded", "generation": 1, "previous": "base"}}


def _write(folder: Path, sizes: dict[str, int]) -> None:
    """A YOLO data set of pictures with light, grain and round objects, no two alike."""
    rng = np.random.default_rng(0)
    names = [f"class-{number}" for number in range(CLASSES)]
    folder.mkdir()
    splits = "".join(f"{split}: images/{split}\n" for split in sizes)
    (folder / "data.yaml").write_text(f"{splits}names: [{', '.join(names)}]\n")
    for split, size in sizes.items():
        for name in ("images", "labels"):
            (folder / name / split).mkdir(parents=True)
        for number in range(size):
            pixels, lines = _picture(rng)
            cv2.imwrite(str(folder / f"images/{split}/{number:06d}.jpg"), pixels)
            (folder / f"labels/{split}/{number:06d}.txt").write_text(lines)


def _picture(rng: np.random.Generator) -> tuple[np.ndarray[Any, Any], str]:
    light = cv2.resize(rng.uniform(40, 215, (7, 7, 3)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    pixels = np.clip(light + rng.normal(0, 5, light.shape), 0, 255).astype(np.uint8)
    lines = ""
    for number in range(OBJECTS):
        kind, radius = int(rng.integers(CLASSES)), int(rng.integers(5, 9))
        x, y = (16 + 32 * (number >> bit & 1) + int(rng.integers(-6, 7)) for bit in (0, 1))
        colour = [60 * kind + int(rng.integers(60)) for _ in range(3)]
        cv2.circle(pixels, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA)
        lines += f"{kind} {x / SIDE:.6f} {y / SIDE:.6f} {2 * radius / SIDE:.6f} {2 * radius / SIDE:.6f}\n"
    return pixels, lines


if __name__ == "__main__":
    main()
