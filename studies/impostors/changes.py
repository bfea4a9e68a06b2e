"""What may be done to a synthetic image on its way back: each change takes BGR pixels and a random generator."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.core.images import Pixels

Change = Callable[[Pixels, np.random.Generator], Pixels]


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """The image, re-encoded as JPEG at a quality of 1 to 100."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def resized(pixels: Pixels, factor: float) -> Pixels:
    """The image at another size."""
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=way), dtype=np.uint8)


def cropped(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """A part of the image, anywhere in it; ``share`` of each side."""
    height, width = (round(side * share) for side in pixels.shape[:2])
    y, x = rng.integers(pixels.shape[0] - height + 1), rng.integers(pixels.shape[1] - width + 1)
    return np.ascontiguousarray(pixels[y : y + height, x : x + width])


def lit(pixels: Pixels, *, contrast: float = 1, brightness: float = 0) -> Pixels:
    """Contrast changed about the middle grey, then brightness, in grey values; what overflows is cut off."""
    changed = (pixels.astype(np.float32) - 128) * contrast + 128 + brightness
    return np.asarray(np.clip(changed, 0, 255), dtype=np.uint8)


def bordered(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The image inside a border of one colour, each side up to 0.3 of the image's."""
    height, width = pixels.shape[:2]
    grey = int(rng.choice([0, 30, 128, 245, 255]))
    colour = [int(one) for one in rng.integers(0, 256, 3)] if rng.random() < 0.5 else [grey] * 3  # noqa: PLR2004
    top, bottom, left, right = (int(rng.uniform(0, 0.3) * side) for side in (height, height, width, width))
    return np.asarray(
        cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour), dtype=np.uint8
    )


CHANGES: dict[str, Change] = {
    "pixels in another container": lambda pixels, _: pixels,
    "JPEG at quality 30": lambda pixels, _: jpeg(pixels, 30),
    "JPEG at quality 60": lambda pixels, _: jpeg(pixels, 60),
    "JPEG at quality 95": lambda pixels, _: jpeg(pixels, 95),
    "resized to half": lambda pixels, _: resized(pixels, 0.5),
    "resized to 0.7 to 1.5": lambda pixels, rng: resized(pixels, rng.uniform(0.7, 1.5)),
    "resized to double": lambda pixels, _: resized(pixels, 2),
    "cropped to 80 % of the area": lambda pixels, rng: cropped(pixels, 0.8**0.5, rng),
    "cropped to 80 % of each side": lambda pixels, rng: cropped(pixels, 0.8, rng),
    "mirrored left to right": lambda pixels, _: pixels[:, ::-1].copy(),
    "mirrored top to bottom": lambda pixels, _: pixels[::-1].copy(),
    "brightness changed by 25 or 50": lambda pixels, rng: lit(pixels, brightness=rng.choice([-50, -25, 25, 50])),
    "contrast times 0.5, 0.7 or 1.4": lambda pixels, rng: lit(pixels, contrast=rng.choice([0.5, 0.7, 1.4])),
    "border of one colour": bordered,
    "cropped to 80 %, mirrored, JPEG at 60": lambda pixels, rng: jpeg(cropped(pixels, 0.8, rng)[:, ::-1].copy(), 60),
    "cropped to 80 %, resized to half, JPEG at 60": lambda pixels, rng: jpeg(
        resized(cropped(pixels, 0.8, rng), 0.5), 60
    ),
    "border, resized to 0.5 to 2, JPEG at 60 to 95": lambda pixels, rng: jpeg(
        resized(bordered(pixels, rng), rng.uniform(0.5, 2)), int(rng.integers(60, 96))
    ),
}
