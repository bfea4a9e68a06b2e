"""The report on how the detector errs: box sizes, confusions, false positives, and calibration of its confidence."""

from __future__ import annotations

import math

from pipeline.core.figures import Confusion, ReliabilityBin, SizeFigures
from pipeline.core.report_charts import ReliabilityChart
from pipeline.core.report_numbers import counted, shown, significant
from pipeline.core.report_page import (
    Block,
    Cell,
    Drawing,
    Drawings,
    Fold,
    Heat,
    PlainBlock,
    Shade,
    Table,
    TableRow,
    Text,
    Topic,
)
from pipeline.core.report_tables import figure_cell
from pipeline.core.report_words import badge
from pipeline.core.reporting import ArmRecord, History, RunRecord

_MOST = 20  # classes that a confusion table shows


def topic(history: History) -> Topic:
    """How the base run and each arm's newest run err."""
    runs = [history.base, *(run for _, run in history.newest)]
    blocks: list[Block] = [
        Drawings(drawings=tuple(_reliability(history.base, arm, run) for arm, run in history.newest), small=True),
        _table(runs),
        *(Fold(title=f"What {run.name} takes boxes for", blocks=_confusion(run)) for run in runs),
        Fold(title="Precision and average precision of each class", blocks=tuple(_classes(run) for run in runs)),
        Fold(title="The bins of the reliability diagram", blocks=tuple(_bins(run) for run in runs)),
    ]
    return Topic(
        title="How the detector errs",
        summary=_summary(history),
        lead="On the test images, at the confidence that was chosen on the validation split. Calibrated: of the "
        "detections of a confidence, that share finds a box.",
        blocks=tuple(blocks),
    )


def _summary(history: History) -> str:
    parts = [
        f"{run.name}: {shown(run.audit.detection.false_positives.value, 2)} false positives an image, "
        f"calibration error {shown(run.audit.detection.calibration_error.value)}"
        for run in (history.base, *(run for _, run in history.newest))
    ]
    return "; ".join(parts)


def _reliability(base: RunRecord, arm: ArmRecord, run: RunRecord) -> Drawing:
    detection = run.audit.detection
    error = shown(detection.calibration_error.value)
    detections = sum(one.observed.samples or 0 for one in detection.reliability)
    return Drawing(
        title=f"{arm.name}, generation {run.generation}",
        note=f"calibration error {error}; {counted(detections, 'detection')}, grey is the base run",
        alt=f"Reliability diagram of {run.name}: {_said(detection.reliability)}",
        chart=ReliabilityChart(
            base=base.audit.detection.reliability, bins=detection.reliability, number=arm.number
        ),
    )  # fmt: skip


def _said(bins: tuple[ReliabilityBin, ...]) -> str:
    return ", ".join(f"predicted {one.predicted:.2f} observed {shown(one.observed.value, 2)}" for one in bins)


def _table(runs: list[RunRecord]) -> Table:
    sizes = [one.name for one in runs[0].audit.detection.sizes]
    return Table(
        label="How each run errs",
        columns=(
            "Run", *(f"Recall, {name}" for name in sizes), "False positives an image", "Calibration error",
            "mAP50, own training images", "mAP50, val", "mAP50, test",
        ),
        rows=tuple(
            TableRow(
                name=run.name,
                badge=badge(run),
                cells=(
                    *(_size(one) for one in run.audit.detection.sizes),
                    figure_cell(run.audit.detection.false_positives, what="images"),
                    figure_cell(run.audit.detection.calibration_error, what="detections"),
                    figure_cell(run.audit.fit.train_map50, what="images"),
                    figure_cell(run.audit.fit.val_map50, what="images"),
                    figure_cell(run.audit.fit.test_map50, what="images"),
                ),
            )
            for run in runs
        ),
    )  # fmt: skip


def _size(one: SizeFigures) -> Cell:
    high = "or more" if one.high is None else f"to {significant(one.high)}"
    return figure_cell(one.recall, what="boxes", notes=(f"{significant(one.low)} {high} px",))


def _classes(run: RunRecord) -> Table:
    return Table(
        label=f"Classes of {run.name}",
        columns=(run.name, "AP50-95", "AP50", "Precision"),
        rows=tuple(
            TableRow(
                name=one.name,
                notes=("rare",) if one.rare else (),
                cells=(
                    figure_cell(one.ap50_95), figure_cell(one.ap50), figure_cell(one.precision, what="detections")
                ),
            )
            for one in run.audit.classes
        ),
    )  # fmt: skip


def _bins(run: RunRecord) -> Table:
    return Table(
        label=f"Reliability of {run.name}",
        columns=(f"{run.name}: confidence", "Mean confidence", "Observed precision"),
        rows=tuple(
            TableRow(
                name=f"{one.low:.3f} to {one.high:.3f}",
                cells=(Cell(text=shown(one.predicted)), figure_cell(one.observed, what="detections")),
            )
            for one in run.audit.detection.reliability
        ),
    )


def _confusion(run: RunRecord) -> tuple[PlainBlock, ...]:
    found = run.audit.detection.confusion
    if len(found.classes) > _MOST:
        return (Text(text=f"{len(found.classes)} classes are too many for a table; {_worst(found)}."),)
    return (confusion_table(found, run.name),)


def _worst(found: Confusion) -> str:
    """The commonest confusions, in words."""
    pairs = [
        (number, found.classes[true], found.classes[seen])
        for true, row in enumerate(found.counts[:-1])
        for seen, number in enumerate(row[:-1])
        if true != seen and number
    ]
    named = [f"{number} boxes of {true} were taken for {seen}" for number, true, seen in sorted(pairs, reverse=True)]
    return "; ".join(named[:8]) or "no box was taken for another class"


def confusion_table(found: Confusion, name: str) -> Heat:
    """Which class test boxes were taken for; a row is shaded by the roots of its shares, so that few boxes show."""
    size = len(found.classes)
    rows = []
    for true, counts in enumerate(found.counts):
        total = sum(counts)
        shades = tuple(
            # The corner below the last class and beyond it counts what is neither box nor detection.
            Shade(text="" if true == seen == size else str(number), tone="good" if true == seen else "bad",
                  depth=round(100 * math.sqrt(number / total)) if total and not true == seen == size else 0)
            for seen, number in enumerate(counts)
        )  # fmt: skip
        rows.append((found.classes[true] if true < size else "no box there", shades))
    return Heat(
        label=f"Confusion of {name}: rows are labelled boxes, columns what was detected there",
        corner="labelled ↓ detected →",
        columns=(*found.classes, "nothing"),
        rows=tuple(rows),
    )
