"""How much disk a night takes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.core import paths
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths

_TWICE = 2  # what a stage writes is in the workspace and in DVC's cache
_BYTES_A_PIXEL = 3
_BYTES_A_TRAINING = 200_000_000  # of weights, tables and scratch files; large detectors have 140 MB
_LEAST = 100_000_000


def taken(runs: Iterable[str]) -> int:
    """Bytes that the outputs of runs take, in the workspace and in the cache."""
    return _TWICE * sum(_size(path) for run in runs for path in RunPaths(run).outs)


def needed(settings: Params, *, last: int | None, runs: int) -> int:
    """Bytes that the next night will take: what the last one took, else what the newest run did, else an estimate.

    Args:
        settings: of the project.
        last: bytes that the last night took; None where that is not known.
        runs: how many the next night makes.
    """
    if last is None:
        finished = [run for run in settings.runs if RunPaths(run).gate.exists()]
        last = taken(finished[-1:]) * runs
    if not last:
        image = _BYTES_A_PIXEL * settings.train.image_size**2
        last = _TWICE * runs * (settings.generate.images * image + _BYTES_A_TRAINING)
    return max(last, _LEAST)


def places(cache: Path) -> tuple[Path, ...]:
    """Folders on each disk that a night writes to, one a disk.

    Args:
        cache: DVC's, absolute; it may not be there yet.
    """
    found: dict[int, Path] = {}
    for path in (Path(), paths.STATE, cache):
        there = next(each for each in (path, *path.absolute().parents) if each.exists())
        found.setdefault(there.stat().st_dev, there)
    return tuple(found.values())


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
