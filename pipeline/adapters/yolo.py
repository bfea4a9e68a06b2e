"""Everything that knows ultralytics: training, and predicting with what was trained."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from pipeline.adapters import eager_torch
from pipeline.core import checkpoints, cores, files, heap, images, manifest, model_descriptions, paths
from pipeline.core.errors import UserError
from pipeline.core.sections import Train

ROUNDS = 20  # how often a training reports, and steps of the learning rate's schedule
NMS_IOU = 0.6
MAX_BOXES = 300  # an image
_PREDICT_BATCH = 64
_AMP: dict[str, bool | str] = {"fp32": False, "bf16": "bf16", "amp": True}  # ultralytics' setting, on GPUs
_REFUSED = re.compile(r"GLOBAL ([\w.]+)")  # in what torch says of a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a detector finds in one image.

    Attributes:
        classes: class ids, shape (n,).
        confidences: shape (n,), descending.
        boxes: left, top, right, bottom in pixels, shape (n, 4).
    """

    classes: npt.NDArray[np.int64]
    confidences: npt.NDArray[np.float64]
    boxes: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """How long steps of a training took.

    Attributes:
        wall: seconds a step, median.
        processor: seconds a step that all threads together were at work, median.
        cores: that the process may use.
        device: cpu, or the GPUs.
        steps: that were timed.
    """

    wall: float
    processor: float
    cores: int
    device: str
    steps: int


def _ultralytics() -> Any:
    """Import ultralytics, kept to this project's folder and off the network."""
    os.environ["YOLO_CONFIG_DIR"] = str(paths.ULTRALYTICS.absolute())
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_VERBOSE"] = "false"
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
    cores.let_threads_sleep()
    if not hasattr(sys, "get_int_max_str_digits"):
        # Python 3.11 of Ubuntu 22.04 is the first release candidate: it has no limit on the digits of a number, which
        # is what 0 says, nor the functions that torch's compiler looks for.
        sys.get_int_max_str_digits = lambda: 0
        sys.set_int_max_str_digits = lambda maxdigits: None  # noqa: ARG005
    paths.ULTRALYTICS.mkdir(parents=True, exist_ok=True)
    import ultralytics
    from ultralytics.nn import tasks

    # The variable above is read when ultralytics is imported, which another package may have done before.
    tasks.SAFE_LOAD = True
    if not tasks._SafeLoad.SUPPORTED:  # noqa: SLF001 - it would load whatever a file holds, without a word
        raise UserError("this torch cannot load weights safely, wanted 2.6 or newer. Type: make install")

    wanted = dict.fromkeys(
        ("sync", "dvc", "wandb", "mlflow", "comet", "clearml", "neptune", "raytune", "tensorboard"), False
    )
    known = {key: value for key, value in wanted.items() if ultralytics.settings.get(key, value) != value}
    if known:
        ultralytics.settings.update(known)
    return ultralytics


def device_of(device: str | int) -> str:
    """The device that `train.device` means here: cpu, or the numbers of GPUs."""
    if device != "auto":
        return str(device)
    import torch

    return "0" if torch.cuda.is_available() else "cpu"


def precision_of(params: Train) -> str:
    """What a training computes in: fp32 or bf16, or on GPUs amp, ultralytics' own mixed precision."""
    if params.precision != "auto":
        return params.precision
    return "fp32" if device_of(params.device) == "cpu" else "amp"


@contextlib.contextmanager
def _loading(weights: Path) -> Iterator[None]:
    """Turn what a damaged or missing model file raises into a clear error."""
    if not weights.is_file():
        raise UserError(f"model file {weights} is missing; wanted an ultralytics .yaml or a local .pt (train.model).")
    try:
        if weights.suffix == ".pt":
            checkpoints.check(weights)
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"model file {weights} cannot be loaded: {_reason(error)}. If the pipeline made it, delete it and run "
            "`uv run dvc repro`; if it is yours (train.model), give the file of a detector that Ultralytics trained."
        ) from error


