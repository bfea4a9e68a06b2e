"""Copies under another guise: re-encoded, resized, cropped, mirrored, lit anew, or inside borders of one colour.

A copy is found in two steps. :mod:`candidates` says which known images it may be of; :mod:`alignment` lays one on the
other as well as it fits, and judges what remains. Why so, and how much of what it catches: ``docs/impostors.md`` and
``docs/decisions/015-impostors.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice

import numpy as np

from pipeline.core import alignment, candidates, images, manifest, past_index, paths, portraits, synthetic_past
from pipeline.core.alignment import Fit
from pipeline.core.candidates import Candidate, Candidates
from pipeline.core.errors import UserError
from pipeline.core.images import Pixels
from pipeline.core.manifest import Row
from pipeline.core.past_index import Past
from pipeline.core.portraits import Portrait, Sketch

# Measured on real images and on copies: see the decision. Between the two kinds lie 0.91 and 0.96.
CORRELATION = 0.94  # of the detail, from which on two images may be the same
DIFFERENCE = 0.4  # at the place where they differ most, up to which they may be
_INHERITED = 0.5  # of what the parent leaves unexplained: a copy of the child leaves less
_MARK = images.SYNTHETIC_MARK.encode()
_WHOLE = 0.95  # of the side: what is cut off less is no crop worth naming
_MIRRORS = ("", "mirrored left to right", "mirrored top to bottom", "turned upside down")
_NAMED = 3  # images in a message
_ASKED_A_BLOCK = 1024  # images that are held against the past at a time

Exempt = Callable[[str, str], bool]  # ids of the image that is looked at, and of a known one


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An image is a copy of a known one.

    Attributes:
        image_id: of the known image.
        name: what the known image is called.
        how: what was done to it, in words.
        correlation: of the detail, in [0.94, 1]; 1 for the same pixels.
    """

    image_id: str
    name: str
    how: str
    correlation: float

    def __str__(self) -> str:
        """The finding in words."""
        return f"copy of {self.name}: {self.how}, correlation {self.correlation:.3f}"


class Known:
    """Images whose copies are looked for."""

    def __init__(self, known: Iterable[Portrait]) -> None:
        """Take the portraits of the known images; of two with the same pixels, the first."""
        self._portraits = tuple(known)
        self._by_pixels = {one.pixels: one for one in reversed(self._portraits)}
        self._owners = [one for one in self._portraits for _ in one.sketches]
        self._sketches = [sketch for one in self._portraits for sketch in one.sketches]
        self._candidates = Candidates(self._sketches)

    def find(self, pixels: Pixels) -> Match | None:
        """The known image that this one is a copy of; None where there is none.

        Args:
            pixels: BGR, shape (height, width, 3).
        """
        return self.find_each([portraits.portrait(pixels, image_id="", name="")])[0]

    def find_each(
        self, queries: Sequence[Portrait], *, exempt: Exempt = lambda _query, _known: False
    ) -> list[Match | None]:
        """The known image that each image is a copy of.

        Args:
            queries: the images.
            exempt: pairs that are not compared.
        """
        sketches = [(number, view) for number, one in enumerate(queries) for view in range(len(one.sketches))]
        likely = self._candidates.find([queries[number].sketches[view] for number, view in sketches])
        found: list[Match | None] = [self._same(one, exempt) for one in queries]
        for (number, view), some in zip(sketches, likely, strict=True):
            found[number] = found[number] or self._judged(queries[number], view, some, exempt)
        return found

    def nearest(self, query: Portrait) -> Fit | None:
        """How well the likeliest known image fits, a copy or not; None where none is alike at all."""
        likely = self._candidates.find(query.sketches)
        fits = [
            _fit(query.sketches[view], self._sketches[one.position], one)
            for view, some in enumerate(likely)
            for one in some
        ]
        return max((fit for fit in fits if fit is not None), key=lambda fit: fit.correlation, default=None)

    def _same(self, query: Portrait, exempt: Exempt) -> Match | None:
        known = self._by_pixels.get(query.pixels)
        if known is None or exempt(query.image_id, known.image_id):
            return None
        return Match(image_id=known.image_id, name=known.name, how="the same pixels", correlation=1.0)

    def _judged(self, query: Portrait, view: int, likely: Sequence[Candidate], exempt: Exempt) -> Match | None:
        """The first candidate that the image is a copy of."""
        for one in likely:
            known = self._owners[one.position]
            if exempt(query.image_id, known.image_id):
                continue
            verdict = judge(query.sketches[view], self._sketches[one.position], one)
            if verdict is not None:
                correlation, how = verdict
                how = in_words(how, bordered=view > 0)
                return Match(image_id=known.image_id, name=known.name, how=how, correlation=correlation)
        return None


def _fit(sketch: Sketch, known: Sketch, one: Candidate) -> Fit | None:
    look = np.ascontiguousarray(candidates.mirrored(sketch.astype(np.float32), one.mirror))
    return alignment.align(look, known.astype(np.float32), alignment.start(one.left, one.top, one.size))


