"""Pages composed of real handwritten digits: the default dataset.

Source of the digits: scikit-learn's ``load_digits`` (UCI Optical Recognition of Handwritten Digits, test half:
1,797 images of 8 x 8 pixels by 13 writers who are not among the 30 of the training half).

Every draw comes from the raw 64-bit stream of a PCG64 bit generator, whose output NumPy guarantees to be stable
(NEP 19), and every pixel is computed in integers. A page's pixels, hence its identity, are therefore the same on
every platform and library version, and the acceptance that is committed with the project holds everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import UserError

Gray = npt.NDArray[np.uint8]

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_INK_LEVELS = 16  # load_digits counts the black pixels of a 4 x 4 block: 0 to 16
_INK_FLOOR = 3  # an upscaled pixel with less ink than this is paper, for the box


def handwritten() -> tuple[Gray, npt.NDArray[np.uint8]]:
    """The digits of ``load_digits``: ink, shape (1797, 8, 8), in [0, 16], and what each of them is, shape (1797,).

    They are read from scikit-learn's file: to import it takes longer than all else that is done with them.
    """
    package = util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise UserError("scikit-learn is missing, whose handwritten digits the pages are made of. Type: make install")
    table = np.loadtxt(Path(package.origin).parent / "datasets/data/digits.csv.gz", dtype=np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]


class IntegerStream:
    """Uniform integers from a bit stream that never changes between NumPy versions."""

    def __init__(self, key: str) -> None:
        """Name the stream; the same key always gives the same integers."""
        digest = hashlib.sha256(key.encode()).digest()
        self._bits = np.random.PCG64(int.from_bytes(digest[:16], "big"))

    def below(self, limit: int) -> int:
        """One integer in [0, limit); the modulo bias is under limit / 2**64."""
        return int(self._bits.random_raw()) % limit

    def between(self, low: int, high: int) -> int:
        """One integer in [low, high]."""
        return low + self.below(high - low + 1)

    def noise(self, shape: tuple[int, int], amplitude: int) -> npt.NDArray[np.int64]:
        """Integers in [-amplitude, amplitude], shape (height, width)."""
        raw = self._bits.random_raw(shape[0] * shape[1]) % np.uint64(2 * amplitude + 1)
        return raw.astype(np.int64).reshape(shape) - amplitude

    def shuffled(self, items: Sequence[int]) -> list[int]:
        """A Fisher-Yates shuffle; the argument stays as it is."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedDigit:
    """One digit on a page: which one, and its tight box in pixels (x, y of the top left corner, inclusive)."""

    digit: int
    class_id: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A composed page: pixels of shape (size, size), and the digits on it."""

    pixels: Gray
    digits: tuple[PlacedDigit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageStyle:
    """What pages look like; sizes in pixels, ``tail`` the exponent of the classes' Zipf law."""

    size: int
    digit_size: tuple[int, int]
    digits_a_page: tuple[int, int]
    classes: int
    tail: float


def split_identities(targets: Sequence[int], shares: Sequence[int], *, seed: int) -> list[dict[int, list[int]]]:
    """Divide the digits between splits by identity: a digit is in exactly one split.

    Args:
        targets: the class of each digit.
        shares: relative size of each split, for example (60, 15, 25).
        seed: of the shuffle.

    Returns:
        For each split, the indices of its digits by class.

    Raises:
        UserError: a share is so small that a split gets no digit of a class.
    """
    splits: list[dict[int, list[int]]] = [{} for _ in shares]
    for class_id in sorted(set(targets)):
        members = [index for index, target in enumerate(targets) if target == class_id]
        order = IntegerStream(f"digits/identity/{seed}/{class_id}").shuffled(members)
        start = 0
        for number, split in enumerate(splits):
            end = len(order) * sum(shares[: number + 1]) // sum(shares)
            if start == end:
                raise UserError(
                    f"the shares {list(shares)} of ingest.digits.identities leave split {number + 1} none of the "
                    f"{len(order)} digits of class {class_id}. Raise the smallest share."
                )
            split[class_id] = sorted(order[start:end])
            start = end
    return splits


