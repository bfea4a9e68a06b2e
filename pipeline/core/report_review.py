"""What the report says of the people who review: how often they are right, and who is held back."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.agreement import Agreement, HeldBack, agreement, held_back
from pipeline.core.ledger import Entry
from pipeline.core.report_files import markdown
from pipeline.core.report_numbers import ABSENT, counted, listed, shown
from pipeline.core.report_page import Block, Cell, Points, Table, TableRow, Topic
from pipeline.core.votes import VOTES

_MONTHS = 12  # newest ones with rows of their own


def topic(entries: Sequence[Entry], *, min_agreement: float) -> Topic | None:
    """How often each reviewer was right, by month; None where no person has decided on an image yet.

    Args:
        entries: the ledger, oldest first.
        min_agreement: of ``review.min_agreement``.
    """
    people = sorted({entry.reviewer for entry in entries if entry.decision in VOTES})
    if not people:
        return None
    found, held = agreement(entries), held_back(entries, min_agreement=min_agreement)
    months = sorted({one.month for one in found})[-_MONTHS:]
    rows = tuple(_row(one) for one in reversed(found) if one.month in months)
    blocks: list[Block] = []
    if held:
        blocks.append(Points(title="Held back", points=tuple(_held(one, min_agreement) for one in held.values())))
    if rows:
        columns = ("Reviewer", "Month", "Right", "Of", "Agreement", "Undecided")
        blocks.append(Table(label="Agreement of reviewers", columns=columns, rows=rows))
    decisions = sum(entry.decision in VOTES for entry in entries)
    summary = f"{counted(decisions, 'decision')} by {counted(len(people), 'reviewer')}"
    return Topic(
        title="Review",
        summary=f"{summary}; held back: {listed(list(held))}" if held else summary,
        lead="How often each reviewer was right where that can be known: on planted labels that were broken on "
        "purpose, and on images that others decided on too. Undecided are those on which as many say yes as no.",
        blocks=tuple(blocks),
        unfolded=bool(held),
    )


def summary(found: Topic | None) -> str:
    """The topic in Markdown, newest month first; empty where there is none."""
    if found is None:
        return ""
    lines = ["", "## Review", "", f"{markdown(found.summary)}."]
    for block in found.blocks:
        if isinstance(block, Points):
            lines += ["", *(f"- {markdown(point)}" for point in block.points)]
        elif isinstance(block, Table):
            lines += ["", f"| {' | '.join(block.columns)} |", f"|{' --- |' * len(block.columns)}"]
            lines += [
                f"| {' | '.join([markdown(row.name), *(_flat(cell) for cell in row.cells)])} |" for row in block.rows
            ]
    return "\n".join(lines) + "\n"


def _row(one: Agreement) -> TableRow:
    interval = one.interval
    notes = (f"{shown(interval.low)} to {shown(interval.high)}",) if interval else ("nothing to hold it against",)
    value = one.right / one.total if one.total else None
    cells = (Cell(text=one.month), Cell(text=str(one.right)), Cell(text=str(one.total)),
             Cell(text=shown(value), notes=notes), Cell(text=str(one.undecided)))  # fmt: skip
    return TableRow(name=one.reviewer, cells=cells)


def _held(one: HeldBack, least: float) -> str:
    return (
        f"{one.reviewer}: {counted(one.decisions, 'decision')} since {one.since[:10]}, {one.since[11:16]} UTC do not "
        f"count: right in {one.right} of {one.total}, at most {shown(one.high)} (review.min_agreement is {least:g}). "
        "Look at them, then run `uv run tailwatch ledger release`."
    )


def _flat(cell: Cell) -> str:
    return cell.text if cell.text == ABSENT or not cell.notes else f"{cell.text} ({'; '.join(cell.notes)})"
