"""Ultralytics' own distributed training, on the CPU: see :mod:`tests.gloo_trainer`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core import params, rng
from tests import study_builders
from tests.project import ROOT

pytestmark = pytest.mark.slow  # three imports of torch and ultralytics


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
