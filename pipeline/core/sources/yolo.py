"""Read the YOLO layout: a data.yaml, folders or lists of images, and a text file of boxes for each image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.core import bounded, plain_yaml
from pipeline.core.errors import UserError
from pipeline.core.labels import LARGEST_FILE, Box, parse_line
from pipeline.core.sources.found import (
    Reject,
    Source,
    SourceBox,
    SourceImage,
    Split,
    bare,
    class_names,
    file_problem,
    files_under,
    finished,
    images_under,
    is_file,
    is_folder,
    placed,
    shown,
)

# The test split has the first claim on an image that is named twice, then val.
# Three names of val are in use: ultralytics takes 'validation' too, Roboflow's folders are called 'valid'.
_SPLIT_KEYS: tuple[tuple[str, Split], ...] = (
    ("test", "test"),
    ("val", "val"),
    ("valid", "val"),
    ("validation", "val"),
    ("train", "train"),
)
_BOX_FIELDS = 5
_MOST_LINES = 100_000  # of a label file; no image has so many objects
_LARGEST_LIST = 256 << 20  # bytes of a list of images
_SYSTEM = ("/dev", "/proc", "/sys")  # folders without an end, or that are not left when entered
_NO_LABEL = "no label file; an image without objects has an empty one"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One entry of a split: its images, and the folders they are in (with what is below them, or without)."""

    split: Split
    images: tuple[Path, ...]
    folders: tuple[Path, ...]
    recursive: bool
    skipped: tuple[Reject, ...] = ()
    list_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labels:
    boxes: tuple[SourceBox, ...] = ()
    rejected: tuple[Reject, ...] = ()
    problem: str | None = None


def read_yolo(data_yaml: Path) -> Source:
    """Read a YOLO dataset.

    Args:
        data_yaml: the file, or a folder that holds exactly one ``*.yaml`` or ``*.yml`` or one called data.yaml. Its key
            ``path`` (relative to the file; the file's own folder if absent) is the root that no entry may leave.

    An image's labels are found as ultralytics finds them: the last ``/images/`` of its path, taken from the root,
    becomes ``/labels/`` and the suffix ``.txt``. A split that the file does not name is absent; an image that two
    splits name stays in the first of test, val and train. Boxes are fractions.

    Raises:
        UserError: the file is missing or wrong, names something outside the root or missing, or there is no image.
    """
    file = _yaml_file(data_yaml)
    settings = _settings(file)
    classes = _classes(settings, file)
    root = _root(settings, file)
    entries = [
        _entry(text, split, root=root, file=file)
        for key, split in _SPLIT_KEYS
        if settings.get(key) is not None
        for text in _texts(settings[key], f"{file}: {key}")
    ]
    reader = _Reader(root=root, classes=classes)
    images = [reader.image(path, entry.split) for entry in entries for path in entry.images]
    skipped = {reject for entry in entries for reject in entry.skipped}
    return finished(classes, images, skipped | _unused_labels(entries, set(reader.owner_of), root), where=root)


def _yaml_file(path: Path) -> Path:
    if is_folder(path):
        named = path / "data.yaml"
        found = [named] if is_file(named) else sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
        if len(found) != 1:
            raise UserError(
                f"{path} holds {len(found)} YAML files and no data.yaml, wanted one that names classes and splits. "
                "Give the file itself as ingest.path."
            )
        return found[0].absolute()
    if not is_file(path):
        raise UserError(f"{path} does not exist, wanted a data.yaml or its folder. Look at ingest.path in params.yaml.")
    return path.absolute()


def _settings(file: Path) -> dict[object, object]:
    try:
        settings = plain_yaml.load(bounded.read(file, most=plain_yaml.MOST))
    except ValueError as error:
        raise UserError(f"{file} is not plain YAML: {error}. Correct the file.") from None
    if not isinstance(settings, dict):
        raise UserError(f"{file} holds {type(settings).__name__}, wanted keys with values (names, train, val).")
    return settings


