"""Hold the real images against the ledger, divide them, and freeze the test split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.core import duplicates, files, ledger, manifest, params, paths, splits, stage
from pipeline.core.errors import UserError
from pipeline.core.manifest import SPLITS, Row, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of one real image: kept in a split, quarantined, or removed as a leak."""

    image_id: str
    name: str
    outcome: str
    reason: str


def main() -> None:
    """Hold the real images against the ledger, divide them, and freeze the test split."""
    settings = params.load()
    found = manifest.read(paths.REAL_MANIFEST)
    verified, times = _verified(found)
    accepted = {row.image_id for row in verified}
    quarantined = [
        Decision(image_id=row.image_id, name=row.name, outcome="quarantined", reason="not accepted with these labels")
        for row in found
        if row.image_id not in accepted
    ]
    hashes = duplicates.hash_files([row.path for row in verified])
    pairs = duplicates.near_pairs(hashes, hashes, within=settings.verify.near_duplicate)
    frozen = splits.parse_lock(paths.TEST_LOCK.read_text(), str(paths.TEST_LOCK)) if paths.TEST_LOCK.exists() else {}
    divided = _divided(verified, pairs, settings, frozenset(frozen))
    kept, leaks = _without_leaks(divided, pairs)
    _check_splits(kept)
    test = [row for row in kept if row.split == "test"]
    if frozen:
        splits.check_frozen(frozen, test, str(paths.TEST_LOCK))
    decisions = quarantined + leaks
    decisions += [Decision(image_id=row.image_id, name=row.name, outcome=row.split, reason="") for row in kept]
    with files.fresh_folder(paths.VERIFIED) as folder:
        manifest.write(folder / paths.VERIFIED_MANIFEST.name, kept)
        manifest.write_times(folder / paths.VERIFIED_TIMES.name, {row.image_id: times[row.image_id] for row in kept})
        ordered = sorted(decisions, key=lambda one: (one.outcome, one.name))
        frame = pd.DataFrame(ordered, columns=list(Decision.__dataclass_fields__))
        files.write_text(folder / paths.VERIFIED_DECISIONS.name, frame.to_csv(index=False, lineterminator="\n"))
        counts = Counter(decision.outcome for decision in decisions)
        files.write_json(folder / paths.VERIFIED_SUMMARY.name, {"images": len(found), **dict(sorted(counts.items()))})
    if not frozen:
        files.write_text(paths.TEST_LOCK, splits.format_lock(test))
        stage.report(f"verify: froze {len(test)} test images in {paths.TEST_LOCK}; commit it.")
    stage.report("verify: " + ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())))


def _verified(found: Sequence[Row]) -> tuple[list[Row], dict[str, str]]:
    """The images whose present labels a person accepted, and when, by image id.

    Raises:
        UserError: there is none.
    """
    entries = ledger.read(paths.LEDGER)
    items = [(row.image_id, row.label_digest) for row in found]
    accepted = ledger.accepted(entries, items, paths.IMPORTS)
    verified = [replace(row, human_verified=True) for row in found if (row.image_id, row.label_digest) in accepted]
    if not verified:
        raise UserError(
            f"none of the {len(found)} real images is accepted in {paths.LEDGER}; only human-verified images are used. "
            "If a person checked their labels, accept them as an import: "
            '`uv run tailwatch accept --reviewer NAME --reason "where they come from and who checked them"`.'
        )
    return verified, {image_id: time for (image_id, _), time in accepted.items()}


def _divided(
    verified: Sequence[Row], pairs: Sequence[duplicates.Pair], settings: params.Params, frozen: frozenset[str]
) -> list[Row]:
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


def _without_leaks(rows: Sequence[Row], pairs: Sequence[duplicates.Pair]) -> tuple[list[Row], list[Decision]]:
    """Remove from train what is near to val or test, and from val what is near to test."""
    leaks: dict[int, Decision] = {}
    for pair in pairs:
        low, high = sorted(
            (pair.first, pair.second), key=lambda position: SPLITS.index(rows[position].split or "train")
        )
        if rows[low].split != rows[high].split:
            reason = f"near duplicate ({pair.distance} bits) of {rows[high].name} in {rows[high].split}"
            row = rows[low]
            leaks[low] = Decision(image_id=row.image_id, name=row.name, outcome="leak", reason=f"{row.split}: {reason}")
    return [row for position, row in enumerate(rows) if position not in leaks], list(leaks.values())


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
