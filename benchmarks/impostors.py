"""What it costs to hold new images against all synthetic ones that a project ever made: a year's past and a week's.

Makes portraits of pages of the default project and of synthetic ones by its generators, and records of 7 and of 365
runs of 640 images from them: each image is made of two halves of pages, mirrored and lit anew. Of each past it
measures, each in a process of its own, seconds of the processor, seconds by the clock, and peak memory in MiB of

- first: the index is made, as after an upgrade;
- known: 640 real images are looked up for the first time;
- night: 640 new synthetic images go on record, and 50 new real ones are looked up beside the known ones;
- again: the same look-up, with nothing new.

Prints one JSON object as its last line, with the ratios of the year to the week. `uv run python
benchmarks/impostors.py`; `--runs 7 30` for other pasts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

Sketches = npt.NDArray[np.uint8]

IMAGES, NEW = 640, 50


def made(rng: np.random.Generator, pages: Sketches, number: int) -> Sketches:
    """Sketches that differ from each other as pages do: two halves of pages, mirrored, lit anew, with noise."""
    left, right = (pages[rng.integers(len(pages), size=number)].astype(np.float32) for _ in range(2))
    edge = rng.integers(16, 49, size=number)
    taken = np.arange(64)[None, None, :] < edge[:, None, None]
    found = np.where(taken, left, right)
    for axis in (1, 2):
        turned = rng.random(number) < 1 / 2
        found[turned] = np.flip(found[turned], axis=axis)
    light = rng.uniform(0.8, 1.1, size=(number, 1, 1))
    return np.clip(found * light + rng.normal(0, 4, found.shape), 0, 255).astype(np.uint8)


def pages(folder: Path) -> dict[str, Sketches]:
    """Sketches of pages of the default project: real ones, and synthetic ones that were made from others."""
    import yaml

    from pipeline.core import portraits
    from studies.impostors import datasets

    settings = yaml.safe_load(Path("params.yaml").read_text())
    data = datasets.read("digits", folder, settings=settings, synthetic=1000)
    real = [data.pixels[row.image_id] for row in data.new]
    return {
        name: np.stack([portraits.sketches(pixels)[0] for pixels in some])
        for name, some in (("real", real), ("synthetic", data.synthetic))
    }


def record(run: str, sketches: Sketches) -> None:
    """Put images on record."""
    from pipeline.core import synthetic_past
    from pipeline.core.portraits import Portrait
    from pipeline.core.synthetic_past import Made

    images = []
    for sketch in sketches:
        image_id = hashlib.sha256(sketch.tobytes()).hexdigest()
        portrait = Portrait(image_id=image_id, name=image_id, pixels=image_id, sketches=(sketch,))
        images.append(Made(portrait=portrait, run=run, parents=()))
    images.sort(key=lambda one: one.portrait.image_id)
    synthetic_past.write(run, images, source="")


def look_up(sketches: Sketches) -> int:
    """Hold real images against the past; gives the number of copies."""
    from pipeline.core import impostors
    from pipeline.core.portraits import Portrait

    asked = [
        Portrait(image_id=str(number), name=str(number), pixels=str(number), sketches=(sketch,))
        for number, sketch in enumerate(sketches)
    ]
    return len(impostors.screen(asked))


def measured(step: str, past: int) -> dict[str, float]:
    """Do one step in a process of its own."""
    run = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--step", step, "--runs", str(past)],
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(json.loads(run.stdout.splitlines()[-1]))


def step(name: str, past: int) -> None:
    """One step, and what it cost."""
    drawn = np.load("pages.npz")
    rng = np.random.default_rng(1)
    known, new = made(rng, drawn["real"], IMAGES), made(rng, drawn["real"], NEW)
    if name == "make":
        for number in range(past):
            record(f"guarded-{number}", made(rng, drawn["synthetic"], IMAGES))
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    copies = 0
    if name == "first":
        look_up(known[:1])
    elif name == "known":
        copies = look_up(known)
    elif name in ("night", "again"):
        if name == "night":
            record(f"guarded-{past}", made(rng, drawn["synthetic"], IMAGES))
        copies = look_up(np.concatenate([known, new]))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    done = {"cpu": round(cpu, 2), "wall": round(time.perf_counter() - started, 2)}
    # Unlike `ru_maxrss`, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    sys.stdout.write(json.dumps({**done, "peak": peak // 1024, "copies": copies}) + "\n")


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[7, 365], help="of the pasts, the shortest first")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        step(given.step, given.runs[0])
        return
    found: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        drawn = pages(Path(folder))
        for past in given.runs:
            place = Path(folder) / str(past)
            place.mkdir()
            os.chdir(place)
            np.savez("pages.npz", real=drawn["real"], synthetic=drawn["synthetic"])
            measured("make", past)
            found[str(past)] = {}
            for name in ("first", "known", "night", "again"):
                found[str(past)][name] = measured(name, past)
                sys.stderr.write(f"{past} runs, {name}: {found[str(past)][name]}\n")
        os.chdir("/")
    first, last = (found[str(one)] for one in (given.runs[0], given.runs[-1]))
    ratios = {
        name: {what: round(last[name][what] / max(first[name][what], 0.01), 2) for what in ("cpu", "peak")}
        for name in first
    }
    sys.stdout.write(json.dumps({"runs": found, "ratios": ratios}) + "\n")


if __name__ == "__main__":
    main()