def _classes(settings: dict[object, object], file: Path) -> tuple[str, ...]:
    names = settings.get("names")
    if isinstance(names, dict):
        ids = list(names)
        if not all(type(key) is int for key in ids) or sorted(ids) != list(range(len(ids))):
            raise UserError(f"{file}: ids under names, wanted 0 to {len(ids) - 1} without a gap. Renumber them.")
        names = [names[key] for key in sorted(ids)]
    if not isinstance(names, list):
        raise UserError(f"{file}: names is {type(names).__name__}, wanted a list of class names.")
    classes = class_names(names, where=f"{file}: names")
    count = settings.get("nc", len(classes))
    if count != len(classes):
        raise UserError(f"{file}: nc does not equal the {len(classes)} names. Correct one of them.")
    return classes


def _root(settings: dict[object, object], file: Path) -> Path:
    text = settings.get("path")
    if text is not None and not isinstance(text, str):
        raise UserError(f"{file}: path is {type(text).__name__}, wanted a folder.")
    try:
        root = Path(os.path.realpath(file.parent / (text or ".")))
    except ValueError:  # a NUL, or half of a surrogate pair
        raise UserError(f"{file}: path is {bounded.shown(text)}, which no folder can be called. Correct it.") from None
    if not is_folder(root):
        where = bounded.shown(str(root), most=300)
        raise UserError(f"{file}: path leads to {where}, which is no folder. Correct it, relative to the file.")
    if root == Path("/") or str(root).startswith(_SYSTEM):
        raise UserError(f"{file}: path leads to {root}, which is the system's. Correct it, relative to the file.")
    return root


def _texts(value: object, where: str) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise UserError(f"{where}, wanted a folder, a list of folders or a .txt list of images.")
    return [str(text) for text in texts]


def _entry(text: str, split: Split, *, root: Path, file: Path) -> _Entry:
    where = f"{file}: {split} entry {bounded.shown(text, most=300)}"
    path = placed(text, base=root, root=root)
    if path is None and text.startswith("../") and not os.path.exists(root / text):  # noqa: PTH110 - as is_file
        # Roboflow writes ../train/images for train/images; ultralytics reads it so where the first does not exist.
        path = placed(text.removeprefix("../"), base=root, root=root)
        path = path if path is not None and (is_file(path) or is_folder(path)) else None
    if path is None:
        raise UserError(
            f"{where} leads out of the source's folder {root}. Move the images into it, or set path higher."
        )
    if is_folder(path):
        listing = images_under(path, root=root)
        return _Entry(split=split, images=listing.files, folders=(path,), recursive=True, skipped=listing.skipped)
    if path.suffix == ".txt" and is_file(path):
        return _listed(path, split, root)
    raise UserError(f"{where} does not exist in {root}, wanted a folder or a .txt list of images. Correct the entry.")


def _listed(file: Path, split: Split, root: Path) -> _Entry:
    images = []
    try:
        lines = bounded.text(file, most=_LARGEST_LIST).splitlines()
    except ValueError as error:
        raise UserError(f"{file} {error}, wanted one image a line in UTF-8. Correct the file.") from None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        beside = placed(text, base=file.parent, root=root)
        below = placed(text, base=root, root=root)
        path = below if beside is None or (not is_file(beside) and below is not None and is_file(below)) else beside
        if path is None:
            raise UserError(
                f"{file} line {number}: {bounded.shown(text, most=300)} leads out of the source's folder {root}. "
                "Correct the line."
            )
        images.append(path)
    folders = tuple(sorted({path.parent for path in images if path != root}))
    return _Entry(split=split, images=tuple(images), folders=folders, recursive=False, list_file=file)


