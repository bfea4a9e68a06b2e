"""Folders of pipelines: what may run code, or is none, is refused by name before a library reads it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.adapters import diffusion_device, diffusion_weights
from pipeline.core.errors import UserError
from tests import diffusion_builders

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "safety_checker": [None, None],
    "requires_safety_checker": False,
}


def pipeline(folder: Path, **changes: object) -> Path:
    """A folder that looks like a pipeline's, with one file of weights."""
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps(INDEX | changes))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"weights")
    return folder


def pickled(folder: Path) -> None:
    """The text encoder has a pickle alone."""
    (folder / "text_encoder").mkdir()
    (folder / "text_encoder" / "pytorch_model.bin").write_bytes(b"")


def checkpoint(folder: Path) -> None:
    """A checkpoint lies beside the index."""
    (folder / "v1-5.ckpt").write_bytes(b"")


def code(folder: Path) -> None:
    """A pipeline of its own."""
    (folder / "pipeline.py").write_text("print('code')")


def without_index(folder: Path) -> None:
    """No index."""
    (folder / "model_index.json").unlink()


def torn_index(folder: Path) -> None:
    """Half an index."""
    (folder / "model_index.json").write_text('{"_class_name": ')


def listed_index(folder: Path) -> None:
    """An index that is a list."""
    (folder / "model_index.json").write_text("[1]")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        pytest.param(pickled, "pytorch_model.bin is a pickle, which may run any code", id="weights in a pickle"),
        pytest.param(checkpoint, "v1-5.ckpt is a pickle", id="checkpoint"),
        pytest.param(code, "pipeline.py is code, which is not run", id="code"),
        pytest.param(without_index, "model_index.json does not exist", id="no index"),
        pytest.param(torn_index, "cannot be read (JSONDecodeError)", id="torn index"),
        pytest.param(listed_index, "cannot be read (AttributeError)", id="index that is a list"),
    ],
)
def test_refused_folder(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    """A folder is refused by the name of what is wrong in it, and what was wanted is said."""
    folder = pipeline(tmp_path / "weights")
    harm(folder)
    with pytest.raises(UserError) as error:
        diffusion_weights.look(folder)
    assert said in str(error.value)
    assert "wanted the folder of a diffusers pipeline" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"_class_name": ["pipeline", "Mine"]}, "a pipeline with code of its own", id="own pipeline"),
        pytest.param({"unet": ["subprocess", "Popen"]}, "'unet' is of 'subprocess'", id="class of another package"),
        pytest.param({"unet": ["..evil", "Net"]}, "'unet' is of '..evil'", id="module elsewhere"),
    ],
)
def test_refused_index(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    """An index that asks for code of others is refused: a library would import it."""
    with pytest.raises(UserError) as error:
        diffusion_weights.look(pipeline(tmp_path / "weights", **changes))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("someone/some-model", "does not exist", id="name of a hub"),
        pytest.param("model.ckpt", "model.ckpt is a pickle", id="checkpoint"),
        pytest.param("model.safetensors", "model.safetensors is a single file", id="single file"),
        pytest.param("model.zip", "model.zip is none that is read", id="another file"),
    ],
)
def test_refused_path(tmp_path: Path, name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no folder is refused; a hub is never asked."""
    monkeypatch.chdir(tmp_path)
    for file in ("model.ckpt", "model.safetensors", "model.zip"):
        Path(file).write_bytes(b"")
    with pytest.raises(UserError) as error:
        diffusion_weights.look(Path(name))
    assert said in str(error.value)


def test_name_of_another(tmp_path: Path) -> None:
    """Where the pipeline is not there, those that are there are said."""
    pipeline(tmp_path / "cells")
    pipeline(tmp_path / "streets")
    with pytest.raises(UserError, match=r"street does not exist; in .* there is cells, streets; wanted the folder"):
        diffusion_weights.look(tmp_path / "street")


@pytest.mark.parametrize("part", ["", "unet"], ids=["the pipeline", "a part of it"])
def test_link(tmp_path: Path, part: str) -> None:
    """A link to a folder is refused: neither DVC nor the digest would look into it. Links to files are followed."""
    folder = pipeline(tmp_path / "weights")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(tmp_path / "blob")
    file.symlink_to(tmp_path / "blob")
    before = diffusion_weights.look(folder).digest
    (tmp_path / "blob").write_bytes(b"others")
    assert diffusion_weights.look(folder).digest != before
    (folder / part).rename(tmp_path / "elsewhere")
    (folder / part).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link to a folder, which DVC does not look into"):
        diffusion_weights.look(folder)


def test_accepted(tmp_path: Path) -> None:
    """A pickle beside the same weights in safetensors is never read."""
    folder = pipeline(tmp_path / "weights")
    before = diffusion_weights.look(folder)
    assert (before.pipeline, before.variant, len(before.digest)) == ("StableDiffusionPipeline", None, 12)
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"never read")
    assert diffusion_weights.look(folder) == before


def rewritten(folder: Path) -> None:
    """Other weights of the same size."""
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"WEIGHTS")


def renamed(folder: Path) -> None:
    """The same bytes under another name."""
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_name("model.safetensors"))


def more(folder: Path) -> None:
    """One more file, of a kind that nobody here has heard of."""
    (folder / "tokenizer.tiktoken").write_bytes(b"")


def described(folder: Path) -> None:
    """Words about it."""
    (folder / "README.md").write_text("Good weights.")


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        pytest.param(rewritten, True, id="other bytes"),
        pytest.param(renamed, True, id="other name"),
        pytest.param(more, True, id="one more file"),
        pytest.param(described, False, id="words about it"),
    ],
)
def test_digest(tmp_path: Path, change: Callable[[Path], None], *, counts: bool) -> None:
    """The digest follows names and bytes of all that a library may read."""
    folder = pipeline(tmp_path / "weights")
    before = diffusion_weights.look(folder).digest
    change(folder)
    assert (diffusion_weights.look(folder).digest != before) == counts


@diffusion_builders.needs_diffusers
def test_older_folders(tmp_path: Path) -> None:
    """Folders of old name some parts by the module of diffusers that these were in; they are read."""
    folder = pipeline(tmp_path / "weights", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    assert diffusion_weights.look(folder).pipeline == "StableDiffusionPipeline"


def test_variant(tmp_path: Path) -> None:
    """Weights that come in 16 bits alone are found under that name."""
    folder = pipeline(tmp_path / "weights")
    plain = folder / "unet" / "diffusion_pytorch_model.safetensors"
    plain.rename(plain.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert diffusion_weights.look(folder).variant == "fp16"
    plain.write_bytes(b"")
    assert diffusion_weights.look(folder).variant is None


def test_extra_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the optional packages, what to type is said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r"diffusers.*Type: uv sync --extra diffusion"):
        diffusion_device.libraries()
