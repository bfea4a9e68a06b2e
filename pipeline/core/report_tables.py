"""The report's tables, legends and stacked bars."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core import colours, reporting
from pipeline.core.audits import Audit
from pipeline.core.figures import ClassFigures, Figure
from pipeline.core.judgements import Test
from pipeline.core.report_numbers import ABSENT, p_value, shown, spanned
from pipeline.core.report_page import ArmKey, Bar, BarPanel, BarRow, Cell, ColourKey, Table, TableRow
from pipeline.core.report_words import badge
from pipeline.core.reporting import History, RunRecord


def arm_keys(history: History, dashes: Sequence[str]) -> tuple[ArmKey, ...]:
    """The legend of the arms; ``dashes`` are the patterns of the charts, taken in turn."""
    keys = []
    for arm in history.arms:
        beside = [run.name for run in arm.runs if run not in arm.line]
        note = f"(not drawn: {', '.join(beside)}, beside the line of the newest run)" if beside else ""
        keys.append(ArmKey(name=arm.name, number=arm.number, dash=dashes[arm.number % len(dashes)], note=note))
    return tuple(keys)


def class_keys(history: History) -> tuple[ColourKey, ...]:
    """The legend of the classes."""
    rare = set(history.rare)
    return tuple(
        ColourKey(name=name, colour=colours.class_colour(number), rare=name in rare)
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
        title=titled(run), bars=stacked(parts), note=f"{boxes:,} boxes",
        warning=f"without a box: {', '.join(absent)}" if absent else "",
    )  # fmt: skip


def titled(run: RunRecord) -> str:
    """A run as it is named beside a bar, where the arm is known."""
    return "base" if run.verdict is None else f"gen {run.generation}"


def stacked(parts: Sequence[tuple[float, str, str]]) -> tuple[Bar, ...]:
    """The parts of a bar, from share in [0, 1], colour and name; those without a share are left out."""
    bars, start = [], 0.0
    for share, colour, name in parts:
        if share > 0:
            bars.append(Bar(start=round(100 * start, 3), width=round(100 * share, 3), colour=colour, name=name))
        start += share
    return tuple(bars)


def figure_cell(figure: Figure, *, digits: int = 3, what: str = "", notes: Sequence[str] = (), tone: str = "") -> Cell:
    """A figure with its interval and sample size under it; or a dash with the reason.

    Args:
        figure: the number.
        digits: after the point.
        what: the samples are, such as "boxes"; empty: their number alone, as n.
        notes: further lines under it.
        tone: of the cell, a CSS class.
    """
    size = () if figure.samples is None else (f"{figure.samples:,} {what}" if what else f"n = {figure.samples:,}",)
    reason = (figure.reason,) if figure.reason else ()
    if figure.value is None:
        return Cell(text=ABSENT, notes=(*reason, *notes))
    return Cell(text=shown(figure.value, digits), notes=(*spanned(figure, digits), *size, *reason, *notes), tone=tone)


def table_of_runs(history: History, *, most: int) -> Table:
    """Every run with all its figures; recall of at most so many classes."""
    told = reporting.rare_first(history, reporting.telling(history, history.classes, most))
    named = tuple(f"{name} (rare)" if name in history.rare else name for name in told)
    return Table(
        label="Every run",
        columns=("Run", "mAP50-95", "mAP50", *named, "Images", "Alike", "Confidence"),
        rows=tuple(table_row(run, told) for run in history.runs),
    )


def table_of_retired(history: History, *, most: int) -> Table:
    """The retired runs, arm by arm, the newest first, with what is known of them; recall of at most so many classes."""
    told = reporting.rare_first(history, reporting.telling(history, history.classes, most))
    named = tuple(f"{name} (rare)" if name in history.rare else name for name in told)
    return Table(
        label="Retired runs",
        columns=("Run", "mAP50-95", "mAP50", *named, "Images"),
        rows=tuple(
            TableRow(
                name=run.name,
                badge=badge(run),
                cells=(
                    figure_cell(run.map50_95),
                    figure_cell(run.map50),
                    *(figure_cell(reporting.recall_of(name)(run), what="boxes") for name in told),
                    Cell(text=f"{run.real_images + run.synthetic_images}",
                         notes=(f"{run.real_images} real", f"{run.synthetic_images} synthetic")),
                ),
            )
            for arm in history.arms
            for run in reversed(arm.retired)
        ),
    )  # fmt: skip


def table_row(run: RunRecord, classes: Sequence[str]) -> TableRow:
    """One run with all its figures."""
    audit = run.audit
    return TableRow(
        name=run.name,
        badge=badge(run),
        cells=(
            _tested(audit.map50_95, run.test("mAP50-95"), _seeds(audit)),
            Cell(text=shown(audit.map50.value), notes=_interval(audit.map50)),
            *(_class_cell(reporting.class_figures(audit, name), run.test(f"recall of {name}")) for name in classes),
            Cell(text=f"{audit.real_images + audit.synthetic_images}",
                 notes=(f"{audit.real_images} real", f"{audit.synthetic_images} synthetic")),
            _alike(run),
            Cell(text=f"{audit.confidence:.2f}"),
        ),
    )  # fmt: skip


def _seeds(audit: Audit) -> tuple[str, ...]:
    """The mAP of each training, where there are several."""
    if audit.seeds == 1:
        return ()
    return (f"{audit.seeds} trainings: {', '.join(shown(one) for one in audit.seed_map50_95)}",)


def _tested(figure: Figure, test: Test | None, notes: Sequence[str] = ()) -> Cell:
    return Cell(text=shown(figure.value), notes=(*_interval(figure), *_loss(test), *notes), tone=tone(test))


def _class_cell(one: ClassFigures, test: Test | None) -> Cell:
    boxes = f"trained on {one.training_boxes}"
    counts = (f"{one.found} of {one.support} found",) if one.support else ()
    return Cell(
        text=shown(one.recall.value),
        notes=(*_interval(one.recall), *counts, *_loss(test), boxes),
        tone="loss" if one.training_boxes == 0 else tone(test),
    )


def _interval(figure: Figure) -> tuple[str, ...]:
    if figure.value is None:
        return (figure.reason,) if figure.reason else ()
    return spanned(figure)


def _loss(test: Test | None) -> tuple[str, ...]:
    if test is None or test.loss is None or test.low is None or test.high is None:
        return ()
    chance = "" if test.p_value is None else f", {p_value(test.p_value)}"
    return (f"loss {test.loss:.3f} ({test.low:.3f} to {test.high:.3f}){chance}",)


def tone(test: Test | None) -> str:
    """The CSS class of a test's outcome."""
    return {"loss": "loss", "open": "open", "no loss": ""}[test.outcome] if test else ""


def _alike(run: RunRecord) -> Cell:
    pictures, objects = run.duplication("image"), run.duplication("object")
    if pictures is None:
        return Cell(text=ABSENT, notes=("no synthetic image",))
    beside = () if objects is None else (f"objects: {objects.near} of {objects.items:,}",)
    return Cell(text=f"{pictures.near} of {pictures.items:,}", notes=(f"{pictures.exact} exact", *beside))
