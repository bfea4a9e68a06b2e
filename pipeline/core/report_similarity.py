"""The report on the synthetic images themselves: duplication, diversity and fidelity, and drift."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.core import reporting
from pipeline.core.figures import Diversity, Drift, Duplication, Figure
from pipeline.core.pictures import Gallery
from pipeline.core.report_charts import SMALL, LineChart
from pipeline.core.report_numbers import ABSENT, counted, p_value, shown, significant
from pipeline.core.report_page import Block, Cell, Drawing, Drawings, Fold, Pictures, Table, TableRow, Text, Topic
from pipeline.core.report_tables import figure_cell
from pipeline.core.report_words import badge, chart_alt, left_out
from pipeline.core.reporting import History, RunRecord

_MOST = 12  # classes with a chart of their own
_SIGNIFICANT = 0.05  # p values under this are chance no more; they are adjusted for the number of quantities
_NEGLIGIBLE = {"Cliff's delta": 0.147, "Cramér's V": 0.1}  # effects under this, with thousands of boxes, say nothing
_NONE = Text(text=f"{ABSENT} No run has a synthetic image.")


def _made(history: History) -> list[RunRecord]:
    """Runs that have synthetic images, arm by arm."""
    return [run for arm in history.arms for run in arm.runs if run.audit.duplication]


def duplication(history: History, groups: Sequence[Gallery], pairs: Sequence[Gallery]) -> Topic:
    """Synthetic items that are alike, and those that copy a real one; with their pictures."""
    runs = _made(history)
    blocks: list[Block] = []
    if groups:
        blocks += [Text(text="Groups of near-identical synthetic objects, the largest first."),
                   Pictures(style="groups", galleries=tuple(groups))]  # fmt: skip
    if pairs:
        blocks += [Text(text="The synthetic objects nearest to a real one; each stands left of its nearest real one."),
                   Pictures(style="pairs", galleries=tuple(pairs))]  # fmt: skip
    levels = [("object", "Objects"), ("image", "Images")]
    blocks += [Fold(title=f"{title}, run by run", blocks=(_duplication_table(runs, level),)) for level, title in levels]
    return Topic(
        title="Copies and repetitions",
        summary=_duplication_summary(history),
        lead="Collapse shows as near-identical objects on different pages. What counts as near is calibrated on the "
        "real training data; “expected” is what the same rule finds among as many real items.",
        blocks=tuple(blocks) if runs else (_NONE,),
    )


def _duplication_summary(history: History) -> str:
    parts = []
    for _, run in history.newest:
        one = run.duplication("object") or run.duplication("image")
        if one is not None:
            expected = f" (expected {shown(one.expected.value)})" if one.expected.value is not None else ""
            parts.append(
                f"{run.name}: share of near-identical {one.level}s {shown(one.near_share.value)}{expected}, "
                f"near a real one {shown(one.copy_share.value)}"
            )
    return "; ".join(parts) or "no run has a synthetic image"


def _duplication_table(runs: Sequence[RunRecord], level: str) -> Table:
    return Table(
        label=f"Duplication of {level}s",
        columns=(
            "Run",
            "Near one another",
            "Expected",
            "Groups",
            "Exact",
            "Re-encoded",
            "Near a real one",
            "Threshold",
        ),
        rows=tuple(
            TableRow(name=run.name, badge=badge(run), cells=_duplication_cells(one))
            for run in runs
            if (one := run.duplication(level)) is not None
        ),
    )  # fmt: skip


def _duplication_cells(one: Duplication) -> tuple[Cell, ...]:
    alike = one.near_share.low is not None and (one.expected.high or one.expected.value or 1.0) < one.near_share.low
    copies = ", ".join(f"{number} {split}" for split, number in one.copies.items())
    threshold = Cell(text=ABSENT, notes=("too few real items to calibrate it",)) if one.threshold is None else (
        Cell(text=shown(one.threshold), notes=("cosine similarity", f"{one.quantile:.1%} quantile of real items"))
    )  # fmt: skip
    return (
        figure_cell(one.near_share, notes=(f"{one.near:,} of {one.items:,}",), tone="open" if alike else ""),
        figure_cell(one.expected, notes=("among real ones",)),
        Cell(text=f"{one.groups:,}", notes=(f"largest: {one.largest:,}",)),
        Cell(text=f"{one.exact:,}", notes=("equal pixels",)),
        Cell(text=f"{one.reencoded:,}", notes=(f"within {one.hash_distance} bits",)),
        figure_cell(one.copy_share, notes=(copies,) if copies else ()),
        threshold,
    )


def diversity(history: History) -> Topic:
    """Synthetic objects beside real ones at equal sample sizes."""
    runs = [run for _, run in history.newest if run.audit.diversity]
    blocks: list[Block] = []
    if runs:
        names = ["all", *reporting.rare_first(history, reporting.telling(history, history.classes, _MOST))]
        drawings = [_tail_drawing(history, name) for name in names]
        note = left_out(len(history.classes), _MOST, "classes", "charts")
        blocks = [Drawings(drawings=tuple(drawings), small=True, note=note)]
        blocks += [Fold(title=f"{run.name}, class by class", blocks=(diversity_table(run),)) for run in runs]
        blocks.append(Fold(title="All objects, run by run", blocks=(_diversity_of_all(_made(history)),)))
    return Topic(
        title="Variety and fidelity",
        summary=_diversity_summary(runs),
        lead="Synthetic objects beside real training objects, as many of each. A lost tail is the share of real "
        "objects that have no synthetic one near them: what the generator has forgotten.",
        blocks=tuple(blocks) or (_NONE,),
    )


def _tail_drawing(history: History, name: str) -> Drawing:
    lines = [line for line in reporting.run_lines(history, reporting.lost_tail_of(name)) if line.points]
    samples = [one.samples for run in history.runs if (one := run.diversity(name))]
    title = "All objects" if name == "all" else name
    most = f"up to {counted(max(samples), 'object')} of each kind" if samples else "no object"
    return Drawing(
        title=title,
        note=f"lost tail, {most}",
        alt=chart_alt(f"Lost tail of {title}", lines),
        chart=LineChart(lines=lines, size=SMALL, named=False),
    )


def _diversity_summary(runs: Sequence[RunRecord]) -> str:
    parts = []
    for run in runs:
        one = run.diversity("all")
        if one is not None:
            parts.append(
                f"{run.name}: coverage {shown(one.coverage.value, 2)}, lost tail {shown(one.lost_tail.value, 2)}, "
                f"Vendi score {shown(one.vendi_synthetic.value, 1)} (real {shown(one.vendi_real.value, 1)})"
            )
    return "; ".join(parts) or "no run has a synthetic image"


_DIVERSITY = ("Vendi score", "Vendi score, real", "Coverage", "Density", "Lost tail")


def diversity_table(run: RunRecord) -> Table:
    """Diversity of one run, class by class."""
    return Table(
        label=f"Diversity of {run.name}",
        columns=("Class", *_DIVERSITY),
        rows=tuple(
            TableRow(name="all objects" if one.name == "all" else one.name, cells=_diversity_cells(one))
            for one in run.audit.diversity
        ),
    )


def _diversity_of_all(runs: Sequence[RunRecord]) -> Table:
    return Table(
        label="Diversity of all objects",
        columns=("Run", *_DIVERSITY),
        rows=tuple(
            TableRow(name=run.name, badge=badge(run), cells=_diversity_cells(one))
            for run in runs
            if (one := run.diversity("all")) is not None
        ),
    )


def _diversity_cells(one: Diversity) -> tuple[Cell, ...]:
    def apart(figure: Figure, other: Figure) -> bool:
        return figure.high is not None and other.low is not None and figure.high < other.low

    poor = apart(one.vendi_synthetic, one.vendi_real)
    return (
        figure_cell(one.vendi_synthetic, digits=1, tone="open" if poor else ""),
        figure_cell(one.vendi_real, digits=1),
        figure_cell(one.coverage),
        figure_cell(one.density),
        figure_cell(one.lost_tail),
    )


def drift(history: History) -> Topic:
    """How far synthetic images have moved from real ones, quantity by quantity."""
    runs = [run for _, run in history.newest if run.audit.drift]
    blocks: list[Block] = []
    if runs:
        quantities = [one.quantity for one in runs[0].audit.drift if one.quantity != "class shares"]
        drawings = [_drift_drawing(history, quantity) for quantity in quantities]
        blocks = [Drawings(drawings=tuple(one for one in drawings if one is not None), small=True)]
        blocks += [Fold(title=f"{run.name}, quantity by quantity", blocks=(drift_table(run),)) for run in runs]
    return Topic(
        title="Drift of the synthetic images",
        summary=_drift_summary(runs),
        lead="Medians over the generations; generation 0 is the real training data. Artifacts of a generator grow "
        "from generation to generation. A quantity is marked where it moved by more than chance explains and by more "
        "than a negligible effect.",
        blocks=tuple(blocks) or (_NONE,),
    )


def _drift_drawing(history: History, quantity: str) -> Drawing | None:
    known = [one for run in history.runs if (one := run.drift(quantity)) and one.real is not None]
    if not known:
        return None
    lines = reporting.run_lines(history, _median(quantity, known[0].real))
    most = max(point.figure.value or 0.0 for line in lines for point in line.points)
    return Drawing(
        title=quantity.capitalize(),
        note=known[0].unit,
        alt=chart_alt(f"Median of {quantity}", lines, digits=4),
        chart=LineChart(lines=lines, size=SMALL, named=False, span=(0.0, 1.1 * most or 1.0)),
    )


def _median(quantity: str, real: float | None) -> Callable[[RunRecord], Figure | None]:
    def figure(run: RunRecord) -> Figure | None:
        if run.verdict is None:
            return Figure(value=real)
        one = run.drift(quantity)
        return None if one is None else Figure(value=one.synthetic, reason=one.reason)

    return figure


def moved(one: Drift) -> bool:
    """Whether a quantity differs by more than chance explains, and by more than a negligible effect.

    Source: Cliff's delta under 0.147 is negligible: Romano et al. 2006, Annual meeting of the Florida Association of
    Institutional Research; Cramér's V under 0.1: Cohen 1988, Statistical Power Analysis, chapter 7.
    """
    if one.p_value is None or one.effect is None:
        return False
    return one.p_value < _SIGNIFICANT and abs(one.effect) >= _NEGLIGIBLE.get(one.effect_name, 0.0)


def _drift_summary(runs: Sequence[RunRecord]) -> str:
    parts = []
    for run in runs:
        found = sorted((one for one in run.audit.drift if moved(one)), key=lambda one: -abs(one.effect or 0.0))
        most = f", most of all {found[0].quantity} ({found[0].effect:+.2f})" if found and found[0].effect else ""
        parts.append(f"{run.name}: {len(found)} of {len(run.audit.drift)} quantities moved{most}")
    return "; ".join(parts) or "no run has a synthetic image"


def drift_table(run: RunRecord) -> Table:
    """All quantities of one run."""
    return Table(
        label=f"Drift of {run.name}",
        columns=("Quantity", "Real → synthetic", "Effect", "Chance"),
        rows=tuple(TableRow(name=one.quantity, cells=_drift_cells(one)) for one in run.audit.drift),
    )


def _drift_cells(one: Drift) -> tuple[Cell, ...]:
    real, synthetic = one.samples
    medians = ABSENT if one.real is None or one.synthetic is None else (
        f"{significant(one.real)} → {significant(one.synthetic)}"
    )  # fmt: skip
    reason = (one.reason,) if one.reason else ()
    return (
        Cell(text=medians, notes=(*((one.unit,) if one.unit else ()), f"n = {real:,} and {synthetic:,}", *reason)),
        Cell(text=ABSENT if one.effect is None else f"{one.effect:+.2f}", notes=(one.effect_name,),
             tone="open" if moved(one) else ""),
        Cell(text=ABSENT, notes=reason) if one.p_value is None else Cell(text=p_value(one.p_value), notes=(one.test,)),
    )  # fmt: skip
