"""Image files as they come from outside: read within bounds, decoded whole, and what would be kept of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.core import ahead, bounded, images, impostors, jpeg_file, portraits
from pipeline.core.portraits import Portrait
from pipeline.core.sections import Ingest
from pipeline.core.sources.found import SourceImage

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "BMP": ".bmp"}  # of files that are stored as they are
_PIXEL = 8  # bytes, at most: four channels of 16 bits
_BESIDE = 1 << 26  # bytes of a file for all else than pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What there is to know of an image file before others are looked at.

    Attributes:
        image_id: SHA-256 of its bytes; empty where they cannot be read.
        marked: whether it says of itself that it is synthetic.
        reason: why it cannot be used; empty where it can.
        stored: the bytes that are kept: its own, or those of a PNG with its pixels.
        suffix: of the kept file's name.
        size: width and height in pixels.
    """

    image_id: str = ""
    marked: bool = False
    reason: str = ""
    stored: bytes = b""
    suffix: str = ""
    size: tuple[int, int] = (0, 0)


def portraits_of(found: Iterable[SourceImage], settings: Ingest) -> Iterator[Portrait]:
    """Portraits of the images that can be read; the others are refused for what they are."""
    readable = (one for one in found if one.problem is None)
    return (one for one in ahead.mapped(partial(_portrait, settings=settings), readable) if one is not None)


def _portrait(found: SourceImage, settings: Ingest) -> Portrait | None:
    try:
        data = _bytes(found.path, settings)
        pixels = images.decode(data, max_pixels=settings.max_pixels).pixels
    except ValueError:
        return None
    return portraits.portrait(pixels, image_id=hashlib.sha256(data).hexdigest(), name=found.name)


def look(found: SourceImage, settings: Ingest) -> Incoming:
    """Read and decode an image file, one of many at the same time."""
    if found.problem:
        return Incoming()
    try:
        data = _bytes(found.path, settings)
    except ValueError as error:
        return Incoming(reason=str(error))
    image_id = hashlib.sha256(data).hexdigest()
    if impostors.is_marked(data):
        return Incoming(image_id=image_id, marked=True)
    if size := jpeg_file.whole_size(data, max_pixels=settings.max_pixels):
        return Incoming(image_id=image_id, stored=data, suffix=_SUFFIXES["JPEG"], size=size)
    try:
        decoded = images.decode(data, max_pixels=settings.max_pixels)
    except ValueError as error:
        return Incoming(image_id=image_id, reason=str(error))
    # The name of a file may lie about its format, and readers go by the name.
    suffix = _SUFFIXES[images.probe(data).format] if decoded.as_is else ".png"
    stored = data if decoded.as_is else images.encode_png(decoded.pixels)
    return Incoming(image_id=image_id, stored=stored, suffix=suffix, size=(decoded.width, decoded.height))


def _bytes(path: Path, settings: Ingest) -> bytes:
    """An image file; a larger one than the largest image without any compression is refused."""
    try:
        return bounded.read(path, most=_PIXEL * settings.max_pixels + _BESIDE)
    except ValueError as error:
        raise ValueError(f"the file {error}") from None