def _reason(error: BaseException) -> str:
    """Why a model file was not loaded, in a line; what torch refused to call has its name in it."""
    links: list[BaseException] = [error]
    while (above := links[-1].__cause__ or links[-1].__context__) is not None and above not in links:
        links.append(above)
    refused = next((found for link in links if (found := _REFUSED.search(str(link)))), None)
    if refused:
        return f"it wants to call {refused.group(1)}, which no detector needs; do not use this file"
    if isinstance(error, AttributeError | KeyError):
        return f"it holds something else than a detector ({type(error).__name__}: {error})"[:300]
    lines = str(error).replace("ERROR \N{CROSS MARK}\N{VARIATION SELECTOR-16}", "").strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _model(weights: Path) -> Any:
    """A detector, from its description or its checkpoint.

    Raises:
        ValueError: it is a model for another task.
    """
    ultralytics = _ultralytics()
    if weights.suffix != ".pt":
        model_descriptions.check(weights)
    model = ultralytics.YOLO(str(weights))
    if model.task != "detect":
        raise ValueError(f"it is a model for the task {model.task!r}, wanted detect")
    return model


def train(
    listed: Sequence[Path],
    classes: Sequence[str],
    params: Train,
    *,
    seed: int,
    out: Path,
    weights: str = "weights.pt",
    curve: str = "curve.csv",
) -> None:
    """Train a detector for ``params.steps`` steps and write its last weights.

    Args:
        listed: training images; an image that is there twice is seen twice as often.
        classes: class names by id.
        params: how to train.
        seed: of weights, order and augmentation.
        out: folder for the weights and the curve.
        weights: name of the file of the weights.
        curve: name of the file of the training losses.

    Raises:
        UserError: the model file is missing or cannot be loaded.
    """
    _ultralytics()
    from pipeline.adapters import yolo_trainer

    model, device = Path(params.model), device_of(params.device)
    with _loading(model):
        _model(model)
    if device == "cpu":
        eager_torch.leave_out_compiler()
        heap.keep_freed()
    with _scratch() as scratch:
        data = _write_dataset(scratch, listed, classes)
        settings = _settings(params, data=data, model=model, device=device, seed=seed)
        os.environ[yolo_trainer.STEPS_VARIABLE] = str(params.steps)
        trainer = yolo_trainer.FixedStepsTrainer(overrides=settings)
        trainer.bfloat16 = precision_of(params) == "bf16"
        trainer.train()
        files.write_bytes(out / weights, trainer.last.read_bytes())
        shutil.copyfile(trainer.csv, out / curve)


def time_steps(listed: Sequence[Path], classes: Sequence[str], params: Train, *, steps: int) -> StepTime:
    """Train for some steps, keep nothing, and say how long they took; the caller holds the lock on training.

    Args:
        listed: some training images.
        classes: class names by id.
        params: how to train; its number of steps is not used.
        steps: 4 or more; fewer are made where they take long. The first is not counted.

    Raises:
        UserError: the model file is missing or cannot be loaded.
    """
    _ultralytics()
    from pipeline.adapters import yolo_trainer

    model, device = Path(params.model), device_of(params.device)
    with _loading(model):
        _model(model)
    if device == "cpu":
        heap.keep_freed()
    with _scratch() as scratch:
        data = _write_dataset(scratch, listed, classes)
        settings = _settings(params, data=data, model=model, device=device, seed=0) | {"epochs": 1}
        os.environ[yolo_trainer.STEPS_VARIABLE] = str(steps)
        trainer = yolo_trainer.TimedTrainer(overrides=settings)
        trainer.bfloat16 = precision_of(params) == "bf16"
        trainer.train()
    taken = np.diff(np.array(trainer.clocks, dtype=np.float64).reshape(-1, 2), axis=0)[1:]
    wall, processor = (float(one) for one in np.median(taken, axis=0))
    return StepTime(wall=wall, processor=processor, cores=cores.available(), device=device, steps=len(taken))


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder in the project for what ultralytics writes; the caller holds the lock on training."""
    folder = paths.TRAIN_SCRATCH.absolute()
    shutil.rmtree(folder, ignore_errors=True)  # of a training that was killed
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(params: Train, *, data: Path, model: Path, device: str, seed: int) -> dict[str, Any]:
    """All of ultralytics' settings that matter, set explicitly: its defaults change between versions."""
    return {
        "data": str(data), "model": str(model), "task": "detect", "imgsz": params.image_size, "device": device,
        "epochs": min(ROUNDS, params.steps), "batch": params.batch, "nbs": params.batch, "workers": params.workers,
        "optimizer": "AdamW", "lr0": params.learning_rate, "lrf": 0.01, "cos_lr": True, "weight_decay": 0.0005,
        "warmup_epochs": 1.0, "warmup_bias_lr": 0.0, "box": 7.5, "cls": params.class_gain, "dfl": 1.5,
        "seed": seed % 2**31, "deterministic": device != "cpu", "amp": device != "cpu" and _AMP[precision_of(params)],
        "cache": "ram", "rect": False,
        "close_mosaic": 0, "patience": 0, "plots": False, "val": True, "save": True, "exist_ok": True, "verbose": False,
        "project": str(data.parent), "name": "run", "pretrained": False, **params.augment,
    }  # fmt: skip


