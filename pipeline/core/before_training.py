"""The early warnings that a night can tell before it trains: from the mixture, its forecasts and the ledger's times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.core import (
    acceptance_times,
    duplication,
    early_warnings,
    forecasts,
    freshness,
    manifest,
    object_memory,
    objects,
    paths,
)
from pipeline.core.figures import Duplication, Freshness
from pipeline.core.judgements import Warning as EarlyWarning
from pipeline.core.night_settings import Nightly
from pipeline.core.params import Params
from pipeline.core.paths import RunPaths
from pipeline.core.report_numbers import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What people have verified of the real images.

    Attributes:
        images: newly verified since a time; None where there is no such time.
        newest: when the newest one was verified, ISO 8601; None where none is.
        days: since then; None where none is.
    """

    images: int | None
    newest: str | None
    days: float | None


def fresh(now: datetime, *, since: datetime | None) -> Fresh:
    """Count the real images that people have verified since a time.

    Args:
        now: with its time zone.
        since: with its time zone; None for no such time.

    Raises:
        UserError: `verify` has not run, or its tables are damaged.
    """
    times = acceptance_times.read(paths.VERIFIED_TIMES)
    real = [row.image_id for row in manifest.read(paths.VERIFIED_MANIFEST) if row.origin == "real"]
    found = sorted(datetime.fromisoformat(times[one]) for one in real if one in times)
    if not found:
        return Fresh(images=None if since is None else 0, newest=None, days=None)
    newest = found[-1].isoformat()
    images = None if since is None else sum(one > since for one in found)
    return Fresh(images=images, newest=newest, days=freshness.days_since(newest, now))


def stale(found: Fresh, nightly: Nightly) -> EarlyWarning | None:
    """The warning ``stale``, where nothing was newly verified for ``nightly.stale_days``."""
    if found.days is not None and found.days <= nightly.stale_days:
        return None
    told = "never" if found.days is None else f"{counted(int(found.days), 'day')} ago"
    text = (
        f"The newest real image was verified {told}, nightly.stale_days is {nightly.stale_days:g}: without fresh real "
        "images every loop forgets. Verify some in the App (`uv run tailwatch review`) or accept an import."
    )
    return EarlyWarning(name="stale", text=text)


def warn(run: str, settings: Params, *, copies: bool) -> tuple[EarlyWarning, ...]:
    """Warn of what the mixture of a run says: the names of :data:`early_warnings.NAMES` that need no detector.

    Args:
        run: its `mix` has run.
        settings: of the project.
        copies: whether to look for near copies among its synthetic images, which takes some milliseconds an image.

    Raises:
        UserError: a file of the mixture is missing or damaged.
    """
    here, names = RunPaths(run), manifest.read_classes(paths.REAL_CLASSES)
    rows = manifest.read(here.mix_manifest)
    outlook = forecasts.read(here.forecasts)
    real = sum(row.origin == "real" for row in rows)
    depth = max((row.lineage_depth for row in rows), default=0)
    chosen = settings.run(run)
    found = {
        "near-copies": early_warnings.near_copies(_duplication(here, settings)) if copies else "",
        "vanishing-class": early_warnings.vanishing(outlook.forecasts),
        "absent-class": early_warnings.absent(
            dict(zip(names, forecasts.read(RunPaths(paths.BASE).forecasts).history[-1].training, strict=True)),
            dict(zip(names, outlook.history[-1].training, strict=True)),
        ),
        "no-real-data": early_warnings.no_real_data(real, len(rows) - real, depth),
        "no-fresh-images": early_warnings.no_fresh_images(
            _freshness(RunPaths(paths.BASE), names), _freshness(here, names), chosen.generation
        ),
    }  # fmt: skip
    return tuple(EarlyWarning(name=name, text=f"{run}: {text}") for name, text in found.items() if text)


def _freshness(here: RunPaths, names: Sequence[str]) -> Freshness:
    return freshness.measure(manifest.read(here.mix_manifest), acceptance_times.read(here.times), names)


def _duplication(here: RunPaths, settings: Params) -> tuple[Duplication, ...]:
    val = [row for row in manifest.read(paths.VERIFIED_HELD_OUT) if row.split == "val"]
    made = objects.collect(manifest.read(here.synthetic_manifest))
    real = object_memory.collect(paths.OBJECTS, [*manifest.read(here.real_manifest), *val])
    audit = settings.audit
    return duplication.measure(made, real, quantile=audit.copy_quantile, hash_distance=audit.near_duplicate)


def names_of(warnings: Sequence[EarlyWarning]) -> str:
    """Names of warnings with how often each is there, as a line has them.

    >>> names_of([EarlyWarning(name="stale", text=""), EarlyWarning(name="absent-class", text="")])
    'stale, absent-class'
    """
    counts = Counter(one.name for one in warnings)
    return ", ".join(f"{name} ({number} runs)" if number > 1 else name for name, number in counts.items())
