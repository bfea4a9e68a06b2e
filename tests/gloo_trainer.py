"""The project's trainer in two processes on the CPU, which Ultralytics does for GPUs only.

All but the device and the transport is what a training on two GPUs does: Ultralytics pickles the trainer, starts the
processes by `torch.distributed.run`, wraps the model, shares out the images and gathers the gradients. A module of its
own, because each process finds the trainer by its name.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from ultralytics.utils import LOCAL_RANK, RANK

from pipeline.adapters.yolo_trainer import FixedStepsTrainer

WORLD = 2
SEEN_VARIABLE = "TAILWATCH_TEST_SEEN"  # folder in which each process writes which images it saw


class GlooTrainer(FixedStepsTrainer):
    """Trains on the CPU as if it were two GPUs."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Have two processes."""
        super().__init__(*arguments, **settings)
        self.world_size = WORLD
        self.ddp = LOCAL_RANK == -1
        self._seen: list[list[str]] = []

    def _setup_ddp(self) -> None:
        torch.distributed.init_process_group("gloo", rank=RANK, world_size=WORLD)

    def _setup_train(self) -> None:
        wrap = torch.nn.parallel.DistributedDataParallel
        on_cpu = lambda model, device_ids, **others: wrap(model, **others)  # noqa: ARG005, E731 - no GPU has a number
        with mock.patch.object(torch.nn.parallel, "DistributedDataParallel", on_cpu):
            super()._setup_train()

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Note which images are seen."""
        self._seen.append([Path(one).stem for one in batch["im_file"]])
        return super().preprocess_batch(batch)

    def final_eval(self) -> None:
        """Write what was seen, and a digest of the weights."""
        super().final_eval()
        weights = sum(float(one.double().abs().sum()) for one in self.model.parameters())
        told = {"seen": self._seen, "weights": weights}
        (Path(os.environ[SEEN_VARIABLE]) / f"{RANK}.json").write_text(json.dumps(told))
