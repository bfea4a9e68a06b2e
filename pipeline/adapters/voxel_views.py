"""The saved views: what people look for, by name. One that finds nothing is there all the same, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.adapters import voxel_labels, voxel_samples
from pipeline.adapters.voxel_contents import QUEUE, TRUTH, RunTables, field_of
from pipeline.core.errors import UserError
from pipeline.core.report_numbers import counted

_LABELS = f"{TRUTH}.detections"
_LEAST_CERTAIN = 48  # images
_TOLD = ("state", "outcome", "outcome_reason", "decided_by", "origin", "run", "lineage_depth", "source_name")


def lost_of(run: str, name: str) -> str:
    """Name of the view of a rare class's lost boxes."""
    return f"{run}: lost {name}"


def save_of_run(fo: Any, dataset: Any, base: str, tables: RunTables, rare: Sequence[str]) -> None:
    """Save the views of a run, each with the fields that it needs: all predictions at once hide the images.

    Args:
        fo: FiftyOne.
        dataset: the project's.
        base: the run that it is held against.
        tables: what the run made.
        rare: names of the rare classes.
    """
    value = fo.ViewField
    run, field = tables.run, field_of(tables.run)
    test = dataset.match(value("split") == "test")
    sure = test.filter_labels(field, value("confidence") >= tables.confidence, only_matches=False)
    lost, gained = f"lost_{field}", f"gained_{field}"
    for name, change, which, text in [
        ("lost boxes", lost, None, f"Test images with boxes that {base} found and {run} did not"),
        ("gained boxes", gained, None, f"Test images with boxes that {run} found and {base} did not"),
        ("lost rare boxes", lost, value("rare") == True,  # noqa: E712 - an expression
         f"Test images with boxes of rare classes ({', '.join(rare) or 'none'}) that {run} lost"),
        *((f"lost {one}", lost, value("label") == one,
           f"Test images with boxes of {one} that {base} found and {run} did not") for one in rare),
    ]:  # fmt: skip
        view = sure.match(value(f"{change}.detections").length() > 0)
        view = view if which is None else view.filter_labels(change, which)
        view = view.select_fields([TRUTH, field, change])
        _save(dataset, f"{run}: {name}", view, text, view.count(f"{change}.detections"), "label")
    unsure = (
        sure.match(value(f"{field}.detections").length() > 0)
        .sort_by(value(f"{field}.detections").map(value("confidence")).min())
        .limit(_LEAST_CERTAIN)
    )
    _save(dataset, f"{run}: least certain", unsure.select_fields([TRUTH, field]),
          f"Test images with the least sure detection of {run}, least sure first", len(unsure), "image")  # fmt: skip
    _save_of_synthetic(fo, dataset, tables)


def _save_of_synthetic(fo: Any, dataset: Any, tables: RunTables) -> None:
    value = fo.ViewField
    run = tables.run
    made = dataset.match((value("run") == run) & (value("origin") == "synthetic"))
    pages = made.select_fields(TRUTH)
    _save(dataset, f"{run}: synthetic images", pages, f"What {run} generated, and its labels", len(pages), "image")
    alike = made.match(value("near_group") > 0).sort_by("near_group")
    _save(dataset, f"{run}: near-duplicate images", alike, f"Synthetic images of {run} that repeat one another, "
          "group after group: the largest groups", len(alike), "image")  # fmt: skip
    objects = made.filter_labels(TRUTH, value("near_group") > 0)
    objects = objects.sort_by(value(f"{_LABELS}.near_group").min())
    _save(dataset, f"{run}: near-duplicate objects", objects, f"Objects on synthetic images of {run} that repeat one "
          "another, group after group: the largest groups", objects.count(_LABELS), "label")  # fmt: skip
    pairs = [
        (pair.synthetic.partition("/")[0], pair.real.partition("/")[0])
        for one in tables.duplication
        for pair in one.suspicious
        if one.threshold is not None and pair.similarity >= one.threshold
    ]
    ids = dict(zip(*dataset.match({"image_id": {"$in": [one for pair in pairs for one in pair]}})
                   .values(["image_id", "id"]), strict=True))  # fmt: skip
    ordered = list(dict.fromkeys(ids[one] for pair in pairs for one in pair if one in ids))
    copies = dataset.select(ordered, ordered=True)
    _save(dataset, f"{run}: copies of real images", copies, f"Synthetic images of {run} that are, or hold an object, "
          "nearer to a real one than real ones are to each other, each followed by that one: the nearest pairs",
          len(copies), "image")  # fmt: skip


