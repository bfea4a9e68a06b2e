"""The small model: the same for the same seed, gone on with where it was cut off, and honest about what it lacks."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.adapters import diffusion, diffusion_device, diffusion_kept, diffusion_model
from pipeline.adapters.diffusion_pages import Crops, Wanted
from pipeline.core import cores, files
from pipeline.core.diffusion_settings import Diffusion
from pipeline.core.errors import UserError
from pipeline.core.synthesis import Batched, Drawn, Example, Task
from tests import builders, diffusion_builders
from tests.core.test_synthesis import PARAMS

pytestmark = [pytest.mark.slow, diffusion_builders.needs_diffusers]
TINY = Diffusion(crop=8, channels=8, steps=6, batch=4, draw_steps=2, pages=3)


def crops(*counts: int, seed: int = 0) -> Crops:
    """So many crops of each class: light and dark ones, about 12 by 20 pixels."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(len(counts)), counts)
    level = np.where(classes % 2, 100.0, -100.0)[:, None, None, None]
    return Crops(
        appearance=(level + rng.normal(0, 10, (len(classes), 8, 8, 3))).astype(np.float32),
        log_size=(np.log([12, 20]) + rng.normal(0, 0.1, (len(classes), 2))).astype(np.float32),
        classes=classes,
        image_ids=tuple(builders.sha(number) for number in range(len(classes))),
    )


def task(folder: Path) -> Task:
    """Images for a first generation of three classes."""
    return Task(
        run="guarded-1", arm="guarded", generation=1, classes=("cat", "dog", "cow"), depth=0, device="cpu",
        scratch=folder / "scratch",
    )  # fmt: skip


def examples(folder: Path) -> list[Example]:
    """Four images with objects of class 0, one with an object of class 2."""
    made = [
        builders.example(folder, f"page {number}", [builders.box(0, x=0.3 + 0.1 * number)], seed=number)
        for number in range(4)
    ]
    return [*made, builders.example(folder, "rare", [builders.box(2)], seed=9)]


def fitted(folder: Path, known: list[Example], settings: Diffusion = TINY, *, seed: int = 0) -> Batched:
    """The generator, ready to draw."""
    return diffusion.fit(known, replace(PARAMS, diffusion=settings), np.random.default_rng(seed), task(folder))


def draw(batched: Batched, *seeds: int) -> list[Drawn]:
    """Images of these seeds."""
    return batched.draw([np.random.default_rng(seed) for seed in seeds])


@pytest.fixture(autouse=True)
def in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries keep what they like to keep in the project's folder."""
    monkeypatch.chdir(tmp_path)


def noise(count: int) -> Any:
    """Noise for so many crops."""
    return np.random.default_rng(5).standard_normal((count, *diffusion_model.noise_shape(8)), dtype=np.float32)


def test_scaling() -> None:
    """What the model sees lies in [-1, 1], and leads back to appearance and size."""
    before = crops(5, 5)
    scaling = diffusion_model.fit_scaling(before)
    seen = scaling.seen(before)
    assert seen.shape == (10, *diffusion_model.noise_shape(8))
    assert np.abs(seen).max() <= 1
    appearance, log_size = scaling.shown(seen)
    assert np.abs(appearance - before.appearance).max() < 15  # a thousandth of the pixels is cut off
    assert log_size == pytest.approx(before.log_size, abs=1e-4)


