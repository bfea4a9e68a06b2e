"""The report's tables, legends and stacked bars."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core import colours, reporting
from pipeline.core.audits import Audit, ClassFigures, Figure
from pipeline.core.report_files import ABSENT, shown
from pipeline.core.report_page import ArmKey, Bar, BarPanel, BarRow, Cell, ClassKey, TableRow
from pipeline.core.report_words import badge
from pipeline.core.reporting import History, RunRecord
from pipeline.core.verdicts import Test


def arm_keys(history: History, dashes: Sequence[str]) -> tuple[ArmKey, ...]:
    """The legend of the arms; ``dashes`` are the patterns of the charts, taken in turn."""
    keys = []
    for arm in history.arms:
        beside = [run.name for run in arm.runs if run not in arm.line]
        note = f"(not drawn: {', '.join(beside)}, beside the line of the newest run)" if beside else ""
        keys.append(ArmKey(name=arm.name, number=arm.number, dash=dashes[arm.number % len(dashes)], note=note))
    return tuple(keys)


def class_keys(history: History) -> tuple[ClassKey, ...]:
    """The legend of the classes."""
    rare = set(history.rare)
    return tuple(
        ClassKey(name=name, colour=colours.class_colour(number), rare=name in rare)
        for number, name in enumerate(history.classes)
    )


def share_panels(history: History) -> tuple[BarPanel, ...]:
    """The class shares of the training data, arm by arm."""
    return tuple(
        BarPanel(arm=arm.name, number=arm.number, rows=tuple(_share_row(run) for run in arm.line))
        for arm in history.arms
    )


def _share_row(run: RunRecord) -> BarRow:
    parts = [
        (one.share or 0.0, colours.class_colour(one.number), f"{one.name}: {one.boxes} boxes")
        for one in reporting.class_shares(run.audit)
    ]
    absent = reporting.absent_classes(run.audit)
    boxes = sum(one.training_boxes for one in run.audit.classes)
    return BarRow(
        title=_titled(run), bars=_bars(parts), note=f"{boxes:,} boxes",
        warning=f"without a box: {', '.join(absent)}" if absent else "",
    )  # fmt: skip


def _titled(run: RunRecord) -> str:
    return "base" if run.verdict is None else f"gen {run.generation}"


def _bars(parts: Sequence[tuple[float, str, str]]) -> tuple[Bar, ...]:
    bars, start = [], 0.0
    for share, colour, name in parts:
        if share > 0:
            bars.append(Bar(start=round(100 * start, 3), width=round(100 * share, 3), colour=colour, name=name))
        start += share
    return tuple(bars)


def lineage_panels(history: History) -> tuple[BarPanel, ...]:
    """How far the training images of each run are from reality, arm by arm."""
    return tuple(
        BarPanel(arm=arm.name, number=arm.number, rows=tuple(_lineage_row(run) for run in arm.line))
        for arm in history.arms
    )


def _lineage_row(run: RunRecord) -> BarRow:
    counts = {int(depth): number for depth, number in run.audit.lineage.items()}
    total = sum(counts.values()) or 1
    named = [(depth, number, "real" if depth == 0 else f"depth {depth}") for depth, number in sorted(counts.items())]
    parts = [(number / total, depth_colour(depth), f"{name}: {number} images") for depth, number, name in named]
    return BarRow(
        title=_titled(run), bars=_bars(parts), note=", ".join(f"{number} {name}" for _, number, name in named)
    )


def depth_colour(depth: int) -> str:
    """The colour of a lineage depth: real images stand out, deeper ones darken."""
    shades = ("#0a9a6b", "#e3b505", "#e08a00", "#d1493f", "#9c2f5f", "#5f2a6b")
    return shades[min(depth, len(shades) - 1)]


def depth_keys(history: History) -> tuple[ClassKey, ...]:
    """The legend of the lineage depths."""
    depths = sorted({int(depth) for run in history.runs for depth in run.audit.lineage})
    return tuple(
        ClassKey(name="real" if depth == 0 else f"depth {depth}", colour=depth_colour(depth), rare=False)
        for depth in depths
    )


def columns(classes: Sequence[str], rare: Sequence[str]) -> tuple[str, ...]:
    """Headings of the table after run and verdict."""
    named = tuple(f"{name} (rare)" if name in rare else name for name in classes)
    return ("mAP50-95", "mAP50", *named, "Images", "Near duplicates", "Confidence")


def table_row(run: RunRecord, classes: Sequence[str]) -> TableRow:
    """One run with all its figures."""
    audit = run.audit
    return TableRow(
        name=run.name,
        badge=badge(run),
        cells=(
            Cell(text=shown(audit.map50_95.value), notes=(*_interval(audit.map50_95), *_loss(run.test("mAP50-95"))),
                 tone=_tone(run.test("mAP50-95"))),
            Cell(text=shown(audit.map50.value), notes=_interval(audit.map50)),
            *(_class_cell(reporting.class_figures(audit, name), run.test(f"recall of {name}")) for name in classes),
            Cell(text=f"{audit.real_images + audit.synthetic_images}",
                 notes=(f"{audit.real_images} real", f"{audit.synthetic_images} synthetic")),
            _duplicates(audit),
            Cell(text=f"{audit.confidence:.2f}"),
        ),
    )  # fmt: skip


def _class_cell(one: ClassFigures, test: Test | None) -> Cell:
    boxes = f"trained on {one.training_boxes}"
    counts = (f"{one.found} of {one.support} found",) if one.support else ()
    return Cell(
        text=shown(one.recall.value),
        notes=(*_interval(one.recall), *counts, *_loss(test), boxes),
        tone="loss" if one.training_boxes == 0 else _tone(test),
    )


def _interval(figure: Figure) -> tuple[str, ...]:
    if figure.value is None:
        return (figure.reason,) if figure.reason else ()
    return () if figure.low is None or figure.high is None else (f"{figure.low:.3f} to {figure.high:.3f}",)


def _loss(test: Test | None) -> tuple[str, ...]:
    if test is None or test.loss is None or test.low is None or test.high is None:
        return ()
    p_value = "" if test.p_value is None else f", p {'< 0.001' if test.p_value < 0.001 else f'= {test.p_value:.3f}'}"  # noqa: PLR2004
    return (f"loss {test.loss:.3f} ({test.low:.3f} to {test.high:.3f}){p_value}",)


def _tone(test: Test | None) -> str:
    return {"loss": "loss", "open": "open", "no loss": ""}[test.outcome] if test else ""


def _duplicates(audit: Audit) -> Cell:
    one = audit.duplicates
    if one is None:
        return Cell(text=ABSENT, notes=("no synthetic image",))
    return Cell(text=f"{one.near} of {one.images}", notes=(f"{one.exact} exact", f"{one.near_real} near a real image"))
