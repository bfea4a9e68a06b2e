"""One fixed embedding of images and object crops: edges by place and direction, and the layout of grey and colour.

Nothing in it is learned, downloaded or fitted, and nothing is centred over a set, so the similarity of two images does
not depend on which others are there: figures of different generations can be compared. Why this one, and how well it
tells a copy from another object: ``docs/decisions/011-the-embedding.md``.

An image is brought to one size, with whole-number weights that are the same on every machine, and moved so that its
edges lie around the middle: boxes of one object differ by a pixel or two, and a small object is only 16 pixels wide.
What follows are short sums in double precision, rounded to single precision at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import islice

import numpy as np
import numpy.typing as npt

from pipeline.core.images import Pixels

Vectors = npt.NDArray[np.float32]
_Floats = npt.NDArray[np.float64]

_SIDE = 32  # pixels of the square that is looked at
_MARGIN = 5  # pixels around that square: how far it may be moved
_FRAME = 0.15  # border's colour put around an image, as a fraction of its longer side, so that it can be moved
_CELLS = 6  # a side: edges are counted by cell
_DIRECTIONS = 8  # a full turn, for light on dark is not dark on light
_GREY = 8  # a side
_COLOUR = 4  # a side
_EDGES_WEIGHT, _GREY_WEIGHT, _COLOUR_WEIGHT = 1.0, 0.5, 0.5  # squared: shares of the cosine
_EDGE_FLOOR = 2.0  # grey values a pixel: weaker edges than this, such as noise, count as little
_GREY_FLOOR = 2.0  # grey values: weaker contrast than this counts as little
_COLOUR_FLOOR = 16.0  # grey values of chroma: weaker colour than this counts as grey
_FADE = 0.35  # of the window in which edges count: standard deviation, as a fraction of the side
_STEPS = 1 << 10  # a resampling weight is a whole number of these parts
_BLOCK = 32  # images at a time: of more, the planes leave the cache

DIMENSIONS = _CELLS * _CELLS * _DIRECTIONS + _GREY * _GREY + 2 * _COLOUR * _COLOUR + 1


def embed(images: Iterable[Pixels]) -> Vectors:
    """Embed images as unit vectors; the dot product of two is their cosine similarity.

    Args:
        images: BGR, each of shape (height, width, 3), of at least one pixel; their size and shape are not kept.

    Returns:
        Shape (images, DIMENSIONS), single precision, each row of length 1.

    Raises:
        ValueError: an array of another shape, or without a pixel.

    Source: histograms of oriented gradients: Dalal & Triggs 2005, CVPR, here with a Gaussian window, triangular cells,
    linear directions and one norm over all cells; their root: Arandjelović & Zisserman 2012, CVPR.
    """
    left = iter(images)
    blocks = []
    while block := [_small(one) for one in islice(left, _BLOCK)]:
        blocks.append(_vectors(_centred(np.stack(block))))
    return np.concatenate(blocks) if blocks else np.zeros((0, DIMENSIONS), dtype=np.float32)


def _small(pixels: Pixels) -> _Floats:
    """Blue, green and red at the common size, framed; shape (3, side + 2 margins, side + 2 margins), in [0, 255]."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:  # noqa: PLR2004 - height, width and BGR
        raise ValueError(f"image of shape {pixels.shape}, wanted (height, width, 3) with at least one pixel")
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = np.sort(rim, axis=0)[len(rim) // 2]
    frame = max(1, round(_FRAME * max(pixels.shape[:2])))
    framed = np.empty((3, pixels.shape[0] + 2 * frame, pixels.shape[1] + 2 * frame))
    framed[:] = colour[:, None, None]
    framed[:, frame:-frame, frame:-frame] = np.moveaxis(pixels, 2, 0)
    rows, columns = (_resampling(length, _SIDE + 2 * _MARGIN) for length in framed.shape[1:])
    # Whole numbers far below 2**53: exact, whatever the order in which a library adds them.
    small: _Floats = rows @ framed @ columns.T / float(_STEPS * _STEPS)
    return small


@lru_cache(maxsize=4096)
def _resampling(length: int, side: int) -> _Floats:
    """Weights that bring a line of pixels to another length: whole steps, which sum to all of them in each row.

    Shape (side, length). The window is a triangle: linear interpolation where the line grows, a mean of what falls
    together where it shrinks.
    """
    scale = length / side
    centres: _Floats = (np.arange(side, dtype=np.float64) + 0.5) * scale - 0.5
    weights: _Floats = np.clip(1 - np.abs(np.arange(length) - centres[:, None]) / max(scale, 1.0), 0, None)
    weights = np.round(weights / weights.sum(axis=1, keepdims=True) * _STEPS)
    weights[np.arange(side), weights.argmax(axis=1)] += _STEPS - weights.sum(axis=1)
    weights.setflags(write=False)
    return weights


def _centred(planes: _Floats) -> _Floats:
    """The square around the middle of the edges' energy, cut out of images at the common size with their margins."""
    across, down = _gradient(_grey(planes))
    energy = across**2 + down**2
    places = np.arange(planes.shape[-1]) - (planes.shape[-1] - 1) / 2
    whole = energy.sum(axis=(1, 2)) + _SIDE * _SIDE  # of a flat image: it stays where it is
    x, y = (((energy.sum(axis=axis) @ places) / whole).clip(-_MARGIN, _MARGIN) for axis in (1, 2))
    moved: _Floats = _moving(y)[:, None] @ planes @ _moving(x)[:, None].transpose(0, 1, 3, 2)
    return moved


def _moving(offset: _Floats) -> _Floats:
    """Weights that cut a line of the common size out of a wider one; shape (images, side, side + 2 margins)."""
    places: _Floats = np.arange(_SIDE) + _MARGIN + offset[:, None]
    weights: _Floats = np.clip(1 - np.abs(np.arange(_SIDE + 2 * _MARGIN) - places[:, :, None]), 0, None)
    return weights


def _grey(planes: _Floats) -> _Floats:
    grey: _Floats = (planes[:, 0] + 2 * planes[:, 1] + planes[:, 2]) / 4
    return grey


def _gradient(grey: _Floats) -> tuple[_Floats, _Floats]:
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2, (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2


def _vectors(planes: _Floats) -> Vectors:
    """Unit vectors of images at the common size; ``planes`` has the shape (images, 3, side, side)."""
    grey = _grey(planes)
    parts = [
        _EDGES_WEIGHT * _edges(grey),
        _GREY_WEIGHT * _grey_layout(grey),
        _COLOUR_WEIGHT * _colour_layout(planes[:, 0] - planes[:, 1], planes[:, 2] - planes[:, 1]),
    ]
    whole = np.concatenate(parts, axis=1)
    vectors: Vectors = (whole / np.linalg.norm(whole, axis=1, keepdims=True)).astype(np.float32)
    return vectors


def _edges(grey: _Floats) -> _Floats:
    """Root of the strength of edges by cell and direction, less the image's own mean; shape (images, 288), norm < 1."""
    line = np.exp(-(((np.arange(_SIDE) - (_SIDE - 1) / 2) / (_FADE * _SIDE)) ** 2) / 2)
    across, down = (slope * line[:, None] * line for slope in _gradient(grey))
    pooled = []
    for x, y in _directions():
        # A gradient shares itself linearly between the two directions beside it, without an arc tangent.
        along, sideways = across * x + down * y, np.abs(down * x - across * y)
        pooled.append(_pooled(np.clip(np.clip(along, 0, None) - sideways, 0, None), _CELLS))
    strength = np.sqrt(np.concatenate(pooled, axis=1))
    floor = _EDGE_FLOOR * _CELLS * _CELLS
    strength = strength / np.sqrt((strength**2).sum(axis=1, keepdims=True) + floor)
    edges: _Floats = strength - strength.mean(axis=1, keepdims=True)
    return edges


@cache
def _directions() -> tuple[tuple[float, float], ...]:
    """Unit vectors around the circle, made of a root alone, which every machine rounds alike."""
    root = 0.5**0.5
    quarter = [(1.0, 0.0), (root, root)]
    return tuple(
        (x * turn[0] - y * turn[1], x * turn[1] + y * turn[0])
        for turn in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
        for x, y in quarter
    )


def _grey_layout(grey: _Floats) -> _Floats:
    """Grey by place, without the image's own mean and contrast; shape (images, 64), norm < 1."""
    cells = _pooled(grey, _GREY)
    cells = cells - cells.mean(axis=1, keepdims=True)
    layout: _Floats = cells / np.sqrt((cells**2).sum(axis=1, keepdims=True) + _GREY_FLOOR**2 * cells.shape[1])
    return layout


def _colour_layout(blue: _Floats, red: _Floats) -> _Floats:
    """Chroma by place beside a constant, in which grey images are alike; shape (images, 33), norm 1."""
    constant = np.full((len(blue), 1), _COLOUR_FLOOR * _COLOUR)
    whole = np.concatenate([_pooled(blue, _COLOUR), _pooled(red, _COLOUR), constant], axis=1)
    layout: _Floats = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    return layout


def _pooled(planes: _Floats, cells: int) -> _Floats:
    """Weighted means by cell; shape (images, cells * cells)."""
    window = _resampling(_SIDE, cells) / _STEPS
    return (window @ planes @ window.T).reshape(len(planes), -1)
