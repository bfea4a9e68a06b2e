"""The report says how often reviewers are right and who is held back, once people have decided on images."""

from __future__ import annotations

import pytest

from pipeline.core import report_review
from pipeline.core.report_numbers import ABSENT
from pipeline.core.report_page import Points, Table
from tests.builders import sha
from tests.ledger_builders import entry, timed

WRONG = [entry("control-wrong", "Bob|x", sha(number), sha("broken")) for number in range(3)]
ROWS = timed(
    [
        entry("accept", "Ada"),
        entry("accept", "Cy"),
        entry("accept", "Ada", sha("b")),
        entry("reject", "Cy", sha("b")),
        *WRONG,
        entry("reject", "Bob|x"),
    ]
)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="empty ledger"),
        pytest.param([entry("accept-import", label_digest="")], id="imports only"),
        pytest.param([entry("control-right")], id="controls only"),
    ],
)
def test_nothing_to_say(rows: list[object]) -> None:
    """Without a decision of a person on an image there is no such topic, and no line in the summary."""
    topic = report_review.topic(rows, min_agreement=0.8)  # type: ignore[arg-type]
    assert topic is None
    assert report_review.summary(topic) == ""


def test_topic() -> None:
    """Each reviewer has a row a month with right, total and exact interval; who is held back comes first."""
    topic = report_review.topic(ROWS, min_agreement=0.8)
    assert topic
    assert topic.summary == "5 decisions by 3 reviewers; held back: Bob|x"
    assert topic.unfolded
    points, table = topic.blocks
    assert isinstance(points, Points)
    assert isinstance(table, Table)
    (held,) = points.points
    assert "Bob|x: 1 decision since 2026-01-01, 00:06 UTC do not count: right in 0 of 3, at most 0.708" in held
    assert table.columns == ("Reviewer", "Month", "Right", "Of", "Agreement", "Undecided")
    shown = {row.name: [cell.text for cell in row.cells] for row in table.rows}
    assert shown["Ada"] == ["2026-01", "1", "1", "1.000", "1"]
    assert shown["Cy"] == ["2026-01", "1", "1", "1.000", "1"]
    # Rejected an image that two accept: outvoted.
    assert shown["Bob|x"] == ["2026-01", "0", "4", "0.000", "0"]
    notes = {row.name: row.cells[3].notes for row in table.rows}
    assert notes["Ada"] == ("0.025 to 1.000",)


def test_nobody_is_held_back() -> None:
    """With nobody held back the topic stays folded and has the table alone; an undecided opinion has no share."""
    rows = timed([entry("accept", "Ada"), entry("reject", "Cy")])
    topic = report_review.topic(rows, min_agreement=0.8)
    assert topic
    assert not topic.unfolded
    (table,) = topic.blocks
    assert isinstance(table, Table)
    assert [(cell.text, cell.notes) for cell in table.rows[0].cells][3] == (ABSENT, ("nothing to hold it against",))


def test_summary() -> None:
    """The summary has the same in Markdown, with names that cannot break its table."""
    text = report_review.summary(report_review.topic(ROWS, min_agreement=0.8))
    lines = text.splitlines()
    assert lines[:4] == ["", "## Review", "", "5 decisions by 3 reviewers; held back: Bob\\|x."]
    assert "| Reviewer | Month | Right | Of | Agreement | Undecided |" in lines
    assert "| Ada | 2026-01 | 1 | 1 | 1.000 (0.025 to 1.000) | 1 |" in lines
    assert all(line.count("|") - line.count("\\|") == 7 for line in lines if line.startswith("|"))
