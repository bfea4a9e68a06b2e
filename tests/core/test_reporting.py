"""What the report is made of: runs by arm, lines, tables, words and files."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline.core import (
    lost,
    pictures,
    report_data,
    report_files,
    report_numbers,
    report_tables,
    report_words,
    reporting,
)
from pipeline.core.audits import Audit
from pipeline.core.errors import UserError
from pipeline.core.figures import Figure
from pipeline.core.history import Record
from pipeline.core.judgements import Verdict
from pipeline.core.labels import Box
from pipeline.core.pictures import Gallery, Picture
from pipeline.core.sections import Run
from tests import builders, retention_builders
from tests import report_builders as build

HOSTILE = "<script>alert(1)</script>|`*_[x](http://evil)\n@me"


def without_test_boxes() -> reporting.History:
    """A history in which the rare class has no test box and mAP cannot be computed."""
    absent = Figure(value=None, reason="no test box")
    history = build.history()

    def emptied(audit: Audit) -> Audit:
        return replace(
            audit, map50_95=absent, map50=absent, classes=(audit.classes[0], build.class_figures("lynx", None))
        )

    runs = {run.name: emptied(run.audit) for run in history.runs}
    judged = {run.name: run.judgement for run in history.runs if run.judgement}
    return reporting.arrange(build.settings(*build.two_arms()), runs, judged)


# Arms and lines


def test_each_arm_starts_at_the_base_run() -> None:
    """A line has the base run as generation 0, then the runs in the order of their generations."""
    lines = reporting.lines(build.history(), reporting.rare_recall)
    assert {line.arm: [point.run for point in line.points] for line in lines} == {
        "tame": ["base", "tame-1"],
        "wild": ["base", "wild-1", "wild-2"],
    }
    assert [point.figure.value for point in lines[1].points] == [0.9, 0.6, 0.3]


def test_a_run_beside_the_line_is_named() -> None:
    """A second run of a generation is an arm's run, is not on its line, and the legend says so."""
    arms, runs = build.two_arms()
    runs["again-1"] = {"arm": "wild", "generation": 1, "previous": "base", "seed": 1}
    read, judged = build.records("cat", "lynx", tame="tame", wild="wild")
    read["again-1"] = build.audit("again-1", "wild", 1)
    judged["again-1"] = build.judgement("again-1")
    wild = reporting.arrange(build.settings(arms, runs), read, judged).arms[1]
    assert [run.name for run in wild.runs] == ["wild-1", "again-1", "wild-2"]
    assert [run.name for run in wild.line] == ["base", "wild-1", "wild-2"]
    history = reporting.arrange(build.settings(arms, runs), read, judged)
    assert "again-1" in report_tables.arm_keys(history, [""])[1].note


def test_an_arm_without_a_run_has_no_verdict() -> None:
    """An arm that has no run yet is on the page, without a verdict."""
    history = reporting.arrange(build.settings(build.two_arms()[0], {}), {"base": build.audit()}, {})
    assert report_words.headline(history) == "No generation was made yet."
    card = report_words.card(history, history.arms[0])
    assert (card.badge.word, card.since, card.strip) == ("No verdict", "no run yet", ())
    assert "no run yet" in report_files.summary(history)


def test_rare_recall_is_the_mean_over_classes_with_test_boxes() -> None:
    """A rare class without test boxes does not enter the mean as 0."""
    audit = build.audit(classes=(build.class_figures("lynx", 20), build.class_figures("owl", None)))
    assert reporting.rare_recall(audit).value == 0.5


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        pytest.param((build.class_figures("cat", 39, rare=False),), "no class is rare", id="none rare"),
        pytest.param((build.class_figures("lynx", None),), "no test box of a rare class", id="no test box"),
    ],
)
def test_rare_recall_is_absent_with_a_reason(classes: tuple[object, ...], reason: str) -> None:
    """Without a rare class that has test boxes there is no mean, and the reason is said."""
    assert reporting.rare_recall(build.audit(classes=classes)) == Figure(value=None, reason=reason)


