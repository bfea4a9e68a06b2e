"""Pipelines that a user has: loaded from a folder, each mode draws images whose labels are where the objects are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.adapters import diffusion, diffusion_modes, diffusion_pipelines, diffusion_weights
from pipeline.core import images, synthesis
from pipeline.core.diffusion_settings import Diffusion
from pipeline.core.errors import UserError
from pipeline.core.synthesis import Batched, Drawn, Example, Task
from tests import builders, diffusion_builders
from tests.core.test_synthesis import PARAMS

pytestmark = [pytest.mark.slow, diffusion_builders.needs_diffusers]
NAMES = ("cat", "dog", "cow")
FAST = Diffusion(draw_steps=2, pages=3, guidance=2.0, strength=0.6)


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project's folder of its own, where the libraries keep what they like to keep."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        yield


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny text-to-image pipeline."""
    return diffusion_builders.stable_diffusion(tmp_path_factory.mktemp("weights") / "painter")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Images of two sizes with objects of classes 0 and 2, and a background."""
    folder = tmp_path_factory.mktemp("examples")
    boxes = [builders.box(0, x=0.25, y=0.4, width=0.25, height=0.3), builders.box(2, x=0.7, y=0.6)]
    return [
        builders.example(folder, "one", boxes, seed=1),
        builders.example(folder, "wide", boxes[:1], width=64, height=40, seed=2),
        builders.example(folder, "background", seed=3),
    ]


def fitted(weights: Path, examples: list[Example], **changes: Any) -> Batched:
    """A pipeline that is ready to draw."""
    settings = replace(FAST, pipelines=str(weights.parent), weights=weights.name, **changes)
    return diffusion_modes.fit(examples, settings, NAMES, diffusion_weights.look(weights), device="cpu")


def draw(batched: Batched, *seeds: int) -> list[Drawn]:
    """Images of these seeds."""
    return batched.draw([np.random.default_rng(seed) for seed in seeds])


def scene(page: Drawn, examples: list[Example]) -> Example:
    """The one example that an image was made from."""
    (parent,) = page.parents
    return next(example for example in examples if example.image_id == parent)


@pytest.mark.parametrize("mode", ["crops", "img2img", "inpaint"])
def test_same_seed(painter: Path, examples: list[Example], mode: Any) -> None:
    """The same seed gives the same image, alone or with others, and other seeds give others."""
    batched = fitted(painter, examples, mode=mode)
    together = draw(batched, 1, 2, 3, 4)
    for seed, page in enumerate(together, start=1):
        alone = draw(batched, seed)[0]
        assert alone.boxes == page.boxes
        assert np.abs(alone.pixels.astype(int) - page.pixels).max() <= 1
        assert page.details["mode"] == mode
        assert page.details["weights"] == diffusion_weights.look(painter).digest
    assert len({page.pixels.tobytes() for page in together}) == 4


def test_crops(painter: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn for a class stands where its label says, about as large as such objects are."""
    dark = np.full((diffusion_builders.SIDE, diffusion_builders.SIDE, 3), 240, dtype=np.uint8)
    dark[2:-2, 2:-2] = 10
    monkeypatch.setattr(diffusion_pipelines.Pipeline, "draw", lambda _, __, sources, **___: [dark for _ in sources])
    pages = draw(fitted(painter, examples), *range(6))
    assert {box.class_id for page in pages for box in page.boxes} == {0, 2}
    assert {page.pixels.shape for page in pages} == {(40, 48, 3), (40, 64, 3)}
    for page in pages:
        assert page.parents == (scene(page, examples).image_id,)
        for box in page.boxes:
            assert synthesis.to_pixels(box, page.pixels).cut(page.pixels).mean() < 60
            assert box.height == pytest.approx(0.25 if box.class_id else 0.3, rel=0.5)


def test_whole_images(painter: Path, examples: list[Example]) -> None:
    """Image to image keeps the example's size and boxes, and changes its pixels."""
    for page in draw(fitted(painter, examples, mode="img2img"), *range(4)):
        before = scene(page, examples)
        old = images.read(before.path)
        assert page.boxes == before.boxes
        assert page.pixels.shape == old.shape
        assert np.abs(page.pixels.astype(int) - old).mean() > 5


