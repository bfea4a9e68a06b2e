"""What one step of each stage costs, and how that grows: the table of docs/scale.md.

Each operation that decides how long a stage takes on many images is run at three sizes, each twice as large as the one
before, on one core; of three runs the quickest counts, in seconds of processor time, so that other programs matter
little. Prints the table; `--write` keeps the figures in `benchmarks/scale.json` and the table in `docs/scale.md`.
`uv run python benchmarks/scale.py`; takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "scale.json"
PAGE = ROOT / "docs" / "scale.md"
TARGETS = (10**5, 10**6, 10**8)  # images
_BOXES = 4  # objects an image: those of the default project
_RUNS = 3
_TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.DOTALL)
_TIMES = ((60.0, "s"), (3600.0, "min"), (86400.0, "h"), (86400.0 * 365, "days"))

Prepared = Callable[[], object]  # what is timed


@dataclass(frozen=True)
class Operation:
    """One thing that a stage does.

    Attributes:
        stage: of the pipeline.
        name: what it is.
        power: of the number of images, by which it grows.
        size: the smallest of the three, in images.
        prepare: gives what is timed, for a number of images and an empty folder.
    """

    stage: str
    name: str
    power: int
    size: int
    prepare: Callable[[int, Path], Prepared]


def main() -> None:
    """Measure, print, and keep what was measured if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="keep the figures, and put the table into docs/scale.md")
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when numpy is imported, below
        os.environ[name] = "1"
    measured = [measure(one) for one in operations()]
    text = table(measured)
    print(text)  # noqa: T201 - a script's output
    if arguments.write:
        RESULT.write_text(json.dumps(measured, indent=2) + "\n")
        PAGE.write_text(_TABLE.sub(lambda match: f"{match[1]}{text}{match[2]}", PAGE.read_text()))


def operations() -> list[Operation]:
    """All of them, in the order of the stages."""
    return [
        Operation("ingest", "decode an image of 64 pixels and sketch it", 1, 100, _sketched),
        Operation("verify", "perceptual hash of an image", 1, 100, _hashed),
        Operation("verify", "near duplicates among the hashes", 1, 25_000, _paired),
        Operation("verify", "copies of each other that were changed on the way", 2, 1600, _copied),
        Operation("verify", "the same, of a hundredth of them that is new", 2, 1600, _added),
        Operation("all", "write a manifest and read it", 1, 10_000, _listed),
        Operation("generate", "draw an image by `mixture`", 1, 25, _drawn),
        Operation("mix", "choose the training images", 1, 50_000, _chosen),
        Operation("audit", "embed the objects of an image", 1, 50, _embedded),
        Operation("audit", "nearest real object of each synthetic one", 2, 500, _nearest),
    ]


def measure(operation: Operation) -> dict[str, Any]:
    """Seconds at three sizes."""
    sizes = [operation.size * 2**step for step in range(3)]
    seconds = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            run = operation.prepare(size, Path(folder))
            seconds.append(min(_timed(run) for _ in range(_RUNS)))
    return {
        "stage": operation.stage, "name": operation.name, "power": operation.power, "images": sizes,
        "seconds": [round(one, 6) for one in seconds],
    }  # fmt: skip


