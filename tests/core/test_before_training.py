"""What a night can tell before it trains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import acceptance_times, before_training, files, forecasts, futures, manifest, params, paths
from pipeline.core.before_training import Fresh
from pipeline.core.forecasts import Outlook
from pipeline.core.manifest import Row
from pipeline.core.night_settings import Nightly
from pipeline.core.paths import RunPaths
from tests.builders import row, synthetic_row
from tests.project import ROOT

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def write(
    run: str, rows: list[Row], history: tuple[futures.Generation, ...], times: dict[str, str]
) -> tuple[futures.Generation, ...]:
    """The mixture of a run, as the stage writes it."""
    settings = params.load(ROOT / "params.yaml")
    both = (*history, futures.count(run, len(history), manifest.to_table(rows), manifest.to_table(rows), classes=2))
    found = forecasts.forecast(both, ["cat", "lynx"], need=1, horizon=30, policy="replace", generations=1,
                               rng=np.random.default_rng(settings.seed))  # fmt: skip
    manifest.write(RunPaths(run).mix_manifest, rows)
    acceptance_times.write(RunPaths(run).times, times)
    forecasts.write(RunPaths(run).forecasts, Outlook(run=run, history=both, forecasts=found))
    return both


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base with a lynx, and a run without any, and without a real image."""
    monkeypatch.chdir(tmp_path)
    real = [
        row("a", human_verified=True, split="train", boxes=((0, 3), (1, 1))),
        row("b", human_verified=True, split="train", boxes=((0, 2),)),
    ]
    made = [synthetic_row("s", boxes=((0, 4),)), synthetic_row("t", boxes=((0, 1),))]
    files.write_json(paths.REAL_CLASSES, ["cat", "lynx"])
    manifest.write(paths.VERIFIED_MANIFEST, real)
    days = {real[0].image_id: 3, real[1].image_id: 10}
    times = {image: (NOW - timedelta(days=ago)).isoformat() for image, ago in days.items()}
    acceptance_times.write(paths.VERIFIED_TIMES, times)
    write("guarded-1", made, write("base", real, (), times), {})


def test_fresh_images_are_counted_since_the_last_night() -> None:
    """What was verified before does not count; the newest one tells how stale the data is."""
    found = before_training.fresh(NOW, since=NOW - timedelta(days=5))
    assert found.images == 1
    assert found.days == pytest.approx(3)
    assert before_training.fresh(NOW, since=NOW).images == 0
    assert before_training.fresh(NOW, since=None).images is None


@pytest.mark.parametrize(
    ("days", "words"),
    [(7.0, ""), (7.1, "verified 7 days ago"), (None, "verified never")],
    ids=["just fresh", "a little older", "none at all"],
)
def test_stale(days: float | None, words: str) -> None:
    """The warning comes when the newest verified image is older than `stale_days`."""
    found = before_training.stale(Fresh(images=None, newest=None, days=days), Nightly(stale_days=7))
    assert (found is not None) == bool(words)
    assert found is None or (found.name == "stale" and words in found.text)


def test_warnings_before_training() -> None:
    """Those that need no detector are there by name, with the run; near copies only where they are asked for."""
    settings = params.load(ROOT / "params.yaml")
    found = before_training.warn("guarded-1", settings, copies=False)
    assert [one.name for one in found] == ["vanishing-class", "absent-class", "no-real-data", "no-fresh-images"]
    assert all(one.text.startswith("guarded-1: ") for one in found)
    assert "lynx" in found[1].text
    assert before_training.names_of([*found[1:], found[1]]) == "absent-class (2 runs), no-real-data, no-fresh-images"
