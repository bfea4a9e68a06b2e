"""What shows the same among real images: near duplicates, and copies that were changed on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.core import duplicates, impostors, leak_search, portraits
from pipeline.core.leak_search import Searched
from pipeline.core.manifest import Row
from pipeline.core.portraits import Portrait

Searches = dict[str, Searched]  # by the kind of the images that were asked for; empty for all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Two images that show the same: their positions, the smaller one first, and what the one is of the other."""

    first: int
    second: int
    how: str


def find(
    rows: Sequence[Row], *, within: int, kinds: Sequence[str] | None = None, searches: Searches | None = None
) -> list[Alike]:
    """Find pairs of images that show the same, by perceptual hash and by laying one on the other.

    Args:
        rows: the images.
        within: largest distance of two hashes of near duplicates, in bits.
        kinds: one for each image: images of one kind are not held against each other. By default all are.
        searches: earlier ones, which make this one shorter, and to which it is added.

    Returns:
        Near duplicates, then copies that are none, each sorted by position.

    Raises:
        UserError: an image is missing or damaged.
    """
    hashes = duplicates.hash_files([row.path for row in rows])
    near = [
        Alike(first=pair.first, second=pair.second, how=f"near duplicate ({pair.distance} bits)")
        for pair in duplicates.near_pairs(hashes, within=within)
        if kinds is None or kinds[pair.first] != kinds[pair.second]
    ]
    known = {(one.first, one.second) for one in near}
    found = copies(rows, kinds=kinds, searches={} if searches is None else searches)
    return near + [one for one in found if (one.first, one.second) not in known]


def copies(rows: Sequence[Row], *, kinds: Sequence[str] | None, searches: Searches) -> list[Alike]:
    """Find pairs of which one is a copy of the other: re-encoded, resized, cropped, mirrored, lit anew or in a border.

    Each image is held against the others, and paired with the likeliest that it copies. So not all pairs of a larger
    group are named, but what is in a group is in some pair.

    Args:
        rows: the images.
        kinds: see :func:`find`.
        searches: see :func:`find`.

    Returns:
        Pairs sorted by position, each once.

    Raises:
        UserError: an image is missing or damaged.
    """
    seen = list(portraits.of_rows(rows))
    position = {row.image_id: number for number, row in enumerate(rows)}
    names = kinds if kinds is not None else [""] * len(rows)
    found: dict[tuple[int, int], str] = {}
    for kind in sorted(set(names)):
        asked = [one for one, name in zip(seen, names, strict=True) if name == kind]
        others = seen if kinds is None else [one for one, name in zip(seen, names, strict=True) if name != kind]
        question = kind if kinds is not None else ""
        searches[question] = leak_search.search(asked, others, searches.get(question))
        for one, other, how in _pairs(asked, others, searches[question]):
            low, high = sorted((position[one], position[other]))
            found.setdefault((low, high), f"copy ({how})")
    return [Alike(first=low, second=high, how=how) for (low, high), how in sorted(found.items())]


def _pairs(asked: Sequence[Portrait], others: Sequence[Portrait], searched: Searched) -> Iterator[tuple[str, str, str]]:
    """Each image that is a copy, the likeliest that it copies, and how."""
    by_pixels = {one.pixels: one.image_id for one in reversed(others)}
    for one in asked:
        twin = by_pixels.get(one.pixels, one.image_id)
        if twin != one.image_id:
            yield one.image_id, twin, "the same pixels, correlation 1.000"
            continue
        for view, some in enumerate(searched.asked[one.image_id].views):
            copied = next((other for other in some if other.correlation is not None), None)
            if copied is not None:
                how = impostors.in_words(copied.how, bordered=view > 0)
                yield one.image_id, copied.image_id, f"{how}, correlation {copied.correlation:.3f}"
                break
