"""Backgrounds that are drawn and not copied: a model of whole pages without their objects.

A page is its light and its grain. The light, 8 x 8 colours, has principal components of its own; the grain is what is
left, as patches with theirs. Both are drawn from a Gaussian over the components and laid over one another. What the
components leave out is lost, so that a page which is learned from drawn pages is plainer than those were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import synthesis
from pipeline.core.synthesis import Example, Floats, Pixels

_SCENES = 200  # examples that the model is fitted to
_LIGHT = 8  # colours across and down
_LIGHT_COMPONENTS = 16
_PATCH = 16  # pixels; patches overlap by half
_PATCHES = 6000  # in all
_PATCH_COMPONENTS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gaussian:
    """mean + (spread * normal) @ components; features of what it was fitted to, shape (n, components)."""

    mean: Floats
    components: Floats
    spread: Floats
    features: Floats

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
        """So many samples, and their features."""
        features = (rng.normal(size=(count, len(self.spread))) * self.spread).astype(np.float32)
        return self.mean + features @ self.components, features


@dataclass(frozen=True, slots=True, kw_only=True)
class PageModel:
    """What pages look like without their objects.

    Attributes:
        light: of whole pages.
        grain: of patches.
        sizes: width and height of each page that it was fitted to, in pixels.
        image_ids: of those pages.
    """

    light: _Gaussian
    grain: _Gaussian
    sizes: tuple[tuple[int, int], ...]
    image_ids: tuple[str, ...]

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, str]:
        """A page, as large as one of the examples, and the id of the example whose light is most like."""
        width, height = self.sizes[int(rng.integers(len(self.sizes)))]
        colours, features = self.light.draw(rng, 1)
        page = cv2.resize(colours.reshape(_LIGHT, _LIGHT, 3), (width, height), interpolation=cv2.INTER_CUBIC)
        nearest = int(np.argmin(((self.light.features - features) ** 2).sum(axis=1)))
        whole = page + self._grain(rng, width, height)
        return np.clip(np.rint(whole), 0, 255).astype(np.uint8), self.image_ids[nearest]

    def _grain(self, rng: np.random.Generator, width: int, height: int) -> Floats:
        step = _PATCH // 2
        down, across = -(-height // step) + 1, -(-width // step) + 1
        drawn, _ = self.grain.draw(rng, down * across)
        # The squares of overlapping windows add up to 1: patches that know nothing of each other keep their spread.
        rise = np.sin(np.pi * (np.arange(_PATCH) + 0.5) / _PATCH)
        window = np.outer(rise, rise).astype(np.float32)[None, :, :, None]
        patches = (drawn.reshape(-1, _PATCH, _PATCH, 3) * window).reshape(down, across, 2, step, 2, step, 3)
        canvas = np.zeros((down + 1, step, across + 1, step, 3), dtype=np.float32)
        for row in (0, 1):
            for column in (0, 1):
                part = patches[:, :, row, :, column].transpose(0, 2, 1, 3, 4)
                canvas[row : row + down, :, column : column + across] += part
        flat = canvas.reshape((down + 1) * step, (across + 1) * step, 3)
        return flat[step : step + height, step : step + width]


def fit(examples: Sequence[Example], rng: np.random.Generator) -> PageModel:
    """Fit the model to the examples' backgrounds.

    Raises:
        UserError: an image is missing or damaged.
    """
    chosen = sorted(rng.permutation(len(examples))[:_SCENES].tolist())
    lights, grains, sizes = [], [], []
    for number in chosen:
        page = synthesis.background(examples[number], rng)
        height, width = page.shape[:2]
        colours = cv2.resize(page, (_LIGHT, _LIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
        smooth = cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC)
        lights.append(colours.ravel())
        grains.append(_patches(page.astype(np.float32) - smooth, max(_PATCHES // len(chosen), 1), rng))
        sizes.append((width, height))
    return PageModel(
        light=_gaussian(np.array(lights, dtype=np.float32), _LIGHT_COMPONENTS),
        grain=_gaussian(np.concatenate(grains), _PATCH_COMPONENTS),
        sizes=tuple(sizes),
        image_ids=tuple(examples[number].image_id for number in chosen),
    )


def _patches(grain: npt.NDArray[np.floating], count: int, rng: np.random.Generator) -> Floats:
    """Patches from anywhere on a page; one that is smaller than a patch is continued."""
    beyond = (0, max(_PATCH - grain.shape[0], 0), 0, max(_PATCH - grain.shape[1], 0))
    wide = cv2.copyMakeBorder(grain, *beyond, cv2.BORDER_REPLICATE)
    tops = rng.integers(wide.shape[0] - _PATCH + 1, size=count)
    lefts = rng.integers(wide.shape[1] - _PATCH + 1, size=count)
    cut = [wide[top : top + _PATCH, left : left + _PATCH].ravel() for top, left in zip(tops, lefts, strict=True)]
    return np.array(cut, dtype=np.float32)


def _gaussian(samples: Floats, most: int) -> _Gaussian:
    mean = samples.mean(axis=0)
    around = samples - mean
    kept = max(min(most, len(samples) - 1, samples.shape[1]), 1)
    # The covariance's eigenvectors: the singular vectors of all samples are the same, and take fifty times as long.
    _, axes = np.linalg.eigh(around.T @ around)
    components = np.ascontiguousarray(axes[:, ::-1][:, :kept].T)
    features = around @ components.T
    return _Gaussian(mean=mean, components=components, spread=features.std(axis=0), features=features)
