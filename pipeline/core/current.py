"""Which run's weights an arm uses: `models/current/ARM.json`, in git, and beside it the weights that DVC tracks."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core import paths, records
from pipeline.core.errors import UserError
from pipeline.core.history import Weights
from pipeline.core.judgements import Verdict

VERSION = 1  # of the JSON; raised with every change that an older reader would misread
NIGHTLY = "nightly"  # who promotes HEALTHY runs
_REMEMBERED = 10  # earlier promotions, and runs that were taken back


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A run whose weights came into use.

    Attributes:
        run: its name.
        generation: of the run.
        verdict: on it.
        by: who promoted it: ``nightly``, or a person.
        reason: that the person gave; empty where none was.
        time: of the promotion, UTC, ISO 8601.
        weights: of the run.
    """

    run: str
    generation: int
    verdict: Verdict
    by: str
    reason: str
    time: str
    weights: Weights

    @property
    def by_hand(self) -> bool:
        """Whether a person promoted it, who has looked at it."""
        return self.by != NIGHTLY


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """What an arm uses.

    Attributes:
        version: of this format.
        arm: its name.
        now: the promotion that holds.
        earlier: promotions before it, the newest first.
        withdrawn: runs that a person took back, the newest first; a night does not promote them again.
    """

    version: int = VERSION
    arm: str
    now: Promotion
    earlier: tuple[Promotion, ...] = ()
    withdrawn: tuple[str, ...] = ()


def is_file_name(arm: str) -> bool:
    """Whether an arm's name can be that of its weights."""
    return re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", arm) is not None


def path(arm: str) -> Path:
    """Where it is said what an arm uses.

    Raises:
        UserError: its name would make no file name.
    """
    if not is_file_name(arm):
        raise UserError(
            f"params.yaml: arm {arm!r}: its weights are kept under its name in {paths.CURRENT}, which takes letters, "
            "digits, - and _ alone. Rename the arm."
        )
    return paths.CURRENT / f"{arm}.json"


def weights_path(arm: str) -> Path:
    """The weights that an arm uses."""
    return paths.CURRENT / f"{arm}.pt"


def tracking_path(arm: str) -> Path:
    """DVC's file beside the weights."""
    return paths.CURRENT / f"{arm}.pt.dvc"


def read(arm: str) -> Current | None:
    """What an arm uses; None where nothing was promoted yet.

    Raises:
        UserError: the file is of another version or damaged.
    """
    there = is_file_name(arm) and path(arm).exists()
    return records.read(path(arm), Current, VERSION) if there else None


def read_all(arms: Collection[str]) -> dict[str, Current]:
    """What the arms use, by arm; those without a promotion are left out.

    Raises:
        UserError: a file is of another version or damaged.
    """
    return {arm: found for arm in arms if (found := read(arm)) is not None}


def write(one: Current) -> None:
    """Write what an arm uses, whole or not at all."""
    records.write(path(one.arm), one)


def promoted(before: Current | None, arm: str, promotion: Promotion) -> Current:
    """An arm after a promotion: what it used before is remembered; a run that was taken back counts again.

    Args:
        before: what the arm uses; None where nothing was promoted yet.
        arm: its name.
        promotion: of the run that comes into use.
    """
    if before is None:
        return Current(arm=arm, now=promotion)
    earlier = [one for one in (before.now, *before.earlier) if one.run != promotion.run]
    return replace(
        before,
        now=promotion,
        earlier=tuple(earlier[:_REMEMBERED]),
        withdrawn=tuple(run for run in before.withdrawn if run != promotion.run),
    )


def rolled_back(before: Current, *, by: str, reason: str, time: str) -> Current:
    """An arm that goes back to what it used before; nothing promotes the run that it leaves but a person.

    Args:
        before: what the arm uses.
        by: who takes it back.
        reason: why.
        time: of that, UTC, ISO 8601.

    Raises:
        UserError: no earlier promotion is remembered.
    """
    if not before.earlier:
        raise UserError(
            f"{before.arm} used nothing before {before.now.run}: there is nothing to go back to. Promote another run "
            "with `uv run tailwatch promote RUN`."
        )
    last, *earlier = before.earlier
    withdrawn = dict.fromkeys([before.now.run, *before.withdrawn])
    return replace(
        before,
        now=replace(last, by=by, reason=reason, time=time),
        earlier=tuple(earlier),
        withdrawn=tuple(withdrawn)[:_REMEMBERED],
    )
