"""Image files are read whole or refused, and PNG text survives."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from pipeline.core import images, jpeg_file

LIMIT = 1_000_000
SIZE = (48, 32)  # width, height


def photograph(mode: str = "RGB") -> Image.Image:
    """A picture with structure, the same each time."""
    values = np.random.Generator(np.random.PCG64(7)).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(values, (5, 5), 2)
    return Image.fromarray(smooth).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    """EXIF data that holds an orientation."""
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png_header(width: int, height: int) -> bytes:
    """A PNG file that ends before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x")


def opencv(data: bytes) -> npt.NDArray[np.uint8]:
    """What OpenCV's reader sees."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(pixels, dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WebP"])
def test_probe(kind: str) -> None:
    """Format and size come from the header of each format."""
    header = images.probe(saved(photograph(), kind))
    assert (header.format, header.width, header.height, header.mode) == (kind, *SIZE, "RGB")


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_plain_files_stay_as_they_are(kind: str, mode: str) -> None:
    """A plain file may be stored unchanged, and its pixels are those that OpenCV sees."""
    data = saved(photograph(mode), kind)
    decoded = images.decode(data, max_pixels=LIMIT)
    assert decoded.as_is
    assert (decoded.width, decoded.height) == SIZE
    assert np.array_equal(decoded.pixels, opencv(data))


def test_progressive_and_restart_markers() -> None:
    """Whole JPEG files of the rarer kinds are not taken for cut ones."""
    for options in ({"progressive": True}, {"restart_marker_blocks": 2}, {"subsampling": 0}, {"optimize": True}):
        assert images.decode(saved(photograph(), "JPEG", **options), max_pixels=LIMIT).as_is


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved(photograph(), "TIFF"), id="tiff"),
        pytest.param(saved(photograph(), "WebP", lossless=True), id="webp"),
        pytest.param(saved(photograph("CMYK"), "JPEG"), id="cmyk"),
        pytest.param(saved(photograph("RGBA"), "PNG"), id="alpha"),
        pytest.param(saved(photograph().convert("P"), "PNG", transparency=3), id="transparent palette"),
        pytest.param(saved(photograph(), "PNG", exif=exif(3)), id="orientation in png"),
        pytest.param(saved(photograph(), "JPEG") + b"more", id="something after the end marker"),
    ],
)
def test_unusual_files_are_not_stored_unchanged(data: bytes) -> None:
    """What readers take in different ways is decoded, to be written anew."""
    decoded = images.decode(data, max_pixels=LIMIT)
    assert not decoded.as_is
    assert decoded.pixels.shape == (SIZE[1], SIZE[0], 3)
    assert decoded.pixels.dtype == np.uint8


def test_truncated_jpeg_is_refused_at_any_length() -> None:
    """A JPEG without its end is refused wherever it was cut."""
    data = saved(photograph(), "JPEG")
    for length in (3, 20, 200, len(data) // 2, len(data) - 2, len(data) - 1):
        with pytest.raises(ValueError, match="JPEG"):
            images.decode(data[:length], max_pixels=LIMIT)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}], ids=str)
def test_jpeg_with_missing_scan_data(options: Mapping[str, object]) -> None:
    """A JPEG that was cut and given an end marker is refused, though decoders fill it with grey."""
    data = saved(photograph().resize((256, 192)), "JPEG", **options)
    for missing in (40, len(data) // 4):
        with pytest.raises(ValueError, match="scan data is missing"):
            images.decode(data[: -2 - missing] + b"\xff\xd9", max_pixels=LIMIT)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WebP"])
def test_truncated_files_of_other_formats(kind: str) -> None:
    """A file cut in half is refused in each format."""
    data = saved(photograph(), kind)
    with pytest.raises(ValueError, match=kind):
        images.decode(data[: len(data) // 2], max_pixels=LIMIT)


def test_png_without_its_end_chunk() -> None:
    """A PNG that lacks only its last chunk is refused."""
    with pytest.raises(ValueError, match="no end chunk"):
        images.decode(saved(photograph(), "PNG")[:-12], max_pixels=LIMIT)


def test_huge_png_is_refused_from_its_header() -> None:
    """An image of 50,000 by 50,000 pixels is refused before anything is allocated for it."""
    assert images.probe(png_header(50_000, 50_000)).width == 50_000
    with pytest.raises(ValueError, match=r"50000 x 50000 is 2,500,000,000 pixels, wanted at most 1,000,000"):
        images.decode(png_header(50_000, 50_000), max_pixels=LIMIT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "empty file", id="empty"),
        pytest.param(b"this is a text, not a picture", "text that starts with", id="text"),
        pytest.param(b"\0\1\2\3", r"known format \(starts with", id="unknown"),
        pytest.param(b"GIF89a", "wanted PNG, JPEG, BMP, TIFF or WebP", id="gif"),
        pytest.param(png_header(0, 5), "size of zero", id="zero width"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "PNG with a broken header", id="signature only"),
        pytest.param(saved(photograph("F"), "TIFF"), "no known range", id="float"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    """What is no whole image of a known kind is refused with the reason."""
    with pytest.raises(ValueError, match=reason):
        images.decode(data, max_pixels=LIMIT)


@pytest.mark.parametrize("kind", ["PNG", "WebP", "TIFF"])
def test_animations_are_refused(kind: str) -> None:
    """A file of two frames or pages is refused: no one frame is the picture."""
    other = photograph().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    data = saved(photograph(), kind, save_all=True, append_images=[other])
    with pytest.raises(ValueError, match="with several frames or pages"):
        images.decode(data, max_pixels=LIMIT)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey(kind: str) -> None:
    """16-bit grey is scaled by its type's range, not by its content."""
    deep = np.linspace(0, 65535, SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0]).astype(np.uint16)
    decoded = images.decode(saved(Image.fromarray(deep), kind), max_pixels=LIMIT)
    assert not decoded.as_is
    assert np.array_equal(decoded.pixels, np.repeat((deep >> 8).astype(np.uint8)[:, :, None], 3, axis=2))


