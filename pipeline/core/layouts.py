"""Which of the known layouts a folder of labelled images has, told by its names; nothing is read whole."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.core import bounded, plain_yaml
from pipeline.core.errors import UserError
from pipeline.core.sources.found import READ_SUFFIXES, is_file, is_folder

Kind = Literal["yolo", "coco", "voc"]
KINDS: tuple[Kind, ...] = ("yolo", "coco", "voc")
_DEPTH = 2  # folders below the one that is given: an archive unpacks into one, a repository keeps its data in one
_MOST = 500  # folders that are looked into
_MOST_FILES = 2000  # of a folder that hold labels or images
_TEXT = 1 << 20  # bytes at the beginning, and at the end, of a JSON file
_ROBOFLOW = "_annotations.coco.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A layout that was found.

    Attributes:
        kind: of it, as in ``ingest.source``.
        path: folder or file that its reader takes.
        sign: what told it, in words.
    """

    kind: Kind
    path: Path
    sign: str


def choose(path: Path, kind: Kind | None = None) -> Layout:
    """The one layout of a folder or file.

    Args:
        path: the folder or file; where it has no layout itself, folders up to two below it are looked into.
        kind: the one that is wanted; None: whichever is there.

    Raises:
        UserError: there is nothing there, it cannot be read, or there is no layout, or more than one.
    """
    _require_readable(path)
    found = [one for one in layouts(path) if kind in (None, one.kind)]
    if not found:
        raise UserError(_missing(path, kind))
    if len({one.kind for one in found}) > 1:
        told = "; ".join(f"{one.kind}: {one.sign}" for one in found)
        names = " or ".join(f"--format {one}" for one in sorted({one.kind for one in found}))
        raise UserError(f"{path} has more than one layout ({told}). Choose with {names}.")
    if len(found) > 1:
        told = ", ".join(str(one.path) for one in found[:5])
        raise UserError(f"{path} holds {len(found)} datasets: {told}. Give one of them as --source.")
    return found[0]


def layouts(path: Path) -> list[Layout]:
    """All layouts of a folder or file; of the folders below it, where it has none itself."""
    if is_file(path):
        return _of_file(path)
    level = [path]
    for _ in range(_DEPTH + 1):
        if found := [layout for folder in level for layout in _of_folder(folder)]:
            return found
        level = sorted(itertools.islice((one for folder in level for one in _folders(folder)), _MOST))
    return []


def _of_file(path: Path) -> list[Layout]:
    if path.suffix.lower() in (".yaml", ".yml"):
        # The folder is what DVC watches, so that a changed image is seen.
        alone = path.name == "data.yaml" or len(_descriptions(path.parent)) == 1
        return [Layout(kind="yolo", path=path.parent if alone else path, sign=path.name)]
    return [Layout(kind="coco", path=path, sign=path.name)] if _is_coco(path) else []


def _of_folder(folder: Path) -> list[Layout]:
    found = []
    if is_folder(folder / "Annotations") and is_folder(folder / "JPEGImages"):
        found.append(Layout(kind="voc", path=folder, sign="Annotations and JPEGImages"))
    if named := [one for one in _descriptions(folder) if _has_names(one)]:
        found += (
            _of_file(named[0])
            if len(named) == 1
            else [Layout(kind="yolo", path=folder, sign=_listed([one.name for one in named]))]
        )
    listed = [*folder.glob("annotations/*.json"), *folder.glob(f"*/{_ROBOFLOW}"), *folder.glob("*.json")]
    if coco := sorted(one for one in listed if one.name == _ROBOFLOW or _is_coco(one)):
        signs = [one.relative_to(folder).as_posix() for one in coco]
        found.append(Layout(kind="coco", path=folder, sign=_listed(signs)))
    return found


def _descriptions(folder: Path) -> list[Path]:
    """The YAML files of a folder."""
    return sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")  # noqa: PLR2004 - enough to know it by


def _has_names(file: Path) -> bool:
    """Whether a YAML file is a YOLO dataset's; one that is called so is, so that its reader says what is wrong."""
    if file.name == "data.yaml":
        return True
    try:
        value = plain_yaml.load(bounded.read(file, most=plain_yaml.MOST))
    except ValueError:
        return False
    return isinstance(value, dict) and "names" in value


def _is_coco(file: Path) -> bool:
    """Whether a JSON file speaks of images and annotations, near its beginning or its end."""
    if file.suffix.lower() != ".json":
        return False
    text = bounded.start(file, size=_TEXT)
    try:
        with file.open("rb") as opened:
            opened.seek(max(file.stat().st_size - _TEXT, 0))
            text += opened.read(_TEXT)
    except OSError:
        return False
    return b'"images"' in text and (b'"annotations"' in text or b'"categories"' in text)


def _folders(folder: Path) -> Iterator[Path]:
    try:
        for one in folder.iterdir():
            if not one.name.startswith(".") and is_folder(one) and not one.is_symlink():
                yield one
    except OSError:
        return


def _require_readable(path: Path) -> None:
    if not os.path.lexists(path):
        raise UserError(f"--source {path} does not exist, wanted the folder or file of a dataset with labels.")
    if not os.access(path, os.R_OK | (os.X_OK if is_folder(path) else 0)):
        raise UserError(f"--source {path} cannot be read. Correct its permissions, or copy it to a folder of yours.")


def _missing(path: Path, kind: Kind | None) -> str:
    """What a folder without a layout has instead, and what to do about it."""
    wanted = {
        "yolo": "a data.yaml that names classes and splits",
        "coco": "a JSON file with images and annotations",
        "voc": "folders called Annotations and JPEGImages",
    }
    if kind is not None:
        return f"{path} has no {kind.upper()} dataset, wanted {wanted[kind]}. Look at --source and --format."
    images, texts = _counted(path)
    if images and texts:
        return (
            f"{path} holds images and .txt files, and no data.yaml, which names the classes of a YOLO dataset. Write "
            f"{path / 'data.yaml'} with two lines, `names: [the classes, in the order of their ids]` and "
            "`train: images`, where images is the folder that holds them beside labels; then run the command again."
        )
    has = "images without labels" if images else "no image that is read"
    return f"{path} has {has}. Wanted {wanted['yolo']}, {wanted['coco']}, or {wanted['voc']}."


def _counted(path: Path) -> tuple[int, int]:
    """How many image files and text files there are, as far as one has to look."""
    names = (Path(name) for _, _, names in os.walk(path) for name in names)
    suffixes = [one.suffix.lower() for one in itertools.islice(names, _MOST_FILES)]
    return sum(one in READ_SUFFIXES for one in suffixes), suffixes.count(".txt")
