"""Torch without its compiler: a training needs it not, and whoever wants it gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import study_builders
from tests.project import ROOT

TRAIN = """
import sys
from dataclasses import replace
from pathlib import Path
from pipeline.adapters import eager_torch, yolo
from pipeline.core import params
root, out, compiler = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if compiler == "with":
    eager_torch.leave_out_compiler = lambda: None
train = params.load(root / "params.yaml").train
train = replace(train, model=str(root / train.model), steps=2, batch=2, image_size=64, device="cpu")
yolo.train([out / "source/images/0.png"], ["a", "b"], train, seed=1, out=out, weights=f"{compiler}.pt")
print(sorted({"torch._dynamo.eval_frame", "torch._inductor.runtime", "torchvision"} & set(sys.modules)))
"""
ASK = """
import sys
from pipeline.adapters import eager_torch
import torch
before = set(sys.modules)
eager_torch.leave_out_compiler()
assert torch._dynamo.graph_break() is None
assert "torch._dynamo.eval_frame" not in sys.modules
{question}
assert "torch._dynamo.eval_frame" in sys.modules
assert torch.compile(lambda one: one + 1, backend="eager")(torch.tensor(1)) == 2
import torch._inductor.config
assert torch._inductor.config.deterministic is False
"""


def python(code: str, folder: Path, *arguments: str) -> str:
    """Run Python in a process of its own; gives the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env={"PATH": "", "PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (done.stdout.strip().splitlines() or [""])[-1]


@pytest.mark.slow
def test_a_training_without_the_compiler(tmp_path: Path) -> None:
    """A training imports neither compiler nor torchvision, and learns what it learns with them."""
    import torch

    study_builders.write_pixels(tmp_path / "source/images/0.png", tmp_path / "source/labels/0.txt")
    assert python(TRAIN, tmp_path, str(ROOT), str(tmp_path), "without") == "[]"
    assert "eval_frame" in python(TRAIN, tmp_path, str(ROOT), str(tmp_path), "with")
    one, other = (
        torch.load(tmp_path / f"{name}.pt", weights_only=False)["ema"].state_dict() for name in ("with", "without")
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow  # each imports torch anew
@pytest.mark.parametrize(
    "question",
    [
        "import torch._dynamo.utils",
        "torch._dynamo.config",
        "from torch._dynamo import eval_frame",
        "import torchvision",
    ],
)
def test_whoever_wants_the_compiler_gets_it(tmp_path: Path, question: str) -> None:
    """What an optimizer does not ask for is answered by the compiler itself, from then on."""
    python(ASK.format(question=question), tmp_path)
