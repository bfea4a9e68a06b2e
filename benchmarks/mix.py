"""Mixing: the stage `mix`, by each policy, beside the same merge and sample of the same files written in pandas.

The peer reads, chooses and writes what the stage does: the training images at the arm's ratio, the pool that is handed
on, the real images, when each was accepted, and the list of paths. It checks nothing, forecasts nothing and knows no
floor of real images a class.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks import comparing
from benchmarks.comparing import Comparison
from pipeline.core.sections import Policy
from tests.project import Project, create

ROW = "mix"
RATIO = 0.25
CLASSES = 10
POLICIES: tuple[Policy, ...] = get_args(Policy)
MOST_MB = 1024


def _arrange(params: dict[str, Any]) -> None:
    params["arms"] = {policy: {"policy": policy, "ratio": RATIO} for policy in POLICIES}
    params["runs"] = {
        f"{policy}-{number}": {
            "arm": policy, "generation": number, "previous": f"{policy}-{number - 1}" if number > 1 else "base"
        }
        for policy in POLICIES
        for number in (1, 2)
    }  # fmt: skip


def write(folder: Path, number: int) -> None:
    """Write manifests of so many images: six tenths real, two made for each of two generations."""
    from pipeline.core import acceptance_times, files, manifest_table, paths, synthetic

    def images(run: str, count: int, generation: int) -> manifest_table.Table:
        draw = np.random.default_rng(generation)
        ids = [hashlib.sha256(f"{run} {one}".encode()).hexdigest() for one in range(count)]
        made = generation > 0
        classes = np.sort(draw.integers(0, CLASSES, (count, 2)), axis=1).tolist()
        return manifest_table.of({
            "image_id": ids, "name": [f"{one:07d}" for one in range(count)],
            "path": [f"data/generate/{run}/images/{one}.png" for one in ids],
            "split": ["train"] * count, "origin": ["synthetic" if made else "real"] * count,
            "generation": [generation] * count, "run": [run if made else ""] * count,
            "parents": [[one] if made else [] for one in ids], "lineage_depth": [generation] * count,
            "human_verified": [not made] * count, "label_digest": ids, "width": [64] * count, "height": [64] * count,
            "boxes": [[(one, 2)] if one == other else [(one, 1), (other, 3)] for one, other in classes],
            "generator": ["mixture" if made else ""] * count, "generator_version": ["1" if made else ""] * count,
        })  # fmt: skip

    real = images("base", number * 6 // 10, 0)
    place = paths.TrainingPaths()
    manifest_table.write(folder / place.real, real)
    acceptance_times.write(folder / place.times, dict.fromkeys(real.texts("image_id"), "2026-01-01T00:00:00+00:00"))
    synthetic.write(folder / place.synthetic, {})
    files.write_json(folder / place.row, {"row": "0" * 64})
    files.write_json(folder / paths.REAL_CLASSES, [str(one) for one in range(CLASSES)])
    for policy in POLICIES:
        for generation in (1, 2):
            run = f"{policy}-{generation}"
            path = folder / paths.RunPaths(run).synthetic_manifest
            manifest_table.write(path, images(run, number * 2 // 10, generation))


def by_pandas(folder: Path, policy: str) -> None:
    """The same by pandas."""
    import pandas as pd

    from pipeline.core import params, paths

    read = partial(pd.read_parquet, dtype_backend="pyarrow")
    before, here, place = paths.RunPaths(f"{policy}-1"), paths.RunPaths(f"{policy}-2"), paths.TrainingPaths()
    real, pool = read(place.real), read(here.synthetic_manifest)
    times = pd.read_csv(place.times, dtype_backend="pyarrow")
    if policy != "replace":
        earlier = read(before.pool_manifest)
        pool = pd.concat([earlier[earlier["generation"] > 2 - params.load().mix.generations], pool])
    images = round(len(real) * RATIO) if policy == "accumulate-subsample" else round(len(real) / (1 / RATIO - 1))
    kept = len(real) - images if policy == "accumulate-subsample" else len(real)
    drawn = pool.sample(images, random_state=0).sort_index()
    rows = pd.concat([real if kept == len(real) else real.sample(kept, random_state=0).sort_index(), drawn])
    for name, frame in {"manifest": rows, "pool": pool, "real": real}.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False, compression="zstd")
    used = rows.loc[rows["human_verified"], "image_id"]
    times[times["image_id"].isin(used)].to_csv(folder / "times.csv", index=False)
    rows["path"].sort_values().to_csv(folder / "train.txt", index=False, header=False)
    print(json.dumps({"images": len(rows)}))  # noqa: T201


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Seconds of both, start to end."""
    number = 100_000 if quick else 1_000_000
    project = create(folder / "project", _arrange)
    write(project.folder, number)
    for run in ("base", *(f"{policy}-1" for policy in POLICIES)):
        comparing.python("-m", "pipeline.mix", "--run", run, folder=project.folder, PYTHONPATH="")
    return [_compared(project, policy, number, turns=3 if quick else 2) for policy in POLICIES]


def _compared(project: Project, policy: str, number: int, *, turns: int) -> Comparison:
    def peer() -> comparing.Cost:
        out = tempfile.mkdtemp(dir=project.folder)
        return comparing.python("-m", "benchmarks.mix", out, policy, folder=project.folder)

    stage = partial(
        comparing.python, "-m", "pipeline.mix", "--run", f"{policy}-2", folder=project.folder, PYTHONPATH=""
    )
    found = comparing.in_turns({"ours": stage, "pandas": peer}, turns=turns)
    summary = json.loads((project.folder / f"data/mix/{policy}-2/summary.json").read_text())
    if summary["real"] + summary["synthetic"] != found["pandas"][0].told["images"]:
        sys.exit(f"{policy}: pandas chooses {found['pandas'][0].told['images']} images, `mix` {summary}")
    peak = comparing.peak(found["ours"])
    if peak > MOST_MB:
        sys.exit(f"{policy}: `mix` held {peak:,} MB, wanted at most {MOST_MB:,}")
    return Comparison(
        row=ROW, what=f"{number:,} rows, {policy}", unit="s", peer="pandas", wanted=1.5,
        ours=[one.seconds for one in found["ours"]], theirs=[one.seconds for one in found["pandas"]],
        ours_mb=peak, theirs_mb=comparing.peak(found["pandas"]),
    )  # fmt: skip


if __name__ == "__main__":
    by_pandas(Path(sys.argv[1]), sys.argv[2])
