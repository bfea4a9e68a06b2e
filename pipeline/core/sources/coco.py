"""Read the COCO layout: JSON files that list images, categories and annotations."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.core import plain_json
from pipeline.core.errors import UserError
from pipeline.core.sources.found import (
    Corners,
    Reject,
    Source,
    SourceBox,
    SourceImage,
    Split,
    checked_corners,
    class_names,
    file_problem,
    finished,
    first_of_each,
    images_under,
    is_file,
    is_folder,
    placed,
    shown,
)

_Id = int | str
_ROBOFLOW = "_annotations.coco.json"
_WORDS: dict[str, Split] = {"train": "train", "validation": "val", "valid": "val", "val": "val", "test": "test"}
_WORD_IN_FILE = re.compile(rf"(?<![a-z])({'|'.join(_WORDS)})(?![a-z])")
_WORD_OF_FOLDER = re.compile(rf"({'|'.join(_WORDS)})\d*")  # the whole name: the source's own folder may be 'my-test'
_BOX_NUMBERS = 4
_LARGEST_ID = 1 << 60  # from there on whole numbers may share a hash, and a million of them a table's one place
_CLAIMS = ("test", "val", "train", None)  # who has an image that is listed twice


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """One JSON file: its parts as they were parsed, unchecked below the first level."""

    file: Path
    name: str  # as reports show it
    split: Split | None
    categories: Mapping[_Id, str]
    parents: frozenset[str]  # names that another category calls its supercategory
    images: Sequence[object]
    annotations: Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Boxes:
    """The annotations of one document by the image id that they state."""

    good: Mapping[_Id, list[SourceBox]]
    rejected: Mapping[_Id, list[Reject]]
    unused: list[Reject]


def read_coco(path: Path) -> Source:
    """Read a COCO dataset.

    Args:
        path: one JSON file, or a folder that holds ``annotations/instances_<split>.json`` (or other JSON files there),
            ``<split>/_annotations.coco.json``, or JSON files beside the images. The split is the word train, val,
            valid or test in the file's name, else its folder's name.

    An image is looked for in the split's folder, beside the JSON file, in ``images`` and in the root; one that two
    files list stays in the first of test, val and train. Boxes are pixels.
    Classes are ordered by category id, those that only a later file has come after. A category that has no annotation
    and is another one's supercategory is left out (Roboflow writes one).

    Raises:
        UserError: no JSON file, one that cannot be read, a category name that is there twice, or no image.
    """
    root, files, passed_over = _json_files(path)
    documents = [_document(file, root) for file in files]
    images: list[SourceImage] = []
    unused = list(passed_over)
    taken: dict[Path, str] = {}
    used: set[str] = set()
    for document in sorted(documents, key=lambda document: _CLAIMS.index(document.split)):
        boxes = _boxes(document)
        found = _images(document, boxes, root=root, taken=taken)
        images += found
        unused += boxes.unused + _orphans(document, boxes)
        used |= {box.class_name for image in found for box in image.boxes}
    folders = {file.parent for file in taken} if is_file(path) else {root}
    for folder in sorted(folders):
        listing = images_under(folder, root=root, recursive=not is_file(path))
        unused += listing.skipped
        images += [
            SourceImage(name=shown(file, root), path=file, split=None, problem="no annotation file lists this image")
            for file in listing.files
            if file not in taken
        ]
    return finished(_classes(documents, used), images, unused, where=root)


def _json_files(path: Path) -> tuple[Path, list[Path], list[Reject]]:
    if is_file(path):
        file = path.absolute()
        root = (file.parent.parent if file.parent.name == "annotations" else file.parent).resolve()
        return root, [file.parent.resolve() / file.name], []
    if not is_folder(path):
        raise UserError(f"{path} does not exist, wanted a COCO folder or JSON. Look at ingest.path in params.yaml.")
    root = path.resolve()
    listed = sorted((root / "annotations").glob("*.json"))
    instances = [file for file in listed if file.name.startswith("instances")]
    candidates = [instances, listed, sorted(root.glob(f"*/{_ROBOFLOW}")), sorted(root.glob("*.json"))]
    files = next((found for found in candidates if found), [])
    if not files:
        raise UserError(f"no JSON file in {root}, {root / 'annotations'} or */{_ROBOFLOW}, wanted COCO annotations.")
    passed_over = [
        Reject(name=shown(file, root), reason="not read: files called instances_* are beside it")
        for file in listed
        if file not in files and files == instances
    ]
    return root, files, passed_over


def _document(file: Path, root: Path) -> _Document:
    if placed(str(file), base=root, root=root) is None:
        raise UserError(f"{file} is a link that leads out of the source's folder {root}. Put the file itself there.")
    try:
        content = plain_json.read(file)
    except ValueError as error:
        raise UserError(f"{file} {error}. Correct the file.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} holds {type(content).__name__}, wanted an object with images and annotations.")
    parts: dict[str, list[object]] = {}
    for key in ("categories", "images", "annotations"):
        part = content.get(key)
        if not isinstance(part, list):
            raise UserError(f"{file}: {key} is {type(part).__name__}, wanted a list. Is this a detection file?")
        parts[key] = part
    categories, parents = _categories(parts["categories"], file)
    return _Document(
        file=file,
        name=shown(file, root),
        split=_split(file),
        categories=categories,
        parents=parents,
        images=parts["images"],
        annotations=parts["annotations"],
    )


def _split(file: Path) -> Split | None:
    words = _WORD_IN_FILE.findall(file.stem.lower())
    if words:
        return _WORDS[words[-1]]
    folder = _WORD_OF_FOLDER.fullmatch(file.parent.name.lower())
    return _WORDS[folder.group(1)] if folder else None


def _id(value: object) -> _Id | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < _LARGEST_ID else str(value)
    return value if isinstance(value, str) else None


def _short(one: _Id | None) -> str:
    return str(one)[:40]


def _categories(items: Sequence[object], file: Path) -> tuple[dict[_Id, str], frozenset[str]]:
    pairs: list[tuple[_Id, object, object]] = []
    for number, item in enumerate(items):
        key = _id(item.get("id")) if isinstance(item, dict) else None
        if not isinstance(item, dict) or key is None:
            raise UserError(f"{file}: categories[{number}] has no id, wanted an id and a name. Correct it.")
        pairs.append((key, item.get("name"), item.get("supercategory")))
    if len({key for key, _, _ in pairs}) < len(pairs):
        raise UserError(f"{file}: two categories share an id. Renumber them and their annotations.")
    pairs.sort(key=lambda pair: (isinstance(pair[0], str), pair[0]))
    names = class_names([name for _, name, _ in pairs], where=f"{file}: categories")
    parents = frozenset(
        parent for name, (_, _, parent) in zip(names, pairs, strict=True) if isinstance(parent, str) and parent != name
    )
    return {pair[0]: name for pair, name in zip(pairs, names, strict=True)}, parents


def _classes(documents: Iterable[_Document], used: set[str]) -> list[str]:
    classes: dict[str, None] = {}
    for document in documents:
        for name in document.categories.values():
            if name in used or name not in document.parents:
                classes[name] = None
    return list(classes)


def _boxes(document: _Document) -> _Boxes:
    good: dict[_Id, list[SourceBox]] = {}
    rejected: dict[_Id, list[Reject]] = {}
    unused: list[Reject] = []
    for number, item in enumerate(document.annotations):
        stated = _id(item.get("id")) if isinstance(item, dict) else None
        where = (
            f"{document.name} annotations[{number}]"
            if stated is None
            else f"{document.name} annotation {_short(stated)}"
        )
        image_id = _id(item.get("image_id")) if isinstance(item, dict) else None
        if not isinstance(item, dict) or image_id is None:
            unused.append(Reject(name=where, reason="no image_id"))
            continue
        try:
            good.setdefault(image_id, []).append(_box(item, document.categories, where))
        except ValueError as error:
            rejected.setdefault(image_id, []).append(Reject(name=where, reason=str(error)))
    return _Boxes(good=good, rejected=rejected, unused=unused)


def _box(item: Mapping[str, object], categories: Mapping[_Id, str], where: str) -> SourceBox:
    category = _id(item.get("category_id"))
    if category is None or category not in categories:
        raise ValueError(f"category_id {_short(category)}, which is none of the {len(categories)} categories")
    if item.get("iscrowd"):
        raise ValueError("iscrowd: the box is around a group, wanted one object")
    return SourceBox(class_name=categories[category], corners=_corners(item.get("bbox")), unit="pixels", where=where)


def _corners(bbox: object) -> Corners:
    if not isinstance(bbox, list) or len(bbox) != _BOX_NUMBERS:
        raise ValueError("no bbox of four numbers (x, y, width, height)")
    try:
        numbers = [
            float(number) for number in bbox if isinstance(number, (int, float)) and not isinstance(number, bool)
        ]
    except OverflowError:
        raise ValueError("bbox with a number beyond all range") from None
    if len(numbers) != _BOX_NUMBERS:
        raise ValueError("bbox with something that is not a number, wanted x, y, width, height in pixels")
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"bbox {numbers}, wanted finite numbers")
    left, top, width, height = numbers
    return checked_corners((left, top, left + width, top + height))


def _images(document: _Document, boxes: _Boxes, *, root: Path, taken: dict[Path, str]) -> list[SourceImage]:
    """The images that one document lists; ``taken`` gains the files, each with the document that has it."""
    ids = [_id(item.get("id")) if isinstance(item, dict) else None for item in document.images]
    counts = _counts(ids)
    counted: set[_Id] = set()  # annotations are counted once, with the first image of their id
    folders = _folders(document, root)
    images = []
    for number, (item, image_id) in enumerate(zip(document.images, ids, strict=True)):
        path, problem = _file_of(item, document, folders, root)
        if path is not None and path in taken:
            problem = f"listed a second time; {taken[path]} has it already"
        elif image_id is None:
            problem = problem or "no id"
        elif counts[image_id] > 1:
            problem = problem or f"image id {_short(image_id)} is used twice; whose boxes are whose cannot be told"
        if path is not None:
            taken.setdefault(path, document.name)
        fresh = image_id is not None and image_id not in counted
        kept, repeated = first_of_each(boxes.good.get(image_id, []) if image_id is not None and fresh else [])
        bad = boxes.rejected.get(image_id, []) if image_id is not None and fresh else []
        counted |= {image_id} if image_id is not None else set()
        images.append(
            SourceImage(
                name=f"{document.name} images[{number}]" if path is None else shown(path, root),
                path=path or root,
                split=document.split,
                boxes=tuple(kept),
                rejected=(*bad, *repeated),
                size=_size(item),
                problem=problem,
            )
        )
    return images


def _file_of(item: object, document: _Document, folders: Sequence[Path], root: Path) -> tuple[Path | None, str | None]:
    """Path and problem of a listed image; no path where the text names none inside the root."""
    text = item.get("file_name") if isinstance(item, dict) else None
    if not isinstance(text, str) or not text:
        return None, "no file_name"
    # Steps upwards can only have been meant from where the JSON file is.
    bases = [document.file.parent] if ".." in PurePosixPath(text).parts else folders
    inside = [path for folder in bases if (path := placed(text, base=folder, root=root)) is not None]
    if not inside:
        return None, f"file_name {text[:200]!r} leads out of the source's folder"
    path = next((path for path in inside if is_file(path)), inside[-1])
    return path, file_problem(path, root)


def _counts(ids: Iterable[_Id | None]) -> dict[_Id, int]:
    counts: dict[_Id, int] = {}
    for image_id in ids:
        if image_id is not None:
            counts[image_id] = counts.get(image_id, 0) + 1
    return counts


def _folders(document: _Document, root: Path) -> list[Path]:
    """Where a document's images may be, the most particular first: two splits may have files of one name."""
    names = [document.file.stem.removeprefix("instances_")]
    if document.split is not None:
        names += [document.split, *(["valid", "validation"] if document.split == "val" else [])]
    folders = [folder for name in names for folder in (root / "images" / name, root / name)]
    return [*folders, document.file.parent, root / "images", root]


def _orphans(document: _Document, boxes: _Boxes) -> list[Reject]:
    known = {_id(item.get("id")) for item in document.images if isinstance(item, dict)}
    return [
        Reject(name=name, reason=f"image_id {_short(image_id)}, which no image has")
        for image_id in [*boxes.good, *boxes.rejected]
        if image_id not in known
        for name in [
            *(box.where for box in boxes.good.get(image_id, [])),
            *(reject.name for reject in boxes.rejected.get(image_id, [])),
        ]
    ]


def _size(item: object) -> tuple[int, int] | None:
    if not isinstance(item, dict):
        return None
    width, height = item.get("width"), item.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None
