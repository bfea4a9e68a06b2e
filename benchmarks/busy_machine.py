"""Training beside another busy process: threads that wait passively against threads that spin.

Torch's OpenMP threads wait for one another in a busy loop. Where another process wants the same cores, the waiting
takes the time that the work needs. Prints one JSON object as its last line: seconds of a training alone and beside busy
processes, for both ways of waiting, and the ratios. Run it after `dvc repro mix-base`, in the project's folder:
`uv run python benchmarks/busy_machine.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

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


def seconds(policy: str, *, busy: bool) -> float:
    """Wall time of one short training, in seconds."""
    rivals = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range((os.cpu_count() or 1) if busy else 0)]
    try:
        start = time.perf_counter()
        environment = {**os.environ, "OMP_WAIT_POLICY": policy}
        subprocess.run([sys.executable, "-c", TRAINING], check=True, env=environment, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()


def main() -> None:
    """Measure both ways of waiting, alternately, three times."""
    found: dict[str, list[float]] = {}
    for _ in range(3):
        for policy in ("PASSIVE", "ACTIVE"):
            for busy in (False, True):
                name = f"{policy.lower()}_{'busy' if busy else 'alone'}"
                found.setdefault(name, []).append(seconds(policy, busy=busy))
    medians = {name: sorted(times)[1] for name, times in found.items()}
    ratios = {when: medians[f"active_{when}"] / medians[f"passive_{when}"] for when in ("alone", "busy")}
    print(json.dumps({"seconds": medians, "spinning_over_passive": ratios}))  # noqa: T201 - a benchmark's output


if __name__ == "__main__":
    main()
