"""What shows the same among real images: near duplicates, and copies that were changed on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core import duplicates, portraits
from pipeline.core.impostors import Known
from pipeline.core.manifest import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Two images that show the same: their positions, the smaller one first, and what the one is of the other."""

    first: int
    second: int
    how: str


def find(rows: Sequence[Row], *, within: int, kinds: Sequence[str] | None = None) -> list[Alike]:
    """Find pairs of images that show the same, by perceptual hash and by laying one on the other.

    Args:
        rows: the images.
        within: largest distance of two hashes of near duplicates, in bits.
        kinds: one for each image: images of one kind are not held against each other. By default all are.

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
    return near + [one for one in copies(rows, kinds=kinds) if (one.first, one.second) not in known]


def copies(rows: Sequence[Row], *, kinds: Sequence[str] | None = None) -> list[Alike]:
    """Find pairs of which one is a copy of the other: re-encoded, resized, cropped, mirrored, lit anew or in a border.

    Each image is held against the others, and paired with the likeliest that it copies. So not all pairs of a larger
    group are named, but what is in a group is in some pair.

    Args:
        rows: the images.
        kinds: see :func:`find`.

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
        matches = Known(others).find_each(asked, exempt=lambda query, known: query == known)
        for one, match in zip(asked, matches, strict=True):
            if match is not None:
                low, high = sorted((position[one.image_id], position[match.image_id]))
                found.setdefault((low, high), f"copy ({match.how}, correlation {match.correlation:.3f})")
    return [Alike(first=low, second=high, how=how) for (low, high), how in sorted(found.items())]
