"""Some real steps of a training are timed, and nothing of them is left."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline import probing
from pipeline.core import params, paths
from pipeline.core.sources import reading
from tests import dataset_builders as datasets
from tests.project import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tiny", "nano"])
def test_steps_of_both_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """Both models of the project train on a few images; the times are plausible, and the scratch is gone."""
    monkeypatch.chdir(tmp_path)
    source = reading.read("yolo", datasets.yolo(tmp_path / "mine", {"train": 6}))
    settings = params.load(ROOT / "params.yaml")
    settings = dataclasses.replace(settings, train=dataclasses.replace(settings.train, device="cpu"))
    timer = probing.Timer(source, settings)
    alone = timer.alone(str(ROOT / f"models/{model}.yaml"), 64, 4)
    assert timer.last is not None
    assert 0 < alone <= timer.last.now < 60
    assert timer.last.slower >= 1
    assert timer.last.device == "cpu"
    assert not probing._PROBE.exists()
    assert not paths.TRAIN_SCRATCH.exists()
