"""The ledger at a million decisions: check, index, look-up and append.

Makes a ledger of 1,000,000 decisions by five people: of a hundred, 85 are the first on an image, ten are second
opinions, and five are answers to planted items; some reasons are in quotes or of two lines. It is committed in a
repository of its own. Each measurement runs in a process of its own. Prints one JSON object as its last line: seconds,
those of the processor, and peak memory in MiB of

- check: the chain, and the comparison with git;
- index build, and index update after one append;
- look-up of an image's decisions through the fresh index, and of its standing; the same after a new second opinion,
  when it has to be found out anew who is held back;
- replay: reading the ledger, and finding the standing of the same image from all of it;
- append;

and the ratios of look-up and standing to replay. Takes about two minutes.
`uv run python benchmarks/ledger.py`; `--rows 20000` for a short one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PEOPLE = ("Ada", "Bob", "Cy", 'Dee "the eye"', "Eve")
REPEATS = 20


def sha(number: int) -> str:
    """SHA-256 of a number."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def make(folder: Path, rows: int) -> None:
    """Write a ledger with a whole chain, and commit it."""
    from pipeline.core import files, ledger

    draw = random.Random(0)  # noqa: S311 - made data
    previous = ledger.GENESIS
    labels = [sha(-1 - number) for number in range(50)]
    kinds = ["accept"] * 9 + ["reject"]
    reasons = ["", "", "seen", "a box is too large, by far", "two\nlines"]
    with (folder / "ledger.csv").open("wb") as file:
        file.write(files.csv_line(ledger.COLUMNS).encode())
        for number in range(rows):
            kind = "control-right" if number % 20 == 0 else draw.choice(kinds)
            image = number if number % 10 else draw.randrange(number + 1)
            when = f"2026-{number * 12 // rows + 1:02d}-01T00:00:00+00:00"
            said = (kind, sha(image), labels[image % 50], draw.choice(PEOPLE), draw.choice(reasons))
            line = files.csv_line((when, *said, previous))
            previous = hashlib.sha256(line.encode()).hexdigest()
            file.write(f"{line[:-1]},{previous}\n".encode())
    for command in (["init", "-q"], ["add", "ledger.csv"], ["commit", "-q", "-m", "a ledger"]):
        author = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
        subprocess.run(["git", *author, *command], cwd=folder, check=True)  # noqa: S607 - found on the PATH


def measure(name: str, folder: Path) -> None:
    """Do one thing, and print its seconds and the peak memory of this process."""
    from pipeline.core import ledger, ledger_check, ledger_index, ledger_lookup, standing

    path, index, lock = folder / "ledger.csv", folder / "index.sqlite", folder / "ledger.lock"
    where = {"path": path, "index": index}
    image, labels = sha(7), sha(-1 - 7)

    def one_more() -> None:
        ledger.append(path, "accept", image_id=image, label_digest=labels, reviewer="Ada", reason="", lock=lock)

    def check() -> None:
        assert not ledger_check.check(path, imports=folder, corrections=folder).problems  # noqa: S101

    def look_up(share: float) -> object:
        found = ledger_lookup.looked_up(image, min_agreement=share, **where)
        return ledger_lookup.standing_of(found, image, labels, imports=folder, corrections=folder)

    def replay() -> object:
        return standing.standings(ledger.read(path), [(image, labels)], folder, folder, min_agreement=0.8)

    actions: dict[str, Callable[[], object]] = {
        "check": check,
        "index build": lambda: ledger_index.refresh(**where),
        "index update": lambda: ledger_index.refresh(**where),
        "look-up": lambda: ledger_index.entries_of(image, **where),
        "standing": lambda: look_up(0.8),
        "standing after a second opinion": lambda: look_up(0.7),
        "replay": replay,
        "append": one_more,
    }
    seconds, processor = [], []
    for _ in range(REPEATS if name in ("look-up", "standing", "append", "index update") else 1):
        if name == "index update":
            one_more()
        start, busy = time.perf_counter(), time.process_time()
        actions[name]()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    middle = len(seconds) // 2
    found = {"seconds": sorted(seconds)[middle], "CPU seconds": sorted(processor)[middle], "peak MiB": round(peak)}
    print(json.dumps(found))  # noqa: T201 - read by the process that started this one


def main() -> None:
    """Make a ledger, and measure in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.measure[0], Path(asked.measure[1]))
        return
    found: dict[str, dict[str, float]] = {}
    names = (
        "check", "index build", "look-up", "standing", "standing after a second opinion", "replay", "append",
        "index update",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), asked.rows)
        for what in names:
            done = subprocess.run(
                [sys.executable, __file__, "--measure", what, name],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            )
            found[what] = json.loads(done.stdout.splitlines()[-1])
            print(what, found[what], flush=True)  # noqa: T201 - a benchmark's output
        sizes = {one: round((Path(name) / one).stat().st_size / 2**20) for one in ("ledger.csv", "index.sqlite")}
    ratios = {one: found[one]["seconds"] / found["replay"]["seconds"] for one in ("look-up", "standing")}
    print(json.dumps({"rows": asked.rows, "MiB": sizes, **found, "ratio to replay": ratios}))  # noqa: T201


if __name__ == "__main__":
    main()
