"""Decisions that people make in the App: the ledger, which is the truth, is written first, then the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.adapters import voxel_decisions, voxel_samples
from pipeline.adapters.voxel_contents import TRUTH
from pipeline.core import deciding, reviewing
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.ledger import Entry

_AGAIN = "end the App (Ctrl-C) and run `uv run tailwatch review` again"
NOTHING_DECIDED = f"nothing was decided; {_AGAIN}"
NOTHING_TAKEN_BACK = f"nothing was taken back; {_AGAIN}"
QUEUE_UNKNOWN = f"the queue is not known; {_AGAIN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a sample shows, read from the database, not from memory: another person may have changed it.

    Attributes:
        sample_id: FiftyOne's id.
        image_id: of the image.
        name: what the source calls it.
        label_digest: of the labels that it showed when it was made.
        boxes: those labels.
        drawn: the labels as they are now.
    """

    sample_id: str
    image_id: str
    name: str
    label_digest: str
    boxes: Sequence[Box]
    drawn: Sequence[Box]


def decide(
    dataset: Any, sample_id: str, kind: Literal["accept", "reject"], *, reviewer: str, reason: str, view: Any = None
) -> Entry:
    """Accept a sample's labels as they are shown, or reject the image.

    Args:
        dataset: the project's.
        sample_id: of the sample.
        kind: of the decision.
        reviewer: who decides.
        reason: may be empty for an accepted image.
        view: that is open; None: the whole dataset.

    Raises:
        UserError: the sample is gone, its labels were changed and not handed in, some of them are not in view, or the
            decision is not valid.
    """
    with database_answers(NOTHING_DECIDED):
        shown = _shown(dataset, sample_id)
        _require_all(view, shown)
    if kind == "accept" and shown.drawn != shown.boxes:
        raise UserError(
            f"the labels of {shown.name} were changed in the App and not handed in, so they are not those that you "
            "would accept. Run `correct` to hand in what you drew, or take the changes back (undo in Annotate)."
        )
    entry = deciding.decide(kind, shown.image_id, shown.label_digest, reviewer=reviewer, reason=reason)
    _show(dataset, shown, entry)
    return entry


def correct(dataset: Any, sample_id: str, *, reviewer: str, reason: str, view: Any = None) -> Entry:
    """Hand in a sample's labels as they are drawn now; see :func:`decide`.

    Raises:
        UserError: the sample is gone, nothing was changed, a label cannot be, or the decision is not valid.
    """
    with database_answers(NOTHING_DECIDED):
        shown = _shown(dataset, sample_id)
        _require_all(view, shown)
    if shown.drawn == shown.boxes:
        raise UserError(
            f"the labels of {shown.name} are as they were. Change them in the Annotate tab of the opened sample, wait "
            "until it says that they are saved, then run `correct`."
        )
    entry = deciding.correct(shown.image_id, shown.drawn, reviewer=reviewer, reason=reason, shown=shown.label_digest)
    _show(dataset, shown, entry)
    return entry


def undo(dataset: Any, *, reviewer: str) -> Entry:
    """Take back a reviewer's last decision.

    Raises:
        UserError: there is none.
    """
    with database_answers(NOTHING_TAKEN_BACK):
        check_project(dataset)
    entry = deciding.undo(reviewer)
    with database_answers(in_ledger(entry.image_id[:12], taken_back=True)):
        planted = voxel_decisions.plants_of(dataset, entry.image_id, entry.label_digest)
        for sample_id in planted or voxel_decisions.samples_of(dataset, entry.image_id):
            voxel_decisions.set_queued(dataset, sample_id, queued=True)
        _show_image(dataset, entry.image_id)
    return entry


def next_in_queue(dataset: Any, after: str | None) -> str | None:
    """The sample to look at after this one, or first; None where the queue is done."""
    check_project(dataset)
    return voxel_decisions.next_in_queue(dataset, after)


def check_project(dataset: Any) -> None:
    """Refuse another project's dataset: decisions would go into the wrong ledger.

    Raises:
        UserError: Python runs in another folder than the dataset's project.
    """
    if dataset is None:
        raise UserError("no dataset is open. Open the project's with `uv run tailwatch review`.")
    project = dataset.info.get("project")
    if project != str(Path.cwd()):
        raise UserError(
            f"dataset {dataset.name!r} shows the project in {project}, and this runs in {Path.cwd()}. Run it there, "
            "or `uv run tailwatch review` here."
        )


def _shown(dataset: Any, sample_id: str) -> Shown:
    check_project(dataset)
    paths = ["id", "image_id", "source_name", "label_digest", "label_text", "metadata.width", "metadata.height",
             f"{TRUTH}.detections.label", f"{TRUTH}.detections.bounding_box"]  # fmt: skip
    columns = dataset.match({"$expr": {"$eq": [{"$toString": "$_id"}, sample_id]}}).values(paths)
    if not columns[0]:
        raise UserError(
            "this image has left the dataset: it was built anew, or the image is gone from the project. Nothing was "
            "decided. Reload the page; if the image is still there, decide on it again."
        )
    found, image_id, name, digest, text, width, height, names, places = (column[0] for column in columns)
    boxes = sorted(voxel_samples.parse(text))
    drawn = list(zip(names or [], places or [], strict=True))
    return Shown(
        sample_id=found,
        image_id=image_id,
        name=name,
        label_digest=digest,
        boxes=boxes,
        drawn=voxel_samples.drawn(drawn, boxes, dataset.info["classes"], size=(width, height)),
    )


def _require_all(view: Any, shown: Shown) -> None:
    """Refuse to decide on labels that the open view hides.

    Raises:
        UserError: it hides some.
    """
    if view is None:
        return
    seen = view.select(shown.sample_id).values(f"{TRUTH}.detections.label")
    if seen and len(seen[0] or []) < len(shown.drawn):
        raise UserError(
            f"the open view or filter shows {len(seen[0] or [])} of the {len(shown.drawn)} labels of {shown.name}, and "
            "a decision is about all of them. Clear the filter, or open the image from another view."
        )


def _show(dataset: Any, shown: Shown, entry: Entry) -> None:
    """Show what a decision changed."""
    with database_answers(in_ledger(shown.name)):
        voxel_decisions.set_queued(dataset, shown.sample_id, queued=False)
        if not entry.decision.startswith("control"):
            _show_image(dataset, shown.image_id)


def _show_image(dataset: Any, image_id: str) -> None:
    decided, boxes = reviewing.of_image(image_id)
    voxel_decisions.show(dataset, image_id, decided, boxes)


def in_ledger(name: str, *, taken_back: bool = False) -> str:
    """What holds where the database fails behind the ledger."""
    done = "taken back in" if taken_back else "in"
    return f"the decision on {name} is {done} the ledger; {_AGAIN}, which shows it"


@contextmanager
def database_answers(so: str) -> Iterator[None]:
    """Say where a decision stands when the database fails.

    Args:
        so: what holds then.

    Raises:
        UserError: it does.
    """
    from pymongo.errors import PyMongoError

    try:
        yield
    except PyMongoError as error:
        reason = " ".join(str(error).partition(" (configured timeouts")[0].split())[:120]
        raise UserError(f"the App's database does not answer ({reason}): {so}.") from error