def _label_path(image: Path, root: Path) -> Path:
    text = f"/{image.relative_to(root).as_posix()}"
    before, marker, after = text.rpartition("/images/")
    swapped = f"{before}/labels/{after}" if marker else text
    return root / f"{bare(PurePosixPath(swapped.removeprefix('/')))}.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads one source's images in turn, and remembers which image and which label file it has had."""

    root: Path
    classes: tuple[str, ...]
    split_of: dict[Path, Split] = field(default_factory=dict)
    owner_of: dict[Path, Path] = field(default_factory=dict)  # image by label file

    def image(self, path: Path, split: Split) -> SourceImage:
        """The image with its boxes; labels that another image has had already are not counted again."""
        name = shown(path, self.root)
        label = _label_path(path, self.root)
        earlier, owner = self.split_of.setdefault(path, split), self.owner_of.get(label)
        self.owner_of.setdefault(label, path)
        if owner == path:
            problem = f"listed a second time; it is in {earlier} already"
            return SourceImage(name=name, path=path, split=split, problem=problem)
        if owner is not None:
            problem = f"shares its label file {shown(label, self.root)} with {shown(owner, self.root)}; rename one"
            return SourceImage(name=name, path=path, split=split, problem=problem)
        labels = _labels(label, self.classes, self.root)
        return SourceImage(
            name=name,
            path=path,
            split=split,
            boxes=labels.boxes,
            rejected=labels.rejected,
            problem=file_problem(path, self.root) or labels.problem,
        )


def _labels(path: Path, classes: Sequence[str], root: Path) -> _Labels:
    name = shown(path, root)
    if not is_file(path):
        return _Labels(problem=_NO_LABEL)
    if placed(str(path), base=root, root=root) is None:
        return _Labels(problem=f"its label file {name} is a link that leads out of the source's folder")
    try:
        lines = bounded.text(path, most=LARGEST_FILE).splitlines()
    except ValueError as error:
        return _Labels(problem=f"its label file {name} {error}")
    if len(lines) > _MOST_LINES:
        return _Labels(problem=f"its label file {name} has {len(lines):,} lines, wanted at most {_MOST_LINES:,}")
    boxes: list[SourceBox] = []
    rejected: list[Reject] = []
    seen: dict[Box, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        try:
            box = _parsed(line, classes)
            if box in seen:
                raise ValueError(f"repeated line: the same as line {seen[box]}")  # noqa: TRY301 - one reason, one place
        except ValueError as error:
            rejected.append(Reject(name=where, reason=str(error)))
            continue
        seen[box] = number
        boxes.append(SourceBox(class_name=classes[box.class_id], corners=box.corners(), unit="fraction", where=where))
    return _Labels(boxes=tuple(boxes), rejected=tuple(rejected))


def _parsed(line: str, classes: Sequence[str]) -> Box:
    fields = len(line.split())
    if fields > _BOX_FIELDS:
        raise ValueError(f"polygon or keypoints: {fields} fields, wanted 5 (class, centre x, centre y, width, height)")
    box = parse_line(line)
    if box.class_id >= len(classes):
        raise ValueError(f"class {box.class_id} of {len(classes)}, wanted 0 to {len(classes) - 1}")
    return box


def _unused_labels(entries: Iterable[_Entry], used: set[Path], root: Path) -> set[Reject]:
    """Label files without an image. An image that is on the disk but in no list was left out on purpose."""
    rejects = set()
    entries = list(entries)
    lists = {entry.list_file for entry in entries}
    for entry in entries:
        for folder in entry.folders:
            present = {bare(path) for path in images_under(folder, root=root, recursive=entry.recursive).files}
            labels = _label_path(folder / "any", root).parent
            listing = files_under(labels, root=root, suffixes={".txt"}, recursive=entry.recursive)
            for path in listing.files:
                left_out = bare(folder / path.relative_to(labels)) in present
                # labelImg leaves the class names as classes.txt among the labels.
                if path not in used and path not in lists and not left_out and path.name != "classes.txt":
                    rejects.add(Reject(name=shown(path, root), reason="label file without an image"))
    return rejects
