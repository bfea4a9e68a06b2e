"""Image files: read whole or refused with a reason, and PNG files that carry text.

OpenCV fills what a truncated JPEG lacks with grey and says nothing; Pillow raises. And Pillow reads a size without
allocating the pixels. Its format classes are used directly: ``Image.open`` warns about large images by a global limit,
and ultralytics replaces it in its own process. Most files are JPEGs that nothing is wrong with: these are decoded once,
by simplejpeg, which gives OpenCV's pixels in OpenCV's time and refuses what libjpeg warns of. Whatever it refuses, or
is out of the ordinary, gets the closer look.

A decoder that is fed hostile bytes may raise almost anything, so both places that call one turn every ``Exception``
into a ValueError with a reason.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pipeline.core import jpeg_file, png_file
from pipeline.core.errors import UserError

Pixels = npt.NDArray[np.uint8]

SYNTHETIC_MARK = "tailwatch:synthetic"

_FORMATS: tuple[tuple[re.Pattern[bytes], str, Callable[[io.BytesIO], ImageFile.ImageFile]], ...] = (
    (re.compile(re.escape(png_file.START)), "PNG", PngImageFile),
    (re.compile(rb"\xff\xd8\xff"), "JPEG", JpegImageFile),
    (re.compile(rb"BM"), "BMP", BmpImageFile),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), "TIFF", TiffImageFile),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP", WebPImageFile),
)
_WANTED = "wanted PNG, JPEG, BMP, TIFF or WebP"
_SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_PLAIN_MODES = frozenset({"L", "P", "RGB"})
_MOST_CHUNKS = 100_000  # of a PNG; 100 million pixels have some 40,000
_MOST_RUNS = 10_000_000  # pixels of a BMP whose runs Pillow unpacks in Python
_SLACK = 1 << 20  # bytes of image data beyond what the pixels can take
_FILLER = b"\xaa\x55" + bytes(range(1, 255)) * 4  # scan data without a marker in it


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What a file's header says; width and height in pixels, mostly before the EXIF orientation is applied."""

    format: str
    width: int
    height: int
    mode: str  # Pillow's name for the channels and their depth: L, RGB, P, CMYK, I;16, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A whole image: BGR pixels of shape (height, width, 3), upright.

    ``as_is`` says that the file may be stored unchanged: OpenCV's and ultralytics' readers see these same pixels.
    """

    pixels: Pixels
    width: int
    height: int
    as_is: bool


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hear no warnings about metadata in this block; what concerns the pixels raises.

    Filters of warnings are one for all threads: where images are decoded in several, the block is around all of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def probe(data: bytes) -> ImageHeader:
    """Read format and size from the header; no pixel is decoded.

    Raises:
        ValueError: not an image of a known format, or its header is broken.
    """
    with quiet():
        image, name = _open(data)
    return ImageHeader(format=name, width=image.width, height=image.height, mode=image.mode)


def decode(data: bytes, *, max_pixels: int) -> Decoded:
    """Decode a whole image, upright, transparent parts on white, 16-bit values by their high byte.

    Args:
        data: the file's bytes.
        max_pixels: an image of more pixels than this is refused before anything is allocated for them.

    Raises:
        ValueError: the format is unknown, the image is too large, broken, cut off or has several frames. The message
            says which.
    """
    with quiet():
        if (seen := jpeg_file.plain_pixels(data, max_pixels=max_pixels)) is not None:
            return Decoded(pixels=seen, width=seen.shape[1], height=seen.shape[0], as_is=True)
        image, name = _open(data)
        count = image.width * image.height
        if count > max_pixels:
            raise ValueError(f"{image.width} x {image.height} is {count:,} pixels, wanted at most {max_pixels:,}")
        if _has_more(image):
            raise ValueError(f"{name} with several frames or pages, wanted a single picture")
        _check_cheap(image, data)
        try:
            # Before the EXIF data is asked for: Pillow loads the pixels of a PNG for that, and fails but once.
            image.load()
            _check_whole(image, data)
            plain = _is_plain(image, data)
            pixels = _bgr(_upright(image))
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            raise ValueError(f"{name} is broken or cut off: {_one_line(error)}") from None
    seen = _seen_by_opencv(data) if plain else None
    if plain and seen is None:
        raise ValueError(f"{name} that Pillow reads and OpenCV does not, so its pixels are not known")
    # JPEG decoders may differ by a grey value; what training will see is then what counts.
    as_is = seen is not None and seen.shape == pixels.shape and (name == "JPEG" or np.array_equal(seen, pixels))
    if as_is and seen is not None:
        pixels = seen
    return Decoded(pixels=pixels, width=pixels.shape[1], height=pixels.shape[0], as_is=as_is)


def read(path: Path | str) -> Pixels:
    """Read an image that this project stored: BGR, shape (height, width, 3).

    Raises:
        UserError: the file is missing or damaged.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        state = "is damaged" if Path(path).exists() else "is missing"
        raise UserError(f"image {path} {state}. Run `uv run dvc checkout`, or `uv run dvc repro` to make it anew.")
    return np.asarray(pixels, dtype=np.uint8)


