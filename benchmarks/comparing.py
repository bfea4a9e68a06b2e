"""Two ways to one end, measured in turns in one run, and the table of what was found."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
WORSE = 1 / 3  # by which a ratio may get worse before it is called so
_PACKAGES = ("ultralytics", "torch", "fiftyone", "dvc", "pandas", "numpy", "opencv-python-headless", "faiss-cpu")
_KILOBYTE = 1 if sys.platform == "darwin" else 1024  # in which the system counts memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: by the clock.
        processor: seconds of the processor, of all its processes.
        peak_mb: most memory that one of its processes held, in MB.
        told: the JSON object in the last line that it printed; empty where there is none.
    """

    seconds: float
    processor: float
    peak_mb: float
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One line of the table.

    Attributes:
        row: what is measured; the name of a module here.
        what: on what.
        unit: of the values: where they are seconds, less is better.
        peer: what it is held against.
        ours: a value a turn.
        theirs: the peer's, of the same turns.
        wanted: of the ratio ours / theirs: at most that where the unit is seconds, or else at least; None: no demand.
        ours_mb: peak memory; None where it was not measured.
        theirs_mb: the peer's.
    """

    row: str
    what: str
    unit: str
    peer: str
    ours: Sequence[float]
    theirs: Sequence[float]
    wanted: float | None = None
    ours_mb: float | None = None
    theirs_mb: float | None = None

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.row}: {self.what} / {self.peer}"

    @property
    def less_is_better(self) -> bool:
        """Whether a smaller ratio is the better one."""
        return self.unit == "s"

    @property
    def ratios(self) -> list[float]:
        """Ours / theirs, turn by turn: a machine may be busier in one turn than in another."""
        return [one / other for one, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)

    @property
    def holds(self) -> bool | None:
        """Whether the ratio is what was wanted; None where nothing was."""
        if self.wanted is None:
            return None
        return self.ratio <= self.wanted if self.less_is_better else self.ratio >= self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What is kept of a run.

    Attributes:
        machine: on which it was made, and with what.
        comparisons: by their names.
    """

    machine: Mapping[str, str]
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)


def run(*command: str, folder: Path, **variables: str) -> Cost:
    """Run a command to its end, and measure it.

    Raises:
        SystemExit: it failed; what it printed is shown.
    """
    commands = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    log, report = folder / "benchmark.log", folder / "benchmark.json"
    with log.open("w") as printed:
        subprocess.run(
            [sys.executable, "-I", "-S", str(ROOT / "benchmarks" / "going_between.py"), str(report), *command],
            cwd=folder, env=environment | variables, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
            check=True,
        )  # fmt: skip
    seconds, processor, peak, code = json.loads(report.read_text())
    output = log.read_text(errors="replace")
    if code:
        sys.exit(f"{' '.join(command)}: exit code {code}\n{output}")
    last = (output.strip().splitlines() or [""])[-1]
    return Cost(
        seconds=seconds,
        processor=processor,
        peak_mb=peak * _KILOBYTE / 2**20,
        told=json.loads(last) if last.startswith("{") else {},
    )


def python(*code: str, folder: Path, **variables: str) -> Cost:
    """Run Python, which is this one."""
    return run(sys.executable, *code, folder=folder, **variables)


def in_turns(ways: Mapping[str, Callable[[], Cost]], *, turns: int) -> dict[str, list[Cost]]:
    """Go all ways, one after another, so many times; every other turn from the last to the first."""
    found: dict[str, list[Cost]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            found[name].append(ways[name]())
            sys.stderr.write(f"  {name}: {found[name][-1].seconds:.1f} s\n")
    return found


def peak(costs: Iterable[Cost]) -> float:
    """Most memory in any turn."""
    return round(max(one.peak_mb for one in costs))


def worse(new: Comparison, kept: Comparison) -> bool:
    """Whether a ratio got worse by more than a third."""
    return new.ratio > kept.ratio * (1 + WORSE) if new.less_is_better else new.ratio < kept.ratio * (1 - WORSE)


def machine() -> dict[str, str]:
    """What the figures rest on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    versions = {name: metadata.version(name) for name in _PACKAGES}
    return {"processor": model, "cores": str(cores), "memory": memory, "python": platform.python_version(), **versions}


def alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two machines have the same processor: ratios of another one may differ, for good or bad."""
    return all(one.get(name) == other.get(name) for name in ("processor", "cores"))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def read(path: Path) -> dict[str, Results]:
    """The kept results, `full` and `quick`; empty where there are none."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    return {
        kind: Results(
            machine=one["machine"],
            comparisons={each.name: each for each in (Comparison(**values) for values in one["comparisons"])},
        )
        for kind, one in found.items()
    }


def write(path: Path, results: Mapping[str, Results]) -> None:
    """Keep results."""
    told = {
        kind: {"machine": one.machine, "comparisons": [_rounded(each) for each in one.comparisons.values()]}
        for kind, one in results.items()
    }
    path.write_text(json.dumps(told, indent=2) + "\n")


def _rounded(one: Comparison) -> dict[str, Any]:
    values = asdict(one)
    return values | {name: [float(f"{value:.4g}") for value in values[name]] for name in ("ours", "theirs")}


def table(results: Results) -> str:
    """The results as a page."""
    head = ["what", "on", "here", "peer", "ratio", "wanted", "", "peak memory, MB"]
    lines = [head, ["---"] * len(head), *(_line(one) for one in results.comparisons.values())]
    stands_on = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    return f"""# Benchmarks

`uv run python -m benchmarks` measures all of it and writes this page; each peer is measured in the same run, in turns.
Values are medians over the turns, with the least and the greatest; so are the ratios, which are taken turn by turn.
Where the unit is seconds, a ratio is good when it is small.

Made on: {stands_on}.

{"".join(f"| {' | '.join(line)} |{chr(10)}" for line in lines)}"""


def _line(one: Comparison) -> list[str]:
    sign = "≤" if one.less_is_better else "≥"
    return [
        one.row,
        one.what,
        f"{_spread(one.ours)} {one.unit}",
        f"{one.peer}: {_spread(one.theirs)} {one.unit}",
        _spread(one.ratios),
        "" if one.wanted is None else f"{sign} {one.wanted:g}",
        {True: "holds", False: "**does not hold**", None: ""}[one.holds],
        " / ".join("" if value is None else f"{value:,.0f}" for value in (one.ours_mb, one.theirs_mb)),
    ]


def _spread(values: Sequence[float]) -> str:
    middle, low, high = (f"{value:.3g}" for value in (statistics.median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"
