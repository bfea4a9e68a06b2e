"""What the report's page shows, ready to be laid out; every text is plain and still to be escaped.

A topic of the page is a list of blocks; each block has a `kind`, by which the template knows how to lay it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.core.pictures import Gallery
from pipeline.core.report_charts import Chart


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
    night: str
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
    """One row of a table; a run has its verdict beside its name."""

    name: str
    cells: tuple[Cell, ...]
    badge: Badge | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table under its label; ``columns`` head all columns, that of the rows' names included."""

    label: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shade:
    """A cell of a heat table: a number, and how dark it is, in [0, 100]; ``tone`` says whether dark is good or bad."""

    text: str
    depth: int
    tone: Literal["good", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """A table of numbers whose colour says how large they are; ``corner`` says what rows and columns are."""

    label: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Shade, ...]], ...]
    kind: Literal["heat"] = "heat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """A list of sentences under a heading, which may be empty."""

    title: str
    points: tuple[str, ...]
    kind: Literal["points"] = "points"


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
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmKey:
    """An arm in the legend of the charts; ``dash`` is its pattern as SVG has it."""

    name: str
    number: int
    dash: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourKey:
    """A class, or a lineage depth, in a legend."""

    name: str
    colour: str
    rare: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Stacked bars, an arm beside the other, under their legend."""

    keys: tuple[ColourKey, ...]
    panels: tuple[BarPanel, ...]
    kind: Literal["bars"] = "bars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart under its heading and a line of text; ``alt`` says in words what it shows."""

    title: str
    note: str
    alt: str
    chart: Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawings:
    """Charts side by side; small ones in more columns. ``note`` says what was left out."""

    drawings: tuple[Drawing, ...]
    small: bool
    note: str = ""
    kind: Literal["drawings"] = "drawings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Rows of pictures in one frame; under ``keys``, the legend of their boxes."""

    style: Literal["pages", "crops", "groups", "pairs", "strips"]
    galleries: tuple[Gallery, ...]
    keys: tuple[ColourKey, ...] = ()
    kind: Literal["pictures"] = "pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """The runs that each arm's newest one descends from, by name."""

    chains: tuple[tuple[str, tuple[Badge, ...]], ...]
    kind: Literal["chains"] = "chains"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Terms and what they mean."""

    rules: tuple[tuple[str, str], ...]
    kind: Literal["rules"] = "rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Blocks to unfold, in a frame of their own."""

    title: str
    blocks: tuple[PlainBlock, ...]
    kind: Literal["fold"] = "fold"


PlainBlock = Table | Heat | Text | Points | Bars | Drawings | Pictures | Chains | Rules
Block = PlainBlock | Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A part of the page to unfold: its title, what it comes to in a line, and its blocks."""

    title: str
    summary: str
    lead: str
    blocks: tuple[Block, ...]
    unfolded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Something that the evidence supports: its name, the figures that say so, and what to do about it."""

    name: str
    evidence: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why an arm has its verdict.

    Attributes:
        arm: its name.
        number: its place in ``params.yaml``, from 0.
        tone: of its verdict.
        supported: what the evidence supports.
        unsupported: one sentence when it supports nothing; else empty.
        warnings: early warnings, names and texts.
        folds: tests, trends and findings that are not supported.
    """

    arm: str
    number: int
    tone: str
    supported: tuple[Diagnosis, ...]
    unsupported: str
    warnings: tuple[tuple[str, str], ...]
    folds: tuple[Fold, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the page shows: verdicts, why, how it came about, then topics to unfold."""

    headline: str
    subtitle: str
    cards: tuple[Card, ...]
    whys: tuple[Why, ...]
    arms: tuple[ArmKey, ...]
    main_charts: Drawings
    class_charts: Drawings
    topics: tuple[Topic, ...]
    rules: Rules
