"""What a source of labelled images holds: each image and label, good or with the reason why it is not."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from pipeline.core import bounded
from pipeline.core.errors import UserError
from pipeline.core.labels import Box, from_corners

Split = Literal["train", "val", "test"]
Unit = Literal["pixels", "fraction"]
Corners = tuple[float, float, float, float]

READ_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
# Formats that other tools take; found and refused with a reason rather than overlooked.
UNREAD_SUFFIXES = frozenset({".avif", ".dng", ".gif", ".heic", ".heif", ".jp2", ".mpo", ".pgm", ".ppm"}) | frozenset(
    {".exr", ".ico", ".jfif", ".jpe", ".jxl", ".psd", ".svg", ".tga"}
)
# What else lies beside images. Any other file is looked into: an image without a suffix is not overlooked either.
_NO_IMAGES = frozenset([".cache", ".csv", ".json", ".md", ".py", ".txt", ".xml", ".yaml", ".yml"])
_IMAGE_STARTS = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP|BM....\0\0\0\0|8BPS\0\x01|\xff\x0a|"
    rb"....ftyp(?:avif|avis|heic|heix|hevc|mif1|msf1)|\0\0\0\x0c(?:jP  |JXL )|v/1\x01|P[1-6]\s\d",
    re.DOTALL,
)
_START = 16  # bytes that tell a format
_LONGEST_CLASS = 200  # characters of a class name


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reject:
    """Something that was found and cannot be used: what it is (a file, a line, an object), and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBox:
    """A box as the source states it: left, top, right, bottom, in pixels or as fractions of the image.

    The corners are finite and enclose an area; whether they lie inside the image only its size can tell.
    """

    class_name: str
    corners: Corners
    unit: Unit
    where: str  # 'labels/a.txt line 3', 'object 2', 'annotation 17'


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """An image of a source with its boxes.

    The boxes that were found for it are ``boxes`` and ``rejected`` together. Where ``problem`` is not None, the image
    cannot be used and ``path`` must not be opened: it may be missing, or a link that leads out of the source.
    """

    name: str  # relative to the source's folder, with forward slashes; bytes that are not UTF-8 as \udcXX
    path: Path
    split: Split | None
    boxes: tuple[SourceBox, ...] = ()
    rejected: tuple[Reject, ...] = ()
    size: tuple[int, int] | None = None  # width and height in pixels that the annotation states, if it does
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """All that was found: class names (a class's id is its position), and images sorted by name."""

    classes: tuple[str, ...]
    images: tuple[SourceImage, ...]
    unused: tuple[Reject, ...]  # label files, annotations, list lines and linked folders that belong to no image


def to_box(found: SourceBox, *, class_id: int, width: int, height: int, tolerance: float) -> Box:
    """The box in the project's own form, cut to the frame.

    Args:
        found: a box of an image.
        class_id: position of its class in the source's classes.
        width: of the decoded image, in pixels.
        height: of the decoded image, in pixels.
        tolerance: how far outside the frame an edge may lie, as a fraction.

    Raises:
        ValueError: the box lies outside the frame by more than the tolerance, or is too thin to be written.
    """
    across, down = (width, height) if found.unit == "pixels" else (1, 1)
    left, top, right, bottom = found.corners
    return from_corners(class_id, (left / across, top / down, right / across, bottom / down), tolerance=tolerance)


def checked_corners(corners: Sequence[float]) -> Corners:
    """Left, top, right and bottom of a box that may exist.

    Raises:
        ValueError: not finite, or no area.
    """
    left, top, right, bottom = corners
    if not all(math.isfinite(corner) for corner in corners):
        raise ValueError(f"corners {tuple(corners)}, wanted finite numbers")
    if right <= left or bottom <= top:
        raise ValueError(f"box of zero or negative area: width {right - left:g}, height {bottom - top:g}")
    return left, top, right, bottom


def class_names(names: Iterable[object], *, where: str) -> tuple[str, ...]:
    """Class names as text without blanks around them.

    Raises:
        UserError: there is none, one is not text that a file can hold, one is too long, or one is there twice.
    """
    clean: dict[str, int] = {}
    for number, name in enumerate(names):
        # YAML reads an unquoted yes, no or null as something else than text; a whole number is meant as its digits.
        if isinstance(name, bool) or not isinstance(name, (str, int)):
            raise UserError(f"{where}: class {number} is {type(name).__name__}, wanted a name. Write it in quotes.")
        text = str(name).strip()
        if not text:
            raise UserError(f"{where}: class {number} has an empty name. Give it one.")
        if problem := class_problem(text):
            raise UserError(f"{where}: class {number} {problem}. Rename it.")
        if text in clean:
            raise UserError(
                f"{where}: class name {text!r} is there twice, as {clean[text]} and {number}. "
                "Rename one, or give their boxes one class."
            )
        clean[text] = number
    if not clean:
        raise UserError(f"{where}: no class names, wanted one or more. List them under their ids.")
    return tuple(clean)


def class_problem(name: str) -> str:
    """Why a class cannot be called so; empty if it can.

    Names go into files, pages and other tools: half of a surrogate pair or a line end would break those.
    """
    if len(name) <= _LONGEST_CLASS and name.isprintable():
        return ""
    return f"is called {bounded.shown(name)}, wanted at most {_LONGEST_CLASS} printable characters"


