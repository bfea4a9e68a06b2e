"""Which real images resemble which: of all of them once, and then of what is new.

Of each sketch that was asked for, its six likeliest candidates are remembered, and what was judged of them. The
likeliest of all images are among those six and the likeliest of what came since; only where one of the six is gone, or
is another picture now, the sketch is held against everything again. So a night that adds a hundredth of the images
costs a fiftieth of the first search: what is new is held against what is there, and what is there against what is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec
import numpy as np

from pipeline.core import impostors, likeliest, sketch_codes
from pipeline.core.likeliest import Asked, Resembling, Waiting
from pipeline.core.portraits import Portrait
from pipeline.core.synthetic_past import Sketches

_SKETCHES_A_PART = 512  # of the known ones: held against all that are asked for at once


class Asking(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of an image that was asked for.

    Attributes:
        pixels: digest of its pixels.
        views: of each of its sketches, up to six known ones, the likeliest first.
    """

    pixels: str
    views: list[list[Resembling]]


class Searched(msgspec.Struct, frozen=True, array_like=True):
    """A search that was made.

    Attributes:
        known: digest of the pixels of each known image, by its id.
        asked: by id.
    """

    known: dict[str, str]
    asked: dict[str, Asking]


def search(asked: Sequence[Portrait], known: Sequence[Portrait], before: Searched | None = None) -> Searched:
    """Hold images against known ones; an image that is among both is not held against itself.

    Args:
        asked: the images that are asked for.
        known: those that they may be copies of.
        before: an earlier search, by the same code; what it says is not looked for again.

    Returns:
        What was found, of the images that are asked for now: the same with an earlier search as without one, but for
        the last digits of similarities.
    """
    past = before or Searched({}, {})
    present = {one.image_id: one.pixels for one in known}
    kept = {image_id for image_id, pixels in past.known.items() if present.get(image_id) == pixels}
    held: dict[str, list[Asked]] = {}
    late: list[Asked] = []
    fresh: list[Asked] = []
    for one in asked:
        views = _remembered(one, past, kept)
        sketches = zip(one.sketches, views or [[] for _ in one.sketches], strict=True)
        held[one.image_id] = [Asked(sketch=sketch, found=found) for sketch, found in sketches]
        (fresh if views is None else late).extend(held[one.image_id])
    in_order = sorted(known, key=lambda one: one.image_id)
    _hold([one for one in in_order if one.image_id in kept], fresh)
    _hold([one for one in in_order if one.image_id not in kept], fresh + late)
    for one in asked:
        _judge(one.image_id, held[one.image_id])
    found = {one.image_id: Asking(one.pixels, [view.found for view in held[one.image_id]]) for one in asked}
    return Searched(known=present, asked=found)


def _remembered(one: Portrait, past: Searched, kept: set[str]) -> list[list[Resembling]] | None:
    """What was found of an image before, where it still holds."""
    before = past.asked.get(one.image_id)
    if before is None or before.pixels != one.pixels or len(before.views) != len(one.sketches):
        return None
    return before.views if all(other.image_id in kept for view in before.views for other in view) else None


def _judge(image_id: str, views: Sequence[Asked]) -> None:
    """Look for the first view, and in it the likeliest image, of which this one is a copy."""
    copied = False
    for view in views:
        view.unjudged = {other: what for other, what in view.unjudged.items() if other.image_id != image_id}
        copied = view.judge_first(impostors.judge, copied=copied)


def _hold(known: Sequence[Portrait], asking: Sequence[Asked]) -> None:
    """Hold sketches that are asked for against those of known images, which are sorted by their ids."""
    if not known or not asking:
        return
    looks = sketch_codes.looks(np.stack([one.sketch for one in asking]))

    def found() -> Iterator[Iterator[Waiting]]:
        for part in _parts(known):
            limits = np.array([one.limit for one in asking], dtype=np.float32)
            likely = sketch_codes.likely(looks, sketch_codes.encode(part.sketches), at_least=limits)
            yield likeliest.picked("", part, asking, likely)

    likeliest.hold_each(found())


def _parts(known: Sequence[Portrait]) -> Iterator[Sketches]:
    """All sketches of known images, some at a time."""
    each = ((one.image_id, view, sketch) for one in known for view, sketch in enumerate(one.sketches))
    while part := list(islice(each, _SKETCHES_A_PART)):
        image_ids, views, sketches = zip(*part, strict=True)
        yield Sketches(image_ids=np.array(image_ids), views=np.array(views), sketches=np.stack(sketches))