def add_changes(fo: Any, dataset: Any, base: str, run: str) -> None:
    """Write the labels that a run lost and gained into fields of their own, to be drawn over the others.

    All labels of an image stay in view so: people decide on all of them.
    """
    test = dataset.match(fo.ViewField("split") == "test")
    paths = [f"{_LABELS}.{name}" for name in
             ("label", "bounding_box", "rare", f"found_{field_of(base)}", f"found_{field_of(run)}")]  # fmt: skip
    columns = test.values(paths)
    changed: dict[str, list[Any]] = {}
    for word, wanted in (("lost", (True, False)), ("gained", (False, True))):
        made: list[Any] = []
        for image in zip(*columns, strict=True):
            rows = zip(*(one or [] for one in image), strict=True)
            made.append(voxel_samples.detections(
                voxel_samples.detection(label, box, rare=rare)
                for label, box, rare, before, now in rows if (before, now) == wanted
            ))  # fmt: skip
        changed[f"{word}_{field_of(run)}"] = made
    voxel_labels.write_fields(dataset, test.values("_id"), changed)


def lost_between(fo: Any, dataset: Any, first: str, second: str) -> Any:
    """The test boxes that one run found and the other did not, with the predictions of both.

    Raises:
        UserError: a run is not in the dataset, or both are one.
    """
    runs = dataset.info["runs"]
    for run in (first, second):
        if run not in runs:
            raise UserError(f"no run {run!r} in the dataset, wanted one of {', '.join(runs)}.")
    if first == second:
        raise UserError(f"run {first!r} was given twice, wanted two. Choose another one.")
    value = fo.ViewField
    lost = (value(f"found_{field_of(first)}") == True) & (value(f"found_{field_of(second)}") == False)  # noqa: E712
    test = dataset.match(value("split") == "test")
    return test.filter_labels(TRUTH, lost).select_fields([TRUTH, field_of(first), field_of(second)])


def add_groups(fo: Any, dataset: Any, tables: RunTables) -> None:
    """Write into a run's synthetic images, and into the objects on them, which group of near duplicates they are in."""
    made = dataset.match((fo.ViewField("run") == tables.run) & (fo.ViewField("origin") == "synthetic"))
    for one in tables.duplication:
        groups = {item: number for number, group in enumerate(one.examples, start=1) for item in group.items}
        if one.level == "image":
            sample_ids, image_ids = made.values(["_id", "image_id"])
            voxel_labels.write_fields(dataset, sample_ids, {"near_group": [groups.get(one) for one in image_ids]})
            continue
        sample_ids, image_ids, ids, numbers = made.values(["_id", "image_id", f"{_LABELS}._id", f"{_LABELS}.box"])
        columns = [
            {"near_group": [groups.get(f"{image_id}/{number}") for number in those or []]}
            for image_id, those in zip(image_ids, numbers, strict=True)
        ]
        voxel_labels.write_attributes(dataset, _LABELS, sample_ids, [those or [] for those in ids], columns)


def save_of_dataset(fo: Any, dataset: Any) -> None:
    """Save the views of all of the dataset."""
    value = fo.ViewField
    depths = [depth for depth in dataset.distinct("lineage_depth") if depth]
    deepest = max(depths, default=0)
    real = value("origin") == "real"
    withdrawn = value("outcome").is_in(["quarantined", "conflict", "rejected"])
    doubted = value("state").is_in(["conflict", "rejected"])
    for name, view, text in (
        (QUEUE, dataset.match(value("queued") == True).sort_by("queue_rank"),  # noqa: E712
         "What to look at next, in this order"),
        ("awaiting verification", dataset.match(real & (value("state") == "awaiting")),
         "Real images that nobody has verified with the labels that they have now"),
        ("quarantined", dataset.match((real & withdrawn) | doubted),
         "Images that are not used: nobody verified them, people disagree, or they were rejected"),
        ("conflicts", dataset.match(value("state") == "conflict"), "Images that people disagree about"),
        ("leaks", dataset.match(value("outcome") == "leak"),
         "Real images left out because they are near to one of another split"),
        ("deepest lineage", dataset.match((value("lineage_depth") == deepest) & (value("origin") == "synthetic")),
         f"Synthetic images with {counted(deepest, 'generation')} between them and real ones"),
    ):  # fmt: skip
        _save(dataset, name, view.select_fields([TRUTH, "queue_reason"] if name == QUEUE else [TRUTH, *_TOLD]), text)


def _save(dataset: Any, name: str, view: Any, text: str, found: int | None = None, what: str = "image") -> None:
    """Save a view; with a number found, its description says how many, or that there is none."""
    said = "" if found is None else f": {counted(found, what)}" if found else ": there is none"
    dataset.save_view(name, view, description=text + said, overwrite=True)


def of_base(fo: Any, dataset: Any, base: str, name: str | None) -> Any:
    """The test images with the predictions of the base run: all labels, or those of one class."""
    test = dataset.match(fo.ViewField("split") == "test")
    shown = test if name is None else test.filter_labels(TRUTH, fo.ViewField("label") == name)
    return shown.select_fields([TRUTH, field_of(base)])


def of_class(fo: Any, dataset: Any, run: str, name: str, *, base: str) -> Any:
    """The labels of one class on the images that a run brought: the base real training images, others their own."""
    value = fo.ViewField
    own = (value("split") == "train") & (value("origin") == "real") if run == base else value("run") == run
    return dataset.match(own).filter_labels(TRUTH, value("label") == name).select_fields(TRUTH)
