"""YOLO boxes: parse, validate, format."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import bounded
from pipeline.core.errors import UserError

LARGEST_FILE = 16 << 20  # bytes of a label file
_DECIMALS = 6  # a millionth of the image: finer than a pixel of any image that is accepted
# Python's own readers also take other alphabets' digits and underscores, and numbers of a million digits.
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?|(?i:inf|infinity|nan))")
_LONGEST = 400  # characters of a number


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Box:
    """One labelled object: class id, and centre and size as fractions of the image, each in [0, 1]."""

    class_id: int
    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        """Refuse a box that cannot be: every number finite, area over zero, centre and size inside the image."""
        numbers = (self.x, self.y, self.width, self.height)
        if self.class_id < 0:
            raise ValueError(f"class id {self.class_id}, wanted 0 or more")
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"box {numbers}, wanted finite numbers")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"box of zero or negative area: width {self.width:g}, height {self.height:g}")
        if max(numbers) > 1 or min(numbers) < 0:
            raise ValueError(f"box {numbers}, wanted fractions in [0, 1]")

    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom as fractions of the image."""
        half_width, half_height = self.width / 2, self.height / 2
        return self.x - half_width, self.y - half_height, self.x + half_width, self.y + half_height


def from_corners(class_id: int, corners: Sequence[float], *, tolerance: float = 0.0) -> Box:
    """Make a box from left, top, right and bottom (fractions of the image).

    Args:
        class_id: 0 or more.
        corners: left, top, right, bottom; 0 to 1, give or take the tolerance.
        tolerance: how far outside the frame an edge may lie, as a fraction; what lies outside is cut off.

    Raises:
        ValueError: the box is not finite, has no area, or lies outside the frame by more than the tolerance.
    """
    if not all(math.isfinite(corner) for corner in corners):
        raise ValueError(f"corners {tuple(corners)}, wanted finite numbers")
    left, top, right, bottom = corners
    if right <= left or bottom <= top:
        raise ValueError(f"box of zero or negative area: width {right - left:g}, height {bottom - top:g}")
    outside = max(-left, -top, right - 1, bottom - 1)
    if outside > tolerance + 1e-9:
        raise ValueError(f"box is outside the frame by {outside:.3g} of its size, wanted at most {tolerance:g}")
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0)
    if right <= left or bottom <= top:
        raise ValueError("box has no area inside the frame")
    return rounded(
        Box(class_id=class_id, x=(left + right) / 2, y=(top + bottom) / 2, width=right - left, height=bottom - top)
    )


def rounded(box: Box) -> Box:
    """The box as it is written to a file; a box too thin to be written raises ValueError."""
    return Box(
        class_id=box.class_id,
        x=round(box.x, _DECIMALS),
        y=round(box.y, _DECIMALS),
        width=round(box.width, _DECIMALS),
        height=round(box.height, _DECIMALS),
    )


def whole(text: str) -> int:
    """A whole number in plain ASCII digits, below a thousand million.

    Raises:
        ValueError: anything else.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{bounded.shown(text)}, wanted a whole number")
    return int(text)


def number(text: str) -> float:
    """A number in plain ASCII; inf and nan are read, for a box to refuse them by what they are.

    Raises:
        ValueError: anything else.
    """
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        raise ValueError(f"{bounded.shown(text)}, wanted a number")
    return float(text)


def parse_line(line: str) -> Box:
    """Parse one YOLO line: class, centre x, centre y, width, height.

    Raises:
        ValueError: not five numbers, or not a possible box.
    """
    fields = line.split()
    if len(fields) != 5:  # noqa: PLR2004 - the format's own number
        raise ValueError(f"{len(fields)} fields, wanted 5 (class, centre x, centre y, width, height)")
    try:
        class_id = whole(fields[0])
        x, y, width, height = (number(field) for field in fields[1:])
    except ValueError:
        raise ValueError(f"{bounded.shown(line.strip())}, wanted a whole number and four fractions") from None
    return Box(class_id=class_id, x=x, y=y, width=width, height=height)


def format_boxes(boxes: Iterable[Box]) -> str:
    """Boxes as the text of a YOLO label file, sorted; an image without objects gives an empty text."""
    return "".join(
        f"{box.class_id} {box.x:.6f} {box.y:.6f} {box.width:.6f} {box.height:.6f}\n" for box in sorted(boxes)
    )


def digest(boxes: Iterable[Box]) -> str:
    """SHA-256 of the label file's text: the version of an image's labels."""
    return hashlib.sha256(format_boxes(boxes).encode()).hexdigest()


def read(path: Path) -> list[Box]:
    """Read a label file that this project wrote.

    Raises:
        UserError: the file is missing or a line is not a box.
    """
    if not path.exists():
        raise UserError(
            f"label file {path} is missing; an image without objects has an empty one. "
            "Run `uv run dvc checkout`, or `uv run dvc repro` to make it anew."
        )
    try:
        lines = bounded.text(path, most=LARGEST_FILE).splitlines()
    except ValueError as error:
        raise UserError(f"label file {path} {error}. Run `uv run dvc repro` to make it anew.") from None
    boxes = []
    for number, line in enumerate(lines, start=1):
        try:
            boxes.append(parse_line(line))
        except ValueError as error:
            raise UserError(f"{path} line {number}: {error}. Run `uv run dvc repro` to make it anew.") from None
    return boxes