def test_same_bytes_twice(tmp_path: Path) -> None:
    """The same seed trains the same model and draws the same images, byte by byte; another seed does not."""
    known = examples(tmp_path)
    first, again, other = (
        draw(fitted(tmp_path / name, known, seed=seed), 1, 2, 3)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert [page.pixels.tobytes() for page in first] == [page.pixels.tobytes() for page in again]
    assert [(page.boxes, page.parents) for page in first] == [(page.boxes, page.parents) for page in again]
    assert [page.pixels.tobytes() for page in first] != [page.pixels.tobytes() for page in other]


@pytest.mark.parametrize("stop", [1, 3, 6], ids=["after the first step", "in the middle", "at the end"])
def test_training_that_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    """A training that is cut off anywhere goes on to the same model, and does no step twice that was kept."""
    whole = diffusion_model.train(crops(5, 5), TINY, seed=3, device="cpu", scratch=tmp_path / "whole")
    monkeypatch.setattr(diffusion_model, "_KEPT_EVERY", -1.0)
    steps: list[int] = []
    real = diffusion_model._Training.advance

    def counting(self: Any) -> float:
        if len(steps) == stop:
            raise KeyboardInterrupt
        steps.append(self.step)
        return real(self)

    monkeypatch.setattr(diffusion_model._Training, "advance", counting)
    if stop < TINY.steps:
        with pytest.raises(KeyboardInterrupt):
            diffusion_model.train(crops(5, 5), TINY, seed=3, device="cpu", scratch=tmp_path / "cut")
        stop = 100
    model = diffusion_model.train(crops(5, 5), TINY, seed=3, device="cpu", scratch=tmp_path / "cut")
    model = diffusion_model.train(crops(5, 5), TINY, seed=3, device="cpu", scratch=tmp_path / "cut")
    assert steps == list(range(TINY.steps))
    ids = np.array([0, 1, 1])
    for one, other in zip(whole.draw(ids, noise(3)), model.draw(ids, noise(3)), strict=True):
        assert np.array_equal(one, other)


def test_damaged_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that cannot be read is no reason to stop: the training begins anew, and ends the same."""
    whole = diffusion_model.train(crops(5, 5), TINY, seed=3, device="cpu", scratch=tmp_path)
    file = tmp_path / "training.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    again = diffusion_model.train(crops(5, 5), TINY, seed=3, device="cpu", scratch=tmp_path)
    assert np.array_equal(whole.draw(np.array([0]), noise(1))[0], again.draw(np.array([0]), noise(1))[0])


def test_it_learns(tmp_path: Path) -> None:
    """A model learns what its classes look like, and how large they are."""
    settings = replace(TINY, steps=250, batch=32, channels=16, draw_steps=10, learning_rate=0.004)
    model = diffusion_model.train(crops(60, 60), settings, seed=0, device="cpu", scratch=tmp_path)
    ids = np.repeat([0, 1], 20)
    appearance, log_size = model.draw(ids, noise(40))
    dark, light = appearance[:20].mean(axis=(1, 2, 3)), appearance[20:].mean(axis=(1, 2, 3))
    assert dark.max() < -50
    assert light.min() > 50
    assert np.exp(log_size).mean(axis=0) == pytest.approx((12, 20), rel=0.15)


def test_guidance(tmp_path: Path) -> None:
    """Guidance moves what is drawn away from what the model draws of no class; a weight of 1 is none."""
    plain = diffusion_model.train(crops(5, 5), TINY, seed=0, device="cpu", scratch=tmp_path / "plain")
    ids = np.array([0, 1])
    drawn = {}
    for weight in (None, 1.0, 3.0):
        model = replace(plain, settings=replace(TINY, guidance=weight))
        drawn[weight] = model.draw(ids, noise(2))[0]
    assert np.array_equal(drawn[None], drawn[1.0])
    assert not np.allclose(drawn[None], drawn[3.0])


def test_few_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class of one or two objects is copied as it is, said by name; a class of none is never drawn."""
    pages = draw(fitted(tmp_path, examples(tmp_path)), *range(12))
    assert "too few objects to learn from, which are copied as they are: cow 1" in capsys.readouterr().err
    assert {box.class_id for page in pages for box in page.boxes} == {0, 2}
    for page in pages:
        if any(box.class_id == 2 for box in page.boxes):
            assert builders.sha("rare") in page.parents


@pytest.mark.parametrize("count", [1, 2, 3], ids=["one", "two", "three"])
def test_how_few(tmp_path: Path, count: int) -> None:
    """One object or two are copied, three are learned."""
    known = crops(4, count)
    model = diffusion._learn(known, replace(PARAMS, diffusion=TINY), task(tmp_path), seed=0, device="cpu")
    drawn = model([Wanted(class_id=1, page=(40, 40), rng=np.random.default_rng(seed)) for seed in range(6)])
    copied = {patch.tobytes() for patch in known.appearance[4:]}
    assert ({one.patch.tobytes() for one in drawn} == copied) == (count < 3)


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot take what is kept ends the training, in words."""

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(UserError, match=r"generator diffusion: the disk is full: .*training.safetensors"):
        diffusion_model.train(crops(5), TINY, seed=0, device="cpu", scratch=tmp_path)


def test_only_few_objects(tmp_path: Path) -> None:
    """Where no class can be learned, nothing is trained, and pages are made all the same."""
    pages = draw(fitted(tmp_path, examples(tmp_path)[-2:]), *range(8))
    assert {box.class_id for page in pages for box in page.boxes} == {0, 2}
    assert not (tmp_path / "scratch" / "training.safetensors").exists()


def test_parents(tmp_path: Path) -> None:
    """An object's parent is the image whose object it is most like."""
    known = crops(4)
    painter = diffusion.Painter(known, diffusion_model.train(known, TINY, seed=0, device="cpu", scratch=tmp_path))
    one = painter([Wanted(class_id=0, page=(40, 40), rng=np.random.default_rng(2))])[0]
    apart = [float(((one.patch - other) ** 2).sum()) for other in known.appearance]
    assert one.parents == (known.image_ids[int(np.argmin(apart))],)


def test_loss_that_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that diverges says so, with what to lower."""
    monkeypatch.setattr(diffusion_model._Training, "advance", lambda _: float("nan"))
    with pytest.raises(UserError, match=r"loss of its training is nan at step 0.*learning_rate \(0\.002\)"):
        diffusion_model.train(crops(5), TINY, seed=0, device="cpu", scratch=tmp_path)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    """A model that draws no numbers is said to, and draws nothing."""
    import torch

    model = diffusion_model.train(crops(5), TINY, seed=0, device="cpu", scratch=tmp_path)
    torch.nn.init.constant_(model.net.conv_out.bias, float("nan"))
    with pytest.raises(UserError, match="draws numbers that are none"):
        model.draw(np.array([0]), noise(1))


def test_short_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops that do not fit into memory at once are drawn in halves, and are the same."""
    import torch

    model = diffusion_model.train(crops(5), TINY, seed=0, device="cpu", scratch=tmp_path)
    ids = np.zeros(8, dtype=np.int64)
    plain = model.draw(ids, noise(8))[0]
    real = diffusion_model.Model._denoised
    sizes: list[int] = []

    def small(self: Any, numbers: Any, some: Any) -> Any:
        sizes.append(len(numbers))
        if len(numbers) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, numbers, some)

    monkeypatch.setattr(diffusion_model.Model, "_denoised", small)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert model.draw(ids, noise(8))[0] == pytest.approx(plain, abs=0.01)
    assert sizes == [8, 4, 2, 2, 2, 2]


def test_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU by a number that there is none of is refused; `auto` takes the CPU where there is no GPU."""
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *_, **__: None)
    assert diffusion_device.chosen("auto") == "cpu"
    assert diffusion_device.chosen("0,1") == "cuda:0"
    with pytest.raises(UserError, match="device is 3, and torch sees 1 GPUs"):
        diffusion_device.chosen(3)


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU it takes the cores that trainings may have, however many OMP_NUM_THREADS says."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    try:
        for limit in (1, cores.available()):
            monkeypatch.setenv(cores.THREADS_VARIABLE, str(limit))
            diffusion_device.chosen("cpu")
            assert torch.get_num_threads() == limit
    finally:
        torch.set_num_threads(before)


def test_nothing_kept(tmp_path: Path) -> None:
    """Where nothing was kept, nothing is restored."""
    assert not diffusion_kept.Kept(tmp_path / "none.safetensors").restore(None)  # type: ignore[arg-type]
