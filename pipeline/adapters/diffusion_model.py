"""The small model: a class-conditional diffusion model of object crops, trained here from nothing.

It sees a crop at half its side, two by two pixels as channels of one place, which takes half the time. And it learns
appearance and size of an object together: beside the colours, two channels hold its width and height, the same
everywhere. Sources: Ho, Jain & Abbeel 2020, "Denoising Diffusion Probabilistic Models"; Song, Meng & Ermon 2021,
"Denoising Diffusion Implicit Models"; Nichol & Dhariwal 2021 (the cosine schedule); Li & He 2025, "Back to Basics: Let
Denoising Generative Models Denoise" (prediction of the crop); Hang et al. 2023 (the weight of an error by its noise);
Lin et al. 2024 (noise that ends as nothing but noise); Ho & Salimans 2022 (guidance without a classifier).
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.adapters import diffusion_device, diffusion_kept
from pipeline.adapters.diffusion_pages import Crops
from pipeline.core import rng as seeds
from pipeline.core import stage
from pipeline.core.diffusion_settings import Diffusion
from pipeline.core.errors import UserError
from pipeline.core.synthesis import Floats

_FOLD = 2  # pixels, either way, that are channels of one place
_COLOURS = 3 * _FOLD**2
_CHANNELS = _COLOURS + 2  # colours, width, height
_NOISE_LEVELS = 1000
_UNLABELLED = 0.1  # share of the crops that are learned without their class, where guidance wants it
_WARM = 50  # steps until the learning rate is at its highest
_REMEMBERED = 0.99  # of the average of the weights, at each step
_HEAVIEST = 5.0  # weight of a crop's error at little noise, where that at most noise is 1
_LONGEST_STEP = 1.0  # norm of a gradient
_KEPT_EVERY = 5.0  # seconds
_SAID = 10  # times in a training
_PART = 512  # crops that are drawn at once
_FLATTEST = 8.0  # grey levels: crops without contrast are not blown up
_SPREAD = 3.0  # standard deviations of log size that are one
_NARROWEST = 0.05  # such a deviation


def noise_shape(side: int) -> tuple[int, int, int]:
    """Shape of the noise that a crop of this side, in pixels, is drawn from."""
    return _CHANNELS, side // _FOLD, side // _FOLD


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """Between crops and what the model sees, which lies in [-1, 1].

    Attributes:
        grey: grey levels that are one.
        centre: of the log sizes, shape (2,).
        spread: log size that is one, shape (2,).
    """

    grey: float
    centre: Floats
    spread: Floats

    def seen(self, crops: Crops) -> Floats:
        """The crops as the model sees them, shape (n, *noise_shape(side))."""
        count, side = crops.appearance.shape[:2]
        half = side // _FOLD
        folded = (crops.appearance / self.grey).reshape(count, half, _FOLD, half, _FOLD, 3)
        colours = folded.transpose(0, 2, 4, 5, 1, 3).reshape(count, _COLOURS, half, half)
        sizes = ((crops.log_size - self.centre) / self.spread)[:, :, None, None]
        both = [colours, np.broadcast_to(sizes, (count, 2, half, half))]
        clipped: Floats = np.clip(np.concatenate(both, axis=1), -1, 1).astype(np.float32)
        return clipped

    def shown(self, values: Floats) -> tuple[Floats, Floats]:
        """The other way: appearance, shape (n, side, side, 3), and log size, shape (n, 2)."""
        count, half = len(values), values.shape[2]
        folded = values[:, :_COLOURS].reshape(count, _FOLD, _FOLD, 3, half, half) * self.grey
        appearance = folded.transpose(0, 4, 1, 5, 2, 3).reshape(count, half * _FOLD, half * _FOLD, 3)
        log_size = values[:, _COLOURS:].mean(axis=(2, 3)) * self.spread + self.centre
        return appearance.astype(np.float32), log_size.astype(np.float32)


def fit_scaling(crops: Crops) -> Scaling:
    """The scaling that fits the crops, of which there is at least one."""
    return Scaling(
        grey=max(float(np.quantile(np.abs(crops.appearance), 0.999)), _FLATTEST),
        centre=crops.log_size.mean(axis=0),
        spread=np.maximum(crops.log_size.std(axis=0), _NARROWEST) * np.float32(_SPREAD),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A trained model.

    Attributes:
        net: predicts the crop.
        classes: its own number of each class id.
        scaling: of what it draws.
        settings: steps and guidance.
        device: that it is on.
        parts: crops that are drawn at once.
    """

    net: Any
    classes: dict[int, int]
    scaling: Scaling
    settings: Diffusion
    device: str
    parts: diffusion_device.Parts

    def draw(self, class_ids: npt.NDArray[np.int64], noise: Floats) -> tuple[Floats, Floats]:
        """Draw crops out of noise; the same noise gives the same crop.

        Args:
            class_ids: of classes that the model has learned, shape (n,).
            noise: standard normal, shape (n, *noise_shape(side)).

        Returns:
            Appearance as grey levels above the light, shape (n, side, side, 3), and log size, shape (n, 2).

        Raises:
            UserError: the model draws numbers that are none, or there is no memory.
        """
        numbers = np.array([self.classes[int(one)] for one in class_ids], dtype=np.int64)
        values = self.parts.each(len(numbers), lambda part: list(self._denoised(numbers[part], noise[part])))
        drawn = np.array(values, dtype=np.float32).reshape(noise.shape)
        if not np.isfinite(drawn).all():
            raise UserError(
                "generator diffusion: its model draws numbers that are none. Lower generate.diffusion.learning_rate "
                f"({self.settings.learning_rate:g}) and run the command again."
            )
        return self.scaling.shown(drawn)

    def _denoised(self, numbers: npt.NDArray[np.int64], noise: Floats) -> Floats:
        import torch
        from diffusers import DDIMScheduler

        scheduler = DDIMScheduler(**_schedule(), timestep_spacing="trailing", clip_sample=True)
        scheduler.set_timesteps(self.settings.draw_steps)
        labels = torch.from_numpy(numbers).to(self.device)
        nothing = torch.full_like(labels, len(self.classes))
        weight = 1.0 if self.settings.guidance is None else self.settings.guidance
        values = torch.from_numpy(noise).to(self.device)
        with torch.inference_mode():
            for moment in scheduler.timesteps:
                guess = self.net(values, moment, class_labels=labels).sample
                if weight != 1:
                    blind = self.net(values, moment, class_labels=nothing).sample
                    guess = blind + weight * (guess - blind)
                values = scheduler.step(guess, moment, values).prev_sample
        found: Floats = values.float().cpu().numpy()
        return found


