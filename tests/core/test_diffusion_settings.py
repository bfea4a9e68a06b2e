"""The section `generate.diffusion` refuses what no model can be made of."""

from __future__ import annotations

import dataclasses
import re

import pytest

from pipeline.core import params
from pipeline.core.diffusion_settings import Diffusion
from pipeline.core.errors import UserError
from pipeline.core.schema import section
from tests.imports import ROOT


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"crop": 18}, "wanted a multiple of 4", id="crop that cannot be halved twice"),
        pytest.param({"crop": 128}, "from 8 to 64 pixels", id="crop too large"),
        pytest.param({"channels": 20}, "wanted a multiple of 8", id="channels without groups"),
        pytest.param({"steps": 0}, "steps 0, wanted at least 1", id="no training"),
        pytest.param({"pages": 0}, "pages 0, wanted at least 1", id="empty batches"),
        pytest.param({"draw_steps": 1}, "wanted 2 to 1000", id="one step of denoising"),
        pytest.param({"learning_rate": 0.0}, "learning_rate 0", id="nothing learned"),
        pytest.param({"guidance": -1.0}, "guidance -1", id="guidance away from the class"),
        pytest.param({"strength": 0.0}, "wanted a share in (0, 1]", id="strength of nothing"),
        pytest.param({"weights": "a", "mode": "inpaint", "strength": 0.03}, "no step is left", id="strength too small"),
        pytest.param({"side": 4}, "wanted at least 8 pixels", id="side too small"),
        pytest.param({"weights": " "}, "weights is empty", id="weights without a name"),
        pytest.param({"weights": "/models/a"}, "leaves the folder models/pipelines", id="weights elsewhere"),
        pytest.param({"weights": "a/../../b"}, "leaves the folder models/pipelines", id="weights above"),
        pytest.param({"pipelines": ""}, "pipelines is empty", id="pipelines nowhere"),
        pytest.param({"mode": "inpaint"}, "which wants weights", id="mode of a pipeline without one"),
        pytest.param({"mode": "paint"}, "wanted one of crops", id="unknown mode"),
        pytest.param({"prompt": "a {colour} thing"}, "{classes} may stand", id="unknown name in the prompt"),
        pytest.param({"prompt": "a {"}, "{classes} may stand", id="prompt with an open brace"),
        pytest.param({"step": 5}, "did you mean 'steps'", id="misspelt key"),
    ],
)
def test_refused(change: dict[str, object], said: str) -> None:
    """A value that no model can be made of is refused in words that say what was wanted."""
    with pytest.raises(UserError) as error:
        section(Diffusion, change, "generate.diffusion")
    assert said in str(error.value)
    assert str(error.value).startswith("params.yaml: generate.diffusion")


def test_defaults() -> None:
    """Nothing has to be said: by default a small model is trained here."""
    assert section(Diffusion, {}).weights is None


def test_documented() -> None:
    """The page names every setting, with its default; params.yaml has the same."""
    page = (ROOT / "docs" / "diffusion.md").read_text()
    defaults = {field.name: field.default for field in dataclasses.fields(Diffusion)}
    assert {name for name in defaults if f"`{name}`" not in page} == set()
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", page, flags=re.MULTILINE))
    told = {name: text for name, text in rows.items() if name in defaults and name != "mode"}
    assert told == {name: "null" if defaults[name] is None else str(defaults[name]) for name in told}
    assert len(told) > 10
    assert params.load(ROOT / "params.yaml").generate.diffusion == Diffusion()