def test_objects_painted_anew(painter: Path, examples: list[Example]) -> None:
    """Inpainting changes objects, leaves what is far from them as it was, bit by bit, and keeps the boxes."""
    for page in draw(fitted(painter, examples, mode="inpaint"), *range(5)):
        before = scene(page, examples)
        old = images.read(before.path)
        away = np.ones(old.shape[:2], dtype=bool)
        for box in before.boxes:
            place = synthesis.to_pixels(box, old)
            assert np.abs(place.cut(page.pixels).astype(int) - place.cut(old)).mean() > 5
            away[max(place.y - 2, 0) : place.y + place.height + 2, max(place.x - 2, 0) : place.x + place.width + 2] = 0
        assert page.boxes == before.boxes
        assert np.array_equal(page.pixels[away], old[away])


def test_prompts(painter: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each object is told by the name of its class; whole images by the names of all, each once."""
    told: list[str] = []
    real = diffusion_pipelines.Pipeline.draw

    def listening(self: Any, each: Any, sources: Any, **shared: Any) -> Any:
        told.extend(each["prompt"])
        return real(self, each, sources, **shared)

    monkeypatch.setattr(diffusion_pipelines.Pipeline, "draw", listening)
    for mode in ("crops", "img2img", "inpaint"):
        draw(fitted(painter, examples, mode=mode, prompt="one {classes} here"), *range(16))
        expected = {"one cat here", "one cow here"}
        whole = {"one cat, cow here", "one cat here", "one  here"}
        assert set(told) == (whole if mode == "img2img" else expected)
        told.clear()


def test_layout(tmp_path: Path, examples: list[Example]) -> None:
    """A pipeline that takes boxes draws an image for each layout; the boxes are near those of an example."""
    weights = diffusion_builders.stable_diffusion(tmp_path / "gligen", gligen=True)
    pages = draw(fitted(weights, examples, mode="layout"), *range(3))
    assert len({page.pixels.tobytes() for page in pages}) == 3
    for page in pages:
        before = scene(page, examples)
        assert page.pixels.shape == images.read(before.path).shape
        assert [box.class_id for box in page.boxes] == [box.class_id for box in before.boxes]
        assert page.boxes != before.boxes
        for new, old in zip(page.boxes, before.boxes, strict=True):
            assert (new.x, new.y) == pytest.approx((old.x, old.y), abs=0.15)


@pytest.mark.parametrize("mode", ["inpaint", "layout"])
def test_no_objects(painter: Path, tmp_path: Path, examples: list[Example], mode: Any) -> None:
    """A mode that wants boxes says so where there are none, and gives no copies of backgrounds."""
    weights = diffusion_builders.stable_diffusion(tmp_path / "gligen", gligen=True) if mode == "layout" else painter
    with pytest.raises(UserError, match=f"mode is {mode}, which wants boxes"):
        fitted(weights, examples[-1:], mode=mode)


def test_by_class(tmp_path: Path, examples: list[Example]) -> None:
    """A pipeline that knows classes by number is told the number of the class's name; a name it lacks is said."""
    weights = diffusion_builders.by_class(tmp_path / "known", {3: "cat, kitten", 7: "cow"})
    pages = draw(fitted(weights, examples), *range(4))
    assert {box.class_id for page in pages for box in page.boxes} == {0, 2}
    weights = diffusion_builders.by_class(tmp_path / "unknown", {3: "cat"})
    with pytest.raises(UserError, match="knows 1 classes by name, and not cow"):
        fitted(weights, examples)


def test_wrong_mode(painter: Path, tmp_path: Path, examples: list[Example]) -> None:
    """What a pipeline cannot do is said, with what it is."""
    with pytest.raises(UserError, match="is a StableDiffusionPipeline; wanted a StableDiffusionGLIGENPipeline"):
        fitted(painter, examples, mode="layout")
    weights = diffusion_builders.by_class(tmp_path / "known", {3: "cat", 7: "cow"})
    with pytest.raises(UserError, match=r"a DiTPipeline, cannot be loaded for generate\.diffusion\.mode: inpaint"):
        fitted(weights, examples, mode="inpaint")


@pytest.mark.parametrize("mode", ["crops", "img2img", "inpaint"])
def test_pipeline_without_words(tmp_path: Path, examples: list[Example], mode: Any) -> None:
    """A pipeline that draws whatever it likes is refused, in every mode."""
    weights = diffusion_builders.unconditional(tmp_path / "noise")
    with pytest.raises(UserError, match=rf"noise, a DDPMPipeline, cannot be loaded for .*mode: {mode} "):
        fitted(weights, examples, mode=mode)


def test_damaged_weights(tmp_path: Path, examples: list[Example]) -> None:
    """Weights that were cut off are said to be, by folder and kind."""
    weights = diffusion_builders.stable_diffusion(tmp_path / "cut")
    file = weights / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="cut, a StableDiffusionPipeline, cannot be loaded"):
        fitted(weights, examples)


