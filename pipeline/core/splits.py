"""Dividing images between train, val and test: by identity, never by row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.core.errors import UserError
from pipeline.core.manifest import SPLITS, Row, Split


def stratified(
    rows: Sequence[Row],
    groups: Sequence[Sequence[int]],
    *,
    shares: Mapping[Split, float],
    frozen_test: frozenset[str],
    seed: int,
) -> dict[str, Split]:
    """Assign groups of near duplicates to splits, so that each class is divided by the shares.

    Groups with the rarest classes are placed first, each where its rarest class is most wanted; ties are broken by the
    hash of the group, so the order of the rows does not matter.

    Source: Sechidis, Tsoumakas & Vlahavas 2011, algorithm 1 (iterative stratification), with groups for examples.

    Args:
        rows: the images.
        groups: positions of near duplicates in ``rows``; together they name every row once.
        shares: wanted share of each split.
        frozen_test: image ids of a test split that is frozen; then nothing else is put into test.
        seed: of the order of equal groups.

    Returns:
        The split of each image id.

    Raises:
        UserError: the test split is frozen, and no other split has a share.
    """
    counts: Counter[int] = Counter()
    for row in rows:
        counts.update(dict(row.boxes))
    open_splits: list[Split] = [
        split for split in SPLITS if shares[split] > 0 and not (frozen_test and split == "test")
    ]
    wanted = {split: {class_id: shares[split] * number for class_id, number in counts.items()} for split in open_splits}
    images = {split: shares[split] * len(rows) for split in open_splits}
    assigned: dict[str, Split] = {}
    for group in sorted(groups, key=lambda group: _rank(rows, group, counts, seed)):
        members = [rows[position] for position in group]
        boxes = Counter[int]()
        for row in members:
            boxes.update(dict(row.boxes))
        if any(row.image_id in frozen_test for row in members):
            # What is near to a frozen test image is a leak, wherever else it goes: verify removes it.
            assigned.update({row.image_id: "test" if row.image_id in frozen_test else "train" for row in members})
            continue
        if not open_splits:
            raise UserError(
                f"the test split is frozen, and verify.shares leave no other split for {members[0].name}. "
                "Give train and val a share."
            )
        rarest = min(boxes, key=lambda class_id: (counts[class_id], class_id), default=None)
        split = max(
            open_splits,
            key=lambda split: (
                wanted[split][rarest] if rarest is not None else 0.0,
                images[split],
                -SPLITS.index(split),
            ),
        )
        for class_id, number in boxes.items():
            wanted[split][class_id] -= number
        images[split] -= len(members)
        assigned.update(dict.fromkeys((row.image_id for row in members), split))
    return assigned


def _rank(rows: Sequence[Row], group: Sequence[int], counts: Counter[int], seed: int) -> tuple[int, str]:
    rarest = min(
        (counts[class_id] for position in group for class_id, _ in rows[position].boxes), default=len(rows) * 10**6
    )
    first = min(rows[position].image_id for position in group)
    return rarest, hashlib.sha256(f"{seed}/{first}".encode()).hexdigest()


def format_lock(rows: Sequence[Row]) -> str:
    """The frozen test split as text: a comment, then one image id and label digest a line, sorted."""
    lines = sorted(f"{row.image_id} {row.label_digest}" for row in rows)
    return "# The frozen test split: image id and label digest. Kept in git; see docs/ledger.md.\n" + "".join(
        f"{line}\n" for line in lines
    )


def parse_lock(text: str, where: str) -> dict[str, str]:
    """Label digest by image id of a frozen test split.

    Raises:
        UserError: a line is not two SHA-256 digests.
    """
    frozen = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split()
        if [len(field) for field in fields] != [64, 64]:
            raise UserError(f"{where} line {number}: wanted an image id and a label digest. Restore the file from git.")
        frozen[fields[0]] = fields[1]
    return frozen


def check_frozen(
    frozen: Mapping[str, str], rows: Sequence[Row], where: str, *, names: Mapping[str, str] | None = None
) -> None:
    """Refuse a test split that is not the frozen one.

    Args:
        frozen: label digest by image id, as it was frozen.
        rows: the test images as they are now.
        where: the lock's path.
        names: what the source calls its images, by id; those of ``rows`` are known.

    Raises:
        UserError: images were added or removed, or their labels changed; the message says how many, names some, and
            says how to go on.
    """
    now = {row.image_id: row.label_digest for row in rows}
    added = sorted(set(now) - set(frozen))
    removed = sorted(set(frozen) - set(now))
    changed = sorted(image_id for image_id in set(now) & set(frozen) if now[image_id] != frozen[image_id])
    if not (added or removed or changed):
        return
    known = {**(names or {}), **{row.image_id: row.name for row in rows}}

    def named(image_id: str) -> str:
        return f"{known[image_id]} {image_id[:12]}" if image_id in known else image_id[:12]

    parts = [
        f"{len(ids)} {word} ({', '.join(named(image_id) for image_id in ids[:3])}{' …' if len(ids) > 3 else ''})"  # noqa: PLR2004
        for word, ids in (("added", added), ("missing or no longer verified", removed), ("with other labels", changed))
        if ids
    ]
    raise UserError(
        f"the test split is frozen in {where}, and it changed: {'; '.join(parts)}. Figures of runs are comparable only "
        "on one test split. Restore the images, labels and decisions, or begin a new baseline on purpose with "
        "`uv run tailwatch new-baseline`, which retires the lock so that the next `uv run dvc repro` starts afresh."
    )
