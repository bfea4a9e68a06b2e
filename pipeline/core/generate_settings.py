"""The section `generate` of params.yaml: which generator, and the settings of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from string import Formatter
from typing import Any, Literal

from pipeline.core import generator_names
from pipeline.core.diffusion_settings import Diffusion
from pipeline.core.schema import require

_PLACES = {"run", "arm", "generation"}  # what `folder.of_a_run` may hold in braces


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """The generator that learns: per class, PCA and a Gaussian mixture over crops."""

    crop: int
    components: int
    clusters: int
    backgrounds: Literal["real", "patches"] = "real"

    def __post_init__(self) -> None:
        """Refuse a model of nothing."""
        require(self.crop >= 4, f"crop {self.crop}, wanted at least 4 pixels")  # noqa: PLR2004
        require(min(self.components, self.clusters) >= 1, "components and clusters: wanted at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPaste:
    """The generator that cuts objects out and pastes them elsewhere."""

    scale: tuple[float, float]
    rotate: float
    brightness: float
    colour: float
    blend: Literal["soft", "poisson", "multiband"]
    max_occlusion: float | None = None  # None: as in the data
    masks: Literal["grabcut", "box"] = "grabcut"
    light: Literal["match", "own"] = "match"
    truncated: float = 0.05
    max_truncation: float = 0.5
    rare_boost: float = 0.0
    max_repeats: int = 20
    memory: int = 512  # MiB

    def __post_init__(self) -> None:
        """Refuse impossible changes."""
        require(0 < self.scale[0] <= self.scale[1], f"scale {self.scale}, wanted 0 < low <= high")
        for name in ("max_occlusion", "truncated", "rare_boost"):
            value = getattr(self, name)
            require(value is None or 0 <= value <= 1, f"{name} {value}, wanted a share in [0, 1]")
        require(0 < self.max_truncation < 1, f"max_truncation {self.max_truncation:g}, wanted a share in (0, 1)")
        require(0 <= self.brightness < 1 and 0 <= self.colour < 1, "brightness and colour: wanted fractions in [0, 1)")
        require(self.max_repeats >= 1, f"max_repeats {self.max_repeats}, wanted at least 1")
        require(self.memory >= 1, f"memory {self.memory}, wanted at least 1 MiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Images that another generator made."""

    path: str
    of_a_run: str
    labels: Literal["own", "none"]
    tool: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """Refuse a place that is none, or that leads out of the folder."""
        require(bool(self.path), "path is empty, wanted a folder")
        try:
            names = {name for _, name, _, _ in Formatter().parse(self.of_a_run) if name is not None}
        except ValueError:
            names = {"{"}
        known = ", ".join(f"{{{name}}}" for name in sorted(_PLACES))
        require(names <= _PLACES, f"of_a_run {self.of_a_run!r}, wanted a folder's name in which {known} may stand")
        parts = PurePosixPath(self.of_a_run)
        require(not parts.is_absolute() and ".." not in parts.parts, f"of_a_run {self.of_a_run!r} leaves the folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """How synthetic images are made and labelled; which names of generators there are, the registry knows."""

    generator: str
    labels: Literal["detector", "layout"]
    confidence: float
    images: int
    mixture: Mixture
    copy_paste: CopyPaste
    timeout: float = 60.0
    fit_timeout: float = 3600.0
    diffusion: Diffusion = field(default_factory=Diffusion)
    folder: Folder = field(default_factory=lambda: Folder(path="data/outside", of_a_run="{run}", labels="own"))
    options: Mapping[str, Any] = field(default_factory=dict)  # of a generator of the user's own

    def __post_init__(self) -> None:
        """Refuse an empty generation."""
        problem = generator_names.problem(self.generator)
        require(not problem, problem)
        require(self.images > 0, f"images {self.images}, wanted at least 1")
        require(0 < self.confidence < 1, f"confidence {self.confidence:g}, wanted a number in (0, 1)")
        require(min(self.timeout, self.fit_timeout) > 0, "timeout and fit_timeout: wanted more than 0 seconds")
        require(
            self.generator != "folder" or self.folder.labels == "own" or self.labels == "detector",
            "folder.labels is none, and labels is layout: wanted labels: detector, which finds them",
        )
