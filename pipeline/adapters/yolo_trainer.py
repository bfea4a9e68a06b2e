"""The trainer: ultralytics' own, without what a fixed number of steps does not need.

Imported by ``adapters/yolo.py`` when a training starts, and by name in the worker processes of a multi-GPU training;
hence a module of its own, with the heavy imports at the top.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from ultralytics.data.build import InfiniteDataLoader, build_dataloader, seed_worker
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.autobackend import check_class_names
from ultralytics.utils import YAML
from ultralytics.utils.metrics import DetMetrics

from pipeline.core import cores

_NO_RETRY = 3  # retries after which ultralytics gives up
STEPS_VARIABLE = "TAILWATCH_STEPS"  # reaches the workers of a multi-GPU training, which ultralytics' settings cannot


class PassSampler(torch.utils.data.Sampler[int]):
    """Draws a fixed number of images a round, from one shuffled pass over the data after another.

    A round thus has the same number of steps whatever the size of the dataset, and every image is seen equally often
    to within one.
    """

    def __init__(self, images: int, a_round: int, *, seed: int, rank: int, world_size: int) -> None:
        """Draw ``a_round`` images a round and process, out of ``images``."""
        self._images, self._a_round = images, a_round
        self._rank, self._world_size = max(rank, 0), max(world_size, 1)
        self._generator = torch.Generator().manual_seed(seed)
        self._left: list[int] = []

    def __iter__(self) -> Iterator[int]:
        """Give one round of this process's share."""
        for position in range(self._a_round * self._world_size):
            if not self._left:
                self._left = torch.randperm(self._images, generator=self._generator).tolist()
            image = self._left.pop()
            if position % self._world_size == self._rank:
                yield image

    def __len__(self) -> int:
        """Images a round."""
        return self._a_round

    def set_epoch(self, epoch: int) -> None:
        """Nothing to do: the rounds follow one another."""


