"""The predictor: the boxes of ultralytics' own, on a busy machine too, and without imports that it does not need."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from pipeline.adapters import yolo
from pipeline.adapters.yolo import Predicted
from pipeline.core import files, images
from tests.project import ROOT

pytestmark = pytest.mark.slow  # each process imports torch
SIDE = 96
FLOOR = 0.001
PREDICT = """
import sys
from pathlib import Path
from pipeline.adapters import yolo
yolo.predict(Path(sys.argv[1]), [Path(sys.argv[2])], image_size=96, confidence=0.5, device="cpu")
assert "torch" in sys.modules
print(sorted({"torch._dynamo", "torchvision"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that was never trained, and finds a little in every place."""
    import torch

    folder = tmp_path_factory.mktemp("detector")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.manual_seed(1)
        model = yolo._model(ROOT / "models" / "tiny.yaml")
        for head in model.model.model[-1].cv3:
            torch.nn.init.uniform_(head[-1].bias, -5, -2)
        model.save(folder / "weights.pt")
    return folder / "weights.pt"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images of several sizes."""
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    found = []
    for number, size in enumerate(((96, 96), (60, 90), (150, 40), (96, 96), (200, 300))):
        path = folder / f"{number}.png"
        files.write_bytes(path, images.encode_png(draw.integers(0, 256, (*size, 3), dtype=np.uint8)))
        found.append(path)
    return found


def predict(weights: Path, pictures: list[Path]) -> list[Predicted]:
    """What the project finds."""
    return yolo.predict(weights, pictures, image_size=SIDE, confidence=FLOOR, device="cpu")


def test_same_boxes(weights: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes, confidences and boxes are those of ultralytics' own predictor, up to rounding: its threads are fewer."""
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)  # ultralytics would use it where it is imported
    ours = predict(weights, pictures)
    model = yolo._model(weights)
    chunk = [images.read(path) for path in pictures]
    theirs = model.predict(
        chunk, imgsz=SIDE, conf=FLOOR, iou=yolo.NMS_IOU, max_det=yolo.MAX_BOXES, rect=False, device="cpu",
        verbose=False, batch=len(chunk),
    )  # fmt: skip
    assert "torchvision" in sys.modules
    assert sum(len(one.classes) for one in ours) > 50
    for mine, their in zip(ours, theirs, strict=True):
        assert np.array_equal(mine.classes, their.boxes.cls.numpy())
        assert mine.confidences == pytest.approx(their.boxes.conf.numpy(), rel=1e-5)
        assert mine.boxes == pytest.approx(their.boxes.xyxy.numpy(), abs=1e-3)


def test_a_machine_that_is_busy(weights: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes, no image loses its boxes."""
    wanted = [len(one.classes) for one in predict(weights, pictures)]
    seconds = count(step=10)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    assert [len(one.classes) for one in predict(weights, pictures)] == wanted
    assert min(wanted) > 0


def test_imports(weights: Path, pictures: list[Path], tmp_path: Path) -> None:
    """Neither torch's compiler nor torchvision's Python is imported: that takes longer than many an audit's images."""
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, weights, pictures[0]], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip().splitlines()[-1:]) == (0, ["[]"]), done.stderr
