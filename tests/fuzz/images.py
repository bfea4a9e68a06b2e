"""Kinds of image files that a source may hold: each a function that makes the bytes, and what must become of it."""

from __future__ import annotations

import functools
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIZE = (48, 32)  # width, height
START = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of image file.

    Attributes:
        suffix: of the file's name.
        make: its bytes.
        reason: a part of the reason why it is rejected; None where it is kept.
    """

    suffix: str
    make: Callable[[], bytes]
    reason: str | None


def photograph(mode: str = "RGB", *, seed: int = 7) -> Image.Image:
    """A picture with structure, the same each time."""
    values = np.random.default_rng(seed).integers(0, 256, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(SIZE, Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


@functools.cache
def plain(kind: str, *, seed: int = 7) -> bytes:
    """A good file."""
    return saved(photograph(seed=seed), kind)


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(
    width: int, height: int, *, depth: int = 8, colour: int = 2, data: bytes | None = None, extra: bytes = b""
) -> bytes:
    """A PNG file with a header of one's choice; image data that is much too short unless it is given."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(bytes(100)) if data is None else data
    return START + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def with_chunks(*chunks: bytes) -> bytes:
    """A good PNG with further chunks after its header."""
    whole = plain("PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def tiff(
    entries: dict[int, tuple[int, int, int]], *, pages: int = 1, strip: bytes = b"\x80", loop: bool = False
) -> bytes:
    """A TIFF of the given tags (type, count, value) on each page; the strip stands at offset 8."""
    first = 8 + len(strip) + len(strip) % 2
    size = 2 + 12 * len(entries) + 4
    out = b"II*\0" + struct.pack("<I", first) + strip.ljust(first - 8, b"\0")
    for page in range(pages):
        following = first + size * (page + 1) if page + 1 < pages else (first if loop else 0)
        body = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
        out += struct.pack("<H", len(entries)) + body + struct.pack("<I", following)
    return out


TAGS = {
    256: (4, 1, 1), 257: (4, 1, 1), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
    273: (4, 1, 8), 277: (3, 1, 1), 278: (4, 1, 1), 279: (4, 1, 1),
}  # fmt: skip


