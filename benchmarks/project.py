"""The default project, from a fresh clone to its verdicts: `dvc repro`, second by second."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.comparing import ROOT, Comparison
from pipeline.core import cores
from tests.project import create

ROW = "project"
MOST = 600.0  # seconds
_RUNNING = re.compile(r"Running stage '([a-z]+)")


def _arrange(quick: bool, params: dict[str, Any]) -> None:  # noqa: FBT001 - by partial
    if quick:
        params["runs"] = {"guarded-1": {"arm": "guarded", "generation": 1, "previous": "base"}}
        params["train"]["steps"] = 40


def compare(folder: Path, *, quick: bool) -> list[Comparison]:
    """Seconds of all of it beside ten minutes, and of each kind of stage beside all of it."""
    project = create(folder / "project", partial(_arrange, quick))
    for name in ("ledger.csv", "test.lock"):  # the acceptance that comes with the project
        shutil.copyfile(ROOT / "data" / name, project.folder / "data" / name)
    shutil.copytree(ROOT / "data" / "imports", project.folder / "data" / "imports", dirs_exist_ok=True)
    begun = last = time.perf_counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    runs: Counter[str] = Counter()
    at, told = "DVC, before the first stage", []
    with project.start("dvc", "repro", PYTHONUNBUFFERED="1", **{cores.THREADS_VARIABLE: ""}) as running:
        for text in running.stdout or ():
            told.append(text)
            found = _RUNNING.match(text)
            if found:
                now = time.perf_counter()
                seconds[at] += now - last  # what DVC does after a stage is in it
                at, last = found[1], now
                runs[at] += 1
    if running.returncode:
        sys.exit("".join(told))
    end = time.perf_counter()
    seconds[at] += end - last
    whole = end - begun
    line = partial(Comparison, row=ROW, unit="s")
    return [
        line(what="dvc repro, fresh", peer="ten minutes", ours=[whole], theirs=[MOST], wanted=1.0),
        *(
            line(what=f"{name}, {runs[name]} times" if runs[name] else name, peer="all of it", ours=[one],
                 theirs=[whole])
            for name, one in sorted(seconds.items(), key=lambda item: -item[1])
        ),
    ]  # fmt: skip