def _schedule() -> dict[str, Any]:
    return {
        "num_train_timesteps": _NOISE_LEVELS,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "sample",
        "rescale_betas_zero_snr": True,
    }


def _net(settings: Diffusion, classes: int) -> Any:
    """The net, with one more class that stands for none."""
    from diffusers import UNet2DModel

    width = settings.channels
    return UNet2DModel(
        sample_size=settings.crop // _FOLD,
        in_channels=_CHANNELS,
        out_channels=_CHANNELS,
        layers_per_block=1,
        block_out_channels=(width, 2 * width),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
        num_class_embeds=classes + 1,
    )


class _Training:
    """Net, average of its weights, and optimizer, after so many steps; each step's chance is the step's own."""

    def __init__(self, crops: Crops, settings: Diffusion, *, seed: int, device: str) -> None:
        import torch
        from diffusers import DDPMScheduler

        self.classes = {int(one): number for number, one in enumerate(np.unique(crops.classes))}
        self.scaling = fit_scaling(crops)
        self._settings, self._seed, self._device = settings, seed, device
        self._values = torch.from_numpy(self.scaling.seen(crops)).to(device)
        self._labels = torch.tensor([self.classes[int(one)] for one in crops.classes], device=device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.seed_for(seed, "weights"))
            self.net = _net(settings, len(self.classes)).to(device).train()
        self.average = copy.deepcopy(self.net).eval().requires_grad_(requires_grad=False)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), settings.learning_rate, betas=(0.9, 0.99), fused=device == "cpu" or "cuda" in device
        )
        self._noise = DDPMScheduler(**_schedule())
        share = 1 - self._noise.alphas_cumprod.to(device)  # of the variance, that is noise
        self._weights = torch.clamp(1 / share, max=_HEAVIEST)
        self.step = 0

    def advance(self) -> float:
        """Take one step, and give its loss."""
        import torch

        chance = torch.Generator().manual_seed(seeds.seed_for(self._seed, "step", str(self.step)))
        size = self._settings.batch
        which = torch.randint(len(self._values), (size,), generator=chance)
        moments = torch.randint(_NOISE_LEVELS, (size,), generator=chance).to(self._device)
        noise = torch.randn((size, *self._values.shape[1:]), generator=chance).to(self._device)
        unlabelled = torch.rand((size,), generator=chance) < _UNLABELLED
        values, labels = self._values[which.to(self._device)], self._labels[which.to(self._device)]
        if self._settings.guidance is not None:
            labels = torch.where(unlabelled.to(self._device), len(self.classes), labels)
        noisy = self._noise.add_noise(values, noise, moments)
        errors = (self.net(noisy, moments, class_labels=labels).sample - values) ** 2
        loss = (errors.mean(dim=(1, 2, 3)) * self._weights[moments]).mean()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), _LONGEST_STEP)
        self.optimizer.step()
        self._remember()
        self.step += 1
        return float(loss.detach())

    def _learning_rate(self) -> float:
        """Up in a line, then down half a wave of the cosine."""
        falling = 0.5 * (1 + math.cos(math.pi * self.step / self._settings.steps))
        return self._settings.learning_rate * min((self.step + 1) / _WARM, falling)

    def _remember(self) -> None:
        import torch

        share = 1 - min(_REMEMBERED, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), share)


def train(crops: Crops, settings: Diffusion, *, seed: int, device: str, scratch: Path) -> Model:
    """Train a model from nothing, or go on with a training that was cut off, which ends in the same model.

    Args:
        crops: at least one.
        settings: of the model and of its training.
        seed: sets its chance.
        device: in torch's words.
        scratch: where the training is kept, every few seconds.

    Raises:
        UserError: the loss is no number any more, or the disk is full.
    """
    training = _Training(crops, settings, seed=seed, device=device)
    kept = diffusion_kept.Kept(scratch / "training.safetensors")
    if kept.restore(training):
        stage.report(f"  diffusion: the training goes on after step {training.step} of {settings.steps}")
    started = last = time.monotonic()
    every = max(settings.steps // _SAID, 1)
    while training.step < settings.steps:
        loss = training.advance()
        if not math.isfinite(loss):
            raise UserError(
                f"generator diffusion: the loss of its training is {loss} at step {training.step}, wanted a number. "
                f"Lower generate.diffusion.learning_rate ({settings.learning_rate:g}) and run the command again."
            )
        now = time.monotonic()
        if training.step % every == 0:
            stage.report(f"  diffusion: step {training.step}/{settings.steps}  {now - started:5.1f} s  loss {loss:.3f}")
        if now - last > _KEPT_EVERY or training.step == settings.steps:
            with diffusion_kept.writing():
                kept.save(training)
            last = now
    return Model(
        net=training.average, classes=training.classes, scaling=training.scaling, settings=settings, device=device,
        parts=diffusion_device.Parts(_PART),
    )  # fmt: skip
