"""A GPU that is short of memory: a run with another batch than all others could not be compared with them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from pipeline.adapters import yolo
from pipeline.core import params
from tests.project import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")  # of ultralytics' own imports
def test_the_batch_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that a GPU has no memory for fails; ultralytics would halve the batch and go on without a word."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["train"].update(model=str(ROOT / "models/tiny.yaml"), steps=2, batch=2)
    monkeypatch.chdir(tmp_path)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    picture = tmp_path / "images/one.png"
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "labels/one.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    train = params.parse(yaml.safe_dump(settings)).train
    yolo.train([picture], ["one"], train, seed=1, out=tmp_path)  # it would
    from ultralytics.models.yolo.detect import DetectionTrainer

    def refused(*_: object) -> None:
        asked.append(1)
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    asked: list[int] = []
    monkeypatch.setattr(DetectionTrainer, "preprocess_batch", refused)
    with pytest.raises(RuntimeError, match="out of memory"):
        yolo.train([picture], ["one"], train, seed=1, out=tmp_path)
    assert len(asked) == 1