def _write_dataset(scratch: Path, listed: Sequence[Path], classes: Sequence[str]) -> Path:
    """Lay out what ultralytics reads, out of links: its cache files then stay out of the pipeline's outputs.

    It wants images for a validation too, which is not run: the first training image stands there.
    """
    for split, chosen in (("train", listed), ("val", listed[:1])):
        images_folder, labels_folder = scratch / split / "images", scratch / split / "labels"
        images_folder.mkdir(parents=True)
        labels_folder.mkdir()
        for number, path in enumerate(chosen):
            name = f"{number:07d}"  # stems must be unique, and an image may be listed twice
            (images_folder / f"{name}{path.suffix}").symlink_to(path.absolute())
            label = manifest.label_path(path)
            if not label.is_file():  # ultralytics would take it for an image without objects
                raise UserError(f"label file {label} is missing. Run `uv run dvc repro` to make it anew.")
            (labels_folder / f"{name}.txt").symlink_to(label.absolute())
    data = scratch / "data.yaml"
    data.write_text(
        yaml.safe_dump(
            {
                "path": str(scratch),
                "train": "train/images",
                "val": "val/images",
                "names": dict(enumerate(classes)),
                "images": len(listed),
            },
            allow_unicode=True,
        )
    )
    return data


def predict(
    weights: Path, listed: Sequence[Path], *, image_size: int, confidence: float, device: str | int
) -> list[Predicted]:
    """Find objects in images.

    Args:
        weights: of the detector.
        listed: the images.
        image_size: side in pixels to which images are scaled.
        confidence: floor, in (0, 1).
        device: as in params.yaml.

    Returns:
        One result an image, in the same order.

    Raises:
        UserError: the weights cannot be loaded, or an image is missing.
    """
    with _loading(weights):
        model = _model(weights)
    from pipeline.adapters.yolo_predictor import Predictor

    if device_of(device) == "cpu":
        heap.keep_freed()
    found: list[Predicted] = []
    for start in range(0, len(listed), _PREDICT_BATCH):
        chunk = [images.read(path) for path in listed[start : start + _PREDICT_BATCH]]
        results = model.predict(
            chunk, predictor=Predictor, imgsz=image_size, conf=confidence, iou=NMS_IOU, max_det=MAX_BOXES,
            agnostic_nms=False, rect=False, device=device_of(device), verbose=False, save=False, batch=_PREDICT_BATCH,
        )  # fmt: skip
        found += [
            Predicted(
                classes=result.boxes.cls.cpu().numpy().astype(np.int64),
                confidences=result.boxes.conf.cpu().numpy().astype(np.float64),
                boxes=result.boxes.xyxy.cpu().numpy().astype(np.float64).reshape(-1, 4),
            )
            for result in results
        ]
    return found
