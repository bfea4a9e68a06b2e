"""Read the Pascal VOC layout: Annotations/*.xml, JPEGImages/*, and lists of stems in ImageSets/Main."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

# The standard parser alone would expand entities; a file that declares any is refused before it is parsed.
from xml.etree import ElementTree as ET

from pipeline.core import bounded, labels
from pipeline.core.errors import UserError
from pipeline.core.sources.found import (
    Reject,
    Source,
    SourceBox,
    SourceImage,
    Split,
    bare,
    checked_corners,
    class_problem,
    file_problem,
    files_under,
    finished,
    first_of_each,
    images_under,
    is_folder,
    placed,
    shown,
)

_LISTS: tuple[tuple[str, Split], ...] = (("train", "train"), ("val", "val"), ("test", "test"))
_MAX_XML = 16 << 20  # bytes; some 50,000 objects
_MOST_PARTS = 100_000  # elements directly below the first
_LARGEST_LIST = 256 << 20  # bytes
_NO_LABEL = "no annotation file; an image without objects has one without objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Annotation:
    boxes: tuple[SourceBox, ...] = ()
    rejected: tuple[Reject, ...] = ()
    size: tuple[int, int] | None = None
    filename: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Splits:
    of: Mapping[str, Split]
    conflicts: Mapping[str, str]
    lines: Mapping[str, str]  # where each stem was listed first


def read_voc(folder: Path) -> Source:
    """Read a Pascal VOC dataset.

    Args:
        folder: holds Annotations, JPEGImages and perhaps ImageSets/Main with train, val, trainval and test.txt. A stem
            that is only in trainval counts as train; one that is in no list has no split.

    Corners are taken as plain pixel coordinates: left = xmin, right = xmax, and so on. (The original VOC counted pixels
    from 1 and included the last; hardly any tool writes that, and the difference is a pixel at most.) An annotation
    belongs to the image of its own stem, else to the one that it names. Classes are sorted by name. Objects marked
    difficult, truncated or occluded are objects like others.

    Raises:
        UserError: a folder is missing, or there is no image.
    """
    root = Path(os.path.realpath(folder))
    for name in ("Annotations", "JPEGImages"):
        if not is_folder(root / name):
            raise UserError(f"{root / name} does not exist, wanted a VOC folder. Look at ingest.path in params.yaml.")
    images = images_under(root / "JPEGImages", root=root)
    files = files_under(root / "Annotations", root=root, suffixes={".xml"})
    splits = _splits(root)
    stems = {_stem(path, root / "JPEGImages"): path for path in reversed(images.files)}  # the first of a stem wins
    owners, unused = _owners(files.files, stems, root)
    place = _Place(root=root, stems=stems, splits=splits)
    found = [_image(path, owners.get(path), place) for path in images.files]
    unused += _unknown(splits, set(stems) | {_stem(path, root / "Annotations") for path in files.files})
    classes = sorted({box.class_name for image in found for box in image.boxes})
    return finished(classes, found, [*unused, *images.skipped, *files.skipped], where=root)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    root: Path
    stems: Mapping[str, Path]
    splits: _Splits


def _stem(path: Path, folder: Path) -> str:
    return bare(path.relative_to(folder))


def _splits(root: Path) -> _Splits:
    of: dict[str, Split] = {}
    conflicts: dict[str, str] = {}
    lines: dict[str, str] = {}
    for name, split in (*_LISTS, ("trainval", None)):
        file = root / "ImageSets" / "Main" / f"{name}.txt"
        if not os.path.lexists(file):
            continue
        if placed(str(file), base=root, root=root) is None:
            raise UserError(f"{file} is a link that leads out of {root}. Put the file itself there.")
        try:
            texts = bounded.text(file, most=_LARGEST_LIST).splitlines()
        except ValueError as error:
            raise UserError(f"{file} {error}, wanted one stem a line in UTF-8. Correct the file.") from None
        for number, text in enumerate(texts, start=1):
            stem = text.strip()
            if not stem:
                continue
            lines.setdefault(stem, f"{shown(file, root)} line {number}")
            known = of.setdefault(stem, split or "train")
            if (split is None and known == "test") or (split is not None and known != split):
                conflicts[stem] = f"listed in {known} and in {name}; an image belongs to one split"
    return _Splits(of=of, conflicts=conflicts, lines=lines)


def _unknown(splits: _Splits, known: Collection[str]) -> list[Reject]:
    return [
        Reject(name=where, reason=f"neither an image nor an annotation is called {stem!r}")
        for stem, where in splits.lines.items()
        if stem not in known
    ]


def _owners(
    files: tuple[Path, ...], stems: Mapping[str, Path], root: Path
) -> tuple[dict[Path, tuple[Path, _Annotation]], list[Reject]]:
    """The annotation of each image; annotations by stem come first, so that a wrong <filename> cannot take theirs."""
    owners: dict[Path, tuple[Path, _Annotation]] = {}
    unused: list[Reject] = []
    read = [(file, _annotation(file, root)) for file in files]
    by_stem = [(file, found) for file, found in read if _stem(file, root / "Annotations") in stems]
    for file, found in by_stem:
        owners[stems[_stem(file, root / "Annotations")]] = (file, found)
    for file, found in read:
        if _stem(file, root / "Annotations") in stems:
            continue
        # PureWindowsPath splits at both slashes: annotations name files of other people's machines.
        named = PurePosixPath(PureWindowsPath(found.filename).name)
        image = stems.get(bare(named)) if named.name else None
        if image is not None and image not in owners:
            owners[image] = (file, found)
        else:
            taken = "" if image is None else f"; {shown(image, root)} has an annotation already"
            reason = found.problem or f"annotation without an image{taken}"
            unused.append(Reject(name=shown(file, root), reason=reason))
    return owners, unused


def _image(path: Path, owner: tuple[Path, _Annotation] | None, place: _Place) -> SourceImage:
    label = _Annotation(problem=_NO_LABEL) if owner is None else owner[1]
    stem = _stem(path, place.root / "JPEGImages")
    twin = place.stems[stem]
    if owner is not None and stem not in place.splits.of:  # the lists may name the annotation
        stem = _stem(owner[0], place.root / "Annotations")
    problem = file_problem(path, place.root)
    if twin != path:
        problem = problem or f"shares its stem with {shown(twin, place.root)}; rename one of them"
    if problem is None:
        problem = place.splits.conflicts.get(stem, label.problem)
    return SourceImage(
        name=shown(path, place.root),
        path=path,
        split=place.splits.of.get(stem),
        boxes=label.boxes,
        rejected=label.rejected,
        size=label.size,
        problem=problem,
    )


def _annotation(file: Path, root: Path) -> _Annotation:
    name = shown(file, root)
    if placed(str(file), base=root, root=root) is None:
        return _Annotation(problem=f"{name} is a link that leads out of the source's folder")
    try:
        tree = _parsed(bounded.read(file, most=_MAX_XML))
    except ValueError as error:
        return _Annotation(problem=f"{name}: {error}")
    if len(tree) > _MOST_PARTS:
        return _Annotation(problem=f"{name}: {len(tree):,} elements, wanted at most {_MOST_PARTS:,}")
    boxes: list[SourceBox] = []
    rejected: list[Reject] = []
    for number, item in enumerate(tree.findall("object"), start=1):
        where = f"{name} object {number}"
        try:
            boxes.append(_box(item, where))
        except ValueError as error:
            rejected.append(Reject(name=where, reason=str(error)))
    kept, repeated = first_of_each(boxes)
    filename = (tree.findtext("filename") or "").strip()
    return _Annotation(boxes=tuple(kept), rejected=(*rejected, *repeated), size=_size(tree), filename=filename)


def _parsed(data: bytes) -> ET.Element:
    """Parse XML that declares no entity.

    Raises:
        ValueError: not XML, or with a DOCTYPE.
    """
    if b"\0" in data:  # UTF-16 or UTF-32, in which the next check would see nothing
        raise ValueError("holds NUL bytes, wanted XML in UTF-8")
    if re.search(rb"<!(DOCTYPE|ENTITY)", data, re.IGNORECASE):
        raise ValueError("declares a DOCTYPE or an ENTITY, which can blow up or read other files; remove it")
    try:
        return ET.fromstring(data)  # noqa: S314 - no entity is left in it
    except (ET.ParseError, LookupError, ValueError) as error:
        raise ValueError(f"malformed XML: {error}") from None


def _box(item: ET.Element, where: str) -> SourceBox:
    class_name = (item.findtext("name") or "").strip()
    if not class_name:
        raise ValueError("object without a name")
    if problem := class_problem(class_name):
        raise ValueError(f"its class {problem}")
    corners = []
    for tag in ("xmin", "ymin", "xmax", "ymax"):
        text = item.findtext(f"bndbox/{tag}")
        if text is None:
            raise ValueError(f"object without bndbox/{tag}")
        try:
            corners.append(labels.number(text.strip()))
        except ValueError as error:
            raise ValueError(f"{tag} {error} of pixels") from None
    return SourceBox(class_name=class_name, corners=checked_corners(corners), unit="pixels", where=where)


def _size(tree: ET.Element) -> tuple[int, int] | None:
    """Width and height in pixels; None where they are not stated (some tools write 0)."""
    try:
        width, height = (labels.whole((tree.findtext(f"size/{side}") or "0").strip()) for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None
