"""What a training computes in: where it is bfloat16, weights, loss and what is saved stay in float32's place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import params
from pipeline.core.sections import Precision
from tests import study_builders
from tests.project import ROOT


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A detector as a training has it."""
    from pipeline.adapters import yolo

    monkeypatch.chdir(tmp_path)
    model = yolo._model(ROOT / "models/tiny.yaml").model
    from ultralytics.cfg import get_cfg

    model.args = get_cfg()
    return model.train()


@pytest.mark.slow
def test_only_the_net_is_computed_in_bfloat16(detector: Any) -> None:
    """Convolutions take bfloat16; what they hand to the loss, the loss and the gradients of the weights are float32."""
    import torch

    from pipeline.adapters.yolo_trainer import compute_in_bfloat16

    seen: list[Any] = []
    convolution = detector.model[1].conv
    batch = {
        "img": torch.rand(2, 3, 64, 64), "cls": torch.tensor([[0.0], [1.0]]), "batch_idx": torch.tensor([0.0, 1.0]),
        "bboxes": torch.tensor([[0.5, 0.5, 0.4, 0.4]] * 2),
    }  # fmt: skip
    whole = float(detector(batch)[0].detach().sum())
    hook = convolution.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    compute_in_bfloat16(detector)
    found = detector.predict(batch["img"])
    loss = detector(batch)[0].sum()
    loss.backward()
    hook.remove()
    assert set(seen) == {torch.bfloat16}
    assert {found[name].dtype for name in ("boxes", "scores")} == {torch.float32}
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(whole, rel=0.02)
    assert float(loss.detach()) != whole
    assert convolution.weight.dtype == convolution.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("precision", "device", "wanted"),
    [
        ("auto", "cpu", "fp32"),
        ("fp32", "cpu", "fp32"),
        ("bf16", "cpu", "bf16"),
        ("auto", 0, "amp"),
        ("fp32", 0, "fp32"),
    ],
)
def test_what_auto_is(precision: Any, device: str | int, wanted: str) -> None:
    """Nothing is computed in fewer bits on a CPU unless one asks for it."""
    from pipeline.adapters import yolo

    train = params.load(ROOT / "params.yaml").train
    assert yolo.precision_of(replace(train, precision=precision, device=device)) == wanted


@pytest.mark.slow
def test_a_training_in_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns something else than one in float32, the same each time, and its weights are stored alike."""
    import torch

    from pipeline.adapters import yolo

    image = tmp_path / "source/images/0.png"
    study_builders.write_pixels(image, tmp_path / "source/labels/0.txt")
    monkeypatch.chdir(tmp_path)
    train = params.load(ROOT / "params.yaml").train
    train = replace(train, model=str(ROOT / train.model), steps=3, batch=2, image_size=64, device="cpu")
    learnt = {}
    precisions: dict[str, Precision] = {"whole": "fp32", "half": "bf16", "again": "bf16"}
    for name, precision in precisions.items():
        out = tmp_path / name
        out.mkdir()
        yolo.train([image], study_builders.CLASSES, replace(train, precision=precision), seed=1, out=out)
        learnt[name] = torch.load(out / "weights.pt", weights_only=False)["ema"].state_dict()
    layer = "model.1.conv.weight"
    assert all(one[layer].is_contiguous() and one[layer].dtype == torch.float16 for one in learnt.values())
    assert not torch.equal(learnt["whole"][layer], learnt["half"][layer])
    assert all(torch.equal(value, learnt["again"][name]) for name, value in learnt["half"].items())