def test_floor_is_the_base_less_the_margin() -> None:
    """The line of the margin lies under the base, never under 0, and is absent where the base has no value."""
    history = build.history()
    assert reporting.floor(history, reporting.rare_recall, 0.1) == pytest.approx(0.8)
    assert reporting.floor(history, reporting.rare_recall, 0.95) == 0
    assert reporting.floor(without_test_boxes(), reporting.rare_recall, 0.1) is None


def test_telling_keeps_the_classes_that_lost_most() -> None:
    """Of many classes those with the largest loss are shown, in their own order."""
    assert reporting.telling(build.history(), ["cat", "lynx"], 1) == ["lynx"]
    assert reporting.telling(build.history(), ["cat", "lynx"], 2) == ["cat", "lynx"]


def test_shares_add_up_to_one() -> None:
    """Class shares of a run are fractions of all its training boxes."""
    shares = reporting.class_shares(build.audit())
    assert [one.share for one in shares] == [0.9, 0.1]
    empty = build.audit(classes=(build.class_figures("lynx", 1, boxes=0),))
    assert [one.share for one in reporting.class_shares(empty)] == [None]


# Words and tables


def test_headline_names_every_verdict() -> None:
    """One sentence says which arm is healthy and which is not, the worst first."""
    assert report_words.headline(build.history()) == "wild is collapsing; tame is healthy."


def test_card_tells_the_newest_run() -> None:
    """An arm's card has the verdict of its newest run and the strip of all its runs."""
    history = build.history()
    card = report_words.card(history, history.arms[1])
    assert (card.badge.tone, card.badge.symbol, card.badge.word) == ("collapsing", "✕", "Collapsing")
    assert [one.word for one in card.strip] == ["Inconclusive", "Collapsing"]
    assert "recall of lynx 0.90 → 0.30" in card.plain
    assert [(one.before, one.after) for one in card.changes] == [("0.90", "0.30"), ("0.70", "0.40")]


def test_plain_reason_of_a_collapse_by_duplicates() -> None:
    """A collapse that no comparison shows has the gate's own reason."""
    judged = build.judgement(tests=(), reason="4 of 5 synthetic images repeat another one.")
    assert report_words.plain(judged) == judged.reason


def test_symbols_and_words_differ_by_verdict() -> None:
    """Colour is never the only sign of a verdict."""
    badges = [report_words.badge(run) for run in build.history().runs]
    assert len({(one.symbol, one.word) for one in badges}) == len({one.tone for one in badges}) == 4
    assert len(set(report_files.SYMBOLS.values())) == len(Verdict)


def test_absent_figures_are_dashes_with_their_reason() -> None:
    """What cannot be computed is a dash with the reason beside it, never 0."""
    history = without_test_boxes()
    row = report_tables.table_row(history.base, ["cat", "lynx"])
    assert row.cells[0].text == row.cells[1].text == row.cells[3].text == report_numbers.ABSENT
    assert row.cells[3].notes == ("no test box", "trained on 10")
    assert report_words.rare_note(history) == f"{report_numbers.ABSENT} no test box of a rare class"
    card = report_words.card(history, history.arms[0])
    assert {change.before for change in card.changes} == {report_numbers.ABSENT}


def test_table_names_a_class_that_training_never_saw() -> None:
    """A class without a training box is marked in the table and named beside its bar."""
    history = build.history()
    assert report_tables.table_row(history.runs[-1], ["cat", "lynx"]).cells[3].tone == "loss"
    assert report_tables.share_panels(history)[1].rows[-1].warning == "without a box: lynx"
    assert report_words.learned_note(history.runs[-1]).endswith("no box of lynx")


def test_lineage_bars_fill_the_whole() -> None:
    """The parts of a lineage bar add up to its length."""
    for panel in report_data.lineage_panels(build.history()):
        for row in panel.rows:
            assert sum(bar.width for bar in row.bars) == pytest.approx(100)


# Files


