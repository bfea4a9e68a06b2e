"""Predicting on many images: the project's way beside `model.predict` on the folder, as its documentation shows it."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import comparing
from benchmarks.comparing import Comparison, Cost

SIDE = 320  # pixels
FLOOR = 0.001
ROW = "inference"
NETS = {"tiny": 1, "nano": 4}  # of the folder `models`, and the part of the images that it is given: the second is slow


def prepare(folder: Path, number: int) -> None:
    """Write images, a folder for each net, and detectors that find something on them."""
    import torch

    from pipeline.adapters import yolo

    for name in NETS:
        (folder / name).mkdir()
    draw = np.random.default_rng(0)
    for position in range(number):
        page = cv2.resize(draw.uniform(60, 190, (5, 5, 3)).astype(np.float32), (SIDE, SIDE))
        for _ in range(5):
            x, y, side = (int(one) for one in draw.integers((20, 20, 12), (SIDE - 60, SIDE - 60, 60)))
            cv2.rectangle(page, (x, y), (x + side, y + side), draw.uniform(0, 255, 3).tolist(), cv2.FILLED)
        _, stored = cv2.imencode(".jpg", page)
        for name, part in NETS.items():
            if position * part < number:
                (folder / name / f"{position:05d}.jpg").write_bytes(stored.tobytes())
    torch.manual_seed(1)
    ultralytics = yolo._ultralytics()  # noqa: SLF001 - kept off the network
    for name in NETS:
        model = ultralytics.YOLO(str(comparing.ROOT / "models" / f"{name}.yaml"))
        for head in model.model.model[-1].cv3:  # as sure as a detector that has learnt little
            torch.nn.init.uniform_(head[-1].bias, -6, -3)
        model.save(folder / f"{name}.pt")


def ours(weights: Path, images: list[Path]) -> Any:
    """Boxes by the project's way."""
    from pipeline.adapters import yolo

    found = yolo.predict(weights, images, image_size=SIDE, confidence=FLOOR, device="cpu")
    return [(one.classes, one.confidences, one.boxes) for one in found]


def theirs(weights: Path, images: list[Path]) -> Any:
    """Boxes by `model.predict` on the folder; with the project's thresholds, or they would be others."""
    from pipeline.adapters import yolo

    model = yolo._ultralytics().YOLO(str(weights))  # noqa: SLF001
    source = images[0].parent if len(images) > 1 else images[0]
    results = model.predict(
        source, imgsz=SIDE, conf=FLOOR, iou=yolo.NMS_IOU, max_det=yolo.MAX_BOXES, rect=False, stream=True,
        verbose=False,
    )  # fmt: skip
    return [(one.boxes.cls.numpy(), one.boxes.conf.numpy(), one.boxes.xyxy.numpy()) for one in results]


def child(way: str, net: str) -> None:
    """Be one of the processes that are measured."""
    weights, images = Path(f"{net}.pt"), sorted(Path(net).iterdir())
    go = {"ours": ours, "theirs": theirs}[way]
    go(weights, images[:1])  # what is done once
    begun = time.perf_counter()
    found = go(weights, images)
    seconds = time.perf_counter() - begun
    np.savez(f"{way}.npz", *(one for some in found for one in some))
    print(json.dumps({"seconds": seconds, "boxes": sum(len(one[0]) for one in found)}))  # noqa: T201


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Images a second of both, which have to find the same boxes."""
    number = 200 if quick else 2_000
    comparing.python("-m", "benchmarks.inference", "prepare", str(number), folder=folder)

    def go(way: str, net: str) -> Cost:
        return comparing.python("-m", "benchmarks.inference", way, net, folder=folder)

    lines = []
    for name, part in NETS.items():
        found = comparing.in_turns({way: partial(go, way, name) for way in ("ours", "theirs")}, turns=2)
        _require_same(folder)
        given = number // part
        lines.append(
            Comparison(
                row=ROW, what=f"models/{name}.yaml, {given:,} images of {SIDE} px", unit="images/s",
                peer="model.predict(folder)",
                wanted=1.5, ours=[given / one.told["seconds"] for one in found["ours"]],
                theirs=[given / one.told["seconds"] for one in found["theirs"]],
                ours_mb=comparing.peak(found["ours"]), theirs_mb=comparing.peak(found["theirs"]),
            )
        )  # fmt: skip
    return lines


def _require_same(folder: Path) -> None:
    """Refuse to compare ways that find other boxes."""
    with np.load(folder / "ours.npz") as mine, np.load(folder / "theirs.npz") as others:
        for name in mine.files:
            if mine[name].shape != others[name].shape or not np.allclose(mine[name], others[name], atol=0.05):
                sys.exit(f"other boxes: {name}, {mine[name].shape} and {others[name].shape}")


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path.cwd(), int(sys.argv[2]))
    else:
        child(*sys.argv[1:])