def zipf_weights(classes: int, tail: float) -> list[int]:
    """Whole-number weights of a Zipf law, the first class the commonest.

    Rounded to thousandths, so that no platform's ``pow`` can move a draw.
    """
    return [round(1000 * float(rank) ** -tail) for rank in range(1, classes + 1)]


def upscale(digit: Gray, size: int) -> npt.NDArray[np.int64]:
    """Bilinear upscaling in integers of an 8 x 8 digit to (size, size); ink from 0 (none) to 255 (full)."""
    side = digit.shape[0]
    # Sample positions in units of 1 / (2 * size) source pixels, clamped to the pixel centres at the rim.
    position = np.clip((2 * np.arange(size) + 1) * side - size, 0, 2 * size * (side - 1))
    low = np.minimum(position // (2 * size), side - 2)
    weight = position - low * 2 * size
    source = digit.astype(np.int64)
    rows = source[low] * (2 * size - weight)[:, None] + source[low + 1] * weight[:, None]
    both = rows[:, low] * (2 * size - weight)[None, :] + rows[:, low + 1] * weight[None, :]
    ink: npt.NDArray[np.int64] = both * 255 // (_INK_LEVELS * 4 * size * size)
    return ink


def _tight_box(ink: npt.NDArray[np.int64]) -> tuple[int, int, int, int]:
    floor = _INK_FLOOR * 255 // _INK_LEVELS
    rows = np.flatnonzero((ink > floor).any(axis=1))
    columns = np.flatnonzero((ink > floor).any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


def _free_place(
    stream: IntegerStream, taken: Sequence[PlacedDigit], *, size: int, width: int, height: int
) -> tuple[int, int] | None:
    for _ in range(40):
        # The last row and column stay free, except under a digit as large as the page.
        x, y = stream.below(max(size - width, 1)), stream.below(max(size - height, 1))
        if all(
            x + width <= other.x or other.x + other.width <= x or y + height <= other.y or other.y + other.height <= y
            for other in taken
        ):
            return x, y
    return None


def _draw_class(stream: IntegerStream, weights: Sequence[int]) -> int:
    mark = stream.below(sum(weights))
    for class_id, weight in enumerate(weights):
        mark -= weight
        if mark < 0:
            return class_id
    raise AssertionError("unreachable: the mark is below the sum of the weights")


def compose(images: Gray, identities: dict[int, list[int]], style: PageStyle, *, key: str) -> Page:
    """Compose one page of digits that do not overlap.

    Args:
        images: all digits, shape (n, 8, 8), ink from 0 to 16.
        identities: the indices that this page's split may use, by class.
        style: how the page looks.
        key: names the page; the same key always gives the same page.
    """
    stream = IntegerStream(key)
    paper = stream.between(200, 245)
    canvas = np.full((style.size, style.size), paper, dtype=np.int64) + stream.noise((style.size, style.size), 8)
    weights = zipf_weights(style.classes, style.tail)
    placed: list[PlacedDigit] = []
    for _ in range(stream.between(*style.digits_a_page)):
        class_id = _draw_class(stream, weights)
        members = identities[class_id]
        digit = members[stream.below(len(members))]
        ink = upscale(images[digit], stream.between(*style.digit_size))
        left, top, width, height = _tight_box(ink)
        place = _free_place(stream, placed, size=style.size, width=width, height=height)
        darkness = stream.between(130, 190)
        if place is None:  # a crowded page has one digit less
            continue
        x, y = place
        stroke = ink[top : top + height, left : left + width] * darkness // 255
        canvas[y : y + height, x : x + width] -= stroke
        placed.append(PlacedDigit(digit=digit, class_id=class_id, x=x, y=y, width=width, height=height))
    return Page(pixels=np.clip(canvas, 0, 255).astype(np.uint8), digits=tuple(placed))
