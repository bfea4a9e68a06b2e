"""One FiftyOne database for the tests of a session, and short words for what is in it."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters import voxel
from pipeline.core import paths


def connected(folder: Path) -> Iterator[Any]:
    """FiftyOne, connected to a database in a folder; the environment is as before when the tests are done."""
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "DATABASE", folder / ".fiftyone")
        patch.setattr(paths, "PLUGINS", folder / "plugins")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of FiftyOne's own imports
            fo = voxel.connect()
            importlib.import_module("plugins.panels.model_evaluation")
        fo.config.show_progress_bars = False
        yield fo
    os.environ.clear()
    os.environ.update(before)


def values_of(samples: Any, path: str) -> list[Any]:
    """Values of a field, one a sample; a missing list is empty."""
    return [one or [] for one in samples.values(path)]


def flat(samples: Any, path: str) -> list[Any]:
    """Values of an attribute of labels, sample after sample, in one list."""
    return [one for image in values_of(samples, path) for one in image]
