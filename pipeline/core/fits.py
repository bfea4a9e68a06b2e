"""How well a detector fits what it was trained on, beside what it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure, Fit
from pipeline.core.manifest import Row
from pipeline.core.metrics import Matches

_REPLICATES = 200  # of the bootstrap over images; these intervals are read, not tested
_LOSSES = {"box": "train/box_loss", "class": "train/cls_loss", "dfl": "train/dfl_loss"}


def sample(training: Sequence[Row], *, most: int, source: np.random.Generator) -> list[Row]:
    """At most so many of the training images, drawn without replacement, in their order; each image once."""
    once = list({row.path: row for row in training}.values())
    if len(once) <= most:
        return once
    return [once[index] for index in sorted(source.choice(len(once), size=most, replace=False))]


def read_losses(curve: Path) -> dict[str, tuple[float, ...]]:
    """The training losses, one value a round (a twentieth of the steps).

    Raises:
        UserError: the curve is missing or of another form.
    """
    try:
        frame = pd.read_csv(curve)
        return {name: tuple(frame[column].round(6).tolist()) for name, column in _LOSSES.items()}
    except FileNotFoundError:
        raise UserError(f"{curve} is missing. Run `uv run dvc repro` to make it.") from None
    except (KeyError, ValueError) as error:
        raise UserError(f"{curve} holds no training losses: {error}. Run `uv run dvc repro -f`.") from None


def fit(
    training: Matches,
    val: Matches,
    test: Figure,
    *,
    names: Sequence[str],
    losses: Mapping[str, tuple[float, ...]],
    source: np.random.Generator,
) -> Fit:
    """Compare the fit on training images with that on val and test.

    Args:
        training: predictions on training images against the labels that they were trained with.
        val: predictions on val.
        test: mAP50 on test, as the audit gives it.
        names: class names by id.
        losses: of the training.
        source: of the bootstrap.
    """
    seen = metrics.mean_average_precision(training)
    return Fit(
        train_map50=_map50(training, source, "no training image has a box"),
        val_map50=_map50(val, source, "no val image has a box"),
        test_map50=test,
        val_map50_95=metrics.mean_average_precision(val).map50_95,
        losses=losses,
        train_ap50={name: one.ap50 for name, one in zip(names, seen.by_class, strict=True)},
    )


def _map50(matches: Matches, source: np.random.Generator, absent: str) -> Figure:
    value = metrics.mean_average_precision(matches).map50
    if value is None:
        return Figure(value=None, reason=absent)
    drawn = source.multinomial(matches.images, np.full(matches.images, 1 / matches.images), size=_REPLICATES)
    with_box = metrics.average_precision(matches, weights=drawn)[:, :, 0]
    defined = np.isfinite(with_box)
    mean = np.nansum(with_box, axis=1)[defined.any(axis=1)] / defined.sum(axis=1)[defined.any(axis=1)]
    low, high = np.quantile(mean, [0.025, 0.975])
    return Figure(value=value, low=float(low), high=float(high), samples=matches.images)
