"""What the report's page shows, ready to be laid out; every text is plain and still to be escaped."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.pictures import Gallery


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A verdict as colour (``tone``, a CSS class), symbol and word; ``label`` says what it belongs to."""

    tone: str
    symbol: str
    word: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A figure of the base run and of the newest run."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The verdict on one arm, first thing on the page."""

    arm: str
    number: int
    badge: Badge
    policy: str
    since: str
    plain: str
    reason: str
    changes: tuple[Change, ...]
    strip: tuple[Badge, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A table cell: a main text, and smaller lines under it."""

    text: str
    notes: tuple[str, ...] = ()
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One run of the table."""

    name: str
    badge: Badge
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A part of a stacked bar, in hundredths of its length."""

    start: float
    width: float
    colour: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRow:
    """A stacked bar with its title and what is said beside it."""

    title: str
    bars: tuple[Bar, ...]
    note: str
    warning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarPanel:
    """The stacked bars of one arm."""

    arm: str
    number: int
    rows: tuple[BarRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmKey:
    """An arm in the legend of the charts; ``dash`` is its pattern as SVG has it."""

    name: str
    number: int
    dash: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassKey:
    """A class in the legend."""

    name: str
    colour: str
    rare: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart: its heading, a line under it, and the SVG as it comes from the adapter."""

    title: str
    note: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the page shows."""

    headline: str
    subtitle: str
    cards: tuple[Card, ...]
    arms: tuple[ArmKey, ...]
    main_charts: tuple[Drawing, ...]
    class_charts: tuple[Drawing, ...]
    class_charts_note: str
    classes: tuple[ClassKey, ...]
    shares: tuple[BarPanel, ...]
    learned: tuple[Gallery, ...]
    pictures_note: str
    lost: tuple[Gallery, ...]
    columns: tuple[str, ...]
    columns_note: str
    table: tuple[TableRow, ...]
    lineage: tuple[BarPanel, ...]
    chains: tuple[tuple[str, tuple[Badge, ...]], ...]
    depths: tuple[ClassKey, ...]
    rules: tuple[tuple[str, str], ...]
