"""What the report says beside the verdicts: why, how the detector errs, what its data is like."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import (
    report_data,
    report_detection,
    report_numbers,
    report_similarity,
    report_tables,
    report_why,
    report_words,
    reporting,
)
from pipeline.core.audits import Audit
from pipeline.core.figures import Confusion, Figure
from pipeline.core.judgements import Judgement, Verdict
from pipeline.core.report_charts import DeclineChart, LineChart
from pipeline.core.report_numbers import ABSENT
from pipeline.core.report_page import Cell, Drawings, Fold, Heat, Table, Topic
from pipeline.core.reporting import History, RunRecord
from tests import builders
from tests import report_builders as build

NOW = datetime(2026, 2, 10, 12, tzinfo=UTC)


def changed(history: History, run: str, *, judgement: Judgement | None = None, **audit: object) -> History:
    """The history with another audit, or another verdict, of one run."""
    read: dict[str, Audit] = {one.name: one.audit for one in history.runs}
    judged = {one.name: one.judgement for one in history.runs if one.judgement}
    read[run] = replace(read[run], **audit)  # type: ignore[arg-type]
    if judgement:
        judged[run] = judgement
    return reporting.arrange(build.settings(*build.two_arms()), read, judged)


def tables(topic: Topic) -> dict[str, Table]:
    """The tables of a topic, folded ones too, by their label."""
    blocks = [inner for block in topic.blocks for inner in (block.blocks if isinstance(block, Fold) else (block,))]
    return {block.label: block for block in blocks if isinstance(block, Table)}


def cell(table: Table, row: str, column: str) -> Cell:
    """One cell of a table, by the names of its row and its column."""
    found = next(one for one in table.rows if one.name == row)
    return found.cells[table.columns.index(column) - 1]


# Why


def test_why_says_what_is_supported_first() -> None:
    """What the evidence supports is said with its figures and advice; what it does not support is folded away."""
    tame, wild = report_why.whys(build.history())
    assert [one.name for one in wild.supported] == ["collapse"]
    assert wild.supported[0].evidence == ("a figure that speaks for collapse",)
    assert wild.supported[0].advice == "what to do about collapse."
    assert [fold.title for fold in wild.folds] == ["The 2 tests behind it, 1 trend",
                                                   "What the evidence does not support (3)"]  # fmt: skip
    assert tame.supported == ()
    assert tame.unsupported == "The evidence supports none of collapse, overfitting, forgetting or mode collapse."
    assert wild.warnings == (("vanishing-class", "a class is about to vanish"),)


def test_seeds_and_notes_are_told() -> None:
    """How many trainings a verdict rests on, and what the gate notes of its method, are in the fold of the tests."""
    points = report_why.whys(build.history())[1].folds[0].blocks[-1]
    assert getattr(points, "points") == (  # noqa: B009 - one of several kinds of block
        "Rests on 1 training of the base run and 2 trainings of wild-2.",
        "the variance between trainings is not in the intervals",
    )


def test_tests_table_has_level_confirmation_and_baseline() -> None:
    """Each test stands with its baseline, its p value and level, and what the second training said."""
    one = build.judgement(
        tests=(build.comparison(), build.comparison(baseline="tame-1", confirmed=False, outcome="open", settle=90))
    )
    table = report_why.tests_table(one)
    assert [row.notes for row in table.rows] == [("against the base run",), ("against tame-1, the best so far",)]
    assert [row.cells[0].tone for row in table.rows] == ["loss", "open"]
    assert [row.cells[4].text for row in table.rows] == ["lost too", "not lost"]
    assert table.rows[0].cells[3] == Cell(text="p < 0.001", notes=("held at 0.02", "exact McNemar"))
    assert table.rows[1].cells[5] == Cell(text="90", notes=("now 40",))


def test_absent_comparison_has_dashes() -> None:
    """A class without test boxes is in the table, with dashes and never with 0."""
    absent = build.comparison(
        base=None, run=None, loss=None, low=None, high=None, p_value=None, confirmed=None, samples=0, outcome="open"
    )
    row = report_why.tests_table(build.judgement(tests=(absent,))).rows[0]
    assert [one.text for one in row.cells] == ["? open", f"{ABSENT} → {ABSENT}", ABSENT, ABSENT, "none", ABSENT]


@pytest.mark.parametrize(
    ("generation", "wanted"),
    [pytest.param(3, "night 3 of 30, schedule confirm", id="within"),
     pytest.param(31, "night 31, past the planned 30 nights", id="past")],
)  # fmt: skip
def test_night_is_counted_in_the_horizon(generation: int, wanted: str) -> None:
    """A reader sees how far the error budget is spent, and when it is."""
    assert report_numbers.night(build.judgement(generation=generation)) == wanted


def test_plain_reason_names_a_figure_once() -> None:
    """A figure lost against the base run and the best run is named once; one lost against the best alone says so."""
    both = (build.comparison(), build.comparison(baseline="wild-1", base=0.95))
    assert report_words.plain(build.judgement(tests=both)) == (
        "Lost more than chance explains: recall of lynx 0.90 → 0.30."
    )
    other = (build.comparison(outcome="no loss"), build.comparison(baseline="wild-1", base=0.95))
    assert "recall of lynx (against wild-1) 0.95 → 0.30" in report_words.plain(build.judgement(tests=other))


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [pytest.param(0.3, "A loss that matters is neither shown nor ruled out", id="large"),
     pytest.param(0.02, "Too few test boxes to rule out a loss that matters", id="small")],
)  # fmt: skip
def test_plain_reason_of_an_open_verdict(loss: float, wanted: str) -> None:
    """An estimate beyond the margin is not blamed on the number of boxes alone."""
    tests = (build.comparison(outcome="open", loss=loss),)
    assert report_words.plain(build.judgement(verdict=Verdict.INCONCLUSIVE, tests=tests)).startswith(wanted)


@pytest.mark.parametrize(
    ("fail_on", "wanted"),
    [pytest.param((), "repeat one another.", id="none"),
     pytest.param(("no-real-data",), "or there is an early warning no-real-data.", id="one")],
)  # fmt: skip
def test_rules_name_warnings_that_decide(fail_on: tuple[str, ...], wanted: str) -> None:
    """An early warning that makes a run collapsing by itself is among the rules."""
    gate = replace(build.settings(*build.two_arms()).gate, fail_on=fail_on)
    assert dict(report_words.rules(gate, build.audit()))["Collapsing"].endswith(wanted)


# Detection


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=3, max_size=3))
def test_confusion_keeps_every_count(counts: list[list[int]]) -> None:
    """Every count is in the table, hits are good and all else is bad, and no shade leaves its range."""
    found = Confusion(classes=("a", "b"), counts=tuple(tuple(row) for row in counts))
    heat = report_detection.confusion_table(found, "x")
    shades = [shade for _, row in heat.rows for shade in row]
    assert [one.text for one in shades[:-1]] == [str(number) for row in counts for number in row][:-1]
    assert [one.tone for one in shades[:-1]] == ["good", "bad", "bad", "bad", "good", "bad", "bad", "bad"]
    assert shades[-1].text == ""  # neither box nor detection
    assert all(0 <= one.depth <= 100 for one in shades)


def test_detection_shows_intervals_and_sample_sizes() -> None:
    """Every figure of the detector stands with its interval and what it was computed from."""
    topic = report_detection.topic(build.history())
    table = tables(topic)["How each run errs"]
    small = cell(table, "wild-2", "Recall, small")
    assert small.notes == ("0.750 to 0.850", "100 boxes", "0 to 16 px")
    assert cell(table, "wild-2", "False positives an image").notes == ("0.250 to 0.350", "100 images")
    assert [row.name for row in table.rows] == ["base", "tame-1", "wild-2"]
    heats = [inner for fold in topic.blocks if isinstance(fold, Fold) for inner in fold.blocks]
    assert len([one for one in heats if isinstance(one, Heat)]) == 3
    assert "wild-2: 0.30 false positives an image, calibration error 0.040" in topic.summary


def test_many_classes_are_told_in_words() -> None:
    """A confusion table of many classes would be a wall; the commonest confusions are named instead."""
    names = tuple(f"class{number}" for number in range(25))
    counts = [[0] * 26 for _ in range(26)]
    counts[3][7] = 12
    confusion = Confusion(classes=names, counts=tuple(tuple(row) for row in counts))
    figures = builders.detection_figures(names, confusion=confusion)
    topic = report_detection.topic(changed(build.history(), "wild-2", detection=figures))
    folded = [inner for block in topic.blocks if isinstance(block, Fold) for inner in block.blocks]
    texts = [text for inner in folded if (text := getattr(inner, "text", None))]
    assert texts == ["25 classes are too many for a table; 12 boxes of class3 were taken for class7."]


# The synthetic images


def test_duplication_is_held_against_what_is_expected() -> None:
    """A share of near-identical objects over what real ones have is marked; one within it is not."""
    table = tables(report_similarity.duplication(build.history(), (), ()))["Duplication of objects"]
    near = cell(table, "wild-2", "Near one another")
    assert (near.text, near.tone) == ("0.300", "open")
    assert cell(table, "wild-2", "Expected").text == "0.020"
    images = tables(report_similarity.duplication(build.history(), (), ()))["Duplication of images"]
    assert cell(images, "wild-2", "Near one another").tone == ""


def test_duplication_without_a_threshold_says_why() -> None:
    """Too few real items give no threshold: dashes with the reason."""
    absent = Figure(value=None, reason="12 real items, wanted 50")
    poor = builders.duplication("object", threshold=None, near_share=absent, expected=absent, copy_share=absent)
    history = changed(build.history(), "wild-2", duplication=(poor,))
    table = tables(report_similarity.duplication(history, (), ()))["Duplication of objects"]
    assert cell(table, "wild-2", "Near one another").text == ABSENT
    assert cell(table, "wild-2", "Near one another").notes[0] == "12 real items, wanted 50"
    assert cell(table, "wild-2", "Threshold").notes == ("too few real items to calibrate it",)


def test_lost_tails_are_drawn_from_generation_one() -> None:
    """The base run has no synthetic object, so the lines of lost tails begin at generation 1."""
    topic = report_similarity.diversity(build.history())
    first = topic.blocks[0]
    assert isinstance(first, Drawings)
    assert [one.title for one in first.drawings] == ["All objects", "lynx", "cat"]
    chart = first.drawings[0].chart
    assert isinstance(chart, LineChart)
    assert [[point.generation for point in line.points] for line in chart.lines] == [[1], [1, 2]]


def test_poor_variety_is_marked() -> None:
    """A Vendi score whose interval lies under that of the real objects stands out."""
    poor = builders.diversity("all", vendi_synthetic=Figure(value=10.0, low=9.0, high=11.0, samples=100))
    history = changed(build.history(), "wild-2", diversity=(poor,))
    assert report_similarity.diversity_table(history.runs[-1]).rows[0].cells[0].tone == "open"
    assert report_similarity.diversity_table(history.runs[1]).rows[0].cells[0].tone == ""


def test_drift_begins_at_the_real_images() -> None:
    """Generation 0 of a drift chart is the median of the real images."""
    topic = report_similarity.drift(build.history())
    first = topic.blocks[0]
    assert isinstance(first, Drawings)
    assert [one.title for one in first.drawings] == ["Box size", "Sharpness", "Contrast"]  # shares have no median
    chart = first.drawings[1].chart
    assert isinstance(chart, LineChart)
    assert [point.figure.value for point in chart.lines[1].points] == [10.0, 9.0, 8.0]
    assert "wild-2: 4 of 4 quantities moved" in topic.summary


@pytest.mark.parametrize(
    ("effect", "p_value", "wanted"),
    [
        pytest.param(0.3, 0.001, True, id="shown and large"),
        pytest.param(0.02, 0.001, False, id="shown and negligible"),
        pytest.param(0.3, 0.4, False, id="large and by chance"),
        pytest.param(None, None, False, id="not measured"),
    ],
)
def test_only_what_matters_counts_as_moved(effect: float | None, p_value: float | None, *, wanted: bool) -> None:
    """With thousands of boxes any difference is significant; a negligible one is not marked."""
    assert report_similarity.moved(builders.drift(effect=effect, p_value=p_value)) is wanted


def test_drift_without_images_has_its_reason() -> None:
    """A quantity that could not be compared shows why."""
    absent = builders.drift("colour", real=None, synthetic=None, effect=None, p_value=None, reason="no real image")
    history = changed(build.history(), "wild-2", drift=(absent,))
    row = report_similarity.drift_table(history.runs[-1]).rows[0]
    assert [one.text for one in row.cells] == [ABSENT, ABSENT, ABSENT]
    assert row.cells[2].notes == ("no real image",)


def test_topics_of_a_project_without_runs() -> None:
    """Before the first generation there is nothing to say of synthetic images, and that is said."""
    history = reporting.arrange(build.settings(build.two_arms()[0], {}), {"base": build.audit()}, {})
    assert report_why.whys(history) == ()
    for topic in (report_similarity.diversity(history), report_similarity.drift(history)):
        assert topic.summary == "no run has a synthetic image"
        assert len(topic.blocks) == 1
    assert report_similarity.duplication(history, (), ()).summary == "no run has a synthetic image"


# The training data


def test_foreseen_classes_are_named_and_unfolded() -> None:
    """A class that is warned of opens its topic and comes first; a history without warnings leaves it folded."""
    topic = report_data.classes(build.history())
    assert topic.unfolded
    assert topic.summary.endswith("tame: lynx; wild: lynx")
    charts = topic.blocks[2]
    assert isinstance(charts, Drawings)
    assert [one.title for one in charts.drawings] == ["lynx"]
    assert charts.note == "Rare and warned classes are drawn; the tables have all."
    chart = charts.drawings[0].chart
    assert isinstance(chart, DeclineChart)
    assert [one.boxes for one in chart.declines] == [(80, 40), (80, 40, 20)]
    assert "wild: under 20 in generation 3 (2 to 5)" in charts.drawings[0].note
    calm = changed(build.history(), "wild-2", forecasts=())
    calm = changed(calm, "tame-1", forecasts=())
    assert not report_data.classes(calm).unfolded


def test_forecast_table_has_interval_and_reason() -> None:
    """A forecast stands with its interval; a class that does not shrink with the reason."""
    table = report_data.forecast_table(build.history().runs[-1])
    falls = cell(table, "lynx", "Falls under the need")
    assert (falls.text, falls.notes, falls.tone) == (
        "3", ("2 to 5", "need: 20 boxes", "within the horizon"), "open"
    )  # fmt: skip
    assert cell(table, "lynx", "Half-life").notes == ("0.8 to 1.4", "3 generations")
    assert cell(table, "cat", "Half-life").notes == ("the share does not shrink",)


@pytest.mark.parametrize(
    ("past", "wanted"),
    [
        pytest.param(timedelta(hours=3), "3 hours", id="today"),
        pytest.param(timedelta(days=1, hours=23), "47 hours", id="yesterday"),
        pytest.param(timedelta(days=10), "10 days", id="long ago"),
        pytest.param(timedelta(days=-1), "0 hours", id="a clock that is ahead"),
    ],
)
def test_age_is_counted_when_the_page_is_made(past: timedelta, wanted: str) -> None:
    """The audit keeps times; the page says how long ago they were."""
    assert report_data.age((NOW - past).isoformat(), NOW) == wanted


def test_freshness_of_each_run() -> None:
    """Verified images, the newest, the median and the oldest are in the table; a run without them has dashes."""
    stale = builders.freshness(verified=0, share=Figure(value=0.0, samples=5), newest=None, median=None, oldest=None,
                               depths={"cat": {"2": 5}, "lynx": {}})  # fmt: skip
    topic = report_data.lineage(changed(build.history(), "wild-2", freshness=stale), now=NOW)
    table = tables(topic)["Human-verified training images"]
    assert cell(table, "base", "Newest") == Cell(text="10 days ago", notes=("2026-01-31",))
    assert cell(table, "wild-2", "Newest") == Cell(text=ABSENT, notes=("no verified image",))
    assert "wild-2: 0 verified images (0 %)" in topic.summary
    panels = getattr(topic.blocks[-1].blocks[0], "panels")  # type: ignore[union-attr]  # noqa: B009
    assert [row.warning for row in panels[1].rows] == ["", "no box"]


def test_trainings_are_told_where_there_are_several() -> None:
    """With more than one training a run, the table of runs has the mAP of each."""
    several = changed(build.history(), "wild-2", seeds=2, seed_map50_95=(0.41, None))
    row = report_tables.table_row(several.runs[-1], ["lynx"])
    assert row.cells[0].notes[-1] == f"2 trainings: 0.410, {ABSENT}"


def test_comparisons_of_the_table_are_with_the_base_run() -> None:
    """The table of runs shows the loss against the base run, whatever the order of the tests."""
    tests = (build.comparison(baseline="wild-1", loss=0.1), build.comparison(loss=0.6))
    run = RunRecord(audit=build.audit("wild-2", "wild", 2), judgement=build.judgement(tests=tests))
    found = run.test("recall of lynx")
    assert found is not None
    assert found.loss == 0.6
