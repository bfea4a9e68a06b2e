"""What several processes of one training, or several trainings beside one another, share out between them."""

from __future__ import annotations

import os
import pickle

import pytest

pytestmark = pytest.mark.slow  # torch and ultralytics take their time to import


@pytest.mark.parametrize("world", [2, 3])
def test_shares_of_a_pass(world: int) -> None:
    """The processes of one training see what a single one would, each image in one of them, in turns."""
    from pipeline.adapters.yolo_trainer import PassSampler

    alone = list(PassSampler(10, 6 * world, seed=1, rank=-1, world_size=1))
    shares = [list(PassSampler(10, 6, seed=1, rank=rank, world_size=world)) for rank in range(world)]
    assert [image for step in zip(*shares, strict=True) for image in step] == alone
    assert {len(share) for share in shares} == {6}


def test_the_trainer_travels() -> None:
    """The launcher of several GPUs pickles the trainer's class: it is found again by its name."""
    from pipeline.adapters.yolo_trainer import FixedStepsTrainer

    assert pickle.loads(pickle.dumps(FixedStepsTrainer)) is FixedStepsTrainer  # noqa: S301 - made here
    pytest.importorskip("cloudpickle", minversion="3.1.1", reason="the launcher wants it")


@pytest.mark.parametrize(("limit", "wanted"), [("1", 1), ("0", 1), ("4096", None), ("", None), ("two", None)])
def test_cores(monkeypatch: pytest.MonkeyPatch, limit: str, wanted: int | None) -> None:
    """A training takes no more cores than it is told, and no more than there are."""
    from pipeline.adapters import yolo_trainer

    monkeypatch.delenv(yolo_trainer.THREADS_VARIABLE, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    everything = yolo_trainer.cores()
    assert everything == len(os.sched_getaffinity(0)), "ultralytics sets OMP_NUM_THREADS to 1 when it is imported"
    monkeypatch.setenv(yolo_trainer.THREADS_VARIABLE, limit)
    assert yolo_trainer.cores() == (wanted or everything)
