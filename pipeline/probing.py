"""How long a training step takes on this machine, with these images: some are trained, and nothing is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import bounded, images, labels, locks, paths, stage
from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.core.sections import Train
from pipeline.core.sources.found import Source, SourceImage, to_box

_PROBE = paths.STATE / "probe"
_PROBE_STEPS = 8
_BUSY = 0.6  # share of the cores that a training gets, under which other programs slow it down
_ALONE = 0.85  # share of the cores that a small training keeps busy on an idle machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How long a step takes here.

    Attributes:
        now: seconds, with whatever else runs.
        alone: seconds on the same machine when it is idle; measured or, where it is busy, from the processor's time.
        device: cpu, or the GPUs.
        cores: that a training may use.
    """

    now: float
    alone: float
    device: str
    cores: int

    @property
    def slower(self) -> float:
        """How many times as long everything takes while the machine is as busy as now, 1 or more."""
        return max(self.now / self.alone, 1.0)


@dataclass(slots=True)
class Timer:
    """Times steps of a training on some of the dataset's images, and remembers the last one."""

    source: Source
    settings: Params
    last: Clock | None = None

    def alone(self, model: str, image_size: int, batch: int) -> float:
        """Seconds a step, of a machine that does nothing else."""
        from pipeline.adapters import yolo

        train = dataclasses.replace(self.settings.train, model=model, image_size=image_size, batch=batch)
        stage.report(f"timing some steps of {model} at {image_size} pixels, {batch} images a step …")
        with (
            locks.held(paths.TRAIN_LOCK, "a probe of tailwatch init", wait=stage.report),
            _laid_out(self.source, train, self.settings) as listed,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            step = yolo.time_steps(listed, self.source.classes, train, steps=_PROBE_STEPS)
        alone = step.wall
        if step.device == "cpu" and step.processor < _BUSY * step.cores * step.wall:
            alone = step.processor / step.cores / _ALONE
        self.last = Clock(now=step.wall, alone=min(alone, step.wall), device=step.device, cores=step.cores)
        return self.last.alone


@contextlib.contextmanager
def _laid_out(source: Source, train: Train, settings: Params) -> Iterator[list[Path]]:
    """Copies of some images with their labels, as training reads them; the dataset itself is never handed to it."""
    shutil.rmtree(_PROBE, ignore_errors=True)
    for name in ("images", "labels"):
        (_PROBE / name).mkdir(parents=True)
    chosen = sorted((one for one in source.images if one.problem is None), key=lambda one: -len(one.boxes))
    middle = chosen[:: max(len(chosen) // train.batch, 1)][: train.batch]  # crowded and empty ones
    try:
        listed = [path for one in middle if (path := _copied(one, source, settings)) is not None]
        if not listed:
            raise UserError("none of the images that were tried for a probe can be decoded. Look at the dataset.")
        yield listed
    finally:
        shutil.rmtree(_PROBE, ignore_errors=True)


def _copied(one: SourceImage, source: Source, settings: Params) -> Path | None:
    """A copy of an image with its labels; None where it cannot be decoded, which ingest will say."""
    ingest = settings.ingest
    try:
        data = bounded.read(one.path, most=8 * ingest.max_pixels)
        decoded = images.decode(data, max_pixels=ingest.max_pixels)
    except ValueError:
        return None
    boxes = []
    for box in one.boxes:
        with contextlib.suppress(ValueError):
            boxes.append(
                to_box(
                    box, class_id=source.classes.index(box.class_name), width=decoded.width, height=decoded.height,
                    tolerance=ingest.tolerance,
                )
            )  # fmt: skip
    number = len(list((_PROBE / "images").iterdir()))
    path = _PROBE / "images" / f"{number:04d}.png"
    path.write_bytes(images.encode_png(decoded.pixels))
    (_PROBE / "labels" / f"{number:04d}.txt").write_text(labels.format_boxes(boxes))
    return path
