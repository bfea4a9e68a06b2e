"""Ubuntu 22.04 has a Python 3.11 that is a release candidate."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.imports import ROOT


@pytest.mark.slow
def test_training_code_on_a_release_candidate() -> None:
    """What torch's compiler wants of Python is there after the adapter is imported, also on 3.11.0rc1."""
    code = (
        "import sys; del sys.get_int_max_str_digits, sys.set_int_max_str_digits\n"
        "from pipeline.adapters import yolo; yolo._ultralytics()\n"
        "import torch._dynamo; print(torch._dynamo.__name__)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "torch._dynamo\n"), ended.stderr[-500:]
