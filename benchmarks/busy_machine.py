"""Training beside another busy process: threads that spin while they wait, that sleep, or that sleep after a while.

Torch's OpenMP threads wait for one another in a busy loop. Where another process wants the same cores, the waiting
takes the time that the work needs. Prints one JSON object as its last line: seconds of a training alone and beside busy
processes, for each way of waiting, and their ratios to the way that the project takes. Run it after
`dvc repro mix-base`, in the project's folder: `uv run python benchmarks/busy_machine.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping

TRAINING = """
import dataclasses, pathlib, tempfile
from pipeline.adapters import yolo
from pipeline.core import manifest, params, paths
from pipeline.core.paths import RunPaths
rows = manifest.read(RunPaths(paths.BASE).mix_manifest)
settings = dataclasses.replace(params.load().train, steps=60, device="cpu")
with tempfile.TemporaryDirectory() as out:
    yolo.train([pathlib.Path(row.path) for row in rows], manifest.read_classes(paths.REAL_CLASSES), settings, seed=0,
               out=pathlib.Path(out))
"""
BUSY = "import os\nwhile os.getppid() != 1:\n    sum(range(10**6))"


WAYS = {
    "after a while": {},  # as the project sets it
    "sleep": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "spin": {"OMP_WAIT_POLICY": "ACTIVE"},
}


def seconds(way: Mapping[str, str], *, busy: bool) -> float:
    """Wall time of one short training, in seconds."""
    rivals = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range((os.cpu_count() or 1) if busy else 0)]
    try:
        start = time.perf_counter()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
        subprocess.run(
            [sys.executable, "-c", TRAINING], check=True, env={**environment, **way}, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - start
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()


def main() -> None:
    """Measure the ways of waiting, in turn, three times."""
    found: dict[str, dict[str, list[float]]] = {when: {name: [] for name in WAYS} for when in ("alone", "busy")}
    for _ in range(3):
        for name, way in WAYS.items():
            for when, times in found.items():
                times[name].append(seconds(way, busy=when == "busy"))
    medians = {when: {name: sorted(each)[1] for name, each in times.items()} for when, times in found.items()}
    ratios = {
        when: {name: time / times["after a while"] for name, time in times.items()} for when, times in medians.items()
    }
    print(json.dumps({"seconds": medians, "ratios": ratios}))  # noqa: T201 - a benchmark's output


if __name__ == "__main__":
    main()
