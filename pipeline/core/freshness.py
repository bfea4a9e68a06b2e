"""How much of a run's training data people have looked at, when they did, and how deep the rest lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pipeline.core.errors import UserError
from pipeline.core.figures import Figure, Freshness
from pipeline.core.manifest import Row

_SECONDS_A_DAY = 86_400


def measure(training: Sequence[Row], times: Mapping[str, str], names: Sequence[str]) -> Freshness:
    """Say how fresh a run's training data is.

    Share and counts are of all training images, not of a sample, so they have no interval. Times are kept rather than
    ages: an audit made again tomorrow says the same; see :func:`days_since`.

    Args:
        training: the run's training images.
        times: when each verified image was accepted with its present labels, by image id; ISO 8601 with its offset.
        names: of the classes, by id.

    Raises:
        UserError: an image counts as verified without a time, or its time cannot be read.
    """
    verified = [row for row in training if row.human_verified]
    moments = sorted(_moment(row, times) for row in verified)
    reason = "counted over all training images, not sampled: there is no interval" if training else "no training image"
    share = len(verified) / len(training) if training else None
    return Freshness(
        verified=len(verified),
        share=Figure(value=share, samples=len(training), reason=reason),
        newest=moments[-1].isoformat() if moments else None,
        oldest=moments[0].isoformat() if moments else None,
        median=moments[(len(moments) - 1) // 2].isoformat() if moments else None,
        depths=_depths(training, names),
    )


def days_since(time: str, now: datetime) -> float:
    """Days from a time of :class:`Freshness` to now; negative where it lies ahead.

    Args:
        time: ISO 8601 with its offset.
        now: with its time zone.

    Raises:
        ValueError: the time has no offset, or now no time zone.
    """
    then = datetime.fromisoformat(time)
    if then.tzinfo is None or now.tzinfo is None:
        raise ValueError(f"{time} and {now}: wanted both with their offset to UTC")
    return (now - then).total_seconds() / _SECONDS_A_DAY


def _moment(row: Row, times: Mapping[str, str]) -> datetime:
    """When an image was verified, in UTC."""
    mend = "Run `uv run dvc repro -f verify` to make the table of times anew."
    if row.image_id not in times:
        raise UserError(f"image {row.name} ({row.image_id[:12]}) counts as verified, but nothing says when. {mend}")
    try:
        moment = datetime.fromisoformat(times[row.image_id])
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UserError(
            f"image {row.name} ({row.image_id[:12]}) was verified at {times[row.image_id]!r}, wanted ISO 8601 with its "
            f"offset, such as 2026-01-31T12:00:00+00:00. {mend}"
        )
    return moment.astimezone(UTC)


def _depths(training: Sequence[Row], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Training boxes by lineage depth, by class name."""
    counts = Counter(
        {(class_id, row.lineage_depth): 0 for row in training for class_id, _ in row.boxes},
    )
    for row in training:
        for class_id, number in row.boxes:
            counts[class_id, row.lineage_depth] += number
    return {
        name: {str(depth): counts[one, depth] for one, depth in sorted(counts) if one == class_id}
        for class_id, name in enumerate(names)
    }