class FixedStepsTrainer(DetectionTrainer):  # type: ignore[misc]  # ultralytics has no types
    """Trains for an exact number of steps, keeps the last weights, and looks at no validation image.

    The time of a validation and of a checkpoint a round is saved; the split ``val`` stays unseen for the choice of the
    operating point.

    Attributes:
        bfloat16: whether a CPU computes the net in bfloat16; weights, loss and optimizer stay in float32.
    """

    bfloat16 = False

    def _rounds(self) -> tuple[int, int]:
        steps = int(os.environ[STEPS_VARIABLE])
        return steps, -(-steps // self.epochs)

    def get_dataset(self) -> dict[str, Any]:
        """Read what ``adapters/yolo.py`` has laid out; ultralytics would look for fonts and downloads too."""
        data: dict[str, Any] = YAML.load(self.args.data, append_filename=True)
        folder = Path(data["path"])
        paths = {split: str((folder / data[split]).resolve()) for split in ("train", "val")}
        names = check_class_names(data["names"])
        return data | paths | {"path": folder, "names": names, "nc": len(names), "channels": 3}

    def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
        """Build the loader of one round; see :class:`PassSampler`."""
        dataset = self.build_dataset(dataset_path, mode, batch_size)
        if mode != "train":
            return build_dataloader(dataset, batch=batch_size, workers=0, shuffle=False, rank=-1, device=self.device)
        found, wanted = len(dataset), int(self.data["images"])
        if found != wanted:
            raise RuntimeError(f"ultralytics kept {found} of {wanted} training images")
        seed = self.args.seed
        generator = torch.Generator()
        generator.manual_seed(seed)
        sampler = PassSampler(
            len(dataset), batch_size * self._rounds()[1], seed=seed, rank=rank, world_size=self.world_size
        )
        workers = self.args.workers
        return InfiniteDataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=self.device.type == "cuda",
            collate_fn=dataset.collate_fn,
            worker_init_fn=seed_worker,
            generator=generator,
        )

    def build_optimizer(self, *arguments: Any, **settings: Any) -> Any:
        """Build the optimizer, with the fused step where it has one: a small net spends a tenth of its time there."""
        optimizer = super().build_optimizer(*arguments, **settings)
        for group in optimizer.param_groups:
            if "fused" in group:
                group.update(fused=True, foreach=False)
        return optimizer

    def setup_model(self) -> Any:
        """Build the model; on a CPU with the channels last, in which convolutions are computed faster."""
        checkpoint = super().setup_model()
        if self.device.type == "cpu":
            self.model.to(memory_format=torch.channels_last)
        return checkpoint

    def _setup_train(self) -> None:
        super()._setup_train()
        if self.device.type == "cpu":  # ultralytics leaves one core out, half the speed of a machine with two
            torch.set_num_threads(cores.available())
            if self.bfloat16:  # now, when the average of the weights is a copy: it is what is saved
                compute_in_bfloat16(self.model)
        self._steps_done = 0
        self._started = time.monotonic()

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Count the steps, and stop after the last."""
        # Where memory is short, ultralytics would halve the batch and go on: a run unlike all others, without a word.
        self._oom_retries = _NO_RETRY
        self._steps_done += 1
        if self._steps_done >= self._rounds()[0]:
            self.stop = True
        ready: dict[str, Any] = super().preprocess_batch(batch)
        if self.device.type == "cpu":
            ready["img"] = ready["img"].contiguous(memory_format=torch.channels_last)
        return ready

    def get_validator(self) -> Any:
        """Give the names of a validation's figures: none is run, and ultralytics' own imports torchvision."""
        return SimpleNamespace(metrics=DetMetrics(self.data["names"]))

    def validate(self) -> tuple[dict[str, float], float]:
        """Look at no validation image, and say how far the training is."""
        steps = self._rounds()[0]
        losses = " ".join(f"{name.removesuffix('_loss')} {float(value):.3f}" for name, value in self.tloss.items())
        elapsed = time.monotonic() - self._started
        print(f"  step {min(self._steps_done, steps)}/{steps}  {elapsed:5.1f} s  {losses}", flush=True)  # noqa: T201
        return {}, 0.0

    def read_results_csv(self) -> dict[str, Any]:
        """Leave the curve out of the checkpoint: it has a file of its own, and reading it imports another library."""
        return {}

    def save_model(self) -> bool:
        """Write the checkpoint of the last round only."""
        if not self.stop and self.epoch + 1 < self.epochs:
            return False
        return bool(super().save_model())

    def final_eval(self) -> None:
        """Skip ultralytics' validation of its best weights: the last weights are used."""


def compute_in_bfloat16(model: Any) -> None:
    """Have a detector's net computed in bfloat16, with outputs in float32.

    Not the loss, as ultralytics' own mixed precision has it: boxes in pixels do not fit into 8 bits.
    """
    predict = model._predict_once  # noqa: SLF001 - what is between images and loss

    def in_bfloat16(*images: Any, **settings: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = predict(*images, **settings)
        return _in_float32(found)

    model._predict_once = in_bfloat16  # noqa: SLF001


def _in_float32(found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        return found.float()
    if isinstance(found, dict):
        return {name: _in_float32(one) for name, one in found.items()}
    return type(found)(_in_float32(one) for one in found)


class TimedTrainer(FixedStepsTrainer):
    """Notes when each step begins, says nothing and writes nothing: for a probe of some steps."""

    longest = 40.0  # seconds after which no further step is begun …
    fewest = 3  # … once there are so many

    def _setup_train(self) -> None:
        super()._setup_train()
        self.clocks: list[tuple[float, float]] = []  # at the beginning of each step: of the wall, of the processor

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Note the time; what is on a GPU is waited for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.clocks.append((time.monotonic(), time.process_time()))
        found = super().preprocess_batch(batch)
        if len(self.clocks) > self.fewest and time.monotonic() - self._started > self.longest:
            self.stop = True
        return found

    def validate(self) -> tuple[dict[str, float], float]:
        """Look at nothing, say nothing."""
        return {}, 0.0

    def save_model(self) -> bool:
        """Write nothing."""
        return False
