"""A reviewer's queue, from the project's files: candidates and what is known of them, ranked, with planted items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core import audits, corrections, detections, manifest, metrics, paths, plants, queue, rng, votes
from pipeline.core.audits import Audit
from pipeline.core.ledger import Entry
from pipeline.core.manifest import Row
from pipeline.core.metrics import Detections, FloatArray, Truth
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.plants import Plant
from pipeline.core.queue import Candidate, Evidence, Item
from pipeline.core.standing import Standing

_SAME_BOX = 0.5  # IoU from which on two runs found the same box


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a queue is made from.

    Attributes:
        entries: the ledger.
        real: the ingested images.
        synthetic: those of all runs that are there.
        standings: of all of them, by image id.
    """

    entries: Sequence[Entry]
    real: Sequence[Row]
    synthetic: Sequence[Row]
    standings: Mapping[str, Standing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What to look at, in order, and those of the planted items whose labels were broken on purpose.

    An item is such a control where image id and label digest are those of a plant; the plant has the labels to show.
    """

    items: tuple[Item, ...]
    controls: tuple[Plant, ...]


def build(settings: Params, project: Project, *, reviewer: str) -> Queue:
    """The queue of one reviewer, and the same again until somebody decides something.

    What the reviewer decided on is left out. Before it is shown, ``plants.keep`` has to keep the controls.

    Raises:
        UserError: a file that an audit or a verification wrote is missing or damaged.
    """
    known = _evidence(settings, project)
    ballots = votes.newest(project.entries, votes.remaining(project.entries))
    mine = {image_id for image_id, ballot in ballots.items() if reviewer in ballot}
    ranked = queue.rank(_candidates(settings, project, mine), known)
    others = {image_id for image_id, ballot in ballots.items() if ballot.keys() - {reviewer}} - mine
    opinions = [
        _candidate(row, project.standings[row.image_id], "second-opinion")
        for row in (*project.real, *project.synthetic)
        if row.image_id in others and project.standings[row.image_id].state in ("verified", "rejected")
    ]
    made = _Controls(settings, project, reviewer, known)
    shown = {item.image_id for item in ranked}
    items = queue.plant(
        ranked,
        queue.rank(opinions, known),
        [image_id for image_id in made.verified if image_id not in shown],
        broken=made.of,
        share=settings.review.planted,
        rng=rng.generator(settings.seed, "plants", reviewer),
    )
    return Queue(items=tuple(items), controls=tuple(made.plants))


def _candidate(row: Row, standing: Standing, kind: queue.Kind) -> Candidate:
    said = ", ".join(f"{vote.reviewer} says {vote.decision}" for vote in standing.votes) if kind == "conflict" else ""
    return Candidate(
        image_id=row.image_id,
        label_digest=standing.label_digest,
        kind=kind,
        classes=frozenset(class_id for class_id, _ in row.boxes),
        note=said,
    )


def _candidates(settings: Params, project: Project, mine: set[str]) -> list[Candidate]:
    newest = newest_runs(settings, {row.run for row in project.synthetic})
    found = []
    for row in (*project.real, *(row for row in project.synthetic if row.run in newest)):
        standing = project.standings[row.image_id]
        if row.image_id in mine or standing.state == "rejected":
            continue
        kind: queue.Kind | None = None
        if standing.state == "conflict":
            kind = "conflict"
        elif row.origin == "synthetic":
            kind = "synthetic" if standing.state == "awaiting" else None
        elif standing.state == "awaiting":
            kind = "awaiting"
        elif not standing.votes:
            kind = "import"
        if kind:
            found.append(_candidate(row, standing, kind))
    return found


def newest_runs(settings: Params, there: set[str]) -> list[str]:
    """The newest run of each arm among those that are there, in the order of the arms."""
    newest = []
    for arm in settings.arms:
        runs = [name for name, run in settings.runs.items() if run.arm == arm and name in there]
        newest += sorted(runs, key=lambda name: (settings.runs[name].generation, name))[-1:]
    return newest


class _Controls:
    """Makes controls of verified images, but of those that the reviewer was tried on already."""

    def __init__(self, settings: Params, project: Project, reviewer: str, known: Evidence) -> None:
        """Nothing is made yet."""
        answered = (project.entries[one] for one in votes.remaining(project.entries))
        tried = {one.image_id for one in answered if one.decision in votes.CONTROLS and one.reviewer == reviewer}
        self.verified = {
            row.image_id: row
            for row in project.real
            if project.standings[row.image_id].state == "verified" and row.image_id not in tried
        }
        self.versions = votes.corrected(project.entries, self.verified)
        self.seed, self.standings, self.known = settings.seed, project.standings, known
        self.plants: list[Plant] = []

    def of(self, image_id: str) -> Item | None:
        """The control of an image, scored as any other item; None where the image cannot be one."""
        row = self.verified.get(image_id)
        if row is None:
            return None
        holds = self.standings[image_id].label_digest
        boxes = corrections.version(paths.CORRECTIONS, row, holds)
        versions = {row.label_digest, *self.versions.get(image_id, ())}
        draw = rng.generator(self.seed, "broken labels", image_id)
        plant = plants.make(image_id, boxes, classes=len(self.known.names), known=versions, rng=draw)
        if plant is None:
            return None
        self.plants.append(plant)
        classes = frozenset(box.class_id for box in plant.boxes)
        one = Candidate(image_id=image_id, label_digest=plant.label_digest, kind="control", classes=classes)
        return queue.rank([one], self.known)[0]


def _evidence(settings: Params, project: Project) -> Evidence:
    names = manifest.read_classes(paths.REAL_CLASSES)
    verified = manifest.read(paths.VERIFIED_MANIFEST) if paths.VERIFIED_MANIFEST.exists() else []
    boxes = manifest.class_counts([row for row in verified if row.split == "train"], len(names))
    rare = manifest.rare_classes(boxes, names, share=settings.audit.rare_share, named=settings.audit.rare_classes)
    audited = {run for run in settings.runs if RunPaths(run).figures.exists()}
    newest = newest_runs(settings, audited) if RunPaths(paths.BASE).figures.exists() else []
    found = {run: audits.read(RunPaths(run).figures) for run in (paths.BASE, *newest)} if newest else {}
    tables = {run: _counted(run, audit) for run, audit in found.items()}
    disagreement: dict[str, float] = {}
    confidence: dict[str, float] = {}
    closeness: dict[str, float] = {}
    for run in newest:
        # What any arm lost is what the audit is about. A collapsed arm is unsure of everything: that says nothing of
        # the image, so it counts as unclear only where every arm's newest detector is unsure.
        for image_id, share in disagreements(tables[paths.BASE], tables[run]).items():
            disagreement[image_id] = max(share, disagreement.get(image_id, 0.0))
        for unsure, least in tables[run].groupby("image_id")["confidence"].min().items():
            confidence[str(unsure)] = max(float(least), confidence.get(str(unsure), 0.0))
        for image_id, near in _closeness(found[run]).items():
            closeness[image_id] = max(near, closeness.get(image_id, 0.0))
    return Evidence(
        names=names,
        boxes=boxes,
        rare=frozenset(names.index(name) for name in rare),
        disagreement=disagreement,
        confidence=confidence,
        children=Counter(parent for row in project.synthetic for parent in row.parents),
        closeness=closeness,
    )


def _counted(run: str, audit: Audit) -> pd.DataFrame:
    """A run's predictions at its operating point."""
    return detections.read(RunPaths(run).predictions, at_least=audit.confidence)


def disagreements(base: pd.DataFrame, newer: pd.DataFrame) -> dict[str, float]:
    """By image id, the share of the boxes that only one of two runs found, in [0, 1].

    Boxes are the same at an IoU of 0.5 or more, in the same class; each box of one run is the same as at most one of
    the other. Images without any box are left out.

    Args:
        base: predictions that count, with the columns of ``detections.PREDICTION_COLUMNS``.
        newer: those of the other run.
    """
    ids = sorted(set(base["image_id"]) | set(newer["image_id"]))
    if not ids:
        return {}
    number = {image_id: position for position, image_id in enumerate(ids)}
    first, second = (frame["image_id"].map(number).to_numpy(dtype=np.int64) for frame in (base, newer))
    classes = int(max(frame["class_id"].max() for frame in (base, newer) if len(frame))) + 1
    matches = metrics.match(
        Detections(
            image=second,
            class_id=newer["class_id"].to_numpy(dtype=np.int64),
            confidence=newer["confidence"].to_numpy(dtype=np.float64),
            box=_corners(newer),
        ),
        Truth(image=first, class_id=base["class_id"].to_numpy(dtype=np.int64), box=_corners(base)),
        images=len(ids),
        classes=classes,
        max_detections=max(len(newer), 1),
    )
    same = np.bincount(matches.image[matches.matched_truth[metrics.threshold(_SAME_BOX)] >= 0], minlength=len(ids))
    either = np.bincount(first, minlength=len(ids)) + np.bincount(second, minlength=len(ids)) - same
    return {image_id: float(1 - same[number[image_id]] / either[number[image_id]]) for image_id in ids}


def _corners(frame: pd.DataFrame) -> FloatArray:
    return frame[["left", "top", "right", "bottom"]].to_numpy(dtype=np.float64)


def _closeness(audit: Audit) -> dict[str, float]:
    """By image id, how near to the threshold of near copies the most alike pairs of the audit are, in [0, 1]."""
    near: dict[str, float] = {}
    for level in audit.duplication:
        if level.threshold is None or level.threshold >= 1:
            continue
        for pair in level.suspicious:
            off = abs(pair.similarity - level.threshold) / (1 - level.threshold)
            for item in (pair.synthetic, pair.real):
                image_id = item.partition("/")[0]
                near[image_id] = max(near.get(image_id, 0.0), 1 - min(off, 1.0))
    return near
