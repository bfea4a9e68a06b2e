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
    acceptance_times,
    corrections,
    divisions,
    files,
    labels,
    ledger,
    manifest,
    params,
    paths,
    pins,
    splits,
    stage,
    standing,
    synthetic,
)
from pipeline.core.divisions import Decision, Division, Sources
from pipeline.core.errors import UserError
from pipeline.core.leak_memory import Memory
from pipeline.core.ledger import Entry
from pipeline.core.manifest import Row
from pipeline.core.params import Params
from pipeline.core.paths import TrainingPaths
from pipeline.core.standing import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the ledger holds of the real images, and of others that were decided on."""

    real: Mapping[str, Standing]
    elsewhere: Sequence[Standing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """All that a number of the ledger's rows come to.

    Attributes:
        row: hash of the newest of them.
        held: what holds.
        division: the real images that are used.
    """

    row: str
    held: Held
    division: Division


def main() -> None:
    """Hold the real images against the ledger, divide them, and freeze the test split."""
    settings = params.load()
    found = manifest.read(paths.REAL_MANIFEST)
    sources = Sources(
        found=found,
        frozen=_frozen(settings),
        corrections=paths.CORRECTIONS,
        ledger=str(paths.LEDGER),
        memory=Memory(paths.LEAKS),
    )
    past, now = _versions(sources, ledger.read(paths.LEDGER), settings)
    sources.memory.save()
    oldest = next((one.division for one in past.values()), None)
    decided = divisions.decisions(found, now.held.real, now.division, oldest=oldest)
    counts = Counter(decision.outcome for decision in decided)
    with files.fresh_folder(paths.VERIFIED) as folder:
        rows = _stored(now.division.rows, found, folder)
        manifest.write(folder / paths.VERIFIED_MANIFEST.name, rows)
        manifest.write(folder / paths.VERIFIED_HELD_OUT.name, [row for row in rows if row.split != "train"])
        acceptance_times.write(folder / paths.VERIFIED_TIMES.name, _times(now))
        for place, one in {TrainingPaths(): now, **{TrainingPaths(row): one for row, one in past.items()}}.items():
            _write_training(folder, place, one, found)
        _write_decisions(folder, decided)
        files.write_json(folder / paths.VERIFIED_SUMMARY.name, {"images": len(found), **dict(sorted(counts.items()))})
    if not sources.frozen:
        test = now.division.of("test")
        files.write_text(paths.TEST_LOCK, splits.format_lock(test))
        stage.report(f"verify: froze {len(test)} test images in {paths.TEST_LOCK}; commit it.")
    stage.report("verify: " + ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())))


def _frozen(settings: Params) -> dict[str, str]:
    """The frozen test split; nothing where there is none yet.

    Raises:
        UserError: it is damaged, or missing where runs are pinned.
    """
    if paths.TEST_LOCK.exists():
        return splits.parse_lock(paths.TEST_LOCK.read_text(), str(paths.TEST_LOCK))
    if settings.pins:
        raise UserError(
            f"{paths.TEST_LOCK} is missing, and params.yaml pins {', '.join(settings.pins)} to images that were "
            f"divided beside it. Restore it with `git checkout -- {paths.TEST_LOCK}`; or begin a "
            "new baseline with `uv run tailwatch new-baseline`, which takes all pins out."
        )
    return {}


def _versions(sources: Sources, entries: Sequence[Entry], settings: Params) -> tuple[dict[str, Version], Version]:
    """What the ledger came to at each pin, by the hash of the pinned row, the oldest first; and what it comes to now.

    Raises:
        UserError: there is no such row, or the images cannot be divided; the message says as of which row.
    """
    past: dict[str, Version] = {}
    oldest: Division | None = None
    for row, number in pins.rows(settings.pins, entries).items():
        try:
            past[row] = _version(sources, entries[:number], settings, oldest)
        except UserError as error:
            raise UserError(
                f"as of row {number} of {paths.LEDGER}, which params.yaml pins runs to: {error} If the source itself "
                "was changed, write `pins: {}` in params.yaml: all runs are then trained again on what is there."
            ) from None
        oldest = oldest or past[row].division
    newest = entries[-1].hash if entries else ""
    return past, past[newest] if newest in past else _version(sources, entries, settings, oldest)


def _version(sources: Sources, entries: Sequence[Entry], settings: Params, oldest: Division | None) -> Version:
    found, least = sources.found, settings.review.min_agreement
    held = Held(
        real=standing.of_rows(entries, found, min_agreement=least),
        elsewhere=standing.elsewhere(entries, {row.image_id for row in found}, min_agreement=least),
    )
    return Version(
        row=entries[-1].hash if entries else ledger.GENESIS,
        held=held,
        division=divisions.divide(sources, held.real, settings=settings, oldest=oldest),
    )


def _stored(kept: Sequence[Row], found: Sequence[Row], folder: Path) -> list[Row]:
    """Put images whose labels were corrected, with the labels that hold, into the folder; the others stay in place.

    Each version of the labels has a file of its own: the runs of two pins may use an image with different ones.
    """
    source = {row.image_id: row.label_digest for row in found}
    rows = []
    for row in kept:
        if row.label_digest == source[row.image_id]:
            rows.append(row)
            continue
        of_source = Path(row.path)
        path = paths.VERIFIED_IMAGES / f"{of_source.stem}-{row.label_digest[: paths.PIN]}{of_source.suffix}"
        image = folder / path.relative_to(paths.VERIFIED)
        if not image.exists():
            _store(row, image)
        rows.append(replace(row, path=str(path)))
    return rows


def _store(row: Row, image: Path) -> None:
    """Put an image there, and its corrected labels beside it."""
    text = manifest.label_path(image)
    for parent in (image.parent, text.parent):
        parent.mkdir(exist_ok=True)
    try:
        os.link(row.path, image)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(row.path, image)
    text.write_text(labels.format_boxes(corrections.read(paths.CORRECTIONS, row.label_digest)))


def _write_training(folder: Path, place: TrainingPaths, version: Version, found: Sequence[Row]) -> None:
    """Write what the runs of one pin are made of."""
    there = folder / place.folder.relative_to(paths.VERIFIED)
    there.mkdir(parents=True)
    manifest.write(there / place.real.name, _stored(version.division.of("train"), found, folder))
    acceptance_times.write(there / place.times.name, _times(version))
    states = {(one.image_id, one.label_digest): one.state for one in version.held.elsewhere}
    synthetic.write(there / place.synthetic.name, states)
    files.write_json(there / place.row.name, {"row": version.row})


def _times(version: Version) -> dict[str, str]:
    """Since when images are verified, the synthetic ones too."""
    accepted = (one for one in version.held.elsewhere if one.state == "verified")
    times = {one.image_id: one.since for one in sorted(accepted, key=lambda one: one.since)}
    return {**times, **version.division.times}


def _write_decisions(folder: Path, decided: Sequence[Decision]) -> None:
    ordered = sorted(decided, key=lambda one: (one.outcome, one.name))
    frame = pd.DataFrame(ordered, columns=list(Decision.__dataclass_fields__))
    files.write_text(folder / paths.VERIFIED_DECISIONS.name, frame.to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    stage.start_plain(main)
