"""Where objects of a class stand, how large they are there, and which places on a page are free.

Places are drawn from a density over the places of real objects of the class (a kernel about each lower edge), the size
from a real object that stands near there: nothing floats, and what is far away is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pipeline.core.synthesis import Example, PixelBox

_TRIES = 30  # places tried for an object before the page goes without it
_NEAR = 5  # objects near a place, one of which lends its size
_WIDEST, _NARROWEST = 0.05, 0.005  # of the kernel, as fractions of the image
_LONELY = 0.02  # kernel of a class with one object, which has no spread
_RESIZED = 0.08  # spread of the logarithm of a size
_MOST_HIDDEN = 0.5  # however much is hidden in the data


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the objects of one class stand.

    Attributes:
        feet: centre across and lower edge of each, as fractions of the image, shape (n, 2).
        sizes: root of the share of the image's area, shape (n).
        near: for each, indices of those that stand near it, shape (n, at most 5).
        kernel: spread across and down, as fractions.
        of_page: indices of the objects by number of their image.
    """

    feet: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.float64]
    near: npt.NDArray[np.int64]
    kernel: npt.NDArray[np.float64]
    of_page: dict[int, list[int]]

    def draw(self, rng: np.random.Generator, page: int) -> tuple[float, float, float]:
        """Centre across, lower edge and size of an object to be: fractions of the image.

        Args:
            rng: of the draw.
            page: number of the image whose background is used; its own places are preferred, for other images may
                look at the world from elsewhere.
        """
        own = self.of_page.get(page)
        index = int(own[rng.integers(len(own))] if own and rng.random() < 0.5 else rng.integers(len(self.feet)))  # noqa: PLR2004
        across, down = self.feet[index] + rng.normal(size=2) * self.kernel
        lender = int(self.near[index, rng.integers(self.near.shape[1])])
        return float(across), float(down), float(self.sizes[lender] * np.exp(rng.normal(0, _RESIZED)))


def learn(examples: Sequence[Example]) -> dict[int, Places]:
    """Where the objects of each class stand, by class id."""
    found: dict[int, list[tuple[int, float, float, float]]] = {}
    for number, example in enumerate(examples):
        for box in example.boxes:
            size = float(np.sqrt(box.width * box.height))
            found.setdefault(box.class_id, []).append((number, box.x, box.y + box.height / 2, size))
    return {class_id: _places(found[class_id]) for class_id in sorted(found)}


def _places(objects: Sequence[tuple[int, float, float, float]]) -> Places:
    table = np.array([one[1:] for one in objects], dtype=np.float64)
    feet = table[:, :2]
    spread = feet.std(axis=0)
    # Scott's rule in two dimensions; too wide a kernel would lift cars off the road.
    kernel = np.clip(spread * len(feet) ** (-1 / 6), _NARROWEST, _WIDEST) if len(feet) > 1 else np.full(2, _LONELY)
    count = min(_NEAR, max(len(feet) // 4, 1))
    _, near = cKDTree(feet / np.maximum(spread, _NARROWEST)).query(
        feet / np.maximum(spread, _NARROWEST), k=[*range(1, count + 1)]
    )
    of_page: dict[int, list[int]] = {}
    for index, one in enumerate(objects):
        of_page.setdefault(one[0], []).append(index)
    return Places(feet=feet, sizes=table[:, 2], near=np.asarray(near, dtype=np.int64), kernel=kernel, of_page=of_page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a place must be like.

    Attributes:
        occlusion: largest share of an object that another may cover, or all others together.
        truncated: share of the objects that the page's edge cuts off.
        most_truncated: largest share of one that is then cut off.
    """

    occlusion: float
    truncated: float
    most_truncated: float


def occlusion_of(quantile: float) -> float:
    """The limit where none is set: as in the data, and never so much that an object cannot be told."""
    return min(quantile, _MOST_HIDDEN)


class Page:
    """The objects of one page: where each is, and how much of it the others leave to be seen."""

    def __init__(self, width: int, height: int, rules: Rules) -> None:
        """Start with an empty page; width and height in pixels."""
        self._size = (width, height)
        self._rules = rules
        self.taken: list[PixelBox] = []  # as far as they are on the page

    def place(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
        where: tuple[float, float],
        edges: tuple[bool, bool, bool, bool],
        *,
        jitter: npt.NDArray[np.float64],
    ) -> PixelBox | None:
        """A place for an object, which may stick out of the page; None where it fits nowhere near.

        Args:
            rng: of the draw.
            size: width and height in pixels.
            where: centre across and lower edge, as fractions.
            edges: which edges of its own image (left, top, right, bottom) cut the object off: it goes to the same one,
                for half an object stands nowhere else.
            jitter: spread of the places that are tried, as fractions.
        """
        if size[0] > self._size[0] or size[1] > self._size[1]:
            return None
        cut_off = not any(edges) and rng.random() < self._rules.truncated
        for attempt in range(_TRIES):
            across, down = np.asarray(where) + (rng.normal(size=2) * jitter * (1 + attempt / 10) if attempt else 0)
            box = self._held(
                size, round(across * self._size[0] - size[0] / 2), round(down * self._size[1]) - size[1], edges
            )
            if cut_off:
                box = self._over_the_edge(rng, box)
            seen = self.visible(box)
            if self._is_free(seen):
                self.taken.append(seen)
                return box
        return None

    def visible(self, box: PixelBox) -> PixelBox:
        """The part of a box that is on the page."""
        left, top = max(box.x, 0), max(box.y, 0)
        right, bottom = min(box.x + box.width, self._size[0]), min(box.y + box.height, self._size[1])
        return PixelBox(x=left, y=top, width=right - left, height=bottom - top)

    def _held(self, size: tuple[int, int], x: int, y: int, edges: tuple[bool, bool, bool, bool]) -> PixelBox:
        """A box inside the page, at the edges that cut the object off."""
        most_x, most_y = self._size[0] - size[0], self._size[1] - size[1]
        x = 0 if edges[0] else most_x if edges[2] else min(max(x, 0), most_x)
        y = 0 if edges[1] else most_y if edges[3] else min(max(y, 0), most_y)
        return PixelBox(x=x, y=y, width=size[0], height=size[1])

    def _over_the_edge(self, rng: np.random.Generator, box: PixelBox) -> PixelBox:
        """The box moved over the nearest edge by a share of itself."""
        share = rng.uniform(0, self._rules.most_truncated)
        across, down = int(share * box.width), int(share * box.height)
        gaps = (box.x, box.y, self._size[0] - box.x - box.width, self._size[1] - box.y - box.height)
        moved = (
            (-across, box.y), (box.x, -down),
            (self._size[0] - box.width + across, box.y), (box.x, self._size[1] - box.height + down),
        )[int(np.argmin(gaps))]  # fmt: skip
        return PixelBox(x=moved[0], y=moved[1], width=box.width, height=box.height)

    def _is_free(self, box: PixelBox) -> bool:
        limit = self._rules.occlusion
        beside = [one for one in self.taken if one.covered_by(box) > 0]
        if any(max(one.covered_by(box), box.covered_by(one)) > limit for one in beside):
            return False
        return not beside or all(_hidden(one, [*self.taken, box]) <= limit for one in [*beside, box])


def _hidden(box: PixelBox, others: Sequence[PixelBox]) -> float:
    """Share of a box that others cover together."""
    covered = np.zeros((box.height, box.width), dtype=bool)
    for one in others:
        if one is not box:
            x, y = one.x - box.x, one.y - box.y
            covered[max(y, 0) : max(y + one.height, 0), max(x, 0) : max(x + one.width, 0)] = True
    return float(covered.mean())
