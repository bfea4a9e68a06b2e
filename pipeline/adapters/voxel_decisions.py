"""What people decided, in the dataset: the files are the truth, and these fields show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline.adapters import voxel_labels, voxel_samples
from pipeline.adapters.voxel_contents import TRUTH
from pipeline.core import labels, paths, plants
from pipeline.core.labels import Box
from pipeline.core.reviewing import Decided, Decisions, Queued

_COPIED = (
    "filepath", "tags", "metadata", "image_id", "source_name", "split", "outcome", "outcome_reason", "origin",
    "generation", "run", "parents", "lineage_depth", "used_digest", "point",
)  # fmt: skip
_FIELDS = ("state", "decided_by", "human_verified", "queue_rank", "queued", "queue_reason")


def is_current(dataset: Any, decisions: Decisions) -> bool:
    """Whether the dataset shows just these decisions."""
    return bool(dataset.info.get("decisions") == decisions.mark)


def are_as_measured(dataset: Any) -> bool:
    """Whether the labels of the test images are still those that the runs were measured with."""
    test = dataset.exclude(dataset.info.get("plants", [])).match({"split": "test"})
    used, shown, texts, places, names, wide, high = test.values(
        ["used_digest", "label_digest", "label_text", f"{TRUTH}.detections.bounding_box", f"{TRUTH}.detections.label",
         "metadata.width", "metadata.height"]
    )  # fmt: skip
    if used != shown:
        return False
    classes = dataset.info["classes"]
    rows = zip(texts, places, names, wide, high, strict=True)
    return all(
        voxel_samples.untouched(list(zip(its or [], at or [], strict=True)), text, classes, size=(width, height))
        for text, at, its, width, height in rows
    )


def refresh(dataset: Any, decisions: Decisions) -> None:
    """Make the dataset show these decisions, and the queue; :func:`note` says that it does."""
    plants.keep(paths.PLANTS, decisions.controls)
    outdate(dataset)
    sample_ids, image_ids, digests, origins = dataset.values(["_id", "image_id", "label_digest", "origin"])
    places = {one.image_id: (rank, one) for rank, one in enumerate(decisions.queue) if not one.planted}
    columns: dict[str, list[Any]] = {name: [] for name in _FIELDS}
    for sample_id, image_id, digest, origin in zip(sample_ids, image_ids, digests, origins, strict=True):
        decided = decisions.decided[image_id]
        rank, queued = places.get(image_id, (None, None))
        if origin == "real" and decided.label_digest != digest:  # others are never corrected
            show_labels(dataset, sample_id, decisions.labels(image_id, decided.label_digest), decided.label_digest)
        columns["state"].append(decided.state)
        columns["decided_by"].append(list(decided.decided_by))
        columns["human_verified"].append(decided.state == "verified")
        columns["queue_rank"].append(rank)
        columns["queued"].append(queued is not None)
        columns["queue_reason"].append(queued.reason if queued else None)
    voxel_labels.write_fields(dataset, sample_ids, columns)
    _add_plants(dataset, decisions.queue)


def note(dataset: Any, decisions: Decisions) -> None:
    """Note that the dataset shows these decisions, and all that hangs on them."""
    dataset.info["decisions"] = decisions.mark
    dataset.save()


def outdate(dataset: Any) -> None:
    """Forget which decisions are shown, and take out the items with known answers, which are no part of a measure."""
    if dataset.info.get("plants"):
        dataset.delete_samples(dataset.info["plants"])
    dataset.info["plants"] = []
    dataset.info.pop("decisions", None)
    dataset.save()


def _add_plants(dataset: Any, queue: Sequence[Queued]) -> None:
    """Add items with known answers, which look like the others of the queue, beside what they are made of."""
    planted = [(rank, one) for rank, one in enumerate(queue) if one.planted]
    wanted = {"image_id": {"$in": [one.image_id for _, one in planted]}}
    originals = {one["image_id"]: one for one in dataset._sample_collection.find(wanted)}  # noqa: SLF001
    made = []
    for rank, one in planted:
        original = originals[one.image_id]
        boxes = sorted(voxel_samples.parse(original["label_text"]) if one.broken is None else one.broken)
        fields = {name: original[name] for name in _COPIED if name in original}
        if one.state == "awaiting":
            fields |= {"split": "", "tags": [original["origin"]], "outcome": "quarantined", "outcome_reason": ""}
        made.append(fields | {
            "state": one.state,
            "decided_by": [],
            "human_verified": one.state == "verified",
            "label_digest": labels.digest(boxes),
            "label_text": labels.format_boxes(boxes),
            "queue_rank": rank,
            "queued": True,
            "queue_reason": one.reason,
            TRUTH: _labelled(dataset, original, boxes),
        })  # fmt: skip
    dataset.info["plants"] = voxel_samples.insert(dataset, made)
    dataset.save()


def _labelled(dataset: Any, sample: Mapping[str, Any], boxes: Sequence[Box]) -> dict[str, Any]:
    size = (sample["metadata"]["width"], sample["metadata"]["height"])
    return voxel_samples.labelled(boxes, dataset.info["classes"], dataset.info["rare_classes"], size=size)


def show(dataset: Any, image_id: str, decided: Decided, boxes: Sequence[Box] | None) -> None:
    """Show one image's decisions; the labels too where another version of them holds now.

    Args:
        dataset: the project's.
        image_id: of the image.
        decided: where its decisions leave it.
        boxes: the labels of ``decided.label_digest``; None: they are not read.
    """
    shown = {
        "state": decided.state,
        "decided_by": list(decided.decided_by),
        "human_verified": decided.state == "verified",
    }
    for sample_id in map(ObjectId, samples_of(dataset, image_id)):
        voxel_labels.write_fields(dataset, [sample_id], {name: [value] for name, value in shown.items()})
        if boxes is not None:
            show_labels(dataset, sample_id, boxes, decided.label_digest)


def samples_of(dataset: Any, image_id: str) -> list[str]:
    """The sample of an image, without those that are planted; empty where the image is not in the dataset."""
    plants = set(dataset.info.get("plants", []))
    return [one for one in dataset.match({"image_id": image_id}).values("id") if one not in plants]


def plants_of(dataset: Any, image_id: str, label_digest: str) -> list[str]:
    """The planted samples of an image that show just these labels."""
    plants = set(dataset.info.get("plants", []))
    found = dataset.match({"image_id": image_id, "label_digest": label_digest}).values("id")
    return [one for one in found if one in plants]


def set_queued(dataset: Any, sample_id: str, *, queued: bool) -> None:
    """Take a sample out of the queue, or put it back in its place; one that never was in it stays out."""
    one = dataset.select(sample_id)
    one.set_values("queued", [queued and rank is not None for rank in one.values("queue_rank")])


def next_in_queue(dataset: Any, after: str | None) -> str | None:
    """The sample with the next rank, or the first again behind the last one; None where none is queued."""
    waiting = dataset.match({"queued": True})
    ranks = dict(zip(*waiting.values(["queue_rank", "id"]), strict=True))
    here = dataset.select(after).values("queue_rank") if after else []
    rank = here[0] if here and here[0] is not None else -1
    following = [one for one in ranks if one > rank and ranks[one] != after] or [
        one for one in ranks if ranks[one] != after
    ]
    return ranks[min(following)] if following else None


def show_labels(dataset: Any, sample_id: ObjectId, boxes: Sequence[Box], digest: str) -> None:
    """Show one version of a sample's labels; boxes that are in it already keep what else is known of them."""
    sample = dataset._sample_collection.find_one({"_id": sample_id})  # noqa: SLF001
    size = (sample["metadata"]["width"], sample["metadata"]["height"])
    wanted = _labelled(dataset, sample, sorted(boxes))
    left = list((sample.get(TRUTH) or {}).get("detections") or [])
    for number, one in enumerate(wanted["detections"]):
        match = next((old for old in left if voxel_samples.at_same_place(old, one, size)), None)
        if match is not None:
            left.remove(match)
            wanted["detections"][number] = match | {"bounding_box": one["bounding_box"], "box": one["box"]}
    shown = {TRUTH: wanted, "label_digest": digest, "label_text": labels.format_boxes(boxes)}
    voxel_labels.write_fields(dataset, [sample_id], {name: [value] for name, value in shown.items()})