def test_numbers_that_are_none(tmp_path: Path, examples: list[Example]) -> None:
    """A pipeline that computes no numbers is said to, and draws no black image."""
    weights = diffusion_builders.stable_diffusion(tmp_path / "broken", broken=True)
    with pytest.raises(UserError, match="gives numbers that are none"):
        draw(fitted(weights, examples, mode="img2img"), 0)


def test_half_precision_on_a_cpu(painter: Path, examples: list[Example]) -> None:
    """Sixteen bits that a CPU does not have are refused; those that it has draw."""
    with pytest.raises(UserError, match="float16, which a CPU has not"):
        fitted(painter, examples, precision="float16")
    assert len(draw(fitted(painter, examples, mode="img2img", precision="bfloat16"), 0)) == 1


def test_refused_by_its_safety_checker(painter: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that the checker blackens is drawn again with further noise; where it always is, that is said."""
    from diffusers import StableDiffusionImg2ImgPipeline

    batched = fitted(painter, examples[:1], mode="img2img")
    plain = draw(batched, 1, 2)
    flags = iter([[True, False], [False]])
    kind = StableDiffusionImg2ImgPipeline
    monkeypatch.setattr(kind, "run_safety_checker", lambda _, drawn, *__: (drawn, next(flags)))
    again = draw(batched, 1, 2)
    assert next(flags, None) is None
    assert not np.array_equal(again[0].pixels, plain[0].pixels)
    assert np.array_equal(again[1].pixels, plain[1].pixels)
    monkeypatch.setattr(kind, "run_safety_checker", lambda _, drawn, *__: (drawn, [True] * len(drawn)))
    with pytest.raises(UserError, match="refuses what it draws 4 times in a row"):
        draw(batched, 1)


def test_short_of_memory(painter: Path, examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without memory for a batch gets half of it, again and again, and the images stay what they were."""
    import torch

    batched = fitted(painter, examples, mode="img2img")
    plain = draw(batched, *range(6))
    sizes: list[int] = []
    real = diffusion_pipelines.Pipeline._accepted

    def small(self: Any, each: Any, noise: Any, shared: Any) -> Any:
        sizes.append(len(noise))
        if len(noise) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, each, noise, shared)

    monkeypatch.setattr(diffusion_pipelines.Pipeline, "_accepted", small)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    again = draw(batched, *range(6))
    assert max(sizes) > 1
    for one, other in zip(plain, again, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1

    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(diffusion_pipelines.Pipeline, "_accepted", never)
    with pytest.raises(UserError, match="no memory for a single image"):
        draw(batched, 0)


def test_weights_that_change(tmp_path: Path, painter: Path, examples: list[Example]) -> None:
    """What was drawn by other weights, of the same name and size, is thrown away when a run goes on."""
    weights = tmp_path / "painter"
    shutil.copytree(painter, weights)
    settings = replace(FAST, pipelines=str(tmp_path), weights="painter", mode="img2img")
    scratch = tmp_path / "scratch"
    kept = scratch / "drawn" / "000000.png"

    def fitted_again() -> None:
        task = Task(
            run="guarded-1", arm="guarded", generation=1, classes=NAMES, depth=0, device="cpu", scratch=scratch
        )  # fmt: skip
        diffusion.fit(examples, replace(PARAMS, diffusion=settings), np.random.default_rng(0), task)

    fitted_again()
    kept.parent.mkdir()
    kept.write_bytes(b"")
    fitted_again()
    assert kept.exists()
    file = weights / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # a sign, or a digit of one number
    file.write_bytes(data)
    fitted_again()
    assert sorted(one.name for one in scratch.iterdir()) == ["key.json"]