def stored_size(path: Path | str) -> tuple[int, int]:
    """Width and height of an image that this project stored, in pixels; no pixel is decoded.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        header = probe(Path(path).read_bytes())
    except (OSError, ValueError):
        pixels = read(path)  # which says what is wrong
        return pixels.shape[1], pixels.shape[0]
    return header.width, header.height


def encode_png(pixels: Pixels, text: Mapping[str, str] | None = None) -> bytes:
    """A PNG file of BGR pixels, shape (height, width, 3), or grey ones, shape (height, width).

    Args:
        pixels: 8 bits a channel.
        text: written as text chunks in the order of their keys; equal input gives equal bytes.

    Raises:
        ValueError: a key or a text that PNG cannot hold.
    """
    info = PngInfo()
    for key, value in sorted((text or {}).items()):
        if not re.fullmatch(r"[!-~]([ -~]{0,77}[!-~])?", key) or "\0" in value:
            raise ValueError(f"PNG text {key!r}, wanted a key of 1 to 79 ASCII characters and a text without NUL")
        info.add_text(key, value)
    upright = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels  # noqa: PLR2004 - height, width, channel
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(upright)).save(file, format="PNG", pnginfo=info)
    return file.getvalue()


def is_marked_synthetic(data: bytes) -> bool:
    """Whether this project wrote the image; reads PNG text only, never raises."""
    mark = SYNTHETIC_MARK.encode("latin-1")
    return any(
        kind in png_file.TEXTS and payload.partition(b"\0")[0] == mark for kind, payload in png_file.chunks(data)
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _open(data: bytes) -> tuple[ImageFile.ImageFile, str]:
    if not data:
        raise ValueError(f"empty file, {_WANTED}")
    if next(itertools.islice(png_file.chunks(data), _MOST_CHUNKS, None), None) is not None:
        raise ValueError(f"PNG with more than {_MOST_CHUNKS:,} chunks")
    for magic, name, reader in _FORMATS:
        if magic.match(data):
            try:
                return reader(io.BytesIO(data)), name
            except Exception as error:  # noqa: BLE001 - see the module's docstring
                raise ValueError(f"{name} with a broken header or a size of zero: {_one_line(error)}") from None
    start = data[:16]
    what = f"text that starts with {start!r}" if start.isascii() and b"\0" not in start else f"starts with {start!r}"
    raise ValueError(f"not an image of a known format ({what}), {_WANTED}")


def _has_more(image: ImageFile.ImageFile) -> bool:
    """Whether there is a second frame or page."""
    try:
        if isinstance(image, TiffImageFile):  # it would count all pages, and there may be a million
            image.seek(1)
            return True
        return int(getattr(image, "n_frames", 1)) > 1
    except EOFError:
        return False
    except Exception as error:  # noqa: BLE001 - see the module's docstring
        raise ValueError(f"the list of frames is broken: {_one_line(error)}") from None


def _check_cheap(image: ImageFile.ImageFile, data: bytes) -> None:
    """Raise ValueError for a file that is small and takes minutes to decode."""
    count = image.width * image.height
    if isinstance(image, PngImageFile):
        size = sum(len(payload) for kind, payload in png_file.chunks(data) if kind == b"IDAT")
        if size > 8 * count + 2 * image.height + _SLACK:
            raise ValueError(f"PNG with {size:,} bytes of image data, which is more than its pixels can take")
    elif isinstance(image, JpegImageFile):
        scans = jpeg_file.scans(data)
        if scans > jpeg_file.MOST_SCANS:
            raise ValueError(f"JPEG with {scans} scans, wanted at most {jpeg_file.MOST_SCANS}")
    elif isinstance(image, BmpImageFile) and count > _MOST_RUNS and image.tile and image.tile[0][0] == "bmp_rle":
        raise ValueError(f"BMP with {count:,} pixels in runs, wanted at most {_MOST_RUNS:,}, or plain ones")


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if jpeg_file.orientation(image) != 1 else image


def _is_plain(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether every reader takes this file the same way: 8-bit grey or colour, opaque, upright, nothing after it."""
    if image.mode not in _PLAIN_MODES or "transparency" in image.info or jpeg_file.orientation(image) != 1:
        return False
    if isinstance(image, PngImageFile):
        # The bit depth stands at 24; Pillow shows 16-bit colour as RGB.
        return data[24] <= 8 and png_file.end(data) == len(data)  # noqa: PLR2004
    if isinstance(image, JpegImageFile):
        return jpeg_file.end(data) == len(data)
    return isinstance(image, BmpImageFile) and int.from_bytes(data[2:6], "little") in {0, len(data)}


def _seen_by_opencv(data: bytes) -> Pixels | None:
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    return None if pixels is None else pixels.astype(np.uint8, copy=False)


def _bgr(image: Image.Image) -> Pixels:
    if image.mode in _SIXTEEN_BITS or (image.mode == "I" and image.format == "PNG"):
        high = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(high[:, :, None], 3, axis=2)
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        raise ValueError(f"pixels of mode {image.mode} have no known range, wanted 8 or 16 bits a channel")
    if image.mode in {"LA", "PA", "RGBA", "La", "RGBa"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _check_whole(image: ImageFile.ImageFile, data: bytes) -> None:
    """Raise ValueError for what Pillow lets pass: a missing end, scan data that stops early."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ValueError("Pillow's LOAD_TRUNCATED_IMAGES is on in this process, so a cut file would pass; turn it off")
    if isinstance(image, PngImageFile) and png_file.end(data) is None:
        raise ValueError("PNG is cut off: it has no end chunk")
    if not isinstance(image, JpegImageFile):
        return
    end = jpeg_file.end(data)
    if end is None:
        raise ValueError("JPEG is cut off: it has no end marker (FFD9)")
    # The decoder makes up scan data that is missing before the end marker. Offered other data there, it takes that,
    # and the picture changes; where the scan is whole, it needs none.
    other = JpegImageFile(io.BytesIO(data[: end - 2] + _FILLER + data[end - 2 : end]))
    other.load()
    if other.tobytes() != image.tobytes():
        raise ValueError("JPEG is cut off: scan data is missing before its end marker")