def first_of_each(boxes: Iterable[SourceBox]) -> tuple[list[SourceBox], list[Reject]]:
    """Keep the first of equal boxes of one image; the others are rejected."""
    seen: dict[tuple[str, Corners], str] = {}
    kept, rejected = [], []
    for box in boxes:
        key = (box.class_name, box.corners)
        if key in seen:
            rejected.append(Reject(name=box.where, reason=f"repeats {seen[key]}: same class and corners"))
        else:
            seen[key] = box.where
            kept.append(box)
    return kept, rejected


def shown(path: Path, root: Path) -> str:
    """A path as it is written in reports: relative to the root where it lies in it, always valid UTF-8."""
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def bare(path: PurePath) -> str:
    """A path without its last suffix, with forward slashes; a name may be nothing but a suffix, or dots.

    >>> bare(PurePath("a.v1/b.tar.gz")), bare(PurePath("a.v1/b")), bare(PurePath("a/.png"))
    ('a.v1/b.tar', 'a.v1/b', 'a/')
    """
    folder, slash, name = path.as_posix().rpartition("/")
    return f"{folder}{slash}{name.rsplit('.', 1)[0]}"


def placed(text: str, *, base: Path, root: Path) -> Path | None:
    """The path that a text in the source names, or None if it leads out of the root, also by way of a link.

    Args:
        text: relative to ``base``, or absolute.
        base: a folder inside the root.
        root: the source's folder, resolved.
    """
    try:
        candidate = Path(os.path.normpath(base / text))
        target = Path(os.path.realpath(candidate))
    except ValueError:  # a NUL, or half of a surrogate pair
        return None
    if not target.is_relative_to(root):
        return None
    return candidate if candidate.is_relative_to(root) else target


def is_file(path: Path) -> bool:
    """Whether it is a file; a name that no file can have is none."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for a name that is too long


def is_folder(path: Path) -> bool:
    """Whether it is a folder; a name that no folder can have is none."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for a name that is too long


def file_problem(path: Path, root: Path) -> str | None:
    """Why an image file of a source cannot be used as far as its name tells; None if it can."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "the file's name is not valid UTF-8; rename it"
    if os.path.islink(path) and placed(str(path), base=root, root=root) is None:  # noqa: PTH114 - as in is_file
        return "a link that leads out of the source's folder; put the file itself there"
    if not is_file(path):
        there = os.path.lexists(path)
        return "not a plain file, or a link to none" if there else "the image file is missing"
    if path.suffix.lower() not in READ_SUFFIXES:
        return f"{path.suffix or 'no suffix'} is not read, wanted {', '.join(sorted(READ_SUFFIXES))}"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files under a folder, sorted, and the folders in it that are links and were not entered."""

    files: tuple[Path, ...]
    skipped: tuple[Reject, ...]


def files_under(
    folder: Path,
    *,
    root: Path,
    suffixes: Collection[str],
    recursive: bool = True,
    also: Callable[[Path], bool] = lambda _: False,
) -> Listing:
    """List the files that end in one of the suffixes.

    Args:
        folder: where to look.
        root: of the source, for names in reports.
        suffixes: in lower case.
        recursive: whether folders below are entered; those that are links never are.
        also: asked of each file with another suffix, whether it is listed.

    Raises:
        UserError: a folder cannot be read.
    """
    files, skipped = [], []
    try:
        for here, folders, names in os.walk(folder, onerror=_unreadable):
            links = [name for name in folders if (Path(here) / name).is_symlink()]
            skipped += [
                Reject(name=shown(Path(here) / name, root), reason="a linked folder; not entered") for name in links
            ]
            found = [Path(here) / name for name in names]
            files += [path for path in found if path.suffix.lower() in suffixes or also(path)]
            if not recursive:
                break
    except RecursionError:
        raise UserError(f"{folder} holds folders nested a thousand deep. Move the images higher.") from None
    return Listing(files=tuple(sorted(files)), skipped=tuple(sorted(skipped)))


def images_under(folder: Path, *, root: Path, recursive: bool = True) -> Listing:
    """List the image files: those of formats that are not read, and those that only their content shows, among them."""

    def is_image(path: Path) -> bool:
        if path.suffix.lower() in _NO_IMAGES or placed(str(path), base=root, root=root) is None:
            return False
        return _IMAGE_STARTS.match(bounded.start(path, size=_START)) is not None

    return files_under(folder, root=root, suffixes=READ_SUFFIXES | UNREAD_SUFFIXES, recursive=recursive, also=is_image)


def _unreadable(error: OSError) -> None:
    raise UserError(f"folder {error.filename} cannot be read: {error.strerror}. Correct its permissions.") from error


def finished(classes: Sequence[str], images: Iterable[SourceImage], unused: Iterable[Reject], *, where: Path) -> Source:
    """A source, sorted.

    Raises:
        UserError: no image was found.
    """
    found = tuple(sorted(images, key=lambda image: image.name))
    if not found:
        raise UserError(
            f"no image found in {where}, wanted files that end in {', '.join(sorted(READ_SUFFIXES))}. "
            "Look at ingest.path in params.yaml."
        )
    return Source(classes=tuple(classes), images=found, unused=tuple(sorted(unused)))
