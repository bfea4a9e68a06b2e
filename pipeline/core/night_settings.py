"""The section `nightly` of params.yaml: what an unattended night does, and who hears of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from pipeline.core.schema import SECRET, require

OnCollapse = Literal["stop", "continue"]
Stop = Literal["near-copies", "vanishing-class", "absent-class", "no-real-data", "no-fresh-images", "stale"]
STAGES = ("ingest", "verify", "generate", "mix", "train", "audit", "confirm", "gate", "report", "review")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Which retired runs keep their files in the local cache.

    Attributes:
        last: newest runs of an arm that stay in `runs`, 1 or more.
        every: of the retired ones, each whose generation is a multiple keeps its files; 0 for none.
        healthy: whether every HEALTHY run keeps its files.
        logs: newest nights whose logs are kept, 1 or more.
    """

    last: int = 3
    every: int = 7
    healthy: bool = False
    logs: int = 30

    def __post_init__(self) -> None:
        """Refuse to keep nothing."""
        require(self.last >= 1, f"last {self.last}, wanted at least 1 run an arm")
        require(self.every >= 0, f"every {self.every}, wanted 0 (none) or more")
        require(self.logs >= 1, f"logs {self.logs}, wanted at least 1 night")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nightly:
    """What an unattended night does.

    Attributes:
        arms: that get a generation each night; empty: all.
        on_collapse: what follows a COLLAPSING run: nothing until a person promotes it, or the next generation.
        stale_days: days without a newly verified real image after which the night warns, over 0.
        stop_on: early warnings that end the night before training.
        schedule: cron expression, local time.
        until: last day on which a night runs; None for no end.
        limits: minutes that a stage may take, by its name.
        limit: minutes for the other stages, over 0.
        disk_margin: times the space that the last night took that must be free, at least 1.
        remote: name of the DVC remote to push to; None for the default one, if there is one.
        commit: whether a night ends with a commit and a tag.
        notify: apprise URLs, or ``env:NAME``.
        ping: URL that hears of each start and end, or ``env:NAME``; None for none.
        keep: what is kept.
    """

    arms: tuple[str, ...] = ()
    on_collapse: OnCollapse = "stop"
    stale_days: float = 7
    stop_on: tuple[Stop, ...] = ()
    schedule: str = "0 3 * * *"
    until: date | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    limit: float = 600
    disk_margin: float = 2.0
    remote: str | None = None
    commit: bool = False
    notify: tuple[str, ...] = field(default=(), metadata=SECRET)
    ping: str | None = field(default=None, metadata=SECRET)
    keep: Keep = field(default_factory=Keep)

    def __post_init__(self) -> None:
        """Refuse limits of nothing and stages that do not exist."""
        require(len(set(self.arms)) == len(self.arms), f"arms {list(self.arms)}: wanted each once")
        require(self.stale_days > 0, f"stale_days {self.stale_days:g}, wanted more than 0")
        require(self.disk_margin >= 1, f"disk_margin {self.disk_margin:g}, wanted at least 1")
        for name, minutes in {"limit": self.limit, **self.limits}.items():
            require(minutes > 0 and math.isfinite(minutes), f"{name} {minutes:g} minutes, wanted more than 0")
        unknown = [name for name in self.limits if name not in STAGES]
        require(not unknown, f"limits: no stage {', '.join(unknown)}; there are: {', '.join(STAGES)}")
        require(bool(self.schedule.strip()), "schedule is empty, wanted a cron expression such as 0 3 * * *")
        require(self.remote != "", "remote is empty, wanted the name of a DVC remote, or null")

    def minutes(self, stage: str) -> float:
        """Minutes that a stage of dvc.yaml may take; ``train@guarded-1`` and ``train-base`` are ``train``."""
        return self.limits.get(stage.partition("@")[0].removesuffix("-base"), self.limit)
