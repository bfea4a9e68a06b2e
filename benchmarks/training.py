"""Training: the project's trainer beside `yolo train`, as its documentation shows it, and beside a bare loop.

All three train the same net on the same images, as many at a time, for as many steps, with the same optimizer, learning
rate and augmentation. `yolo train` does beside that what it does by default: a validation and a checkpoint an epoch,
plots, loader processes, its own number of threads. The bare loop has its batches ready in memory and does nothing but
forward, backward and step.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import comparing
from benchmarks.comparing import Comparison, Cost
from tests.project import Project, create

ROW = "training"
SCORED = ("ours", "yolo train")
_STEP = re.compile(r"step (\d+)/\d+ +([\d.]+) s")
_APART = 1.0  # seeds' standard deviations that the means of two ways may differ by


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A net and its images.

    Attributes:
        model: description of the net.
        side: of an image, in pixels.
        images: for training.
        batch: images a step.
        epochs: passes over the images.
        seeds: trainings of each way, one a turn, whose mAP is compared; 0: two turns, and no mAP.
    """

    model: str
    side: int
    images: int
    batch: int
    epochs: int
    seeds: int

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.images // self.batch * self.epochs


CASES = (
    Case(model="models/tiny.yaml", side=64, images=640, batch=32, epochs=10, seeds=3),
    Case(model="models/nano.yaml", side=320, images=128, batch=16, epochs=2, seeds=0),
)
QUICK = (Case(model="models/tiny.yaml", side=64, images=320, batch=32, epochs=5, seeds=0),)


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Images a second of each, and the mAP that they come to."""
    lines = []
    for number, case in enumerate(QUICK if quick else CASES):
        project = create(folder / str(number), partial(_arrange, case))
        done = project.run("dvc", "repro", "ingest")
        if done.code:
            sys.exit(done.output)
        lines += _compared(project, case)
    return lines


def _arrange(case: Case, params: dict[str, Any]) -> None:
    digits = params["ingest"]["digits"]
    scale = case.side / digits["page"]
    digits.update(page=case.side, digit=[round(one * scale) for one in digits["digit"]])
    digits["pages"] = {"train": case.images, "val": 64, "test": 320 if case.seeds else 8}
    params["train"].update(image_size=case.side, batch=case.batch, steps=case.steps, device="cpu")
    params["train"]["model"] = str(comparing.ROOT / case.model)


def _compared(project: Project, case: Case) -> list[Comparison]:
    names = ["ours", "yolo train", "bare loop", *(["bfloat16"] if torch_has_units() else [])]
    scores: dict[str, list[float]] = {name: [] for name in names}

    def way(name: str, seeds: Iterator[int]) -> Cost:
        told = json.dumps({"model": case.model, "epochs": case.epochs, "seed": next(seeds)})
        cost = comparing.python("-m", "benchmarks.training", name, told, folder=project.folder)
        if case.seeds and name in SCORED:
            scored = comparing.python("-m", "benchmarks.training", "score", "{}", folder=project.folder)
            scores[name].append(float(scored.told["map50_95"]))
        return cost

    ways = {name: partial(way, name, count(1)) for name in names}
    found = comparing.in_turns(ways, turns=case.seeds or 2)
    what = f"{Path(case.model).stem}, {case.steps} steps of {case.batch} images of {case.side} px"
    seen = case.steps * case.batch

    def line(kind: str, peer: str, wanted: float | None, *, whole: bool) -> Comparison:
        rate = {
            name: [seen / (one.seconds if whole else one.told["seconds"]) for one in found[name]]
            for name in ("ours", peer)
        }
        return Comparison(
            row=ROW, what=f"{what}{kind}", unit="images/s", peer=peer, wanted=wanted, ours=rate["ours"],
            theirs=rate[peer], ours_mb=comparing.peak(found["ours"]), theirs_mb=comparing.peak(found[peer]),
        )  # fmt: skip

    lines = [
        line("", "yolo train", 1.8, whole=False),
        line(", start and end included", "yolo train", 1.8, whole=True),
        line("", "bare loop", 0.9, whole=False),
        *(line("", one, None, whole=False) for one in ways if one == "bfloat16"),
    ]
    if case.seeds:
        mine, theirs = (scores[name] for name in SCORED)
        _require_as_good(mine, theirs)
        lines.append(
            Comparison(row=ROW, what=f"{what}, seeds 1 to {case.seeds}", unit="mAP50-95", peer="yolo train", ours=mine,
                       theirs=theirs)
        )  # fmt: skip
    return lines


def _require_as_good(mine: Sequence[float], theirs: Sequence[float]) -> None:
    """Refuse what is quick because it learns less."""
    spread = max(statistics.stdev(values) for values in (mine, theirs))
    if statistics.mean(mine) < statistics.mean(theirs) - _APART * spread:
        sys.exit(f"what is quick here learns less: mAP50-95 {mine}, {theirs}")


def torch_has_units() -> bool:
    """Whether the processor multiplies matrices in bfloat16."""
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def ours(listed: Sequence[Path], names: Sequence[str], train: Any, told: dict[str, Any]) -> float:
    """Train by the project's trainer; gives the seconds of its steps."""
    from pipeline.adapters import yolo

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yolo.train(listed, names, train, seed=told["seed"], out=Path(), weights="trained.pt")
    return float(_STEP.findall(printed.getvalue())[-1][1])


