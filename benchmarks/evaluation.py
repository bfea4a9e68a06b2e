"""Evaluation in FiftyOne: the project's method beside FiftyOne's own and a bare faster-coco-eval.

2,000 made images with 73,000 detections are evaluated with mAP three ways: by the project's method ``"tailwatch"``, by
FiftyOne's COCO evaluation (``view.evaluate_detections``), both out of and into the same database, and by
faster-coco-eval on the same boxes as arrays, without any database. Each runs in a process of its own, which says how
long it took and how much memory it used at most; the quick ones run before and after the slow one, and the median
counts, since the machine may be busier at one time than at another. Takes some minutes, nearly all of them FiftyOne's.
Prints one JSON object as its last line: seconds, CPU seconds and peak memory of each way, their mAP, and the ratios.
`uv run python -m benchmarks.evaluation`; `--images 200 --detections 7300` for a short one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT, CLASSES = 640, 480, 10
RIGHT = 0.8  # share of detections of the class of the label beside them, and some by chance
NAME = "benchmark"
ORDER = ["bare", "tailwatch"] * 2 + ["coco"] + ["bare", "tailwatch"]  # the quick ones before and after the slow one


def boxes(images: int, detections: int) -> tuple[list[list[float]], list[list[float]]]:
    """Labels (image, class id, left, top, width, height) and detections (the same with the confidence third)."""
    rng = np.random.default_rng(0)
    labels: list[list[float]] = []
    found: list[list[float]] = []
    for image, count in enumerate(rng.multinomial(detections, np.full(images, 1 / images))):
        number = int(rng.integers(5, 16))
        corner = rng.uniform(0, [WIDTH - 130, HEIGHT - 130], (number, 2))
        size, class_id = rng.uniform(30, 130, (number, 2)), rng.integers(0, CLASSES, number)
        labels += np.column_stack([np.full(number, image), class_id, corner, size]).tolist()
        near = rng.integers(0, number, count)
        moved = corner[near] + rng.normal(0, 8, (count, 2))
        scaled = size[near] * np.exp(rng.normal(0, 0.12, (count, 2)))
        named = np.where(rng.random(count) < RIGHT, class_id[near], rng.integers(0, CLASSES, count))
        found += np.column_stack([np.full(count, image), named, rng.random(count), moved, scaled]).tolist()
    return labels, found


def fill(images: int, detections: int) -> None:
    """Put the boxes into a FiftyOne dataset."""
    from pipeline.adapters import voxel

    fo = voxel.connect()
    rows = boxes(images, detections)
    fields: list[list[list[Any]]] = [[[] for _ in range(images)] for _ in rows]
    for field, those in zip(fields, rows, strict=True):
        for image, class_id, *confidence, left, top, width, height in those:
            place = [left / WIDTH, top / HEIGHT, width / WIDTH, height / HEIGHT]
            sure = confidence[0] if confidence else None
            one = fo.Detection(label=str(int(class_id)), bounding_box=place, confidence=sure)
            field[int(image)].append(one)
    dataset = fo.Dataset(NAME, persistent=True)
    size = fo.ImageMetadata(width=WIDTH, height=HEIGHT)
    samples = (
        fo.Sample(
            filepath=f"/nowhere/{image}.png",
            metadata=size.copy(),
            truth=fo.Detections(detections=labels),
            found=fo.Detections(detections=found),
        )
        for image, (labels, found) in enumerate(zip(*fields, strict=True))
    )
    dataset.add_samples(samples, progress=False)


def in_fiftyone(method: str) -> Callable[[], float]:
    """Evaluation of the dataset by one of FiftyOne's methods."""
    from pipeline.adapters import voxel

    view = voxel.connect().load_dataset(NAME).view()
    key = f"{method}_{len(view.list_evaluations())}"  # a new one each time: to overwrite one takes longer

    def evaluate() -> float:
        results = view.evaluate_detections(
            "found", gt_field="truth", eval_key=key, method=method, compute_mAP=True, progress=False
        )
        return float(results.mAP())

    return evaluate


def bare(images: int, detections: int) -> Callable[[], float]:
    """Evaluation of the arrays by faster-coco-eval, as its documentation has it, with the matches."""
    from faster_coco_eval import COCO, COCOeval_faster

    labels, found = boxes(images, detections)

    def evaluate() -> float:
        truth = COCO()
        truth.dataset = {
            "images": [{"id": number + 1} for number in range(images)],
            "categories": [{"id": number, "name": str(number)} for number in range(CLASSES)],
            "annotations": [
                {"id": number + 1, "image_id": int(image) + 1, "category_id": int(class_id), "bbox": box,
                 "area": box[2] * box[3], "iscrowd": 0}
                for number, (image, class_id, *box) in enumerate(labels)
            ],
        }  # fmt: skip
        truth.createIndex()
        predicted = truth.loadRes(
            [
                {"image_id": int(image) + 1, "category_id": int(class_id), "score": confidence, "bbox": box}
                for image, class_id, confidence, *box in found
            ]
        )
        run = COCOeval_faster(truth, predicted, "bbox", extra_calc=True)
        run.run()
        return float(run.stats[0])

    return evaluate


def measure(way: str, images: int, detections: int) -> dict[str, float]:
    """One evaluation in this process: seconds, CPU seconds, memory and mAP."""
    evaluate = bare(images, detections) if way == "bare" else in_fiftyone(way)
    at_start = _peak()
    start, cpu = time.perf_counter(), time.process_time()
    value = evaluate()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": _peak(),
        "peak_over_start_mb": _peak() - at_start,
        "map50_95": value,
    }


def _peak() -> float:
    """Most memory that this process has held, in MB; Linux counts in kilobytes, macOS in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def child(way: str, folder: str, size: list[str]) -> dict[str, float]:
    """What a process of its own measures."""
    command = [sys.executable, "-m", "benchmarks.evaluation", *size, "--way", way]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if way != "fill":
        print(f"{way}: {found['seconds']:.2f} s, peak {found['peak_mb']:.0f} MB", flush=True)  # noqa: T201
    return found


def main() -> None:
    """Measure all three, or be one of the processes that do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--detections", type=int, default=73_000)
    parser.add_argument("--way", choices=["fill", "bare", "tailwatch", "coco"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way == "fill":
        fill(asked.images, asked.detections)
        print("{}")  # noqa: T201
    elif asked.way:
        print(json.dumps(measure(asked.way, asked.images, asked.detections)))  # noqa: T201
    else:
        size = ["--images", str(asked.images), "--detections", str(asked.detections)]
        with tempfile.TemporaryDirectory() as folder:
            child("fill", folder, size)
            measured = [(way, child(way, folder, size)) for way in ORDER]
        print(json.dumps(summary(measured) | {"images": asked.images, "detections": asked.detections}))  # noqa: T201


def summary(measured: list[tuple[str, dict[str, float]]]) -> dict[str, Any]:
    """Medians of each way, and the ratios that count.

    Raises:
        ValueError: the three differ in mAP.
    """
    values = [one["map50_95"] for _, one in measured]
    if max(values) - min(values) > 1e-6:  # noqa: PLR2004 - they add up in another order
        raise ValueError(f"mAP50-95 differs: {sorted(set(values))}")
    medians = {
        way: {name: statistics.median(one[name] for other, one in measured if other == way) for name in measured[0][1]}
        for way in ("tailwatch", "coco", "bare")
    }
    ours, coco, alone = (medians[way]["seconds"] for way in ("tailwatch", "coco", "bare"))
    return {**medians, "times_as_fast_as_coco": coco / ours, "times_as_long_as_bare": ours / alone}


if __name__ == "__main__":
    main()
