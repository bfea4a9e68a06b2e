"""The section `generate.diffusion` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Literal

from pipeline.core.schema import require

_LEVELS = 4  # the small model halves a crop twice
_GROUPS = 8  # of its normalisation, which its channels are divided into
_SMALLEST, _LARGEST = 8, 64  # pixels of its crops

Mode = Literal["crops", "img2img", "inpaint", "layout"]
Precision = Literal["auto", "float32", "float16", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diffusion:
    """The generator that denoises: a small model that is trained here, or a pipeline that the user has.

    Attributes:
        pipelines: folder of the pipelines that the user has, which DVC watches.
        weights: name of a diffusers pipeline's folder in there; None: a small model learns the objects of the previous
            run.
        crop: side of the crops that the small model learns, in pixels, a multiple of 4.
        channels: of its first level, a multiple of 8; the others have twice as many.
        steps: of its training.
        batch: crops a step of its training.
        learning_rate: highest of its training.
        draw_steps: steps of denoising an image.
        guidance: how much more than the data say the class is to count; None: not at all, and for a pipeline, its own.
        pages: images a batch.
        mode: what the pipeline in `weights` does.
        prompt: what it is told; `{classes}` stands for the names.
        strength: of img2img and inpaint, how much of the old is lost, in (0, 1].
        side: longer side at which the pipeline draws, in pixels; None: its own.
        precision: of the pipeline's arithmetic; auto: 16 bits on a GPU, 32 on a CPU.
    """

    pipelines: str = "models/pipelines"
    weights: str | None = None
    crop: int = 16
    channels: int = 32
    steps: int = 600
    batch: int = 64
    learning_rate: float = 0.002
    draw_steps: int = 15
    guidance: float | None = None
    pages: int = 64
    mode: Mode = "crops"
    prompt: str = "a photo of {classes}"
    strength: float = 0.5
    side: int | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        """Refuse what no model can be made of."""
        whole = _SMALLEST <= self.crop <= _LARGEST and self.crop % _LEVELS == 0
        require(whole, f"crop {self.crop}, wanted a multiple of {_LEVELS} from {_SMALLEST} to {_LARGEST} pixels")
        wide = self.channels >= _GROUPS and self.channels % _GROUPS == 0
        require(wide, f"channels {self.channels}, wanted a multiple of {_GROUPS}")
        for name in ("steps", "batch", "pages"):
            require(getattr(self, name) >= 1, f"{name} {getattr(self, name)}, wanted at least 1")
        require(2 <= self.draw_steps <= 1000, f"draw_steps {self.draw_steps}, wanted 2 to 1000")  # noqa: PLR2004
        require(0 < self.learning_rate < 1, f"learning_rate {self.learning_rate:g}, wanted a number in (0, 1)")
        require(self.guidance is None or self.guidance >= 0, f"guidance {self.guidance}, wanted 0 or more")
        require(0 < self.strength <= 1, f"strength {self.strength:g}, wanted a share in (0, 1]")
        paints_over = self.mode in ("img2img", "inpaint")
        left = int(self.draw_steps * self.strength)
        require(
            left >= 1 or not paints_over, f"strength {self.strength:g} of {self.draw_steps} draw_steps: no step is left"
        )
        require(self.side is None or self.side >= 8, f"side {self.side}, wanted at least 8 pixels")  # noqa: PLR2004
        require(bool(self.pipelines.strip()), "pipelines is empty, wanted a folder")
        require(self.weights is None or bool(self.weights.strip()), "weights is empty, wanted a folder, or null")
        inside = PurePosixPath(self.weights or "")
        require(
            not inside.is_absolute() and ".." not in inside.parts,
            f"weights {self.weights!r} leaves the folder {self.pipelines}, wanted a folder in it: DVC watches no other",
        )
        require(self.weights is not None or self.mode == "crops", f"mode is {self.mode}, which wants weights")
        require(_fills_classes_only(self.prompt), f"prompt {self.prompt!r}, wanted text in which {{classes}} may stand")

    @property
    def pipeline(self) -> Path | None:
        """Folder of the pipeline that draws; None: a small model."""
        return None if self.weights is None else Path(self.pipelines, self.weights)


def _fills_classes_only(prompt: str) -> bool:
    try:
        return all(name in (None, "classes") for _, name, _, _ in Formatter().parse(prompt)) and bool(prompt.strip())
    except ValueError:
        return False
