"""A pipeline of diffusers that the user has, loaded from its folder, and made to draw image by image the same."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.adapters import diffusion_device
from pipeline.adapters.diffusion_weights import Weights
from pipeline.core import bounded
from pipeline.core.diffusion_settings import Diffusion
from pipeline.core.errors import UserError
from pipeline.core.synthesis import Pixels

_TRIES = 4  # at an image that the pipeline's own safety checker refuses
_PART = 16  # images at once, until the GPU says that these are too many
_MULTIPLE = 8  # pixels: that most pipelines want sides to be of, even where their nets do not
_SIDE = 512  # pixels, where a pipeline does not say at which size it draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A loaded pipeline.

    Attributes:
        call: the pipeline itself.
        accepts: names of its arguments.
        side: at which it draws, in pixels.
        multiple: that sides have to be of, in pixels.
        settings: how it draws.
        parts: images that are drawn at once.
    """

    call: Any
    accepts: frozenset[str]
    side: int
    multiple: int
    settings: Diffusion
    parts: diffusion_device.Parts

    def draw(
        self, each: Mapping[str, Sequence[Any]], sources: Sequence[np.random.Generator], **shared: Any
    ) -> list[Pixels]:
        """Draw images, each by noise of its own.

        Args:
            each: arguments of the pipeline, with a value an image.
            sources: random numbers of each image.
            shared: further arguments, the same for all; those that the pipeline does not know are left out.

        Raises:
            UserError: it gives numbers that are none, its safety checker refuses an image again and again, or there
                is no memory.
        """
        import torch

        seeds = [int(rng.integers(2**62)) for rng in sources]
        own = {"num_inference_steps": self.settings.draw_steps, "output_type": "np", **shared}
        if self.settings.guidance is not None:
            own["guidance_scale"] = self.settings.guidance
        known = {name: value for name, value in own.items() if name in self.accepts}

        def part(which: slice) -> list[Pixels]:
            # Noise is made on the CPU, whatever the device: the same for every size of a part.
            noise = [torch.Generator("cpu").manual_seed(seed) for seed in seeds[which]]
            return self._accepted({name: list(values[which]) for name, values in each.items()}, noise, known)

        return self.parts.each(len(seeds), part)

    def _accepted(self, each: Mapping[str, list[Any]], noise: Sequence[Any], shared: Mapping[str, Any]) -> list[Pixels]:
        """One part; what the safety checker refuses, and thus blackens, is drawn again with further noise."""
        found: dict[int, Pixels] = {}
        for _ in range(_TRIES):
            left = [number for number in range(len(noise)) if number not in found]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, about their own future
                drawn = self.call(
                    generator=[noise[number] for number in left],
                    **{name: [values[number] for number in left] for name, values in each.items()},
                    **shared,
                )
            refused = getattr(drawn, "nsfw_content_detected", None) or [False] * len(left)
            for number, pixels, bad in zip(left, drawn.images, refused, strict=True):
                if not bad:
                    found[number] = self._pixels(pixels)
            if len(found) == len(noise):
                return [found[number] for number in range(len(noise))]
        raise UserError(
            f"generator diffusion: the safety checker of {self.settings.weights} refuses what it draws {_TRIES} times "
            "in a row. Change generate.diffusion.prompt or mode, or take other weights."
        )

    def _pixels(self, drawn: npt.NDArray[np.floating[Any]]) -> Pixels:
        """From RGB in [0, 1] to BGR."""
        if not np.isfinite(drawn).all():
            raise UserError(
                f"generator diffusion: {self.settings.weights} gives numbers that are none, as 16 bits do where they "
                "do not suffice. Choose generate.diffusion.precision: float32, or bfloat16 where it is float16."
            )
        return np.ascontiguousarray(np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8)[:, :, ::-1])


def load(weights: Weights, settings: Diffusion, *, kind: str, device: str) -> Pipeline:
    """Load a pipeline from its folder.

    Args:
        weights: that were looked at.
        settings: of it.
        kind: name of the class of diffusers that loads it.
        device: in torch's words.

    Raises:
        UserError: the pipeline cannot do what is wanted, or its files are damaged.
    """
    diffusers = diffusion_device.libraries()
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = getattr(diffusers, kind).from_pretrained(
                weights.folder.absolute(), dtype=_precision(settings, device),
                local_files_only=True, use_safetensors=True, trust_remote_code=False, variant=weights.variant,
            ).to(device)  # fmt: skip
    except UserError:
        raise
    except Exception as error:  # a library that reads a damaged file may raise anything
        reason = bounded.shown(" ".join(str(error).split()), most=300)
        raise UserError(
            f"generate.diffusion.weights: {weights.folder}, a {weights.pipeline}, cannot be loaded for "
            f"generate.diffusion.mode: {settings.mode} ({type(error).__name__}: {reason})."
        ) from error
    found.set_progress_bar_config(disable=True)
    scale = int(getattr(found, "vae_scale_factor", 8))
    return Pipeline(
        call=found,
        accepts=frozenset(inspect.signature(type(found).__call__).parameters),
        side=settings.side or _native_side(found, scale),
        multiple=max(scale, _MULTIPLE),
        settings=settings,
        parts=diffusion_device.Parts(_PART),
    )


def _native_side(pipeline: Any, scale: int) -> int:
    """The side, in pixels, that the pipeline was trained at."""
    for name in ("unet", "transformer", "prior"):
        size = getattr(getattr(getattr(pipeline, name, None), "config", None), "sample_size", None)
        if isinstance(size, list | tuple):
            size = max(size)
        if isinstance(size, int):
            return size * scale
    return _SIDE


def _precision(settings: Diffusion, device: str) -> Any:
    import torch

    wanted = settings.precision
    if wanted == "float16" and device == "cpu":
        raise UserError("generate.diffusion.precision is float16, which a CPU has not; wanted auto or float32.")
    if wanted == "auto" and device == "cpu":
        wanted = "float32"
    elif wanted == "auto":
        wanted = "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float16"
    return getattr(torch, wanted)
