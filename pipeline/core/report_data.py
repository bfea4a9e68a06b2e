"""The report on the training data: class shares and their forecasts, lineage, and how fresh the verified images are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pipeline.core import freshness, reporting
from pipeline.core.figures import Figure, Forecast, Freshness
from pipeline.core.history import Record
from pipeline.core.report_charts import SMALL, Decline, DeclineChart, ShareChart
from pipeline.core.report_numbers import ABSENT, counted, listed, shown, significant
from pipeline.core.report_page import (
    Badge,
    BarPanel,
    BarRow,
    Bars,
    Block,
    Cell,
    Chains,
    ColourKey,
    Drawing,
    Drawings,
    Fold,
    Table,
    TableRow,
    Topic,
)
from pipeline.core.report_tables import class_keys, figure_cell, share_panels, stacked, titled
from pipeline.core.report_words import badge
from pipeline.core.reporting import ArmRecord, History, RunRecord

_MOST = 12  # classes with a chart of their own, or in the words of one
_DRAWN = 120  # generations of a stream: of more, evenly spaced ones
_CHAINED = 30  # retired runs of an arm that the lineage names
_COUNTED = 10  # newest generations whose boxes are written out; the charts have all
_DAYS_TOLD_APART = 2  # days under which hours count


def classes(history: History) -> Topic:
    """What each run trains on, class by class, and which classes are foreseen to vanish."""
    warned = [
        (arm, [one.name for one in run.audit.forecasts if one.warning])
        for arm, run in history.newest
        if any(one.warning for one in run.audit.forecasts)
    ]
    said = "; ".join(f"{arm.name}: {listed(names)}" for arm, names in warned)
    streams = tuple(_stream(arm, history.classes) for arm, _ in history.newest)
    blocks: list[Block] = [
        Drawings(drawings=streams, small=True),
        Bars(keys=class_keys(history), panels=share_panels(history)),
    ]
    drawings = _declines(history)
    if drawings:
        blocks.append(Drawings(drawings=drawings[:_MOST], small=True, note=_not_drawn(history, len(drawings))))
    blocks += [
        Fold(title=f"Forecasts before {run.name} was trained", blocks=(forecast_table(run),))
        for _, run in history.newest
        if run.audit.forecasts
    ]
    return Topic(
        title="Classes in the training data, and their half-lives",
        summary=f"foreseen to fall under the boxes that the detector needs: {said}" if said
        else "no class is foreseen to vanish within the horizon",
        lead="Shares of the training boxes by class, of all generations as a stream and of the runs in params.yaml as "
        "bars; then boxes over the generations (dots), their half-life (dotted, with its interval), and the generation "
        "in which they fall under what the detector needs (▼, with its 90 % interval). A class that goes missing here "
        "cannot be learned.",
        blocks=tuple(blocks),
        unfolded=bool(said),
    )  # fmt: skip


def _stream(arm: ArmRecord, classes: Sequence[str]) -> Drawing:
    """The class shares of an arm's line; a run without a box leaves a hole."""
    found = [
        (run.generation, {one.name: one.share for one in reporting.class_shares(audit)})
        for run, audit in reporting.measured(arm)
    ]
    drawn = [*found[: -1 : -(-len(found) // _DRAWN)], found[-1]]
    ends = [{name: _percent(shares.get(name)) for name in classes} for _, shares in (found[0], found[-1])]
    told = "; ".join(f"{name} from {ends[0][name]} to {ends[1][name]}" for name in classes[:_MOST])
    return Drawing(
        title=arm.name,
        note=f"class shares of the training boxes, generations 0 to {found[-1][0]}",
        alt=f"Class shares of {arm.name}, generations 0 to {found[-1][0]}: {told}",
        chart=ShareChart(
            generations=tuple(generation for generation, _ in drawn),
            shares=tuple(tuple(shares.get(name) or 0.0 for _, shares in drawn) for name in classes),
        ),
    )


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{share:.1%}"


def _declines(history: History) -> tuple[Drawing, ...]:
    """A chart of each class that is warned of, then of each other rare one."""
    warned = {one.name for _, run in history.newest for one in run.audit.forecasts if one.warning}
    chosen = [name for name in history.classes if name in warned or name in history.rare]
    order = sorted(chosen, key=lambda name: name not in warned)
    return tuple(drawing for name in order if (drawing := _decline(history, name)) is not None)


def _not_drawn(history: History, drawn: int) -> str:
    """What is said of classes without a chart; empty where all have one."""
    if drawn > _MOST:
        return f"The first {_MOST} of {drawn} rare or warned classes are drawn; the tables have all."
    return "" if drawn == len(history.classes) else "Rare and warned classes are drawn; the tables have all."


def _decline(history: History, name: str) -> Drawing | None:
    known = [
        (arm, one) for arm, run in history.newest if (one := _forecast(run, name)) is not None and one.boxes
    ]  # fmt: skip
    if not known:
        return None
    said = [f"{arm.name}: {_foreseen(one)}" for arm, one in known]
    return Drawing(
        title=name,
        note="; ".join(said),
        alt=f"Training boxes of {name}: " + "; ".join(
            f"{arm.name} {_series([str(boxes) for boxes in one.boxes])}, {_foreseen(one)}" for arm, one in known),
        chart=DeclineChart(
            declines=tuple(
                Decline(number=arm.number, boxes=one.boxes, half_life=one.half_life, crossing=one.generation)
                for arm, one in known
            ),
            need=known[0][1].need,
            size=SMALL,
        ),
    )  # fmt: skip


def _forecast(run: RunRecord, name: str) -> Forecast | None:
    return next((one for one in run.audit.forecasts if one.name == name), None)


def _foreseen(one: Forecast) -> str:
    """The forecast of a class in a few words."""
    when = one.generation
    if when.value is None:
        return f"keeps {one.need} or more"
    low, high = shown(when.low, 0), "later" if when.high is None else shown(when.high, 0)
    between = "" if when.low is None else f" ({low} to {high})"
    return f"under {one.need} in generation {when.value:.0f}{between}"


def forecast_table(run: RunRecord) -> Table:
    """All forecasts of one run."""
    return Table(
        label=f"Forecasts of {run.name}",
        columns=("Class", "Training boxes", "Share", "Half-life", "Falls under the need"),
        rows=tuple(TableRow(name=one.name, cells=_forecast_cells(one)) for one in run.audit.forecasts),
    )


def _forecast_cells(one: Forecast) -> tuple[Cell, ...]:
    tone = "open" if one.warning else ""
    notes = (f"need: {one.need} boxes", *(("within the horizon",) if one.warning else ()))
    return (
        Cell(text=_series([f"{boxes:,}" for boxes in one.boxes])),
        Cell(text=_series([f"{share:.1%}" for share in one.shares])),
        figure_cell(one.half_life, digits=1, what="generations"),
        figure_cell(_whole(one.generation), digits=0, notes=notes, tone=tone),
    )


def _series(values: Sequence[str]) -> str:
    """Values of the generations so far, in words."""
    return ("… → " if len(values) > _COUNTED else "") + " → ".join(values[-_COUNTED:])


def _whole(figure: Figure) -> Figure:
    """A generation without its number of simulated futures, which is no sample size."""
    return Figure(value=figure.value, low=figure.low, high=figure.high, reason=figure.reason)


def lineage(history: History, *, now: datetime) -> Topic:
    """What each run descends from, how deep its data lies, and when people last looked at some of it.

    Args:
        history: the runs.
        now: when the page is made, with its time zone.
    """
    keys = depth_keys(history)
    blocks: list[Block] = [
        Chains(chains=chains(history)),
        Bars(keys=keys, panels=lineage_panels(history)),
        _freshness_table(history, now),
        Fold(title="Lineage depth of each class, newest runs", blocks=(
            Bars(keys=keys, panels=tuple(_depth_panel(arm, run) for arm, run in history.newest)),)),
    ]  # fmt: skip
    return Topic(
        title="Lineage and freshness",
        summary="; ".join(_fresh(run, now) for run in (history.base, *(run for _, run in history.newest))),
        lead=f"What each run descends from, how many steps its training images are from reality, and how long ago a "
        f"person confirmed the newest of them (days before {now:%Y-%m-%d}, when this page was made).",
        blocks=tuple(blocks),
    )


def chains(history: History) -> tuple[tuple[str, tuple[Badge, ...]], ...]:
    """The runs that each arm's newest one descends from, by name, the base first; of retired ones the newest."""
    return tuple((arm.name, tuple(_named_badge(run) for run in _descent(arm))) for arm in history.arms)


def _descent(arm: ArmRecord) -> list[RunRecord | Record]:
    base, *others = arm.line
    return [base, *arm.retired[-_CHAINED:], *others]


def _named_badge(run: RunRecord | Record) -> Badge:
    one = badge(run)
    return Badge(tone=one.tone, symbol=one.symbol, word=run.name, label="" if run.verdict is None else one.word.lower())


def lineage_panels(history: History) -> tuple[BarPanel, ...]:
    """How far the training images of each run are from reality, arm by arm."""
    return tuple(
        BarPanel(
            arm=arm.name, number=arm.number,
            rows=tuple(_depth_row(titled(run), run.audit.lineage, "image") for run in arm.line),
        )
        for arm in history.arms
    )  # fmt: skip


def _depth_panel(arm: ArmRecord, run: RunRecord) -> BarPanel:
    depths = run.audit.freshness.depths
    rows = tuple(_depth_row(name, depths.get(name, {}), "box") for name in (one.name for one in run.audit.classes))
    return BarPanel(arm=arm.name, number=arm.number, rows=rows, note=f"boxes of {run.name}")


def _depth_row(title: str, by_depth: Mapping[str, int], what: str) -> BarRow:
    counts = {int(depth): number for depth, number in by_depth.items() if number}
    total = sum(counts.values()) or 1
    many = {"image": "images", "box": "boxes"}[what]
    named = [(depth, number, _depth_name(depth)) for depth, number in sorted(counts.items())]
    parts = [(number / total, depth_colour(depth), f"{name}: {number} {many}") for depth, number, name in named]
    note = ", ".join(f"{number} {name}" for _, number, name in named)
    return BarRow(title=title, bars=stacked(parts), note=note, warning="" if counts else f"no {what}")


def _depth_name(depth: int) -> str:
    return "real" if depth == 0 else f"depth {depth}"


def depth_colour(depth: int) -> str:
    """The colour of a lineage depth: real images stand out, deeper ones darken."""
    shades = ("#0a9a6b", "#e3b505", "#e08a00", "#d1493f", "#9c2f5f", "#5f2a6b")
    return shades[min(depth, len(shades) - 1)]


def depth_keys(history: History) -> tuple[ColourKey, ...]:
    """The legend of the lineage depths."""
    depths = sorted({int(depth) for run in history.runs for depth in run.audit.lineage})
    return tuple(ColourKey(name=_depth_name(depth), colour=depth_colour(depth), rare=False) for depth in depths)


def _freshness_table(history: History, now: datetime) -> Table:
    return Table(
        label="Human-verified training images",
        columns=("Run", "Verified", "Share", "Newest", "Half of them since", "Oldest"),
        rows=tuple(
            TableRow(name=run.name, badge=badge(run), cells=_freshness_cells(run.audit.freshness, now))
            for run in history.runs
        ),
    )


def _freshness_cells(one: Freshness, now: datetime) -> tuple[Cell, ...]:
    return (
        Cell(text=f"{one.verified:,}"),
        figure_cell(one.share),
        *(_time_cell(time, now) for time in (one.newest, one.median, one.oldest)),
    )


def _time_cell(time: str | None, now: datetime) -> Cell:
    if time is None:
        return Cell(text=ABSENT, notes=("no verified image",))
    return Cell(text=f"{age(time, now)} ago", notes=(time[:10],))


def age(time: str, now: datetime) -> str:
    """How long ago something was, in days, or in hours where it is less than two."""
    days = max(freshness.days_since(time, now), 0.0)
    if days < _DAYS_TOLD_APART:
        return counted(int(days * 24), "hour")
    return counted(int(days), "day")


def _fresh(run: RunRecord, now: datetime) -> str:
    one = run.audit.freshness
    newest = "" if one.newest is None else f", the newest {age(one.newest, now)} old"
    share = "" if one.share.value is None else f" ({significant(100 * one.share.value)} %)"
    return f"{run.name}: {counted(one.verified, 'verified image')}{share}{newest}"