def table(measured: Sequence[dict[str, Any]]) -> str:
    """The figures as Markdown, with what they come to for many images on one core."""
    head = ["stage", "operation", "measured at", "seconds", "growth", *(f"10{_raised(one)} images" for one in TARGETS)]
    lines = [head, ["---"] * len(head)]
    for one in measured:
        images, seconds = one["images"], one["seconds"]
        slope = math.log2(seconds[-1] / seconds[0]) / (len(images) - 1)
        ahead = [seconds[-1] * (target / images[-1]) ** one["power"] for target in TARGETS]
        lines.append([
            one["stage"], one["name"], f"{images[-1]:,} images", f"{seconds[-1]:.3f}",
            f"n^{slope:.2f}, taken as {'n' if one['power'] == 1 else 'n²'}", *map(duration, ahead),
        ])  # fmt: skip
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(90), duration(86400 * 730)
    ('1.5 min', '2 years')
    """
    unit = 1.0
    for limit, name in _TIMES:
        if seconds < limit:
            return f"{seconds / unit:.2g} {name}" if seconds < 10 * unit else f"{seconds / unit:,.0f} {name}"
        unit = limit
    return "a year" if seconds < 1.5 * unit else f"{seconds / unit:,.0f} years"


def _raised(number: int) -> str:
    return str(round(math.log10(number))).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _timed(run: Prepared) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _pages(number: int) -> list[Any]:
    """Pages of noise with squares on them, BGR, 64 pixels a side."""
    import numpy as np

    rng = np.random.default_rng(0)
    pages = rng.normal(200, 8, (number, 64, 64, 3))
    for page in pages:
        x, y = rng.integers(4, 40, 2)
        page[y : y + 20, x : x + 20] -= rng.uniform(80, 160)
    return list(np.clip(pages, 0, 255).astype(np.uint8))


def _sketched(number: int, _: Path) -> Prepared:
    from pipeline.core import images, portraits

    stored = [images.encode_png(page) for page in _pages(number)]

    def run() -> None:
        for position, data in enumerate(stored):
            portraits.portrait(images.decode(data, max_pixels=10**6).pixels, image_id=str(position), name="")

    return run


def _hashed(number: int, _: Path) -> Prepared:
    from pipeline.core import duplicates

    pages = _pages(number)
    return lambda: [duplicates.perceptual_hash(page) for page in pages]


def _paired(number: int, _: Path) -> Prepared:
    import numpy as np

    from pipeline.core import duplicates

    hashes = np.random.default_rng(0).integers(0, 2**63, number).astype(np.uint64)
    return lambda: duplicates.near_pairs(hashes, within=2)


def _portraits(number: int) -> list[Any]:
    """Portraits of images that differ, as photographs do: of pages with one square each, all would be alike."""
    import cv2
    import numpy as np

    from pipeline.core import portraits

    rng = np.random.default_rng(0)
    pages = (cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (64, 64)) for _ in range(number))
    return [
        portraits.portrait(np.asarray(page), image_id=f"{position:06d}", name=f"{position}")
        for position, page in enumerate(pages)
    ]


def _copied(number: int, _: Path) -> Prepared:
    from pipeline.core import leak_search

    seen = _portraits(number)
    return lambda: leak_search.search(seen, seen)


def _added(number: int, _: Path) -> Prepared:
    from pipeline.core import leak_search

    seen = _portraits(number)
    before = leak_search.search(seen[: -number // 100], seen[: -number // 100])
    return lambda: leak_search.search(seen, seen, before)


def _rows(number: int, origin: Any = "real") -> list[Any]:
    import hashlib

    from pipeline.core.manifest import Row

    ids = [hashlib.sha256(f"{origin} {one}".encode()).hexdigest() for one in range(number)]
    made = origin == "synthetic"
    return [
        Row(
            image_id=one, name=f"train/{position:05d}", path=f"data/real/images/{one[:16]}.png", split="train",
            origin=origin, generation=int(made), run="guarded-1" if made else "", parents=tuple(ids[:1] * made),
            lineage_depth=int(made), human_verified=not made, label_digest=one, width=64, height=64,
            boxes=((0, 2), (position % 6, 2)),
        )
        for position, one in enumerate(ids)
    ]  # fmt: skip


def _listed(number: int, folder: Path) -> Prepared:
    from pipeline.core import manifest

    rows, path = _rows(number), folder / "manifest.parquet"

    def run() -> None:
        manifest.write(path, rows)
        manifest.read(path)

    return run


def _chosen(number: int, _: Path) -> Prepared:
    import numpy as np

    from pipeline.core import manifest, mixing
    from pipeline.core.sections import Arm, Mix

    real, made = (manifest.to_table(_rows(number // 2, origin)) for origin in ("real", "synthetic"))
    mix = Mix(total=number // 2, min_real_a_class=0, min_support=20)
    arm = Arm(policy="accumulate", ratio=0.5)
    return lambda: mixing.choose(real, made, made, arm, mix, np.random.default_rng(0))


def _drawn(number: int, folder: Path) -> Prepared:
    import numpy as np

    from pipeline.core import images, mixture, params, synthesis
    from pipeline.core.labels import Box

    examples = []
    for position, page in enumerate(_pages(60)):
        path = folder / f"{position}.png"
        path.write_bytes(images.encode_png(page))
        boxes = tuple(Box(class_id=0, x=x, y=0.5, width=0.3, height=0.3) for x in (0.3, 0.7))
        examples.append(synthesis.Example(image_id=str(position), path=path, boxes=boxes))
    settings = params.load(ROOT / "params.yaml").generate
    draw = mixture.fit(examples, settings, np.random.default_rng(0))
    return lambda: [draw(np.random.default_rng(one)) for one in range(number)]


def _embedded(number: int, _: Path) -> Prepared:
    from pipeline.core import embedding

    crops = [page[20:44, 20:44] for page in _pages(number) for _ in range(_BOXES)]
    return lambda: embedding.embed(crops)


def _nearest(number: int, _: Path) -> Prepared:
    import numpy as np

    from pipeline.core import embedding, neighbours

    length = embedding.embed(_pages(1)).shape[1]
    sets = np.random.default_rng(0).normal(size=(2, number * _BOXES, length)).astype(np.float32)
    sets /= np.linalg.norm(sets, axis=2, keepdims=True)
    return lambda: neighbours.nearest(sets[0], sets[1])


if __name__ == "__main__":
    main()
