"""Generators that are wrong, one fault each: files that a user might have written."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipeline.core import images
from pipeline.core.generate_settings import Generate
from pipeline.core.labels import Box
from pipeline.core.synthesis import Batched, Drawn, Example

Draw = Callable[[np.random.Generator], Any]
Examples = Sequence[Example]
Rng = np.random.Generator


def right(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """Nothing wrong: an example in other light, its labels kept."""
    del settings, rng
    print("on standard output")  # noqa: T201 - a line that must not get in the way

    def draw(source: Rng) -> Drawn:
        one = examples[int(source.integers(len(examples)))]
        pixels = images.read(one.path).astype(np.float64) * source.uniform(0.8, 1.2)
        return Drawn(pixels=np.clip(pixels, 0, 255).astype(np.uint8), boxes=one.boxes, parents=(one.image_id,))

    return draw


def _changed(**changes: Any) -> Callable[[Examples, Generate, Rng], Draw]:
    """A generator that gives what :func:`right` does, but for something."""

    def fit(examples: Examples, settings: Generate, rng: Rng) -> Draw:
        draw = right(examples, settings, rng)
        return lambda source: replace(draw(source), **changes)

    return fit


def _box(x: float, y: float, width: float, height: float, class_id: Any = 0) -> tuple[Box, ...]:
    return (Box(class_id=class_id, x=x, y=y, width=width, height=height),)


GREY = np.full((40, 48, 3), 128, dtype=np.uint8)
floats = _changed(pixels=GREY / 255)
flat = _changed(pixels=GREY[:, :, 0])
channels_first = _changed(pixels=np.moveaxis(GREY, 2, 0))
four_channels = _changed(pixels=np.concatenate([GREY, GREY[:, :, :1]], axis=2))
huge = _changed(pixels=np.zeros((4, 5000, 3), dtype=np.uint8))
empty = _changed(pixels=np.zeros((0, 48, 3), dtype=np.uint8))
a_list = _changed(pixels=GREY.tolist())
box_outside = _changed(boxes=_box(0.9, 0.5, 0.5, 0.5))
box_of_nothing = _changed(boxes=_box(0.5, 0.5, 0.001, 0.5))
no_such_class = _changed(boxes=_box(0.5, 0.5, 0.5, 0.5, class_id=7))
numpy_class = _changed(boxes=_box(0.5, 0.5, 0.5, 0.5, class_id=np.int64(0)))
tuples_for_boxes = _changed(boxes=((0, 0.5, 0.5, 0.2, 0.2),))
no_boxes = _changed(boxes=None)
strange_parents = _changed(parents=("f" * 64,))
no_parents = _changed(parents=())
parents_as_text = _changed(parents="f" * 64)
details_as_text = _changed(details="made in a hurry")


def a_pair(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """Pixels and boxes, but no Drawn."""
    draw = right(examples, settings, rng)
    return lambda source: (draw(source).pixels, ())


def the_same_always(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """One image, whatever the random numbers."""
    page = right(examples, settings, rng)(rng)
    return lambda _: page


def raises_later(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """The fourth image fails."""
    draw, count = right(examples, settings, rng), iter(range(100))

    def fourth(source: Rng) -> Any:
        if next(count) == 3:
            raise ZeroDivisionError("a tensor of\nno elements")
        return draw(source)

    return fourth


def raises_while_fitted(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """It cannot learn."""
    del examples, rng
    return settings.options["layers"]  # type: ignore[no-any-return]


def leaves(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """It calls sys.exit."""
    del examples, settings, rng
    return lambda _: sys.exit("enough")


def hangs(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """The second image never comes, and no signal but SIGKILL ends it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    draw, count = right(examples, settings, rng), iter(range(100))

    def never(source: Rng) -> Any:
        while next(count) == 1:
            time.sleep(1000)
        return draw(source)

    return never


def dies(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """The process is gone, as when a library crashes."""
    del examples, settings, rng
    return lambda _: os.kill(os.getpid(), signal.SIGSEGV)


def needs_memory(examples: Examples, settings: Generate, rng: Rng) -> Draw:
    """It asks for more memory than there is."""
    del examples, settings, rng
    return lambda _: np.zeros((1 << 25, 1 << 25))


def no_function(examples: Examples, settings: Generate, rng: Rng) -> None:
    """The fit forgets to return what draws."""
    del examples, settings, rng


def short_batch(examples: Examples, settings: Generate, rng: Rng) -> Batched:
    """Batches lack an image."""
    draw = right(examples, settings, rng)
    return Batched(size=4, draw=lambda sources: [draw(source) for source in sources[1:]])


def batches_of_none(examples: Examples, settings: Generate, rng: Rng) -> Batched:
    """The size of a batch is 0."""
    del examples, settings, rng
    return Batched(size=0, draw=lambda _: [])


def in_batches(examples: Examples, settings: Generate, rng: Rng, *, task: Any) -> Batched:
    """Nothing wrong: batches of five, a mark for each in the scratch folder; it dies once where `options` say so."""
    draw = right(examples, settings, rng)

    def batch(sources: Sequence[Rng]) -> list[Drawn]:
        marks = len(list(task.scratch.glob("batch-*")))
        if marks == settings.options.get("dies_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        (task.scratch / f"batch-{marks}").touch()
        return [replace(draw(source), details={"run": task.run}) for source in sources]

    return Batched(size=5, draw=batch)


not_a_function = SimpleNamespace(draw=1)
