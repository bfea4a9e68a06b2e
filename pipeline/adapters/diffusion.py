"""The generator `diffusion`: objects or whole images that a diffusion model draws; docs/diffusion.md.

Without weights, a small model is trained on the objects of the previous run, so that each generation learns from the
last one's output; with weights, a pipeline that the user has draws.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.adapters import (
    diffusion_device,
    diffusion_kept,
    diffusion_model,
    diffusion_modes,
    diffusion_pages,
    diffusion_weights,
)
from pipeline.adapters.diffusion_model import Model
from pipeline.adapters.diffusion_pages import Crops, Painted, Wanted
from pipeline.core import files, stage
from pipeline.core.generate_settings import Generate
from pipeline.core.synthesis import Batched, Example, Floats, Task

VERSION = "1"
_LEAST = 3  # objects of a class that a model can learn anything from
_MOST_GROWTH = 2  # a drawn object is at most this many times as long as the longest of its class
_SMALLEST = 2  # pixels of an object's sides


def fit(examples: Sequence[Example], params: Generate, rng: np.random.Generator, task: Task) -> Batched:
    """Train the small model, or load the pipeline that `weights` names.

    Raises:
        UserError: packages, weights or a GPU are missing, the weights are refused, or the training fails.
    """
    settings = params.diffusion
    diffusion_device.libraries()
    device = diffusion_device.chosen(task.device)
    if settings.pipeline is not None:
        weights = diffusion_weights.look(settings.pipeline)
        apart(task.scratch, {"weights": weights.digest, **_code()})
        return diffusion_modes.fit(examples, settings, task.classes, weights, device=device)
    apart(task.scratch, _code())
    crops = diffusion_pages.collect(examples, side=settings.crop, rng=rng)
    paint = _learn(crops, params, task, seed=int(rng.integers(2**62)), device=device)
    return diffusion_pages.compose(
        examples, paint, pages=settings.pages, details={"model": "trained here", **diffusion_device.versions()}
    )


def _code() -> dict[str, str]:
    """Digests of what draws: libraries by version, this generator's own files by their bytes."""
    own = sorted(Path(__file__).parent.glob("diffusion*.py"))
    return {**diffusion_device.versions(), **{one.name: files.sha256_file(one) for one in own}}


def apart(scratch: Path, key: Mapping[str, str]) -> None:
    """Empty the folder of what was kept under another key: libraries, weights, nothing that params.yaml would say."""
    written = scratch / "key.json"
    text = json.dumps(dict(key), sort_keys=True)
    if written.exists() and written.read_text() != text:
        for one in scratch.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    with diffusion_kept.writing():
        files.write_text(written, text)


def _learn(crops: Crops, params: Generate, task: Task, *, seed: int, device: str) -> Painter:
    """Train a model of the classes that can be learned; say which cannot."""
    classes, counts = np.unique(crops.classes, return_counts=True)
    few = {int(one): int(count) for one, count in zip(classes, counts, strict=True) if count < _LEAST}
    if few:
        named = ", ".join(f"{task.classes[one]} {count}" for one, count in few.items())
        stage.report(f"  diffusion: too few objects to learn from, which are copied as they are: {named}")
    known = crops.take(np.flatnonzero(~np.isin(crops.classes, list(few))))
    model = None
    if len(known):
        model = diffusion_model.train(known, params.diffusion, seed=seed, device=device, scratch=task.scratch)
    return Painter(crops, model)


class Painter:
    """Draws objects by the small model, and copies those of classes that it could not learn."""

    def __init__(self, crops: Crops, model: Model | None) -> None:
        """Take the objects that there are, and the model, if any of them can be learned."""
        self._crops, self._model = crops, model
        self._of_class = {int(one): np.flatnonzero(crops.classes == one) for one in np.unique(crops.classes)}

    def __call__(self, wanted: Sequence[Wanted]) -> list[Painted]:
        """Draw these objects, all at once; each by the random numbers of its own page."""
        known = [one.class_id for one in wanted if self._learned(one.class_id)]
        shape = diffusion_model.noise_shape(self._crops.appearance.shape[1])
        noise = [one.rng.standard_normal(shape, dtype=np.float32) for one in wanted if self._learned(one.class_id)]
        drawn: Iterator[Painted] = iter(())
        if self._model is not None and known:
            drawn = self._shown(known, *self._model.draw(np.array(known), np.array(noise)))
        return [next(drawn) if self._learned(one.class_id) else self._copied(one) for one in wanted]

    def _learned(self, class_id: int) -> bool:
        return self._model is not None and class_id in self._model.classes

    def _copied(self, wanted: Wanted) -> Painted:
        members = self._of_class[wanted.class_id]
        one = int(members[wanted.rng.integers(len(members))])
        return self._painted(self._crops.appearance[one], self._crops.log_size[one], one)

    def _shown(self, class_ids: Sequence[int], appearance: Floats, log_size: Floats) -> Iterator[Painted]:
        """What was drawn, each with the object that it is most like as its parent."""
        for class_id, patch, size in zip(class_ids, appearance, log_size, strict=True):
            members = self._of_class[class_id]
            apart = ((self._crops.appearance[members] - patch) ** 2).sum(axis=(1, 2, 3))
            longest = float(self._crops.log_size[members].max()) + np.log(_MOST_GROWTH)
            yield self._painted(patch, np.minimum(size, longest), int(members[np.argmin(apart)]))

    def _painted(self, patch: Floats, log_size: Floats, parent: int) -> Painted:
        width, height = (max(round(float(side)), _SMALLEST) for side in np.exp(log_size))
        return Painted(patch=patch, size=(width, height), parents=(self._crops.image_ids[parent],))
