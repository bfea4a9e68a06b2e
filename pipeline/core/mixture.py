"""A small generator that learns: per class, principal components and a Gaussian mixture over object crops.

It forgets tails by itself: what lies outside the kept components, or too far from a cluster, is not drawn again.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core import images, page_model, synthesis
from pipeline.core.generate_settings import Generate, Mixture
from pipeline.core.synthesis import Drawn, Example, Floats

VERSION = "1"
_MOST_CROPS = 1500  # a class; more add time and no detail
_CROPS_A_CLUSTER = 12
_MOST_GROWTH = 2  # a drawn object is at most this many times as long as the longest of its class


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crops:
    """The crops of one class: appearance (n, side * side * 3), log size in pixels (n, 2), image ids (n)."""

    appearance: Floats
    log_size: Floats
    image_ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClassModel:
    """Appearance = mean + (features * scale) @ components; the last two features are the log size."""

    mean: Floats
    components: Floats
    scale: Floats
    centre: Floats
    features: Floats  # of the crops it was fitted to, shape (n, d)
    image_ids: list[str]
    mixture: Any  # None where there is one crop: it is drawn as it is
    side: int
    most: float  # log of the longest side that is drawn, in pixels

    def draw(self, rng: np.random.Generator) -> tuple[Floats, tuple[int, int], str]:
        """One object: its patch with surroundings, its own width and height, and the id of the image most like it."""
        if self.mixture is None:
            features = self.features[rng.integers(len(self.features))]
        else:
            cluster = rng.choice(len(self.mixture.weights_), p=self.mixture.weights_)
            spread = np.sqrt(self.mixture.covariances_[cluster])
            features = (self.mixture.means_[cluster] + spread * rng.normal(size=len(spread))).astype(np.float32)
        nearest = int(np.argmin(((self.features - features) ** 2).sum(axis=1)))
        raw = features * self.scale + self.centre
        appearance = self.mean + raw[:-2] @ self.components
        width, height = (max(round(float(side)), 2) for side in np.exp(np.clip(raw[-2:], 0, self.most)))
        patch = appearance.reshape(self.side, self.side, 3).astype(np.float32)
        margin = synthesis.context(width, height)
        size = (width + 2 * margin, height + 2 * margin)
        shrinks = size[0] * size[1] < self.side**2
        resized = cv2.resize(patch, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return resized, (width, height), self.image_ids[nearest]


def _collect(examples: Sequence[Example], side: int, rng: np.random.Generator) -> dict[int, _Crops]:
    places = [(example, index) for example in examples for index in range(len(example.boxes))]
    chosen: dict[int, list[tuple[Example, int]]] = {}
    for position in rng.permutation(len(places)):
        example, index = places[position]
        members = chosen.setdefault(example.boxes[index].class_id, [])
        if len(members) < _MOST_CROPS:
            members.append((example, index))
    wanted: dict[str, tuple[Example, list[int]]] = {}
    for members in chosen.values():
        for example, index in members:
            wanted.setdefault(example.image_id, (example, []))[1].append(index)
    found: dict[int, list[tuple[Floats, tuple[float, float], str]]] = {class_id: [] for class_id in chosen}
    for example, indices in wanted.values():  # each image is decoded once
        pixels = images.read(example.path)
        for index in indices:
            box = example.boxes[index]
            place = synthesis.to_pixels(box, pixels)
            crop = synthesis.cut_with_context(pixels, place).astype(np.float32)
            relative = crop - synthesis.rim_level(crop)
            flat = cv2.resize(relative, (side, side), interpolation=cv2.INTER_AREA).ravel()
            found[box.class_id].append((flat, (np.log(place.width), np.log(place.height)), example.image_id))
    return {
        class_id: _Crops(
            appearance=np.array([crop[0] for crop in crops], dtype=np.float32),
            log_size=np.array([crop[1] for crop in crops], dtype=np.float32),
            image_ids=[crop[2] for crop in crops],
        )
        for class_id, crops in sorted(found.items())
    }


def _fit_class(crops: _Crops, params: Mixture, seed: int) -> _ClassModel:
    # Unless told, scikit-learn counts the cores with lscpu, and prints a traceback where a slim container lacks it.
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    count = len(crops.appearance)
    mean = crops.appearance.mean(axis=0)
    kept = max(min(params.components, count - 1), 1)
    _, _, axes = np.linalg.svd(crops.appearance - mean, full_matrices=False)
    components = axes[:kept]
    raw = np.concatenate([(crops.appearance - mean) @ components.T, crops.log_size], axis=1)
    centre = raw.mean(axis=0)
    # Appearance keeps its own proportions; log sizes are brought to the spread of the first component.
    spread = np.concatenate(
        [np.full(kept, max(float(raw[:, 0].std()), 1e-6)), np.maximum(raw[:, -2:].std(axis=0), 1e-3)]
    )
    features: npt.NDArray[np.float32] = ((raw - centre) / spread).astype(np.float32)
    mixture = None
    if count > 1:
        clusters = min(params.clusters, max(count // _CROPS_A_CLUSTER, 1))
        mixture = GaussianMixture(
            clusters, covariance_type="diag", random_state=seed % 2**31, reg_covar=1e-4, max_iter=60
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 60 rounds are near enough to draw from
            mixture.fit(features)
    return _ClassModel(
        mean=mean, components=components, scale=spread.astype(np.float32), centre=centre.astype(np.float32),
        features=features, image_ids=crops.image_ids, mixture=mixture, side=params.crop,
        most=float(crops.log_size.max()) + float(np.log(_MOST_GROWTH)),
    )  # fmt: skip


def fit(examples: Sequence[Example], params: Generate, rng: np.random.Generator) -> synthesis.Draw:
    """Fit the generator; a class without a single object in the examples is never drawn."""
    layout = synthesis.fit_layout(examples)
    crops = _collect(examples, params.mixture.crop, rng)
    models = {
        class_id: _fit_class(members, params.mixture, int(rng.integers(2**31))) for class_id, members in crops.items()
    }

    pages = page_model.fit(examples, rng) if params.mixture.backgrounds == "patches" else None

    def draw(rng: np.random.Generator) -> Drawn:
        if pages is not None:
            page, scene_id = pages.draw(rng)
        else:
            scene = examples[int(rng.integers(len(examples)))]
            page, scene_id = synthesis.background(scene, rng), scene.image_id
        parents = {scene_id}
        taken: list[synthesis.PixelBox] = []
        boxes = []
        for class_id in layout.classes_of_a_page(rng):
            patch, size, parent = models[class_id].draw(rng)
            place = layout.place(rng, size, page, taken)
            if place is None:
                continue
            page = synthesis.blend(page, patch, place, synthesis.soft_mask(*size, synthesis.context(*size)))
            taken.append(place)
            parents.add(parent)
            boxes.append(synthesis.to_label(place, class_id, page))
        return Drawn(pixels=page, boxes=tuple(boxes), parents=tuple(sorted(parents)))

    return draw
