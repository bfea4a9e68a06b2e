"""One run of the project's own stages, in one process, in the folder that this is started in.

`python -m pipeline.generate --run RUN` and so on would do the same, but each would import torch anew. A stage whose
output is there is done: what it writes is there whole or not at all. What a stage took is noted beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from pipeline.core import files, paths, stage
from pipeline.core.paths import RunPaths

PROGRESS = Path("progress")  # one file a run: what each of its stages took


def progress(run: str) -> Path:
    """Where it is noted how far a run is; relative to its folder."""
    return PROGRESS / f"{run}.json"


def main(run: str) -> None:
    """Run the stages of one run that are not done yet."""
    taken = json.loads(progress(run).read_text())["stages"] if progress(run).exists() else {}
    for name, out in outs(run).items():
        if out.exists() and name in taken:
            continue
        wall, processor = time.monotonic(), _processor()
        _main_of(name)(run)
        spent = {"seconds": time.monotonic() - wall, "processor": _processor() - processor}
        taken[name] = {key: round(value, 2) for key, value in spent.items()}
        note = json.loads(progress(run).read_text()) if progress(run).exists() else {}
        files.write_json(progress(run), {**note, "stages": taken})


def outs(run: str) -> dict[str, Path]:
    """What each stage of a run writes, in their order; a base run generates nothing."""
    here = RunPaths(run)
    found = {"generate": here.synthetic, "mix": here.mix, "train": here.train, "audit": here.audit}
    return {name: out for name, out in found.items() if run != paths.BASE or name != "generate"}


def _main_of(name: str) -> Callable[[str], None]:
    from pipeline import audit, generate, mix, train

    return {"generate": generate.main, "mix": mix.main, "train": train.main, "audit": audit.main}[name]


def _processor() -> float:
    """Seconds of processor time of this process and of those that it started and waited for."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


if __name__ == "__main__":
    stage.start(main)
