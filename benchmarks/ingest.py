"""Taking images in: the stage `ingest` beside a bare loop of OpenCV, on the same cores, that decodes each file."""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import comparing
from benchmarks.comparing import Comparison, Cost
from tests.project import create

WIDTH, HEIGHT = 640, 480  # pixels
PICTURES = 50  # that differ by more than a comment
OBJECTS = 5  # an image
QUALITY = 90  # of JPEG
ROW = "ingest"


def write(folder: Path, number: int) -> None:
    """Write a YOLO data set of JPEG files, no two of them equal."""
    for name in ("images", "labels"):
        for split in ("train", "val"):
            (folder / name / split).mkdir(parents=True)
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [one, two, three]\n")
    draw = np.random.default_rng(0)
    grain = draw.normal(0, 6, (HEIGHT, WIDTH, 3)).astype(np.float32)
    pictures = []
    for _ in range(PICTURES):
        light = cv2.resize(draw.uniform(40, 215, (24, 32, 3)).astype(np.float32), (WIDTH, HEIGHT))
        pixels = np.clip(light + grain, 0, 255).astype(np.uint8)
        pictures.append(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    for position in range(number):
        name = f"{'train' if position % 10 else 'val'}/{position:06d}"
        picture, comment = pictures[position % PICTURES], f"{position:06d}".encode()
        marked = picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + picture[2:]
        (folder / f"images/{name}.jpg").write_bytes(marked)
        boxes = draw.uniform(0.3, 0.6, (OBJECTS, 4))
        lines = (f"{number % 3} {' '.join(f'{one:.6f}' for one in box)}\n" for number, box in enumerate(boxes))
        (folder / f"labels/{name}.txt").write_text("".join(lines))


def bare(folder: Path) -> None:
    """Decode all files on all cores."""
    files = sorted(str(one) for one in folder.glob("images/*/*.jpg"))
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        if not all(pool.map(lambda path: cv2.imread(path) is not None, files)):
            sys.exit("a file was not read")


def _arrange(source: Path, params: dict[str, Any]) -> None:
    params["ingest"].update(source="yolo", path=str(source))


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Seconds of both, start to end."""
    number = 3_000 if quick else 20_000
    source = folder / "source"
    write(source, number)
    project = create(folder / "project", partial(_arrange, source))
    stage = partial(_fresh, project.folder)
    loop = partial(comparing.python, "-m", "benchmarks.ingest", str(source), folder=folder)
    found = comparing.in_turns({"ours": stage, "bare": loop}, turns=3 if quick else 2)
    what = f"{number:,} JPEG files of {WIDTH} x {HEIGHT} px"
    return [
        Comparison(
            row=ROW, what=what, unit="s", peer="OpenCV decode loop", wanted=1.5,
            ours=[one.seconds for one in found["ours"]], theirs=[one.seconds for one in found["bare"]],
            ours_mb=comparing.peak(found["ours"]), theirs_mb=comparing.peak(found["bare"]),
        )
    ]  # fmt: skip


def _fresh(project: Path) -> Cost:
    """The stage's cost, where its output is gone, as DVC removes it before a stage."""
    shutil.rmtree(project / "data/real", ignore_errors=True)
    return comparing.python("-m", "pipeline.ingest", folder=project, PYTHONPATH="")


if __name__ == "__main__":
    bare(Path(sys.argv[1]))