def judge(sketch: Sketch, known: Sketch, one: Candidate) -> tuple[float, str] | None:
    """Whether a sketch is a copy of a known one.

    Args:
        sketch: grey, shape (64, 64).
        known: likewise.
        one: where the sketch may lie on the known one.

    Returns:
        The correlation of the detail, in [0.94, 1], and what was done to it, in words, empty for nothing; None where
        it is no copy.
    """
    fit = _fit(sketch, known, one)
    if fit is None or not is_copy(fit):
        return None
    return min(fit.correlation, 1.0), _changes(fit, one.mirror)


def is_copy(fit: Fit) -> bool:
    """Whether two images that fit so well are the same: alike as a whole, and nowhere different."""
    return fit.correlation >= CORRELATION and fit.difference <= DIFFERENCE


def _changes(fit: Fit, mirror: int) -> str:
    sides = np.abs(fit.place[:, :2]).sum(axis=1)
    parts = [_MIRRORS[mirror]] if mirror else []
    if sides.min() < _WHOLE:
        parts.append(f"cropped to {min(sides[0], 1):.0%} x {min(sides[1], 1):.0%}")
    elif sides.max() > 1 / _WHOLE:
        parts.append("with more around it")
    return ", ".join(parts)


def in_words(how: str, *, bordered: bool) -> str:
    """What was done to a copy: changes of the picture, and the border that it is in."""
    parts = [one for one in (how, "inside a border" if bordered else "") if one]
    return ", ".join(parts) or "the same picture"


def is_marked(data: bytes) -> bool:
    """Whether a file carries this project's mark, in PNG text or anywhere in its metadata as plain text."""
    return images.is_marked_synthetic(data) or _MARK in data


def screen(queries: Iterable[Portrait]) -> dict[str, Match]:
    """Hold real images against all synthetic ones that the project ever made.

    An image is not held against what was made from it. And where a synthetic image resembles it no better than a real
    parent of that synthetic image does, what they share is the parent's: a fixed camera sees one background for years.

    Args:
        queries: portraits of images that come as real; they are not taken where no synthetic image was ever made.

    Returns:
        The finding by image id, of the images that are copies.

    Raises:
        UserError: a manifest of synthetic images cannot be read.
    """
    if not synthetic_past.runs():
        return {}
    ahead = iter(queries)
    found: dict[str, Match] = {}
    while block := list(islice(ahead, _ASKED_A_BLOCK)):
        found |= past_index.ask(partial(_screened, queries=block), judge=judge)
    return found


def _screened(past: Past, *, queries: Sequence[Portrait]) -> dict[str, Match]:
    """The findings of a block of images."""
    ancestors = cache(past.ancestors)
    pairs = [(query, match) for query, match in _matched(past, queries, ancestors) if match is not None]
    real = _real() if pairs else {}
    return {
        query.image_id: match
        for query, match in pairs
        if not _is_inherited(query, match, [real[one] for one in sorted(ancestors(match.image_id)) if one in real])
    }


def _matched(
    past: Past, queries: Sequence[Portrait], ancestors: Callable[[str], frozenset[str]]
) -> Iterator[tuple[Portrait, Match | None]]:
    """Each image with the synthetic one that it is a copy of and that was not made from it."""
    views = iter(past.resembling([sketch for query in queries for sketch in query.sketches]))
    for query in queries:
        copies = [
            Match(image_id=one.image_id, name=synthetic_past.name(one.image_id, one.run),
                  how=in_words(one.how, bordered=view > 0), correlation=one.correlation)
            for view, some in enumerate(islice(views, len(query.sketches)))
            for one in some if one.correlation is not None
        ]  # fmt: skip
        run = past.run_of(query.pixels)
        if run is not None:
            name = synthetic_past.name(query.pixels, run)
            copies.insert(0, Match(image_id=query.pixels, name=name, how="the same pixels", correlation=1.0))
        yield query, next((one for one in copies if query.image_id not in ancestors(one.image_id)), None)


def _real() -> dict[str, Row]:
    if not paths.REAL_MANIFEST.exists():
        return {}
    return {row.image_id: row for row in manifest.read(paths.REAL_MANIFEST)}


def _is_inherited(query: Portrait, match: Match, parents: Sequence[Row]) -> bool:
    """Whether a real parent explains the resemblance about as well as its synthetic child."""
    by_parent = Known(portraits.of_rows(parents)).find_each([query])[0]
    return by_parent is not None and 1 - match.correlation >= _INHERITED * (1 - by_parent.correlation)


def require_real(rows: Sequence[Row]) -> None:
    """Refuse images that are copies of synthetic ones; for those who are about to accept them as real.

    Args:
        rows: of ``data/real/manifest.parquet``; rows of synthetic origin are passed over.

    Raises:
        UserError: one is such a copy; the message names it and what it copies.
    """
    real = [row for row in rows if row.origin == "real"]
    found = screen(portraits.of_rows(real))
    if not found:
        return
    names = {row.image_id: row.name for row in real}
    said = "; ".join(f"{names[image_id]} is a {match}" for image_id, match in list(found.items())[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise UserError(
        f"{said}{more}. Synthetic images never count as real. Take the file out of the source and run "
        "`uv run dvc repro`; nothing was recorded."
    )
