"""The colours of classes and arms: the same in every picture, chart and table."""

from __future__ import annotations

import colorsys

_CLASSES = (
    "#2f74d0", "#e08a00", "#0a9a6b", "#c2479d", "#6b5bd2", "#d1493f", "#1795ad", "#8a7a1f", "#7c4a1e", "#5f6b7a",
)  # fmt: skip
_ARMS = ("#1f5fbf", "#b4530a", "#6d3fc0", "#0b7285", "#a61e6b", "#55601a")
_ARMS_ON_DARK = ("#7fb2ff", "#ffb066", "#c0a3ff", "#5fd3e6", "#ff94cf", "#c9d67a")
_GOLDEN = 0.618034  # of a turn: hues that never come near one another


def class_colour(number: int) -> str:
    """The colour of a class, by its id, as ``#rrggbb``.

    >>> class_colour(0), class_colour(0) == class_colour(10)
    ('#2f74d0', False)
    """
    return _CLASSES[number] if number < len(_CLASSES) else _spun(number, 0.62)


def arm_colour(number: int) -> str:
    """The colour of an arm on a light page, by its place in ``params.yaml``, as ``#rrggbb``."""
    return _ARMS[number] if number < len(_ARMS) else _spun(number, 0.42)


def arm_colour_on_dark(number: int) -> str:
    """The colour of an arm on a dark page."""
    return _ARMS_ON_DARK[number] if number < len(_ARMS_ON_DARK) else _spun(number, 0.85)


def _spun(number: int, value: float) -> str:
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.65, value)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def bgr(colour: str) -> tuple[int, int, int]:
    """A colour as OpenCV takes it.

    >>> bgr("#010203")
    (3, 2, 1)
    """
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)
