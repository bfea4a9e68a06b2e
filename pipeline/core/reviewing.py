"""Where people's decisions leave every image, what they are asked next, and who they are: what the App shows."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core import corrections, ledger, manifest, params, paths, review_queue, standing
from pipeline.core.errors import UserError
from pipeline.core.labels import Box
from pipeline.core.manifest import Row
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.plants import Plant
from pipeline.core.review_queue import Project
from pipeline.core.standing import Standing

REVIEWER = "TAILWATCH_REVIEWER"  # the environment variable with the name of who decides


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Where people's decisions leave one image.

    Attributes:
        state: verified, rejected, conflict or awaiting.
        label_digest: of the labels that hold or, where none do, that are shown.
        decided_by: who decided on it, in alphabetical order.
    """

    state: str
    label_digest: str
    decided_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """One place of the queue.

    Attributes:
        image_id: of the image.
        reason: why it is there, in words.
        planted: whether its answer is known, so that it is shown beside the image and not in its place.
        broken: labels to show instead of the image's own; None for its own.
        state: that a planted one is to show.
    """

    image_id: str
    reason: str
    planted: bool = False
    broken: tuple[Box, ...] | None = None
    state: str = "verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What people decided, and what they are asked next.

    Attributes:
        mark: a digest of all that follows.
        decided: by image id.
        queue: what to look at next, the most useful first.
        controls: labels that were broken on purpose, to be kept before they are shown.
        labels: reads one version of an image's labels, by image id and digest.
    """

    mark: str
    decided: Mapping[str, Decided]
    queue: Sequence[Queued]
    controls: Sequence[Plant]
    labels: Callable[[str, str], Sequence[Box]]


def reviewer() -> str:
    """Who decides: as the environment says, else as git knows the user; empty where neither does."""
    if named := os.environ.get(REVIEWER, "").strip():
        return named
    try:
        asked = subprocess.run(
            ["git", "config", "user.name"],  # noqa: S607 - as the user's PATH has it
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def read(settings: Params, runs: Sequence[str]) -> Decisions:
    """Read what people decided on the real images and on those of these runs, and what they are asked next.

    Raises:
        UserError: a file is missing or damaged.
    """
    real, made = manifest.read(paths.REAL_MANIFEST), _synthetic(runs)
    entries = ledger.read(paths.LEDGER)
    standings = standing.of_rows(entries, [*real, *made], min_agreement=settings.review.min_agreement)
    queue = review_queue.build(
        settings, Project(entries=entries, real=real, synthetic=made, standings=standings), reviewer=reviewer()
    )
    decided = {image_id: _decided(one) for image_id, one in standings.items()}
    queued = _queued(queue)
    parts = [repr(sorted(decided.items())), repr(queued)]
    return Decisions(
        mark=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        decided=decided,
        queue=queued,
        controls=queue.controls,
        labels=_versions(real),
    )


def _queued(queue: review_queue.Queue) -> tuple[Queued, ...]:
    """The places of the queue; what is planted looks as most of the others do."""
    broken = {(one.image_id, one.label_digest): one.boxes for one in queue.controls}
    unseen = not any(item.kind == "import" for item in queue.items)
    return tuple(
        Queued(
            image_id=item.image_id,
            reason=item.reason,
            planted=item.kind in ("control", "second-opinion"),
            broken=broken.get((item.image_id, item.label_digest)),
            state="awaiting" if unseen else "verified",
        )
        for item in queue.items
    )


def of_image(image_id: str) -> tuple[Decided, Sequence[Box]]:
    """Where people's decisions leave one image, and the labels that hold or are shown.

    Raises:
        UserError: there is no such image.
    """
    settings = params.load()
    manifests = [paths.REAL_MANIFEST, *(RunPaths(run).synthetic_manifest for run in settings.runs)]
    for row in (manifest.find(path, image_id) for path in manifests if path.exists()):
        if row is not None:
            entries, least = ledger.read(paths.LEDGER), settings.review.min_agreement
            decided = _decided(standing.of_rows(entries, [row], min_agreement=least)[image_id])
            return decided, corrections.version(paths.CORRECTIONS, row, decided.label_digest)
    raise UserError(
        f"image {image_id} is not in data/real or data/generate any more. Run `uv run tailwatch review` again."
    )


def _synthetic(runs: Sequence[str]) -> list[Row]:
    found = [RunPaths(run).synthetic_manifest for run in runs if run != paths.BASE]
    return [row for path in found if path.exists() for row in manifest.read(path)]


def _decided(one: Standing) -> Decided:
    return Decided(
        state=one.state,
        label_digest=one.label_digest,
        decided_by=tuple(sorted({vote.reviewer for vote in one.votes})),
    )


def _versions(rows: Sequence[Row]) -> Callable[[str, str], Sequence[Box]]:
    """A reader of the versions of images' labels."""
    known = {row.image_id: row for row in rows}

    def labels_of(image_id: str, digest: str) -> Sequence[Box]:
        return corrections.version(paths.CORRECTIONS, known[image_id], digest)

    return labels_of
