"""Images that another generator made, and put into a folder: the door for any tool.

A run's images are in ``generate.folder.path``, in the folder that ``of_a_run`` names: in ``images/`` with their labels
in ``labels/``, or all side by side. Beside them there may be ``classes.txt``, which is then held against the project's
classes, and ``parents.csv``, which says what each image was made from.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core import bounded, images, impostors, labels, manifest, paths, portraits
from pipeline.core.errors import UserError
from pipeline.core.generate_settings import Folder, Generate
from pipeline.core.labels import Box
from pipeline.core.sources.found import file_problem, images_under, shown
from pipeline.core.synthesis import Draw, Drawn, Example, Task

_MOST_PIXELS = 100_000_000  # of an image
_TOLERANCE = 0.01  # how far a box may stick out, as a fraction; what sticks out is cut off
_NAMED = 3  # things in a message
_LARGEST_TABLE = 256 << 20  # bytes of parents.csv


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """One image of the folder: where it is, and all of it but the pixels."""

    name: str
    path: Path
    boxes: tuple[Box, ...]
    parents: tuple[str, ...]


def fit(examples: Sequence[Example], params: Generate, rng: np.random.Generator, *, task: Task) -> Draw:
    """Look all images of the run through; those that are drawn are chosen by chance and come in the order of names.

    Raises:
        UserError: there are too few images, or one cannot be used: it is broken, is there twice, is a copy of a real
            image, or has no labels or wrong ones.
    """
    folder = _folder_of_the_run(params.folder, task)
    listed = images_under(folder, root=folder).files
    if len(listed) < params.images:
        raise UserError(
            f"{folder} has {len(listed)} images, wanted generate.images, which is {params.images}, or more. "
            "Make more, or lower generate.images."
        )
    _check_classes(folder, task.classes)
    parents = _read_parents(folder, {example.image_id for example in examples})
    chosen = sorted(rng.choice(len(listed), size=params.images, replace=False).tolist())
    problems: list[str] = []
    made: list[_Made] = []
    for path in (listed[number] for number in chosen):
        name = shown(path, folder)
        try:
            boxes = _boxes(path, folder, len(task.classes)) if params.folder.labels == "own" else ()
        except ValueError as error:
            problems.append(f"{name}: {error}")
            continue
        made.append(_Made(name=name, path=path, boxes=boxes, parents=parents.get(name, ())))
    _refuse(problems, folder)
    _check_pictures(made, folder)
    left = iter(made)

    def draw(_rng: np.random.Generator) -> Drawn:
        one = next(left)
        return Drawn(pixels=_pixels(one.path), boxes=one.boxes, parents=one.parents, details={"file": one.name})

    return draw


def _folder_of_the_run(settings: Folder, task: Task) -> Path:
    folder = Path(settings.path) / settings.of_a_run.format(run=task.run, arm=task.arm, generation=task.generation)
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder, wanted the images of the run {task.run}. Put them there, or look at "
            "generate.folder in params.yaml."
        )
    return folder.resolve()


def _refuse(problems: Sequence[str], folder: Path) -> None:
    if problems:
        more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise UserError(
            f"{folder}: {'; '.join(problems[:_NAMED])}{more}. Mend or remove them and run the command again; "
            "nothing was half written."
        )


def _pixels(path: Path) -> images.Pixels:
    return images.decode(path.read_bytes(), max_pixels=_MOST_PIXELS).pixels


def _check_pictures(made: Sequence[_Made], folder: Path) -> None:
    """Refuse images that cannot be read, that are there twice, and real ones that come back.

    The real images are read for this check alone, whatever split they are in. Nothing that is drawn depends on them.
    """
    problems: list[str] = []
    seen: dict[str, str] = {}
    taken = []
    for one in made:
        problem = file_problem(one.path, folder)
        try:
            if problem:
                raise ValueError(problem)  # noqa: TRY301 - one reason, one place
            portrait = portraits.portrait(_pixels(one.path), image_id=one.name, name=one.name)
        except (OSError, ValueError) as error:
            problems.append(f"{one.name}: {error}")
            continue
        if (first := seen.setdefault(portrait.pixels, one.name)) != one.name:
            problems.append(f"{one.name}: the same pixels as {first}")
            continue
        taken.append(portrait)
    _refuse(problems, folder)
    rows = manifest.read(paths.REAL_MANIFEST) if paths.REAL_MANIFEST.exists() else []
    known = impostors.Known(portraits.of_rows([row for row in rows if Path(row.path).exists()]))
    found = zip(taken, known.find_each(taken), strict=True)
    _refuse([f"{one.name}: a {match}, a real image" for one, match in found if match is not None], folder)


def _label_file(image: Path, folder: Path) -> Path:
    """Beside the image, or in ``labels/`` where the image is in ``images/``."""
    parts = image.relative_to(folder).parts
    if parts[0] == "images" and len(parts) > 1:
        return folder.joinpath("labels", *parts[1:]).with_suffix(".txt")
    return image.with_suffix(".txt")


def _boxes(image: Path, folder: Path, classes: int) -> tuple[Box, ...]:
    """The image's boxes, cut to the frame.

    Raises:
        ValueError: there is no label file, or one that is wrong.
    """
    file = _label_file(image, folder)
    name = shown(file, folder)
    if not file.is_file():
        raise ValueError(f"it has no label file {name}; an image without objects has an empty one")
    try:
        lines = bounded.text(file, most=labels.LARGEST_FILE).splitlines()
    except ValueError as error:
        raise ValueError(f"its label file {name} {error}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            box = labels.parse_line(line)
            if box.class_id >= classes:
                raise ValueError(f"class {box.class_id}, wanted 0 to {classes - 1}")  # noqa: TRY301 - one place
            found.append(labels.from_corners(box.class_id, box.corners(), tolerance=_TOLERANCE))
        except ValueError as error:
            raise ValueError(f"{name} line {number}: {error}") from None
    return tuple(found)


def _check_classes(folder: Path, classes: Sequence[str]) -> None:
    """Refuse class names in another order than the project's: each label would mean something else."""
    file = next((one for one in (folder / "classes.txt", folder / "labels" / "classes.txt") if one.is_file()), None)
    if file is None:
        return
    try:
        names = [line.strip() for line in bounded.text(file, most=labels.LARGEST_FILE).splitlines() if line.strip()]
    except ValueError as error:
        raise UserError(f"{file} {error}. Correct the file, or remove it.") from None
    if names != list(classes):
        raise UserError(
            f"{file} has the classes {bounded.shown(', '.join(names))}, wanted those of the project in their order: "
            f"{', '.join(classes)}. Renumber the labels, and correct the file."
        )


def _read_parents(folder: Path, known: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """What each image was made from, by the image's name; nothing where no ``parents.csv`` says so.

    Raises:
        UserError: the table is none, or names a parent that is no image of the previous run.
    """
    file = folder / "parents.csv"
    if not file.is_file():
        return {}
    try:
        head, *lines = csv.reader(bounded.text(file, most=_LARGEST_TABLE).splitlines())
        if head != ["image", "parents"] or any(len(line) != len(head) for line in lines):
            raise ValueError("is no table of image and parents")  # noqa: TRY301 - one message
    except (ValueError, csv.Error) as error:
        raise UserError(
            f"{file} {error}, wanted the columns image,parents: a file's name, and image ids with blanks between them. "
            "Correct the file, or remove it."
        ) from None
    for number, (image, parents) in enumerate(lines, start=2):
        stranger = next((one for one in parents.split() if one not in known), None)
        if stranger or not parents.split():
            raise UserError(
                f"{file} line {number}: the parent {bounded.shown(stranger or '')} of {bounded.shown(image)} is no "
                "image that the previous run was trained on, wanted an image_id of its manifest. Correct the line, or "
                "take it out: parents that nobody knows count as deep as the deepest."
            )
    return {image: tuple(parents.split()) for image, parents in lines}