def yolo_train(listed: Sequence[Path], names: Sequence[str], train: Any, told: dict[str, Any]) -> float:
    """Train by ultralytics' command; gives the seconds of its epochs, by its own table."""
    from pipeline.adapters import yolo
    from pipeline.core import manifest, paths

    yolo._ultralytics()  # noqa: SLF001 - kept off the network
    val = [Path(row.path) for row in manifest.read(paths.REAL_MANIFEST) if row.split == "val"]
    for name, chosen in {"train": listed, "val": val}.items():
        Path(f"{name}.txt").write_text("".join(f"{one.absolute()}\n" for one in chosen))
    Path("data.yaml").write_text(
        json.dumps({"path": str(Path.cwd()), "train": "train.txt", "val": "val.txt", "names": dict(enumerate(names))})
    )
    settings = {
        "data": "data.yaml", "model": train.model, "imgsz": train.image_size, "batch": train.batch,
        "epochs": told["epochs"], "seed": told["seed"], "device": "cpu", "optimizer": "AdamW",
        "lr0": train.learning_rate, "cos_lr": True, "warmup_epochs": 1.0, "warmup_bias_lr": 0.0,
        "cls": train.class_gain, "nbs": train.batch, "pretrained": False, "project": Path.cwd() / "runs",
        "name": "stock", "exist_ok": True, **train.augment,
    }  # fmt: skip
    sys.argv = ["yolo", "detect", "train", *(f"{name}={value}" for name, value in settings.items())]
    from ultralytics.cfg import entrypoint

    entrypoint()
    Path("trained.pt").write_bytes(Path("runs/stock/weights/last.pt").read_bytes())
    with Path("runs/stock/results.csv").open() as table:
        return float(list(csv.DictReader(table))[-1]["time"])


def bare_loop(listed: Sequence[Path], names: Sequence[str], train: Any, told: dict[str, Any]) -> float:
    """Forward, backward, step; gives the seconds of as many steps as the others make."""
    import torch

    from pipeline.adapters import yolo
    from pipeline.core import images, labels, manifest

    yolo._ultralytics()  # noqa: SLF001
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(told["seed"])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = DetectionModel(train.model, nc=len(names), verbose=False)
    model.args = get_cfg(overrides={"cls": train.class_gain})
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=train.learning_rate, fused=True)
    batches = []
    for start in range(0, len(listed) - train.batch + 1, train.batch):
        chosen = listed[start : start + train.batch]
        pixels = np.stack([images.read(one)[:, :, ::-1].transpose(2, 0, 1) for one in chosen])
        boxes = [
            (position, box.class_id, box.x, box.y, box.width, box.height)
            for position, one in enumerate(chosen)
            for box in labels.read(manifest.label_path(one))
        ]
        table = torch.tensor(boxes, dtype=torch.float32)
        batches.append({
            "img": torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255, "batch_idx": table[:, 0],
            "cls": table[:, 1:2], "bboxes": table[:, 2:],
        })  # fmt: skip
    begun = time.perf_counter()
    for step in range(train.steps):
        loss = model(batches[step % len(batches)])[0].sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - begun


def score() -> float:
    """MAP50-95 on the test split, as an audit has it."""
    from pipeline.adapters import predictions
    from pipeline.core import evaluation, manifest, metrics, params, paths

    settings = params.load()
    rows = [row for row in manifest.read(paths.REAL_MANIFEST) if row.split == "test"]
    table = predictions.predict(
        Path("trained.pt"), rows, image_size=settings.train.image_size, device="cpu", floor=settings.audit.confidence
    )
    names = manifest.read_classes(paths.REAL_CLASSES)
    return metrics.mean_average_precision(evaluation.evaluate(table, rows, classes=len(names)).matches).map50_95 or 0.0


def child(way: str, told: dict[str, Any]) -> None:
    """Be one of the processes that are measured; prints what it found as its last line."""
    if way == "score":
        print(json.dumps({"map50_95": score()}))  # noqa: T201
        return
    from pipeline.core import manifest, params, paths

    train = params.load().train
    train = replace(train, precision="bf16" if way == "bfloat16" else "fp32")
    listed = [Path(row.path) for row in manifest.read(paths.REAL_MANIFEST) if row.split == "train"]
    go = {"ours": ours, "bfloat16": ours, "yolo train": yolo_train, "bare loop": bare_loop}[way]
    seconds = go(listed, manifest.read_classes(paths.REAL_CLASSES), train, told)
    print(json.dumps({"seconds": seconds}))  # noqa: T201


if __name__ == "__main__":
    child(sys.argv[1], json.loads(sys.argv[2]))
