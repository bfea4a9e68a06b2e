"""Hold the real images against the ledger, divide them, and freeze the test split."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from pipeline.core import (
    corrections,
    duplicates,
    files,
    labels,
    leaks,
    ledger,
    manifest,
    params,
    paths,
    splits,
    stage,
    standing,
    synthetic,
)
from pipeline.core.errors import UserError
from pipeline.core.leaks import Alike
from pipeline.core.manifest import SPLITS, Row, Split
from pipeline.core.params import Params
from pipeline.core.standing import Standing

_OUTCOMES = {"awaiting": "quarantined", "conflict": "conflict", "rejected": "rejected"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of one real image: kept in a split, removed as a leak, or left out, with the reason."""

    image_id: str
    name: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the ledger holds of the real images, and of others that were decided on."""

    real: Mapping[str, Standing]
    elsewhere: Sequence[Standing]


def main() -> None:
    """Hold the real images against the ledger, divide them, and freeze the test split."""
    settings = params.load()
    found = manifest.read(paths.REAL_MANIFEST)
    held = _held(found, settings)
    verified = _verified(found, held.real)
    # Splits of the source are only held against each other; images that are divided here are grouped first.
    kinds = [row.split for row in verified] if settings.verify.splits == "source" else None
    pairs = leaks.find(verified, within=settings.verify.near_duplicate, kinds=kinds)
    frozen = splits.parse_lock(paths.TEST_LOCK.read_text(), str(paths.TEST_LOCK)) if paths.TEST_LOCK.exists() else {}
    divided = _divided(verified, pairs, settings, frozenset(frozen))
    kept, leaked = _without_leaks(divided, pairs)
    _check_splits(kept)
    test = [row for row in kept if row.split == "test"]
    if frozen:
        names = {row.image_id: row.name for row in found}
        splits.check_frozen(frozen, test, str(paths.TEST_LOCK), names=names)
    decisions = _left_out(found, held.real) + leaked
    decisions += [Decision(image_id=row.image_id, name=row.name, outcome=row.split, reason="") for row in kept]
    counts = Counter(decision.outcome for decision in decisions)
    with files.fresh_folder(paths.VERIFIED) as folder:
        manifest.write(folder / paths.VERIFIED_MANIFEST.name, _stored(kept, found, folder))
        _write_decisions(folder, decisions)
        _write_standings(folder, kept, held)
        files.write_json(folder / paths.VERIFIED_SUMMARY.name, {"images": len(found), **dict(sorted(counts.items()))})
    if not frozen:
        files.write_text(paths.TEST_LOCK, splits.format_lock(test))
        stage.report(f"verify: froze {len(test)} test images in {paths.TEST_LOCK}; commit it.")
    stage.report("verify: " + ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())))


def _held(found: Sequence[Row], settings: Params) -> Held:
    entries = ledger.read(paths.LEDGER)
    least = settings.review.min_agreement
    return Held(
        real=standing.standings(
            entries,
            [(row.image_id, row.label_digest) for row in found],
            paths.IMPORTS,
            paths.CORRECTIONS,
            min_agreement=least,
        ),
        elsewhere=standing.elsewhere(entries, {row.image_id for row in found}, min_agreement=least),
    )


def _verified(found: Sequence[Row], held: Mapping[str, Standing]) -> list[Row]:
    """The images of which a version of the labels is verified, with that version.

    Raises:
        UserError: there is none, or corrected labels are missing or were edited.
    """
    verified = []
    for row in found:
        one = held[row.image_id]
        if one.state == "verified":
            same = one.label_digest == row.label_digest
            boxes = row.boxes if same else manifest.count_boxes(corrections.read(paths.CORRECTIONS, one.label_digest))
            verified.append(replace(row, human_verified=True, label_digest=one.label_digest, boxes=boxes))
    if not verified:
        raise UserError(
            f"none of the {len(found)} real images is accepted in {paths.LEDGER}; only human-verified images are used. "
            "If a person checked their labels, accept them as an import: "
            '`uv run tailwatch accept --reviewer NAME --reason "where they come from and who checked them"`.'
        )
    return verified


def _left_out(found: Sequence[Row], held: Mapping[str, Standing]) -> list[Decision]:
    """The images that are not verified, each with the reason."""
    return [
        Decision(image_id=row.image_id, name=row.name, outcome=_OUTCOMES[one.state], reason=_reason(one))
        for row, one in ((row, held[row.image_id]) for row in found)
        if one.state != "verified"
    ]


def _reason(one: Standing) -> str:
    if one.state == "awaiting":
        return "not accepted with these labels"
    if one.state == "rejected":
        return "; ".join(f"{vote.reviewer}: {vote.reason}" for vote in one.votes)
    said = ", ".join(f"{vote.reviewer} ({vote.decision} {vote.label_digest[:8]})" for vote in one.votes)
    return f"reviewers disagree: {said}; one more decision resolves it"


def _stored(kept: Sequence[Row], found: Sequence[Row], folder: Path) -> list[Row]:
    """Put images whose labels were corrected, with the labels that hold, into the folder; the others stay in place."""
    source = {row.image_id: row.label_digest for row in found}
    rows = []
    for row in kept:
        path = paths.VERIFIED_IMAGES / Path(row.path).name
        if row.label_digest == source[row.image_id]:
            rows.append(row)
            continue
        image = folder / path.relative_to(paths.VERIFIED)
        text = manifest.label_path(image)
        for parent in (image.parent, text.parent):
            parent.mkdir(exist_ok=True)
        try:
            os.link(row.path, image)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(row.path, image)
        text.write_text(labels.format_boxes(corrections.read(paths.CORRECTIONS, row.label_digest)))
        rows.append(replace(row, path=str(path)))
    return rows


def _write_decisions(folder: Path, decisions: Sequence[Decision]) -> None:
    ordered = sorted(decisions, key=lambda one: (one.outcome, one.name))
    frame = pd.DataFrame(ordered, columns=list(Decision.__dataclass_fields__))
    files.write_text(folder / paths.VERIFIED_DECISIONS.name, frame.to_csv(index=False, lineterminator="\n"))


def _write_standings(folder: Path, kept: Sequence[Row], held: Held) -> None:
    """Write since when images are verified, and what holds for those that are not real."""
    times = {
        one.image_id: one.since for one in sorted(held.elsewhere, key=lambda one: one.since) if one.state == "verified"
    }
    times |= {row.image_id: held.real[row.image_id].since for row in kept}
    manifest.write_times(folder / paths.VERIFIED_TIMES.name, times)
    synthetic.write(
        folder / paths.VERIFIED_SYNTHETIC.name,
        {(one.image_id, one.label_digest): one.state for one in held.elsewhere},
    )


def _divided(verified: Sequence[Row], pairs: Sequence[Alike], settings: Params, frozen: frozenset[str]) -> list[Row]:
    if settings.verify.splits == "source":
        undecided = [row.name for row in verified if row.split not in SPLITS]
        if undecided:
            raise UserError(
                f"the source gives no split for {len(undecided)} of {len(verified)} images, for example "
                f"{undecided[0]}. Set verify.splits to identity, and they are divided by verify.shares."
            )
        return list(verified)
    shares: dict[Split, float] = {split: getattr(settings.verify.shares, split) for split in SPLITS}
    groups = duplicates.groups(len(verified), pairs)
    assigned = splits.stratified(verified, groups, shares=shares, frozen_test=frozen, seed=settings.seed)
    return [replace(row, split=assigned[row.image_id]) for row in verified]


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


if __name__ == "__main__":
    stage.start_plain(main)
