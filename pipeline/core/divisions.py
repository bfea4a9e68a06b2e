"""Which real images are used, with which labels and in which split; as of a row of the ledger like as of today.

Val and test are the same for all runs, or their figures could not be compared. Test is frozen in a file; val stays as
it was for the oldest pin, so that a decision of today changes the training images of new runs and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core import corrections, duplicates, manifest, paths, splits
from pipeline.core.errors import UserError
from pipeline.core.leak_memory import Memory
from pipeline.core.leaks import Alike
from pipeline.core.manifest import SPLITS, Row, Split
from pipeline.core.params import Params
from pipeline.core.standing import Standing

_OUTCOMES = {"awaiting": "quarantined", "conflict": "conflict", "rejected": "rejected"}
_LATER = "val stays as it was for the oldest of the pins in params.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of one real image: kept in a split, removed as a leak, or left out, with the reason."""

    image_id: str
    name: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What all divisions have in common.

    Attributes:
        found: all real images, with the labels of the source.
        frozen: label digest by image id of the frozen test split; nothing before it is frozen.
        corrections: folder of the corrected labels.
        ledger: what messages call the ledger.
        memory: finds images that show the same.
    """

    found: Sequence[Row]
    frozen: Mapping[str, str]
    corrections: Path
    ledger: str
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """The real images that are used, and those that would leak.

    Attributes:
        rows: with the labels that hold, each in its split.
        leaked: those that were removed from train or val.
        times: when each image that is used was accepted, by its id.
    """

    rows: tuple[Row, ...]
    leaked: tuple[Decision, ...]
    times: Mapping[str, str]

    def of(self, *kinds: Split) -> list[Row]:
        """The images of some splits."""
        return [row for row in self.rows if row.split in kinds]


def divide(
    sources: Sources, held: Mapping[str, Standing], *, settings: Params, oldest: Division | None = None
) -> Division:
    """Divide the images that are verified.

    Args:
        sources: what all divisions have in common.
        held: the standing of each real image.
        settings: params.yaml.
        oldest: that of the oldest pin, whose val is val here too; None for the oldest pin itself, or without pins.

    Raises:
        UserError: no image is verified, a split is empty, the test split is not the frozen one, or corrected labels or
            images are missing or damaged.
    """
    verified = _verified(sources, held)
    if oldest is None:
        kept, leaked = _first(sources, verified, settings)
        times = {row.image_id: held[row.image_id].since for row in kept}
    else:
        val = oldest.of("val")
        kept, leaked = _later(sources, verified, val, settings)
        times = {row.image_id: held[row.image_id].since for row in kept if row.split != "val"}
        times |= {row.image_id: oldest.times[row.image_id] for row in val}
    _check_splits(kept)
    if sources.frozen:
        names = {row.image_id: row.name for row in sources.found}
        test = [row for row in kept if row.split == "test"]
        splits.check_frozen(sources.frozen, test, str(paths.TEST_LOCK), names=names)
    return Division(rows=tuple(kept), leaked=tuple(leaked), times=times)


def _verified(sources: Sources, held: Mapping[str, Standing]) -> list[Row]:
    """The images of which a version of the labels is verified, with that version."""
    verified = []
    for row in sources.found:
        one = held[row.image_id]
        if one.state == "verified":
            same = one.label_digest == row.label_digest
            boxes = row.boxes if same else manifest.count_boxes(corrections.read(sources.corrections, one.label_digest))
            verified.append(replace(row, human_verified=True, label_digest=one.label_digest, boxes=boxes))
    if not verified:
        raise UserError(
            f"none of the {len(sources.found)} real images is accepted in {sources.ledger}; only human-verified images "
            "are used. If a person checked their labels, accept them as an import: "
            '`uv run tailwatch accept --reviewer NAME --reason "where they come from and who checked them"`.'
        )
    return verified


def _first(sources: Sources, verified: Sequence[Row], settings: Params) -> tuple[list[Row], list[Decision]]:
    """Divide without an older division."""
    of_source = settings.verify.splits == "source"
    # Splits of the source are only held against each other; images that are divided here are grouped first.
    kinds = [row.split for row in verified] if of_source else None
    pairs = sources.memory.find(verified, within=settings.verify.near_duplicate, kinds=kinds)
    return _without_leaks(_divided(verified, pairs, settings, frozenset(sources.frozen)), pairs)


def _later(
    sources: Sources, verified: Sequence[Row], val: Sequence[Row], settings: Params
) -> tuple[list[Row], list[Decision]]:
    """Divide beside an older division: its val stays, to the label; what is new and in neither val nor test trains."""
    if settings.verify.splits == "source":
        _require_splits(verified)
        rows = [row for row in verified if row.split != "val"]
    else:
        taken = {row.image_id for row in val}
        rows = [
            replace(row, split="test" if row.image_id in sources.frozen else "train")
            for row in verified
            if row.image_id not in taken
        ]
    rows += val
    pairs = sources.memory.find(rows, within=settings.verify.near_duplicate, kinds=[row.split for row in rows])
    return _without_leaks(rows, [one for one in pairs if "train" in (rows[one.first].split, rows[one.second].split)])


def _divided(verified: Sequence[Row], pairs: Sequence[Alike], settings: Params, frozen: frozenset[str]) -> list[Row]:
    if settings.verify.splits == "source":
        _require_splits(verified)
        return list(verified)
    shares: dict[Split, float] = {split: getattr(settings.verify.shares, split) for split in SPLITS}
    groups = duplicates.groups(len(verified), pairs)
    assigned = splits.stratified(verified, groups, shares=shares, frozen_test=frozen, seed=settings.seed)
    return [replace(row, split=assigned[row.image_id]) for row in verified]


def _require_splits(rows: Sequence[Row]) -> None:
    """Refuse a source that leaves the split of an image open.

    Raises:
        UserError: it does.
    """
    undecided = [row.name for row in rows if row.split not in SPLITS]
    if undecided:
        raise UserError(
            f"the source gives no split for {len(undecided)} of {len(rows)} images, for example "
            f"{undecided[0]}. Set verify.splits to identity, and they are divided by verify.shares."
        )


def _without_leaks(rows: Sequence[Row], pairs: Sequence[Alike]) -> tuple[list[Row], list[Decision]]:
    """Remove from train what is near to val or test, and from val what is near to test."""
    found: dict[int, Decision] = {}
    for pair in pairs:
        low, high = sorted(
            (pair.first, pair.second), key=lambda position: SPLITS.index(rows[position].split or "train")
        )
        if rows[low].split != rows[high].split:
            reason = f"{pair.how} of {rows[high].name} in {rows[high].split}"
            row = rows[low]
            found[low] = Decision(image_id=row.image_id, name=row.name, outcome="leak", reason=f"{row.split}: {reason}")
    return [row for position, row in enumerate(rows) if position not in found], list(found.values())


def _check_splits(rows: Sequence[Row]) -> None:
    counts = Counter(row.split for row in rows)
    for split in SPLITS:
        if not counts[split]:
            raise UserError(
                f"the {split} split is empty (train {counts['train']}, val {counts['val']}, test {counts['test']}). "
                "Give the source one, or set verify.splits to identity, and images are divided by verify.shares."
            )


def decisions(
    found: Sequence[Row], held: Mapping[str, Standing], now: Division, *, oldest: Division | None = None
) -> list[Decision]:
    """What became of each real image, in the order of ``found``.

    Args:
        found: all real images.
        held: the standing of each.
        now: as they are divided.
        oldest: the division whose val is val; None where that is this one.
    """
    kept = {row.image_id: row for row in now.rows}
    leaked = {one.image_id: one for one in (*(oldest.leaked if oldest else ()), *now.leaked)}
    told = []
    for row in found:
        one, used = held[row.image_id], kept.get(row.image_id)
        changed = used is not None and (one.state != "verified" or one.label_digest != used.label_digest)
        outcome: str = used.split if used else ""
        reason = f"decided on later; {_LATER}" if changed else ""
        if not used and one.state != "verified":
            outcome, reason = _OUTCOMES[one.state], _reason(one)
        elif not used and row.image_id in leaked:
            outcome, reason = "leak", leaked[row.image_id].reason
        elif not used:
            outcome, reason = "later", f"accepted later; {_LATER}"
        told.append(Decision(image_id=row.image_id, name=row.name, outcome=outcome, reason=reason))
    return told


def _reason(one: Standing) -> str:
    if one.state == "awaiting":
        return "not accepted with these labels"
    if one.state == "rejected":
        return "; ".join(f"{vote.reviewer}: {vote.reason}" for vote in one.votes)
    said = ", ".join(f"{vote.reviewer} ({vote.decision} {vote.label_digest[:8]})" for vote in one.votes)
    return f"reviewers disagree: {said}; one more decision resolves it"
