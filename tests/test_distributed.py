"""What several processes of one training, or several trainings beside one another, share out between them."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core import params, rng
from tests import study_builders
from tests.project import ROOT

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


def test_two_processes_of_one_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes of a training see the images that one would, step by step, and end with the same weights."""
    from pipeline.adapters import yolo, yolo_trainer
    from tests import gloo_trainer

    images = [tmp_path / f"source/images/{number}.png" for number in range(6)]
    for one in images:
        study_builders.write_pixels(one, tmp_path / f"source/labels/{one.stem}.txt")
    seen, out = tmp_path / "seen", tmp_path / "out"
    seen.mkdir()
    out.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(gloo_trainer.SEEN_VARIABLE, str(seen))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(yolo_trainer, "FixedStepsTrainer", gloo_trainer.GlooTrainer)
    settings = params.load(ROOT / "params.yaml").train
    train = replace(settings, model=str(ROOT / settings.model), steps=5, batch=4, image_size=64, device="cpu")
    yolo.train(images, study_builders.CLASSES, train, seed=rng.training_seed(1, 0, 0), out=out)
    first, second = (json.loads((seen / f"{rank}.json").read_text()) for rank in range(gloo_trainer.WORLD))
    assert [len(step) for one in (first, second) for step in one["seen"]] == [2] * 10
    order = [image for both in zip(first["seen"], second["seen"], strict=True) for image in zip(*both, strict=True)]
    passes = [image for pair in order for image in pair]
    assert [sorted(passes[start : start + 6]) for start in (0, 6, 12)] == [[f"{n:07d}" for n in range(6)]] * 3
    assert first["weights"] == second["weights"]
    assert (out / "weights.pt").stat().st_size > 0
    assert (out / "curve.csv").read_text().count("\n") == 1 + 5


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
