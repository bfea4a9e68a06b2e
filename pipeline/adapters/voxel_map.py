"""Where images lie in the Embeddings panel: the two main directions of the fixed embedding of the real images.

The directions are those of the real images alone, so that those of a new generation do not move what was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.adapters import voxel_labels
from pipeline.adapters.voxel_contents import EMBEDDING
from pipeline.core import object_memory, paths
from pipeline.core.manifest import Row


def fit(dataset: Any, rows: Sequence[Row]) -> None:
    """Find the directions from the images that are there, which are the real ones, and place these.

    Args:
        dataset: with the real images alone.
        rows: of these images.

    Source: principal component analysis: Pearson 1901, "On lines and planes of closest fit to systems of points in
    space", Philosophical Magazine 2 (11).
    """
    vectors = _vectors(dataset, rows)
    mean = vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(vectors - mean, full_matrices=False)
    axes = np.zeros((2, vectors.shape[1]))
    axes[: len(directions[:2])] = directions[:2]
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.where(axes[[0, 1], largest] < 0, -1.0, 1.0)[:, None]  # else the sign is left to chance
    dataset.info["map"] = {"mean": mean.tolist(), "axes": axes.tolist()}
    dataset.save()
    _set(dataset, dataset, vectors)


def place(samples: Any, rows: Sequence[Row]) -> None:
    """Place the images of a view, of which these are the rows; those of the whole dataset have their directions."""
    if len(samples):
        _set(samples._dataset, samples, _vectors(samples, rows))  # noqa: SLF001 - views have no other word for it


def save(dataset: Any) -> None:
    """Save the places as a result that the Embeddings panel can show."""
    import fiftyone.brain as fob

    points = np.array(dataset.values("point"), dtype=np.float64)
    if EMBEDDING in dataset.list_brain_runs():
        dataset.delete_brain_run(EMBEDDING)
    fob.compute_visualization(dataset, points=points, brain_key=EMBEDDING, method="manual", verbose=False)


def _vectors(samples: Any, rows: Sequence[Row]) -> Any:
    known = {row.image_id: row for row in rows}
    found = [known[image_id] for image_id in samples.values("image_id")]
    return object_memory.image_vectors(paths.OBJECTS, found).astype(np.float64)


def _set(dataset: Any, samples: Any, vectors: Any) -> None:
    known = dataset.info["map"]
    points = (vectors - np.array(known["mean"])) @ np.array(known["axes"]).T
    places = [[round(x, 6), round(y, 6)] for x, y in points.tolist()]
    voxel_labels.write_fields(dataset, samples.values("_id"), {"point": places})