def test_sixteen_bit_colour_is_written_anew() -> None:
    """16-bit colour, which Pillow shows as 8-bit, is noticed."""
    deep = np.random.Generator(np.random.PCG64(1)).integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    written, encoded = cv2.imencode(".png", deep)
    assert written
    decoded = images.decode(encoded.tobytes(), max_pixels=LIMIT)
    assert not decoded.as_is
    assert np.array_equal(decoded.pixels, (deep >> 8).astype(np.uint8))


def test_alpha_on_white() -> None:
    """Transparent pixels are white, opaque ones keep their colour (blue, green, red)."""
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], dtype=np.uint8)
    decoded = images.decode(saved(Image.fromarray(pixels), "PNG"), max_pixels=LIMIT)
    assert decoded.pixels.tolist() == [[[0, 0, 255], [255, 255, 255]]]


def test_cmyk() -> None:
    """A red CMYK image comes out red."""
    data = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    blue, green, red = images.decode(data, max_pixels=LIMIT).pixels[8, 8]
    assert red > 240
    assert max(blue, green) < 15


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WebP"])
def test_exif_orientation(kind: str) -> None:
    """Orientation 6 turns the image upright: what is left in the file is at the top."""
    image = Image.new("RGB", SIZE, "black")
    image.paste((255, 255, 255), (0, 0, SIZE[0] // 2, SIZE[1]))
    decoded = images.decode(saved(image, kind, exif=exif(6)), max_pixels=LIMIT)
    assert (decoded.width, decoded.height, decoded.as_is) == (SIZE[1], SIZE[0], False)
    assert decoded.pixels[2, SIZE[1] // 2].min() > 240
    assert decoded.pixels[-3, SIZE[1] // 2].max() < 15


def test_broken_exif_is_passed_over() -> None:
    """EXIF data that cannot be read costs neither the image nor a warning."""
    data = saved(photograph(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert images.decode(data, max_pixels=LIMIT).pixels.shape == (SIZE[1], SIZE[0], 3)
        assert images.probe(data).format == "JPEG"
    assert not caught


def test_lenient_pillow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a library told Pillow to fill cut files, nothing is read by it."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for data in (saved(photograph(), "PNG"), saved(photograph(), "JPEG")[:-2]):
        with pytest.raises(ValueError, match="LOAD_TRUNCATED_IMAGES"):
            images.decode(data, max_pixels=LIMIT)


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_raise_nothing_else(data: st.DataObject) -> None:
    """A file with some bytes changed is decoded or refused by ValueError, without a warning."""
    whole = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        decoded = images.decode(bytes(whole), max_pixels=LIMIT)
        assert decoded.pixels.shape == (decoded.height, decoded.width, 3)
    images.is_marked_synthetic(bytes(whole))


WHOLE = [saved(photograph(), kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WebP")]


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)], ids=["colour", "grey"])
def test_encode_png(shape: tuple[int, ...]) -> None:
    """What is encoded is decoded to the same pixels, may stay as it is, and has the same bytes each time."""
    pixels = np.random.Generator(np.random.PCG64(3)).integers(0, 256, shape, dtype=np.uint8)
    data = images.encode_png(pixels, {"b": "2", "a": "1"})
    decoded = images.decode(data, max_pixels=LIMIT)
    assert decoded.as_is
    assert np.array_equal(decoded.pixels, pixels if len(shape) == 3 else np.repeat(pixels[:, :, None], 3, axis=2))
    assert data == images.encode_png(pixels, {"a": "1", "b": "2"})


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=79)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@settings(max_examples=60)
def longer_look(data: bytes) -> images.Decoded | None:
    """What is found of a file without the quick way; None where it is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg_file, "plain_pixels", lambda _, **__: None)
        try:
            return images.decode(data, max_pixels=LIMIT)
        except ValueError:
            return None


JPEGS = [
    saved(photograph(mode), "JPEG", quality=quality, **options)
    for mode, quality in (("RGB", 30), ("RGB", 95), ("L", 80))
    for options in ({}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"restart_marker_blocks": 2})
]


@pytest.mark.parametrize("data", JPEGS)
def test_plain_jpegs_go_the_quick_way(data: bytes) -> None:
    """Whole JPEGs are decoded once, and what is found is what the longer look finds."""
    quick, slow = jpeg_file.plain_pixels(data, max_pixels=LIMIT), longer_look(data)
    assert quick is not None
    assert slow is not None
    assert slow.as_is
    assert np.array_equal(quick, slow.pixels)
    assert jpeg_file.whole_size(data, max_pixels=LIMIT) == (slow.width, slow.height)


@settings(max_examples=300)
@given(
    data=st.sampled_from(JPEGS),
    cuts=st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(max_size=3), st.integers(0, 4)), max_size=3),
    end=st.sampled_from([b"", b"\xff\xd9", b"\xff\xd9more", b"\xff\xd9\xff\xd8\xff\xd9"]),
)
def test_the_quick_way_lets_nothing_pass(data: bytes, cuts: list[tuple[int, bytes, int]], end: bytes) -> None:
    """Of damaged JPEGs, whatever the quick way takes the longer look takes too, as it is, with the same pixels."""
    for place, put, dropped in cuts:
        at = place % len(data)
        data = data[:at] + put + data[at + dropped :]
    quick = jpeg_file.plain_pixels(data + end, max_pixels=LIMIT)
    size = jpeg_file.whole_size(data + end, max_pixels=LIMIT)
    assert size == (None if quick is None else quick.shape[1::-1])  # an eighth of the pixels shows all damage
    if quick is not None:
        slow = longer_look(data + end)
        assert slow is not None
        assert slow.as_is
        assert np.array_equal(quick, slow.pixels)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved(photograph(), "JPEG", exif=exif(6)), id="turned"),
        pytest.param(saved(photograph("CMYK"), "JPEG"), id="cmyk"),
        pytest.param(saved(photograph(), "JPEG") + b"more", id="something behind it"),
        pytest.param(saved(photograph(), "JPEG")[:-2], id="no end"),
        pytest.param(saved(photograph(), "JPEG") + saved(photograph(), "JPEG"), id="two pictures"),
        pytest.param(saved(photograph(), "PNG"), id="png"),
        pytest.param(b"\xff\xd8\xff\xe0\x00\x00", id="a segment without a length"),
        pytest.param(b"\xff\xd8\xff", id="a start"),
    ],
)
def test_what_is_out_of_the_ordinary_gets_a_longer_look(data: bytes) -> None:
    """Files that readers take in several ways, or that are no whole JPEGs, do not go the quick way."""
    assert jpeg_file.plain_pixels(data, max_pixels=LIMIT) is None
    assert jpeg_file.whole_size(data, max_pixels=LIMIT) is None


def test_the_quick_way_is_bounded() -> None:
    """No more pixels are allocated than may be."""
    assert jpeg_file.plain_pixels(saved(photograph(), "JPEG"), max_pixels=SIZE[0] * SIZE[1]) is not None
    assert jpeg_file.plain_pixels(saved(photograph(), "JPEG"), max_pixels=SIZE[0] * SIZE[1] - 1) is None


@given(st.dictionaries(KEYS, TEXTS, max_size=4))
def test_png_text_round_trip(text: dict[str, str]) -> None:
    """Text that is written is read again by others."""
    data = images.encode_png(np.zeros((2, 2, 3), np.uint8), text)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.load()  # a text may stand behind the pixels
        assert image.info == text


@pytest.mark.parametrize("key", ["", "k" * 80, "a\0b", " a", "ä"], ids=["empty", "long", "nul", "blank", "not ascii"])
def test_png_text_with_an_impossible_key(key: str) -> None:
    """A key that PNG cannot hold is refused."""
    with pytest.raises(ValueError, match="wanted a key"):
        images.encode_png(np.zeros((2, 2, 3), np.uint8), {key: "value"})


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(chunk(b"tEXt", b"tailwatch:synthetic\0yes"), id="plain"),
        pytest.param(chunk(b"zTXt", b"tailwatch:synthetic\0\0" + zlib.compress(b"yes")), id="compressed"),
        pytest.param(chunk(b"iTXt", b"tailwatch:synthetic\0\1\0\0\0" + zlib.compress(b"yes")), id="international"),
    ],
)
def test_text_chunks_of_other_writers(payload: bytes) -> None:
    """The mark is found in each of PNG's kinds of text."""
    data = saved(photograph(), "PNG")
    marked = data[:33] + payload + data[33:]
    assert images.is_marked_synthetic(marked)
    assert images.is_marked_synthetic(marked[:-20])


@pytest.mark.parametrize(
    ("make", "marked"),
    [
        pytest.param(lambda data: data, True, id="whole"),
        pytest.param(lambda data: data[:120], True, id="cut off"),
        pytest.param(lambda data: data[:40], False, id="cut before the mark"),
        pytest.param(lambda data: data[:62], False, id="cut inside the mark"),
        pytest.param(lambda _: saved(photograph(), "PNG"), False, id="without a mark"),
        pytest.param(lambda _: saved(photograph(), "JPEG"), False, id="jpeg"),
        pytest.param(lambda _: b"", False, id="empty"),
        pytest.param(lambda _: b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXt", False, id="absurd length"),
        pytest.param(lambda _: b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", b"a\0\0junk"), False, id="broken text"),
    ],
)
def test_is_marked_synthetic(make: Callable[[bytes], bytes], *, marked: bool) -> None:
    """The mark is found as far as the file goes, and nothing raises."""
    data = images.encode_png(np.zeros((64, 64, 3), np.uint8), {images.SYNTHETIC_MARK: "1"})
    assert images.is_marked_synthetic(make(data)) is marked
