"""Near duplicates among many vectors: the project's search beside faiss' exact index and FiftyOne Brain's."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import comparing
from benchmarks.comparing import Comparison, Cost

WIDTH = 256
THRESHOLD = 0.97  # cosine similarity
NOISE = 0.15 / 16  # of a near duplicate, so that its similarity is some 0.99
LATE = 100  # a night adds one vector for so many
ROW = "neighbours"
SHORT = 1.0  # seconds for which searches are repeated, of which the quickest counts


def vectors(number: int) -> Any:
    """Unit vectors in random directions, a tenth of them near duplicates of others."""
    draw = np.random.default_rng(0)
    found = draw.normal(size=(number, WIDTH)).astype(np.float32)
    copies = number // 10
    noise = draw.normal(0, NOISE * np.sqrt(WIDTH), (copies, WIDTH))
    found[-copies:] = found[:copies] + noise.astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def ours(all_of_them: Any, some: Any) -> int:
    """Number of near pairs by the project's search."""
    from pipeline.core import neighbours

    return sum(len(one.first) for one in neighbours.pairs(some, all_of_them, at_least=THRESHOLD))


def by_faiss(all_of_them: Any, some: Any) -> int:
    """The same by faiss."""
    import faiss

    index = faiss.IndexFlatIP(WIDTH)
    index.add(all_of_them)
    found = int(index.range_search(some, THRESHOLD)[0][-1])
    return (found - len(some)) // 2 if some is all_of_them else found


def by_brain(all_of_them: Any) -> None:
    """The same by FiftyOne Brain; prints the number of vectors that are a near duplicate of another."""
    from pipeline.adapters import voxel

    fo = voxel.connect()
    import fiftyone.brain as fob

    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=f"/nowhere/{one}.png") for one in range(len(all_of_them))], progress=False)
    begun = time.perf_counter()
    index = fob.compute_similarity(
        dataset, embeddings=all_of_them, backend="sklearn", metric="cosine", brain_key="near", progress=False
    )
    index.find_duplicates(thresh=1 - THRESHOLD)
    found = len(index.duplicate_ids)
    seconds = time.perf_counter() - begun
    dataset.delete()
    print(json.dumps({"seconds": seconds, "found": found}))  # noqa: T201


WAYS = {"ours": ours, "faiss": by_faiss}


def child(way: str, number: str, part: str) -> None:
    """Be one of the processes that are measured: search, and print how long it took."""
    those = vectors(int(number))
    some = those if part == "all" else those[-len(those) // LATE :].copy()
    if way == "Brain":
        by_brain(those)
        return
    WAYS[way](those[:2000], those[:2000])  # what a library does once
    seconds: list[float] = []
    while sum(seconds) < SHORT:  # one search of few is over before a clock says much
        begun = time.perf_counter()
        found = WAYS[way](those, some)
        seconds.append(time.perf_counter() - begun)
    print(json.dumps({"seconds": min(seconds), "found": found}))  # noqa: T201


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """All against all, and what a night adds."""
    many, fewer = (10_000, 5_000) if quick else (100_000, 10_000)

    def way(name: str, number: int, part: str = "all") -> Cost:
        return comparing.python("-m", "benchmarks.neighbours", name, str(number), part, folder=folder)

    found = comparing.in_turns(
        {
            "ours": partial(way, "ours", many),
            "faiss": partial(way, "faiss", many),
            "a hundredth": partial(way, "ours", many, "late"),
        },
        turns=2,
    )
    beside = comparing.in_turns({"ours": partial(way, "ours", fewer), "Brain": partial(way, "Brain", fewer)}, turns=3)
    if len({one.told["found"] for one in [*found["ours"], *found["faiss"]]}) > 1:
        sys.exit("faiss finds other pairs")

    def line(what: str, peer: str, wanted: float, mine: list[Cost], theirs: list[Cost]) -> Comparison:
        return Comparison(
            row=ROW, what=what, unit="s", peer=peer, wanted=wanted, ours=_seconds(mine), theirs=_seconds(theirs),
            ours_mb=comparing.peak(mine), theirs_mb=comparing.peak(theirs),
        )  # fmt: skip

    return [
        line(f"{many:,} x {WIDTH} against themselves", "faiss IndexFlatIP", 1.2, found["ours"], found["faiss"]),
        line(f"{fewer:,} x {WIDTH} against themselves", "FiftyOne Brain", 0.1, beside["ours"], beside["Brain"]),
        line(
            f"a hundredth of {many:,} against all",
            "all against all",
            0.03,  # each pair of all is looked at once, so that one in a hundred has two hundredths of them
            found["a hundredth"],
            found["ours"],
        ),
    ]


def _seconds(costs: list[Cost]) -> list[float]:
    return [one.told["seconds"] for one in costs]


if __name__ == "__main__":
    child(*sys.argv[1:])
