"""Nights that tests are made of: what trainings found on a test split, as arrays, tables and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import audits, comparisons, detections, files, nights, records
from pipeline.core.audits import Audit
from pipeline.core.comparisons import Side
from pipeline.core.figures import ClassFigures, Figure
from pipeline.core.nights import Baseline, Confirmation, Night
from pipeline.core.paths import RunPaths
from pipeline.core.sections import Gate
from tests.builders import ancestor, audit, class_figures

GATE = Gate(
    alpha=0.05,
    recall_margin=0.1,
    map_margin=0.05,
    max_duplicates=0.2,
    horizon=30,
    schedule="uniform",
    level=0.02,
    trend_share=0.2,
)
IMAGES = 100
CLASSES = ("one", "four", "six")  # the first is common, the others are rare
Found = Mapping[str, Sequence[bool]]


def first(total: int, found: int, *, lost: int = 0, gained: int = 0) -> tuple[list[bool], list[bool]]:
    """What base and run found of some boxes: of `found` ones some are lost, and some of the others gained."""
    base = [number < found for number in range(total)]
    return base, [lost <= number < found + gained for number in range(total)]


def boxes(found: Found, image: Mapping[str, Sequence[int]] | None = None) -> pd.DataFrame:
    """The table of test boxes; each box of a class is on another image, unless said otherwise."""
    rows = [
        (f"image{(image or {}).get(name, range(len(hits)))[number]:03}", 100 * CLASSES.index(name) + number,
         CLASSES.index(name), 0.0, 0.0, 9.0, 9.0, bool(hit))
        for name, hits in found.items()
        for number, hit in enumerate(hits)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(detections.BOX_COLUMNS)).astype({"found": bool})


def replicates(value: float, *, spread: float = 0.005, count: int = 200, seed: int = 0) -> npt.NDArray[np.float64]:
    """Give mAP in resamples: the test split's own luck, which all runs share, and a little of the run's."""
    shared = 0.02 * np.random.default_rng(0).normal(size=count)
    return np.asarray(value + shared + spread * np.random.default_rng(seed).normal(size=count), dtype=np.float64)


def side(name: str, found: Found, *, value: float = 0.7, **drawn: Any) -> Side:
    """One training of a run."""
    table = pd.DataFrame({"map50_95": replicates(value, seed=len(name), **drawn)})
    return comparisons.side(name, boxes(found), table, (value,), images=IMAGES)


def night(
    base: Side, run: Side, *, second: Side | None = None, second_base: Side | None = None, best: Side | None = None
) -> Night:
    """A night of these sides."""

    def baseline(one: Side, other: Side | None) -> Baseline:
        return Baseline(first=one, second=other or one, both=comparisons.joined(one, other) if other else one)

    others = (baseline(best, None),) if best else ()
    return Night(run=run, second=second, baselines=(baseline(base, second_base), *others))


def figures(found: Found) -> tuple[ClassFigures, ...]:
    """All classes of the audit; those but the first are rare."""
    return tuple(
        class_figures(
            name,
            rare=name != CLASSES[0] and name in found,
            support=len(found.get(name, ())),
            found=sum(found.get(name, ())),
            recall=Figure(value=sum(found[name]) / len(found[name]) if found.get(name) else None),
        )
        for name in CLASSES
    )


def night_audit(run: str, found: Found, *, value: float | None = 0.7, **changes: Any) -> Audit:
    """The audit of a run that found these boxes."""
    generation = 0 if run == "base" else int(run.rpartition("-")[2])
    line = tuple(ancestor(f"guarded-{n}" if n else "base", generation=n, recalls={}) for n in range(generation + 1))
    plain = {
        "generation": generation,
        "test_images": IMAGES,
        "map50_95": Figure(value=value),
        "seed_map50_95": (value,),
        "classes": figures(found),
        "line": line,
    }
    return audit(run, **(plain | changes))


def write(found_audit: Audit, found: Found, *, spread: float = 0.005) -> None:
    """Write the files of an audit, in the working directory."""
    here = RunPaths(found_audit.run)
    detections.write(here.boxes, boxes(found))
    value = found_audit.map50_95.value
    drawn = replicates(np.nan if value is None else value, spread=spread, seed=len(found_audit.run))
    files.write_text(here.replicates, pd.DataFrame({"map50_95": drawn, "map50": drawn}).to_csv(index=False))
    audits.write(here.figures, found_audit)


def write_confirmation(run: str, found: Found | None, *, value: float = 0.7, **changes: Any) -> None:
    """Write what the stage `confirm` did for a run: a second training that found these boxes, or none."""
    here = RunPaths(run)
    plain: dict[str, Any] = {"run": run, "needed": False, "reason": "nothing looks bad"}
    if found is not None:
        same = audit()
        plain = {"run": run, "needed": True, "reason": "it looks bad", "test": same.test, "test_images": IMAGES,
                 "iou": same.iou, "confidence": 0.3, "map50_95": value}  # fmt: skip
        detections.write(here.confirm / here.boxes.name, boxes(found))
        drawn = replicates(value, seed=len(run) + 50)
        files.write_text(
            here.confirm / here.replicates.name, pd.DataFrame({"map50_95": drawn, "map50": drawn}).to_csv(index=False)
        )
    records.write(nights.summary_path(here), Confirmation(**(plain | changes)))
