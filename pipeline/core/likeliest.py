"""The likeliest known sketches of each one that is asked for, gathered from many runs, a part at a time.

The six likeliest of all are among the six likeliest of each part. So a search can stop anywhere, and go on later from
what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from pipeline.core.candidates import LEAST, MOST, Candidate, Candidates
from pipeline.core.portraits import Sketch
from pipeline.core.sketch_codes import Pairs
from pipeline.core.synthetic_past import Sketches

_TOGETHER = 64  # known sketches that are held against those that are asked for at once

Judge = Callable[[Sketch, Sketch, Candidate], tuple[float, str] | None]


class Resembling(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A sketch of a known image that was a candidate, judged.

    Attributes:
        image_id: of the known image.
        run: that made it; empty for a real image.
        view: which of its sketches.
        mirror: of the image that was asked for, see :func:`pipeline.core.candidates.mirrored`.
        similarity: cosine, in [0.8, 1].
        correlation: of the detail, in [0.94, 1]; None where the one is no copy of the other, or was not asked about.
        how: what was done to it, in words; empty for nothing.
    """

    image_id: str
    run: str
    view: int
    mirror: int
    similarity: float
    correlation: float | None
    how: str

    @property
    def rank(self) -> tuple[float, str, str, int, int]:
        """Orders the likeliest first, then by run, image and view, as a search in all of them at once would."""
        return (-self.similarity, self.run, self.image_id, self.view, self.mirror)


@dataclass(slots=True, kw_only=True)
class Asked:
    """A sketch that is asked for: what is found so far, among the records up to a number."""

    sketch: Sketch
    upto: int = 0
    found: list[Resembling] = field(default_factory=list)
    unjudged: dict[Resembling, tuple[Sketch, Candidate]] = field(default_factory=dict)

    @property
    def limit(self) -> float:
        """Similarity under which nothing can be among the likeliest any more."""
        return self.found[-1].similarity if len(self.found) == MOST else LEAST

    def add(self, more: Iterable[tuple[Resembling, Sketch, Candidate]]) -> None:
        """Take the likeliest of what was found and of this."""
        known = {one.rank[1:] for one in self.found}
        new = {one: (sketch, how) for one, sketch, how in more if one.rank[1:] not in known}
        self.found = sorted([*self.found, *new], key=lambda one: one.rank)[:MOST]
        self.unjudged = {one: what for one, what in {**self.unjudged, **new}.items() if one in self.found}

    def judge(self, judge: Judge) -> None:
        """Judge what was found and is not judged yet.

        Args:
            judge: whether a sketch is a copy of a candidate: the correlation of the detail, and what was done to it in
                words; None where it is none.
        """
        self.found = [self._judged(one, judge) for one in self.found]
        self.unjudged = {}

    def judge_first(self, judge: Judge, *, copied: bool = False) -> bool:
        """Judge what was found up to the first copy; whatever is behind it counts as none.

        Args:
            judge: see :meth:`judge`.
            copied: a copy is found already, so that nothing here is looked at.

        Returns:
            Whether a copy is found.
        """
        for place, one in enumerate(self.found):
            self.found[place] = _no_copy(one) if copied else self._judged(one, judge)
            copied = copied or self.found[place].correlation is not None
        self.unjudged = {}
        return copied

    def _judged(self, one: Resembling, judge: Judge) -> Resembling:
        if one not in self.unjudged:
            return one
        known, candidate = self.unjudged[one]
        verdict = judge(self.sketch, known, candidate)
        return one if verdict is None else msgspec.structs.replace(one, correlation=verdict[0], how=verdict[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A known sketch that may be a candidate of some that are asked for."""

    image_id: str
    run: str
    view: int
    sketch: Sketch
    asking: tuple[Asked, ...]


def picked(run: str, known: Sketches, asking: Sequence[Asked], likely: Pairs) -> Iterator[Waiting]:
    """Those of a run's sketches that anybody may be alike.

    Args:
        run: whose sketches they are.
        known: its sketches.
        asking: who is asked for.
        likely: who may be alike, shape (asking, known).
    """
    for position in np.flatnonzero(likely.any(axis=0)):
        yield Waiting(
            image_id=str(known.image_ids[position]),
            run=run,
            view=int(known.views[position]),
            sketch=known.sketches[position].copy(),  # else all of the run's would stay in memory with it
            asking=tuple(asking[int(place)] for place in np.flatnonzero(likely[:, position])),
        )


def _no_copy(one: Resembling) -> Resembling:
    return one if one.correlation is None else msgspec.structs.replace(one, correlation=None, how="")


def hold_each(found: Iterable[Iterable[Waiting]]) -> None:
    """Hold sketches as they are found, many together; what a later search asks for follows from those before."""
    waiting: list[Waiting] = []
    for some in found:
        waiting += some
        if len(waiting) >= _TOGETHER:
            hold(waiting)
            waiting = []
    hold(waiting)


def hold(waiting: Sequence[Waiting]) -> None:
    """Hold sketches that are asked for against known ones, exactly."""
    asking = list({id(asked): asked for one in waiting for asked in one.asking}.values())
    found = Candidates([one.sketch for one in waiting]).find([one.sketch for one in asking])
    for one, some in zip(asking, found, strict=True):
        one.add(
            (_resembling(waiting[likely.position], likely), waiting[likely.position].sketch, likely) for likely in some
        )


def _resembling(one: Waiting, candidate: Candidate) -> Resembling:
    return Resembling(
        image_id=one.image_id,
        run=one.run,
        view=one.view,
        mirror=candidate.mirror,
        similarity=candidate.similarity,
        correlation=None,
        how="",
    )
