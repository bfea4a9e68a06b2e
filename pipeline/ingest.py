"""Take real images in: decode them whole, check their labels, keep or reject each with a reason."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from pipeline.core import (
    ahead,
    bounded,
    digits,
    files,
    images,
    impostors,
    incoming,
    labels,
    manifest,
    params,
    paths,
    stage,
)
from pipeline.core.errors import UserError
from pipeline.core.incoming import Incoming
from pipeline.core.manifest import SPLITS, Row
from pipeline.core.sections import Digits, Ingest
from pipeline.core.sources import reading
from pipeline.core.sources.found import Source, SourceImage, to_box

_STEM = 16  # hexadecimal digits of the image id in a file's name
_FREE_SPACE = 1 << 26  # bytes left over when everything is stored
_ASKED_EVERY = 1 << 26  # bytes that are stored before the disk is asked again how much is free


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of one thing that was found."""

    kind: Literal["image", "box", "label"]
    image: str
    where: str
    decision: Literal["kept", "rejected"]
    reason: str


@dataclass(slots=True)
class Intake:
    """What has been taken in so far."""

    folder: Path
    rows: dict[str, Row] = field(default_factory=dict)  # by image id
    decisions: list[Decision] = field(default_factory=list)
    room: int = 0  # bytes that may be stored before the disk is asked again

    def decide(self, kind: Literal["image", "box", "label"], image: str, where: str, reason: str = "") -> None:
        """Note that something was kept, or rejected for a reason."""
        decision: Literal["kept", "rejected"] = "rejected" if reason else "kept"
        self.decisions.append(Decision(kind=kind, image=image, where=where, decision=decision, reason=reason))

    def claim(self, size: int) -> None:
        """Claim so many bytes of the disk for an image.

        Raises:
            UserError: the disk is nearly full.
        """
        if size > self.room:
            free = shutil.disk_usage(self.folder).free - _FREE_SPACE
            if size > free:
                raise UserError(
                    f"the disk is nearly full: {self.folder.parent}. Free space and run `uv run dvc repro` again."
                )
            self.room = min(free, size + _ASKED_EVERY)
        self.room -= size

    def keep(self, row: Row, data: bytes, boxes: list[labels.Box]) -> _Kept:
        """Note an image's row; gives what has to be written."""
        self.rows[row.image_id] = row
        return _Kept(target=self.folder / Path(row.path).relative_to(paths.REAL), data=data, boxes=boxes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """An image that is kept, with its labels."""

    target: Path
    data: bytes
    boxes: list[labels.Box]


def _write(kept: _Kept) -> None:
    """Write an image and its labels, one of many at the same time: to make a file takes as long as half of a decode."""
    kept.target.write_bytes(kept.data)
    manifest.label_path(kept.target).write_text(labels.format_boxes(kept.boxes))


def main() -> None:
    """Take real images in: decode them whole, check their labels, keep or reject each with a reason."""
    project = params.load()
    settings = project.ingest
    with files.fresh_folder(paths.REAL) as folder:
        (folder / paths.REAL_IMAGES.name).mkdir()
        (folder / paths.REAL_LABELS.name).mkdir()
        intake = Intake(folder)
        if settings.source == "digits":
            classes = list(settings.digits.classes)
            _compose(settings.digits, intake, project.seed)
        else:
            classes = _read(settings, intake)
        _check_rejected(intake.decisions, settings.max_rejected)
        manifest.write(folder / paths.REAL_MANIFEST.name, intake.rows.values())
        lines = [files.csv_line(Decision.__dataclass_fields__), *map(_line, intake.decisions)]
        files.write_text(folder / paths.REAL_DECISIONS.name, "".join(lines))
        files.write_json(folder / paths.REAL_CLASSES.name, classes)
    counts = Counter((decision.kind, decision.decision) for decision in intake.decisions)
    stage.report("ingest: " + ", ".join(f"{number} {kind} {what}" for (kind, what), number in sorted(counts.items())))


def _line(decision: Decision) -> str:
    """A decision as a line of CSV. Names are other people's: what would not show, or break a line, is escaped."""
    fields = (getattr(decision, name) for name in Decision.__dataclass_fields__)
    return files.csv_line([one if one.isprintable() else _printable(one) for one in fields])


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _row(image_id: str, name: str, split: str, suffix: str, size: tuple[int, int], boxes: list[labels.Box]) -> Row:
    return Row(
        image_id=image_id,
        name=name,
        path=str(paths.REAL_IMAGES / f"{image_id[:_STEM]}{suffix}"),
        split=split if split in SPLITS else "",
        origin="real",
        generation=0,
        run="",
        parents=(),
        lineage_depth=0,
        human_verified=False,
        label_digest=labels.digest(boxes),
        width=size[0],
        height=size[1],
        boxes=manifest.count_boxes(boxes),
    )


def _compose(settings: Digits, intake: Intake, seed: int) -> None:
    """Compose the pages of handwritten digits."""
    ink, numbers = digits.handwritten()
    unknown = [name for name in settings.classes if name not in digits.NAMES]
    if unknown:
        raise UserError(f"params.yaml: ingest.digits.classes has {unknown[0]!r}, wanted names from {digits.NAMES}.")
    order = [digits.NAMES.index(name) for name in settings.classes]  # class id -> digit
    targets = [order.index(int(digit)) if int(digit) in order else len(order) for digit in numbers]
    shares = [getattr(settings.identities, split) for split in SPLITS]
    for split, identities in zip(SPLITS, digits.split_identities(targets, shares, seed=seed), strict=True):
        style = digits.PageStyle(
            size=settings.page,
            digit_size=settings.digit,
            digits_a_page=settings.digits_a_page,
            classes=len(order),
            tail=getattr(settings.tail, split),
        )
        for number in range(getattr(settings.pages, split)):
            name = f"{split}/{number:05d}"
            page = digits.compose(ink, identities, style, key=f"{seed}/{name}")
            boxes = [
                labels.from_corners(
                    placed.class_id,
                    [
                        placed.x / style.size,
                        placed.y / style.size,
                        (placed.x + placed.width) / style.size,
                        (placed.y + placed.height) / style.size,
                    ],
                )
                for placed in page.digits
            ]
            image_id = hashlib.sha256(f"{style.size}\n".encode() + page.pixels.tobytes()).hexdigest()
            size = (style.size, style.size)
            row = _row(image_id, name, split, ".png", size, boxes)
            _write(intake.keep(row, images.encode_png(page.pixels), boxes))
            intake.decide("image", name, "page")
            for index in range(len(boxes)):
                intake.decide("box", name, f"digit {index}")


def _read(settings: Ingest, intake: Intake) -> list[str]:
    """Read a source from disk; gives its class names."""
    source = reading.read(settings.source, Path(settings.path))
    for reject in source.unused:
        intake.decide("label", "", reject.name, reject.reason)
    with images.quiet():
        for _ in ahead.mapped(_write, _kept(source, settings, intake)):
            pass
    return list(source.classes)


def _kept(source: Source, settings: Ingest, intake: Intake) -> Iterator[_Kept]:
    """Decide image by image; gives those that are kept."""
    # The test split has the first claim on an image that is there twice, then val.
    claims = {"test": 0, "val": 1, "train": 2, None: 3}
    classes = {name: number for number, name in enumerate(source.classes)}
    ordered = sorted(source.images, key=lambda image: (claims[image.split], image.name))
    copies = impostors.screen(incoming.portraits_of(source.images, settings))
    for found, file in zip(ordered, ahead.mapped(partial(incoming.look, settings=settings), ordered), strict=True):
        taken: _Kept | str = found.problem or _take(found, file, settings, intake, classes, copies)
        reason = taken if isinstance(taken, str) else ""
        intake.decide("image", found.name, found.split or "", reason)
        for reject in found.rejected:
            intake.decide("box", found.name, reject.name, reject.reason)
        if isinstance(taken, _Kept):
            yield taken
            continue
        for box in found.boxes:
            intake.decide("box", found.name, box.where, "its image was rejected")


def _take(
    found: SourceImage,
    file: Incoming,
    settings: Ingest,
    intake: Intake,
    classes: Mapping[str, int],
    copies: Mapping[str, impostors.Match],
) -> _Kept | str:
    """Keep one image with its good boxes; gives the reason when the image is rejected."""
    intake.claim(len(file.stored))
    if file.marked:
        return "marked as synthetic by this project; a synthetic image never enters as real"
    if file.image_id in copies:
        return str(copies[file.image_id])
    if file.image_id in intake.rows:
        twin = intake.rows[file.image_id]
        return f"exact duplicate of {twin.name}" + (f" in {twin.split}" if twin.split else "")
    if file.reason:
        return file.reason
    if found.size is not None and found.size != file.size:
        stated = " x ".join(bounded.shown(side, most=20) for side in found.size)
        return f"its annotation is for {stated} pixels, the image has {file.size[0]} x {file.size[1]}"
    boxes = list(_boxes(found, settings, intake, classes, file.size))
    row = _row(file.image_id, found.name, found.split or "", file.suffix, file.size, boxes)
    return intake.keep(row, file.stored, boxes)


def _boxes(
    found: SourceImage, settings: Ingest, intake: Intake, classes: Mapping[str, int], size: tuple[int, int]
) -> Iterator[labels.Box]:
    for box in found.boxes:
        try:
            label = to_box(
                box, class_id=classes[box.class_name], width=size[0], height=size[1], tolerance=settings.tolerance
            )
        except ValueError as error:
            intake.decide("box", found.name, box.where, str(error))
        else:
            intake.decide("box", found.name, box.where)
            yield label


def _check_rejected(decisions: list[Decision], limit: float) -> None:
    """Stop when too much is rejected: a wrong setting looks just like that.

    Raises:
        UserError: more than the limit of the images, or of the boxes; the message has the commonest reasons.
    """
    for kinds, name in ((("image",), "images"), (("box", "label"), "boxes and labels")):
        chosen = [decision for decision in decisions if decision.kind in kinds]
        rejected = [decision for decision in chosen if decision.decision == "rejected"]
        if len(rejected) > limit * len(chosen):
            examples = "; ".join(f"{one.image} {one.where}: {one.reason}".strip() for one in rejected[:5])
            raise UserError(
                f"{len(rejected)} of {len(chosen)} {name} were rejected, more than ingest.max_rejected "
                f"({limit:.1%}). The first: {examples}. Correct the source, or raise the limit."
            )


if __name__ == "__main__":
    stage.start_plain(main)
