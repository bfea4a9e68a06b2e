"""The report's pictures: what a run learned from, what it lost, and synthetic objects that are too much alike.

A picture whose image or labels are not on the disk any more is left out, and the row says so: runs of long ago give up
their images, but a report of them is still wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.core import images, labels, lost, object_strips, pictures, report_words
from pipeline.core.errors import UserError
from pipeline.core.figures import NearGroup, NearPair
from pipeline.core.images import Pixels
from pipeline.core.labels import Box
from pipeline.core.lost import LostBox
from pipeline.core.manifest import Row
from pipeline.core.pictures import Gallery, Picture
from pipeline.core.report_numbers import counted
from pipeline.core.report_page import Block, Fold, Pictures, Text, Topic
from pipeline.core.reporting import RunRecord

_GROUPS = 4  # groups of a run that are shown
_IN_GROUP = 8  # items of a group that are shown
_PAIRS = 8  # pairs of a run that are shown
_OBJECTS = 14  # of a run in the strip of one class


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """An image, and the box of it that is meant; None: the whole image."""

    row: Row
    pixels: Pixels
    boxes: tuple[Box, ...]
    box: Box | None

    def picture(self, *, alt: str, caption: tuple[str, ...] = ()) -> Picture:
        """The box with what is around it, or the whole image with its boxes."""
        if self.box is None:
            return pictures.page(self.pixels, self.boxes, alt=alt, caption=caption)
        height, width = self.pixels.shape[:2]
        left, top, right, bottom = self.box.corners()
        corners = (left * width, top * height, right * width, bottom * height)
        return pictures.crop(self.pixels, corners, self.box.class_id, alt=alt, caption=caption)

    def name(self, classes: Sequence[str]) -> str:
        """What it shows: the class, or the image."""
        return self.row.name if self.box is None else classes[self.box.class_id]


def cut(item: str, rows: Mapping[str, Row]) -> Crop | None:
    """Look an item up; None where its image, its labels or its box are gone.

    Args:
        item: ``IMAGE_ID`` of an image, or ``IMAGE_ID/BOX`` of an object, the line of its label file.
        rows: images by id.
    """
    image_id, _, number = item.partition("/")
    if image_id not in rows:
        return None
    row = rows[image_id]
    try:
        boxes, pixels = labels.read(row.label_path), images.read(Path(row.path))
    except UserError:
        return None
    if not number:
        return Crop(row=row, pixels=pixels, boxes=tuple(boxes), box=None)
    known = number.isdigit() and int(number) < len(boxes)
    return Crop(row=row, pixels=pixels, boxes=tuple(boxes), box=boxes[int(number)]) if known else None


def pages(run: RunRecord, rows: Sequence[Row], classes: Sequence[str], most: int) -> Gallery:
    """The first images of a run by image id, with their boxes.

    Args:
        run: the run.
        rows: its own images.
        classes: class names by id.
        most: images, at most.
    """
    chosen = {row.image_id: row for row in sorted(rows, key=lambda row: row.image_id)[:most]}
    note = report_words.learned_note(run)
    return _gallery(
        run, list(chosen), lambda item: _page(item, chosen, classes), note=note, none="no synthetic image on the disk"
    )


def _page(item: str, rows: Mapping[str, Row], classes: Sequence[str]) -> Picture | None:
    found = cut(item, rows)
    return None if found is None else found.picture(alt=report_words.page_alt(found.row, classes))


def objects(run: RunRecord, rows: Sequence[Row], class_id: int, classes: Sequence[str]) -> Gallery:
    """The first objects of one class on the images of a run, side by side in one picture.

    Args:
        run: the run.
        rows: its own images.
        class_id: of the objects, as they are labelled.
        classes: class names by id.
    """
    name = classes[class_id]
    boxes = sum(dict(row.boxes).get(class_id, 0) for row in rows)
    made = object_strips.strip(rows, class_id, most=_OBJECTS, alt=f"objects labelled {name}, {run.name}")
    missing = "no object on the disk" if boxes or not rows else f"no {name} at all"
    return report_words.gallery(run, [made] if made else [], note=f"{boxes:,} labelled", missing=missing)


def objects_topic(rows: Sequence[Sequence[Gallery]], name: str, *, note: str) -> Topic:
    """One class over the generations, an arm after the other.

    Args:
        rows: of each arm, the real objects first.
        name: of the class.
        note: what is said of runs without pictures.
    """
    said = "; ".join(f"{one[-1].title}: {one[-1].note}" for one in rows)
    return Topic(
        title=f"{name}, generation by generation",
        summary=said,
        lead="Objects of the class that is rarest in the base run's training data, as they were labelled: real ones, "
        f"then those that each generation made. {note}".strip(),
        blocks=tuple(Pictures(style="strips", galleries=tuple(one)) for one in rows),
        unfolded=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledTest:
    """The test images, their labelled boxes as the base audit wrote them, and class names by id."""

    rows: Mapping[str, Row]
    boxes: pd.DataFrame
    classes: Sequence[str]


def lost_boxes(run: RunRecord, test: LabelledTest, predictions: pd.DataFrame, *, most: int, newest: bool) -> Gallery:
    """Test boxes of rare classes that the base run found and a run did not.

    Args:
        run: the run.
        test: where they are.
        predictions: of the run, as its audit wrote them.
        most: boxes, at most.
        newest: whether it is its arm's newest run.

    Raises:
        UserError: a lost box is not among the labelled ones.
    """
    gone = run.judgement.lost_boxes if run.judgement else {}
    point = {"confidence": run.audit.confidence, "iou": run.audit.iou}
    found = lost.look_up(lost.choose(gone, most), test.boxes, predictions, **point)
    by_key = {f"{one.image_id}/{one.box}": one for one in found}
    return _gallery(
        run,
        list(by_key),
        lambda key: _lost(by_key[key], test),
        note=report_words.lost_note(gone, len(found)),
        none="no box of a rare class was lost",
        newest=newest,
    )


def _lost(one: LostBox, test: LabelledTest) -> Picture | None:
    if one.image_id not in test.rows:
        return None
    row = test.rows[one.image_id]
    try:
        pixels = images.read(Path(row.path))
    except UserError:
        return None
    caption = report_words.lost_caption(one, row.name, test.classes)
    return pictures.crop(pixels, one.corners, one.class_id, alt=", ".join(caption), caption=caption)


def lost_topic(galleries: Sequence[Gallery], *, note: str) -> Topic:
    """What the newest runs no longer find; earlier generations to unfold.

    Args:
        galleries: arm by arm, the newest run of each first.
        note: what is said of runs without pictures.
    """
    blocks: list[Block] = []
    for one in galleries:
        if not one.newest:
            continue
        blocks.append(Pictures(style="crops", galleries=(one,)))
        earlier = tuple(other for other in galleries if other.arm == one.arm and not other.newest)
        if earlier:
            pictured = (Pictures(style="crops", galleries=earlier),)
            blocks.append(Fold(title=f"Earlier generations of {one.arm}", blocks=pictured))
    said = "; ".join(f"{one.title}: {one.note or one.missing}" for one in galleries if one.newest)
    return Topic(
        title="What it no longer finds",
        summary=said or "no arm has a run yet",
        lead=f"Real test objects of rare classes that the base run found and this run does not, and what it sees "
        f"there instead. {note}".strip(),
        blocks=tuple(blocks) or (Text(text="No generation was made yet."),),
        unfolded=True,
    )


def groups(run: RunRecord, rows: Mapping[str, Row], classes: Sequence[str], level: str = "object") -> list[Gallery]:
    """The largest groups of near-identical synthetic items of a run, one gallery a group.

    Args:
        run: the run.
        rows: its synthetic images by id.
        classes: class names by id.
        level: image or object.
    """
    one = run.duplication(level)
    chosen = one.examples[:_GROUPS] if one else ()
    return [_group(run, group, rows, classes, level, number) for number, group in enumerate(chosen, start=1)]


def _group(
    run: RunRecord, group: NearGroup, rows: Mapping[str, Row], classes: Sequence[str], level: str, number: int
) -> Gallery:
    def picture(item: str) -> Picture | None:
        found = cut(item, rows)
        if found is None:
            return None
        caption = (found.name(classes), found.row.name)
        return found.picture(alt=f"group {number} of {run.name}: {', '.join(caption)}", caption=caption)

    size = f"{counted(len(group.items), level)}, up to {group.similarity:.3f} alike"
    note = size if len(group.items) <= _IN_GROUP else f"{size}; {_IN_GROUP} shown"
    return _gallery(run, group.items[:_IN_GROUP], picture, note=note, none="no group")


def pairs(
    run: RunRecord, rows: Mapping[str, Row], real: Mapping[str, Row], classes: Sequence[str], level: str = "object"
) -> Gallery | None:
    """The synthetic items that are nearest to a real one, each beside it; None where there are none.

    Args:
        run: the run.
        rows: its synthetic images by id.
        real: the real images by id.
        classes: class names by id.
        level: image or object.
    """
    one = run.duplication(level)
    if one is None or not one.suspicious:
        return None
    by_key = {f"{pair.synthetic} {pair.real}": pair for pair in one.suspicious[:_PAIRS]}
    near = "" if one.threshold is None else f"near from a similarity of {one.threshold:.3f} on"
    return _gallery(run, list(by_key), lambda key: _pair(by_key[key], rows, real, classes), note=near, none="no pair")


def _pair(pair: NearPair, rows: Mapping[str, Row], real: Mapping[str, Row], classes: Sequence[str]) -> Picture | None:
    made, original = cut(pair.synthetic, rows), cut(pair.real, real)
    if made is None or original is None:
        return None
    caption = (
        f"{made.name(classes)} | {original.name(classes)}", f"{pair.similarity:.3f} alike",
        f"real: {pair.split}, {original.row.name}",
    )  # fmt: skip
    alt = f"synthetic {made.name(classes)} beside its nearest real one, {', '.join(caption[1:])}"
    return pictures.beside(made.picture(alt=""), original.picture(alt=""), alt=alt, caption=caption)


def _gallery(
    run: RunRecord,
    items: Sequence[str],
    picture: Callable[[str], Picture | None],
    *,
    note: str,
    none: str,
    newest: bool = False,
) -> Gallery:
    """A row of pictures; those that cannot be made are counted in its note."""
    made = [one for item in items if (one := picture(item)) is not None]
    gone = len(items) - len(made)
    told = [note] if note else []
    if gone:
        told.append(f"{counted(gone, 'picture')} left out, the files are not there; `uv run dvc checkout` may help")
    missing = "no picture could be made" if gone else none
    return report_words.gallery(run, made, note="; ".join(told), missing=missing, newest=newest)