def bmp(width: int, height: int, *, bits: int = 24, packing: int = 0, body: bytes = b"", offset: int = 54) -> bytes:
    """A BMP file with a header of one's choice."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, offset) + header + body


def webp(width: int, height: int) -> bytes:
    """A WebP file whose extended header claims a canvas, with one small picture."""
    picture = plain("WEBP")[12:]
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides + picture
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_sized(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims a size."""
    data = bytearray(plain("JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def progressive(scans: int) -> bytes:
    """A progressive JPEG in which one scan stands very often."""
    data = saved(photograph("L"), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    return data[:start] + scan * scans + data[-2:]


def animated(kind: str) -> bytes:
    """A file of two frames."""
    return saved(photograph(), kind, save_all=True, append_images=[photograph(seed=8)])


def archived(kind: str) -> bytes:
    """An archive with an image in it."""
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.png", plain("PNG"))
    else:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("../a.png"))
    return file.getvalue()


def oriented(kind: str, orientation: int) -> bytes:
    """An image whose EXIF data holds an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(photograph(), kind, exif=exif)


def sixteen(kind: str) -> bytes:
    """Grey values of 16 bits."""
    values = np.asarray(photograph("L")).astype(np.uint16) * 257
    return saved(Image.fromarray(values), kind)


def changed(data: bytes, place: int, *new: int) -> bytes:
    """Some bytes replaced."""
    return data[:place] + bytes(new) + data[place + len(new) :]


def _table() -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}

    def add(name: str, suffix: str, make: Callable[[], bytes], reason: str | None = None) -> None:
        kinds[name] = Kind(suffix=suffix, make=make, reason=reason)

    _good(add)
    _wrong(add)
    _bombs(add)
    _broken(add)
    return kinds


Add = Callable[..., None]


def _good(add: Add) -> None:
    for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpg"), ("BMP", ".bmp"), ("TIFF", ".tif"), ("WEBP", ".webp")):
        for number, mode in enumerate(("RGB", "L")):
            add(f"{kind} {mode}", suffix, lambda k=kind, m=mode, n=number: saved(photograph(m, seed=20 + n), k))
        add(f"{kind} called .PNG", ".PNG", lambda k=kind: plain(k, seed=31))
        add(f"{kind} called .jpeg", ".jpeg", lambda k=kind: plain(k, seed=32))
        add(f"{kind} with a text after it", suffix, lambda k=kind: plain(k, seed=33) + b"\nand a text")
        add(f"{kind} with a zip file after it", suffix, lambda k=kind: plain(k, seed=34) + archived("zip"))
        add(f"{kind} with a program after it", suffix, lambda k=kind: plain(k, seed=35) + b"#!/bin/sh\nrm -rf .\n")
    for mode in ("P", "1", "LA", "RGBA"):
        add(f"PNG {mode}", ".png", lambda m=mode: saved(photograph(m), "PNG"))
    add("PNG transparent palette", ".png", lambda: saved(photograph("P"), "PNG", transparency=3))
    add("PNG of 16 bits", ".png", lambda: sixteen("PNG"))
    add("TIFF of 16 bits", ".tif", lambda: sixteen("TIFF"))
    add("TIFF CMYK", ".tif", lambda: saved(photograph("CMYK"), "TIFF"))
    add("TIFF RGBA", ".tif", lambda: saved(photograph("RGBA"), "TIFF"))
    add("TIFF 1", ".tif", lambda: saved(photograph("1"), "TIFF"))
    add("TIFF LAB", ".tif", lambda: saved(photograph("LAB"), "TIFF"))
    add("JPEG CMYK", ".jpg", lambda: saved(photograph("CMYK"), "JPEG"))
    add("JPEG progressive", ".jpg", lambda: saved(photograph(seed=40), "JPEG", progressive=True))
    add("JPEG in one quality", ".jpg", lambda: saved(photograph(seed=41), "JPEG", quality=1))
    add("WebP lossless with alpha", ".webp", lambda: saved(photograph("RGBA"), "WEBP", lossless=True))
    for packing in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        add(f"TIFF {packing}", ".tiff", lambda p=packing: saved(photograph(seed=42), "TIFF", compression=p))
    for orientation in (2, 3, 6, 8):
        add(f"JPEG turned by EXIF {orientation}", ".jpg", lambda o=orientation: oriented("JPEG", o))
    for orientation in (0, 9, 255):
        add(f"JPEG with EXIF {orientation}", ".jpg", lambda o=orientation: oriented("JPEG", o))
    add("PNG turned by EXIF", ".png", lambda: oriented("PNG", 6))
    add("JPEG with EXIF of 60 kB", ".jpg", lambda: saved(photograph(), "JPEG", exif=b"Exif\0\0" + bytes(60_000)))
    add("JPEG with a comment", ".jpg", lambda: saved(photograph(), "JPEG", comment=b"<script>" * 4000))
    for side in ((1, 1), (1, 500), (500, 1), (3, 2)):
        add(f"PNG of {side[0]} x {side[1]}", ".png", lambda s=side: saved(photograph().resize(s), "PNG"))
    add("JPEG of 1 x 1", ".jpg", lambda: saved(photograph().resize((1, 1)), "JPEG"))
    add("PNG with a text of 4 MB", ".png", lambda: with_chunks(chunk(b"tEXt", b"a\0" + b"b" * (4 << 20))))
    add("PNG with an unknown chunk", ".png", lambda: with_chunks(chunk(b"abCd", b"x" * 1000)))
    add(
        "PNG with a false checksum in its text",
        ".png",
        lambda: with_chunks(chunk(b"tEXt", b"a\0b")[:-4] + b"oops"),
        "header",
    )
    add("PNG with a colour profile that is none", ".png", lambda: with_chunks(chunk(b"iCCP", b"x\0\0junk")))
    add("PNG with EXIF that is none", ".png", lambda: with_chunks(chunk(b"eXIf", b"junk")))
    add("JPEG with EXIF that is none", ".jpg", lambda: saved(photograph(), "JPEG", exif=b"Exif\0\0junk"))


def _wrong(add: Add) -> None:
    wanted = "not an image of a known format"
    for suffix in (".png", ".jpg", ".tif", ".webp", ".bmp"):
        add(f"empty file called {suffix}", suffix, lambda: b"", "empty file")
        add(f"zeros called {suffix}", suffix, lambda: bytes(10_000), wanted)
        add(f"text called {suffix}", suffix, lambda: b"not an image\n", wanted)
    add("one byte", ".png", lambda: b"\x89", wanted)
    add("GIF called .png", ".png", lambda: plain("GIF"), wanted)
    add("animated GIF called .jpg", ".jpg", lambda: animated("GIF"), wanted)
    add("ICO called .png", ".png", lambda: plain("ICO"), wanted)
    add("PPM called .png", ".png", lambda: plain("PPM"), wanted)
    add("TGA called .bmp", ".bmp", lambda: plain("TGA"), wanted)
    add("JPEG 2000 called .jpg", ".jpg", lambda: plain("JPEG2000"), wanted)
    add("PDF called .jpg", ".jpg", lambda: b"%PDF-1.7\n", wanted)
    add("SVG called .png", ".png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", wanted)
    add("web page called .jpg", ".jpg", lambda: b"<!DOCTYPE html><title>403</title>", wanted)
    add("zip file called .png", ".png", lambda: archived("zip"), wanted)
    add("tar file called .png", ".png", lambda: archived("tar"), wanted)
    add("gzip file called .png", ".png", lambda: gzip.compress(plain("PNG")), wanted)
    add("pickle called .png", ".png", lambda: b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", wanted)
    add("program called .jpg", ".jpg", lambda: b"\x7fELF" + bytes(100), wanted)
    add("text before a PNG", ".png", lambda: b"\n" + plain("PNG"), wanted)
    add("UTF-8 mark before a JPEG", ".jpg", lambda: b"\xef\xbb\xbf" + plain("JPEG"), wanted)
    for suffix, kind in ((".gif", "GIF"), (".jfif", "JPEG"), (".ppm", "PPM"), (".jp2", "JPEG2000"), (".ico", "ICO")):
        add(f"file called {suffix}", suffix, lambda k=kind: plain(k), f"{suffix} is not read")
    add("PNG called .dat", ".dat", lambda: plain("PNG"), ".dat is not read")
    add("JPEG without a suffix", "", lambda: plain("JPEG"), "no suffix is not read")
    add("GIF called .bak", ".bak", lambda: plain("GIF"), ".bak is not read")
    for kind, suffix in (("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif")):
        add(f"animated {kind}", suffix, lambda k=kind: animated(k), "several frames")
    add("TIFF of 32-bit floats", ".tif", lambda: saved(photograph("F"), "TIFF"), "no known range")
    add("TIFF of 32-bit integers", ".tif", lambda: saved(photograph("I"), "TIFF"), "no known range")
    add("marked as synthetic", ".png", lambda: with_chunks(chunk(b"tEXt", b"tailwatch:synthetic\0{}")), "synthetic")
    add("a mark in a JPEG", ".jpg", lambda: saved(photograph(), "JPEG", comment=b"tailwatch:synthetic"), "synthetic")


def _bombs(add: Add) -> None:
    for width, height in ((30_000, 30_000), (2**31 - 1, 1), (65_500, 65_500)):
        add(f"PNG of {width} x {height}", ".png", lambda w=width, h=height: png(w, h), "wanted at most")
    add("PNG of 16 bits and 30000 x 30000", ".png", lambda: png(30_000, 30_000, depth=16, colour=6), "wanted at most")
    add("BMP of 30000 x 30000", ".bmp", lambda: bmp(30_000, 30_000), "wanted at most")
    add("BMP of 30000 x -30000", ".bmp", lambda: bmp(30_000, -30_000), "wanted at most")
    add("BMP of 5000 x 5000 in runs", ".bmp", lambda: bmp(5000, 5000, bits=8, packing=1), "in runs")
    add("BMP of 30000 x 30000 in runs", ".bmp", lambda: bmp(30_000, 30_000, bits=8, packing=1), "wanted at most")
    add("JPEG of 65500 x 65500", ".jpg", lambda: jpeg_sized(65_500, 65_500), "wanted at most")
    big = {**TAGS, 256: (4, 1, 30_000), 257: (4, 1, 30_000)}
    add("TIFF of 30000 x 30000", ".tif", lambda: tiff(big), "wanted at most")
    tiles = {**TAGS, 256: (4, 1, 2**31 - 1), 257: (4, 1, 2**31 - 1)}
    add("TIFF of 2^31 x 2^31", ".tif", lambda: tiff(tiles), "wanted at most")
    add("WebP of 16384 x 16384", ".webp", lambda: webp(16_384, 16_384), "WebP")
    add("WebP of 12000 x 12000", ".webp", lambda: webp(12_000, 12_000), "WebP")
    add("GIF of 65535 x 65535", ".gif", lambda: changed(plain("GIF"), 6, 255, 255, 255, 255), ".gif is not read")
    add("JPEG of 500 scans", ".jpg", lambda: progressive(500), "scans")
    add("PNG of 200,000 chunks", ".png", lambda: with_chunks(chunk(b"tEXt", b"a\0b") * 200_000), "chunks")
    packed = zlib.compress(bytes(1 << 20))
    texts = [chunk(b"zTXt", b"k%d\0\0" % number + packed) for number in range(200)]
    add("PNG with texts of 200 MB packed", ".png", lambda: with_chunks(*texts), "text")
    profile = zlib.compress(bytes(64 << 20), 9)
    add("PNG with a profile of 64 MB packed", ".png", lambda: with_chunks(chunk(b"iCCP", b"x\0\0" + profile)), "large")
    add("PNG with 4 MB of data for 1 pixel", ".png", lambda: png(1, 1, data=bytes(4 << 20)), "more than its pixels")
    add("TIFF of 20,000 pages", ".tif", lambda: tiff(TAGS, pages=20_000), "several frames")
    add("TIFF whose pages form a circle", ".tif", lambda: tiff(TAGS, pages=3, loop=True), "several frames")


def _broken(add: Add) -> None:
    for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpg"), ("BMP", ".bmp"), ("TIFF", ".tif"), ("WEBP", ".webp")):
        for share in (0.03, 0.3, 0.6, 0.97):
            cut = lambda k=kind, s=share: (data := plain(k))[: max(4, int(len(data) * s))]  # noqa: E731 - a table of them
            add(f"{kind} cut at {share:.0%}", suffix, cut, "")
        add(f"{kind} start only", suffix, lambda k=kind: plain(k)[:12], "")
        add(f"{kind} of zeros after its start", suffix, lambda k=kind: plain(k)[:12] + bytes(1000), "")
    add("PNG of zero width", ".png", lambda: png(0, 5), "")
    add("PNG of colour type 9", ".png", lambda: png(4, 4, colour=9), "")
    add("PNG of depth 3", ".png", lambda: png(4, 4, depth=3), "")
    add("PNG without image data", ".png", lambda: START + png(4, 4)[8:33] + chunk(b"IEND", b""), "")
    add("PNG without its end", ".png", lambda: plain("PNG")[:-12], "cut off")
    add("PNG with junk for data", ".png", lambda: png(4, 4, data=b"junk"), "")
    add("PNG with too little data", ".png", lambda: png(40, 40), "")
    add("PNG with two headers", ".png", lambda: with_chunks(png(9, 9)[8:33]), "")
    add("PNG with a chunk of 4 GB", ".png", lambda: plain("PNG")[:33] + b"\xff\xff\xff\xffIDAT", "")
    add("PNG palette without colours", ".png", lambda: png(4, 4, colour=3, data=zlib.compress(bytes(20))), "OpenCV")
    add("JPEG without its end", ".jpg", lambda: plain("JPEG")[:-2], "cut off")
    add("JPEG of zero height", ".jpg", lambda: jpeg_sized(48, 0), "")
    add("JPEG without tables", ".jpg", lambda: plain("JPEG").replace(b"\xff\xdb", b"\xff\xe5"), "")
    add("JPEG start twice", ".jpg", lambda: b"\xff\xd8\xff\xd8\xff\xd9", "")
    add("BMP of zero width", ".bmp", lambda: bmp(0, 5), "")
    add("BMP of -1 x -1", ".bmp", lambda: bmp(-1, -1), "")
    add("BMP of 77 bits", ".bmp", lambda: bmp(4, 4, bits=77), "")
    add("BMP whose pixels start at 4 GB", ".bmp", lambda: bmp(4, 4, body=bytes(48), offset=2**32 - 1), "")
    add("TIFF without tags", ".tif", lambda: tiff({}), "")
    add("TIFF with tags that count 4 GB", ".tif", lambda: tiff({**TAGS, 270: (2, 2**32 - 1, 8)}), None)
    add("TIFF whose strip is at 4 GB", ".tif", lambda: tiff({**TAGS, 273: (4, 1, 2**32 - 9)}), "")
    add("TIFF of 65535 samples", ".tif", lambda: tiff({**TAGS, 277: (3, 1, 65_535)}), "")
    add("TIFF of an unknown packing", ".tif", lambda: tiff({**TAGS, 259: (3, 1, 9999)}), "")
    add("TIFF whose list is beyond its end", ".tif", lambda: b"II*\0\xff\xff\xff\x7f", "")
    add("TIFF of type 99", ".tif", lambda: tiff({**TAGS, 256: (99, 1, 1)}), "")
    add("BigTIFF that ends early", ".tif", lambda: b"II+\0\x08\0\0\0" + b"\xff" * 8, "")
    add("WebP with a size of 4 GB", ".webp", lambda: changed(plain("WEBP"), 4, 255, 255, 255, 255), "")
    add("WebP of chunks that overlap", ".webp", lambda: changed(plain("WEBP"), 16, 255, 255, 255, 127), "")


KINDS = _table()