def table(summary: str) -> list[list[str]]:
    """The cells of the Markdown table; a pipe after a backslash divides nothing."""
    lines = [line for line in summary.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_summary_table_is_well_formed() -> None:
    """Every line of the table has as many cells as its head, and there is one for each run."""
    rows = table(report_files.summary(build.history()))
    assert {len(row) for row in rows} == {7}
    assert [row[0] for row in rows[2:]] == ["base", "tame-1", "wild-1", "wild-2"]
    assert rows[-1][-1] == "lynx"


def test_summary_shows_hostile_names_as_they_are() -> None:
    """A name of markup, pipes and line breaks neither breaks the table nor becomes markup."""
    summary = report_files.summary(build.history(HOSTILE, HOSTILE + "2", wild=HOSTILE))
    assert {len(row) for row in table(summary)} == {7}
    assert "<script" not in summary
    assert "http://" not in summary
    assert "@me" not in summary
    assert "](" not in summary


def test_summary_begins_with_the_verdicts() -> None:
    """Whoever opens the pull request sees the verdicts first."""
    lines = report_files.summary(build.history()).splitlines()
    assert lines[2].startswith("- ✅ **tame: HEALTHY** in generation 1.")
    assert lines[3] == "  - Diagnosis: the evidence supports none."
    assert lines[5].startswith("- ❌ **wild: COLLAPSING** in generation 2. recall of lynx fell.")
    assert lines[6] == "  - Diagnosis: collapse. what to do about collapse."
    assert lines[7] == "  - 1 early warning: vanishing-class."


def test_figures_are_finite_and_leave_out_what_is_absent() -> None:
    """The figures are JSON without NaN; an absent figure has no key, and the base run no verdict."""
    text = json.dumps(report_files.figures(without_test_boxes()), allow_nan=False)
    base = json.loads(text)["base"]
    assert base["recall"] == {"cat": 0.975}
    assert not base.keys() & {"map50_95", "map50", "rare_recall", "verdict", "coverage"}
    full = report_files.figures(build.history())
    assert list(full) == ["base", "tame-1", "wild-1", "wild-2"]
    assert full["wild-2"] == {
        "verdict": "COLLAPSING",
        "map50_95": 0.4,
        "map50": 0.9,
        "rare_recall": 0.3,
        "recall": {"cat": 0.975, "lynx": 0.3},
        "calibration_error": 0.04,
        "false_positives_an_image": 0.3,
        "verified_share": 1.0,
        "near_duplicate_objects": 0.3,
        "copied_objects": 0.02,
        "coverage": 0.9,
        "lost_tail": 0.05,
        "early_warnings": 1,
    }


@pytest.mark.parametrize("name", ["mean_rare_recall.csv", "rare_recall.csv", "map.csv", "class_shares.csv"])
def test_plots_start_every_arm_at_the_base(name: str) -> None:
    """In every table the base run is generation 0 of every arm."""
    rows = list(csv.DictReader(io.StringIO(report_files.plots(build.history())[name])))
    assert {row["arm"] for row in rows if row["generation"] == "0"} == {"tame", "wild"}


def test_plots_leave_absent_figures_empty() -> None:
    """A figure that is absent is an empty cell, not 0 and not NaN."""
    text = report_files.plots(without_test_boxes())["rare_recall.csv"]
    assert text.splitlines()[1] == "0,tame,lynx,,,"


# Lost boxes


def boxes() -> pd.DataFrame:
    """One labelled box of class 1, 10 by 10 pixels."""
    return pd.DataFrame([("a", 0, 1, 10.0, 10.0, 20.0, 20.0)],
                        columns=["image_id", "box", "class_id", "left", "top", "right", "bottom"])  # fmt: skip


def predictions(*rows: tuple[int, float, float]) -> pd.DataFrame:
    """Predictions on image ``a``: class, confidence, and how far to the right of the labelled box."""
    records = [("test", "a", class_id, sure, 10.0 + off, 10.0, 20.0 + off, 20.0) for class_id, sure, off in rows]
    columns = ["split", "image_id", "class_id", "confidence", "left", "top", "right", "bottom"]
    return pd.DataFrame(records, columns=columns)


def test_lost_boxes_are_chosen_from_each_class_in_turn() -> None:
    """A class that lost hundreds does not crowd out one that lost a few."""
    chosen = lost.choose({"four": [f"i{number:03}/0" for number in range(100)], "six": ["z/0", "y/1"]}, 5)
    assert chosen == ["i000/0", "y/1", "i001/0", "z/0", "i002/0"]
    assert lost.choose({}, 5) == []


@pytest.mark.parametrize(
    ("seen", "instead"),
    [
        pytest.param((), None, id="nothing there"),
        pytest.param(((0, 0.6, 1.0), (2, 0.9, 1.0)), (2, 0.9), id="the most confident"),
        pytest.param(((0, 0.2, 0.0),), None, id="under the operating point"),
        pytest.param(((0, 0.9, 8.0),), None, id="too far away"),
        pytest.param(((1, 0.9, 0.0),), None, id="its own class, taken by another box"),
    ],
)
def test_what_the_run_sees_instead(
    seen: tuple[tuple[int, float, float], ...], instead: tuple[int, float] | None
) -> None:
    """A lost box has beside it the surest prediction of another class that overlaps it enough."""
    found = lost.look_up(["a/0"], boxes(), predictions(*seen), confidence=0.5, iou=0.5)
    assert [one.instead for one in found] == [instead]
    assert found[0].corners == (10, 10, 20, 20)


def test_unknown_lost_box_is_an_error() -> None:
    """A box that the base audit does not know is named."""
    with pytest.raises(UserError, match="lost box a/7 is not among"):
        lost.look_up(["a/7"], boxes(), predictions(), confidence=0.5, iou=0.5)


# Pictures


def decoded(picture: Picture) -> tuple[int, int]:
    """Width and height of a picture's data."""
    data = base64.b64decode(picture.uri.partition(",")[2])
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels.shape[1], pixels.shape[0]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        pytest.param((64, 64), (128, 128), id="small: twice as large"),
        pytest.param((640, 480), (160, 120), id="large: a thumbnail"),
        pytest.param((2000, 3), (160, 1), id="a thin strip"),
        pytest.param((160, 90), (160, 90), id="just right"),
    ],
)
def test_pages_fit_their_frame(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Small images are scaled up by a whole number, large ones down, and the size that is told is the real one."""
    picture = pictures.page(builders.picture(1, width=size[0], height=size[1]), [builders.box()], alt="x")
    assert (picture.width, picture.height) == decoded(picture) == wanted


@pytest.mark.parametrize(
    "corners", [(0, 0, 5, 5), (60, 40, 64, 48), (0, 0, 64, 48)], ids=["corner", "far end", "whole"]
)
def test_crops_are_of_one_size(corners: tuple[int, int, int, int]) -> None:
    """A crop is a square of the same size wherever the box lies, and does not touch the image."""
    pixels = builders.picture(1, width=64, height=48)
    before = pixels.copy()
    picture = pictures.crop(pixels, corners, 0, alt="x")
    assert decoded(picture) == (picture.width, picture.height) == (120, 120)
    assert np.array_equal(pixels, before)


def test_pictures_are_equal_for_equal_images() -> None:
    """The same image and boxes give the same picture, in whatever order the boxes come."""
    pixels = builders.picture(1)
    both = [Box(class_id=0, x=0.5, y=0.5, width=0.4, height=0.4), Box(class_id=1, x=0.6, y=0.6, width=0.2, height=0.2)]
    assert pictures.page(pixels, both, alt="x") == pictures.page(pixels, both[::-1], alt="x")


def gallery(generation: int, *, newest: bool = False) -> Gallery:
    """A gallery of one picture of 10 characters."""
    picture = Picture(uri="x" * 10, width=1, height=1, alt="")
    return Gallery(arm="wild", title="", note="", newest=newest, generation=generation, pictures=(picture,))


def test_old_galleries_give_way() -> None:
    """When the pictures are too many, the oldest generations lose theirs, and say so; the real ones stay."""
    galleries = [gallery(0), gallery(1), gallery(2), gallery(3, newest=True)]
    kept = pictures.within(galleries, 30)
    assert [len(one.pictures) for one in kept] == [1, 0, 1, 1]
    assert kept[1].missing == "left out to keep this page small"
    assert pictures.within(galleries, 40) == galleries


def as_run(one: Record) -> Run:
    """A retired run as params.yaml had it."""
    return Run(arm=one.arm, generation=one.generation, previous=one.previous, seed=one.seed)


def with_retired(number: int = 2) -> reporting.History:
    """The arm `wild` goes on from retired runs, so many; its runs are generations `number` + 1 and `number` + 2."""
    arms, runs = build.two_arms()
    read, judged = build.records("cat", "lynx", tame="tame", wild="wild")
    past = {
        f"old-{one}": retention_builders.record(
            f"old-{one}", arm="wild", test=read["base"].test, verdict=Verdict.INCONCLUSIVE
        )
        for one in range(1, number + 1)
    }
    settings = build.settings(arms, runs)
    wild = {
        name: replace(settings.runs[name], generation=number + step, previous=before)
        for step, (name, before) in enumerate([("wild-1", f"old-{number}"), ("wild-2", "wild-1")], start=1)
    }
    read = {name: replace(one, generation=wild[name].generation) if name in wild else one for name, one in read.items()}
    anchors = {f"old-{number}": as_run(past[f"old-{number}"])}
    return reporting.arrange(replace(settings, runs={**settings.runs, **wild}, anchors=anchors), read, judged, past)


def test_lines_go_through_retired_runs() -> None:
    """A line has the base, the retired runs, then those of params.yaml; figures that nobody kept are absent."""
    history = with_retired()
    (_, line) = reporting.lines(history, reporting.recall_of("lynx"))
    assert [(point.generation, point.run, point.figure.value) for point in line.points] == [
        (0, "base", 0.9), (1, "old-1", 0.9), (2, "old-2", 0.9), (3, "wild-1", 0.6), (4, "wild-2", 0.3),
    ]  # fmt: skip
    assert [point.verdict for point in line.points][1] is Verdict.INCONCLUSIVE
    (_, common) = reporting.lines(history, reporting.recall_of("cat"))
    assert [point.figure.value for point in common.points][1:3] == [None, None]
    (_, tails) = reporting.run_lines(history, reporting.lost_tail_of("all"))
    assert [point.run for point in tails.points] == ["wild-1", "wild-2"]


def test_retired_runs_on_another_split_are_left_out() -> None:
    """What was measured on another test split is not drawn beside the rest, nor what descends to it."""
    arms, runs = build.two_arms()
    read, judged = build.records("cat", "lynx", tame="tame", wild="wild")
    settings = build.settings(arms, runs)
    moved = replace(settings.runs["wild-1"], generation=2, previous="old-1")
    settings = replace(settings, runs={**settings.runs, "wild-1": moved})
    past = {"old-1": retention_builders.record("old-1", test=builders.sha("another split"))}
    history = reporting.arrange(replace(settings, anchors={"old-1": as_run(past["old-1"])}), read, judged, past)
    assert [arm.retired for arm in history.arms] == [(), ()]


def test_retired_runs_are_in_every_list() -> None:
    """The strip of verdicts, the lineage, the folded table, the summary and the tables for plots have them."""
    history = with_retired()
    wild = history.arms[1]
    assert [badge.word for badge in report_words.card(history, wild).strip][:2] == ["Inconclusive", "Inconclusive"]
    assert [badge.word for badge in dict(report_data.chains(history))["wild"]] == [
        "base", "old-1", "old-2", "wild-1", "wild-2",
    ]  # fmt: skip
    table = report_tables.table_of_retired(history, most=40)
    assert [row.name for row in table.rows] == ["old-2", "old-1"]
    assert table.rows[0].cells[0].text == "0.600"
    summary = report_files.summary(history)
    assert "<details><summary>2 retired runs</summary>" in summary
    assert "| old-2 | ❔ INCONCLUSIVE | 0.600 | 0.900 | 5 + 5 |" in summary
    shares = list(csv.DictReader(io.StringIO(report_files.plots(history)["class_shares.csv"])))
    assert {row["generation"] for row in shares if row["arm"] == "wild"} == {"0", "1", "2", "3", "4"}
    assert "(2 more are retired)" in report_words.subtitle(history)
    assert "retired" not in report_files.summary(build.history())


def test_long_lists_are_folded() -> None:
    """A year of retired runs leaves the strip and the lineage as short as they were after two months."""
    history = with_retired(365)
    wild = history.arms[1]
    assert len(report_words.card(history, wild).strip) == 60
    assert len(dict(report_data.chains(history))["wild"]) == 1 + 30 + 2
    assert len(reporting.lines(history, reporting.rare_recall)[1].points) == 368
