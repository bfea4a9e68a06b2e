"""Runs are put into params.yaml and taken out of it by whole lines; nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core import appending, params
from pipeline.core.errors import UserError
from pipeline.core.sections import Run

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text()
HEAD = TEXT[: TEXT.index("\nnightly:") + 1] + TEXT[TEXT.index("\narms:") + 1 : TEXT.index("\nruns:") + 1]
RUNS = """runs:  # what is trained
  guarded-1: { arm: guarded, generation: 1, previous: base }  # the first
  # between two
  recursive-1: { arm: recursive, generation: 1, previous: base }

  guarded-2:
    arm: guarded # a block
    generation: 2

    previous: guarded-1
  recursive-2: { arm: recursive, generation: 2, previous: recursive-1, seed: 3 }
"""
NEW = {"guarded-3": Run(arm="guarded", generation=3, previous="guarded-2")}
ANCHOR = {"guarded-1": Run(arm="guarded", generation=1, previous="base")}


def test_only_a_line_is_added() -> None:
    """One line more, after the last run; every other byte stays."""
    text = HEAD + RUNS
    line = "  guarded-3: { arm: guarded, generation: 3, previous: guarded-2 }\n"
    assert appending.edited(text, add=NEW) == text + line


def test_a_section_that_follows_stays() -> None:
    """Comments and sections after `runs` stay after it."""
    text = HEAD + RUNS + "\n# the night\nnightly: { commit: true }\n"
    line = "  guarded-3: { arm: guarded, generation: 3, previous: guarded-2 }\n"
    assert appending.edited(text, add=NEW) == HEAD + RUNS + line + "\n# the night\nnightly: { commit: true }\n"


def test_a_retired_run_leaves_with_its_lines_and_an_anchor_comes() -> None:
    """Of a retired run nothing stays in `runs`, of the comments around it everything."""
    text = HEAD + RUNS + "\nnightly: { commit: true }\n"
    result = appending.edited(text, add=NEW, remove=["guarded-1"], anchors=ANCHOR)
    gone = "  guarded-1: { arm: guarded, generation: 1, previous: base }  # the first\n"
    line = "  guarded-3: { arm: guarded, generation: 3, previous: guarded-2 }\n"
    found = params.parse(result)
    assert found.anchors == ANCHOR
    assert "guarded-1" not in found.runs
    rest = [one for one in result.splitlines() if not one.startswith(("anchors:", "  guarded-1:"))]
    before = [one for one in text.replace(gone, "").splitlines() if one]
    assert [one for one in rest if one] == [*before[:-1], line.rstrip(), before[-1]]


def test_a_block_of_lines_leaves_whole() -> None:
    """A run that is written over several lines leaves with all of them."""
    add = {"guarded-3": Run(arm="guarded", generation=3, previous="guarded-2")}
    anchors = {"guarded-2": Run(arm="guarded", generation=2, previous="guarded-1")}
    result = appending.edited(HEAD + RUNS, add=add, remove=["guarded-1", "guarded-2"], anchors=anchors)
    assert "# a block" not in result
    assert list(params.parse(result).runs) == ["recursive-1", "recursive-2", "guarded-3"]


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param("runs: {}\n", id="none"),
        pytest.param("runs: { guarded-1: { arm: guarded, generation: 1, previous: base } }\n", id="on one line"),
        pytest.param("runs:\n  {\n    guarded-1: { arm: guarded, generation: 1, previous: base },\n  }\n", id="braces"),
        pytest.param("runs:\n    guarded-1: {arm: guarded, generation: 1, previous: base}", id="no line end"),
    ],
)
def test_other_spellings_of_runs(runs: str) -> None:
    """However `runs` is written, the new one is in it, and the rest of the file is as before."""
    before = params.parse(HEAD + runs)
    name, run = appending.next_run(before, "guarded")
    result = appending.edited(HEAD + runs, add={name: run})
    assert result.startswith(HEAD)
    assert params.parse(result).runs == {**before.runs, name: run}
    assert appending.edited(result, add={name: run}) == result


def test_line_ends_of_windows_stay() -> None:
    """A file with carriage returns keeps them, and the new line has one."""
    text = (HEAD + RUNS).replace("\n", "\r\n")
    result = appending.edited(text, add=NEW, anchors={})
    assert result.replace("\r\n", "") == result.replace("\r", "").replace("\n", "")
    assert "guarded-3" in result


def test_what_yaml_shares_between_runs_is_refused() -> None:
    """With YAML's & and *, a line that leaves would take others with it: the file is left alone."""
    runs = RUNS.replace("guarded-1: {", "guarded-1: &first {") + "  other: *first\n"
    with pytest.raises(UserError, match="cannot be edited"):
        appending.edited(HEAD + runs, add=NEW, remove=["guarded-1"], anchors=ANCHOR)


def test_a_name_that_is_taken_is_refused() -> None:
    """A run of the next run's name that is another one is never overwritten."""
    runs = RUNS + "  recursive-3: { arm: guarded, generation: 1, previous: base }\n"
    with pytest.raises(UserError, match="there is one of that name"):
        appending.next_run(params.parse(HEAD + runs), "recursive")
    with pytest.raises(UserError, match="another"):
        appending.edited(HEAD + runs, add={"recursive-3": Run(arm="recursive", generation=3, previous="recursive-2")})


def test_the_seed_of_an_arm_goes_on() -> None:
    """A generation more of an arm is of the same seed."""
    assert appending.next_run(params.parse(HEAD + RUNS), "recursive") == (
        "recursive-3",
        Run(arm="recursive", generation=3, previous="recursive-2", seed=3),
    )


PINNED = {"base": "123456789012", "guarded-1": "0b1010101010"}  # as numbers they would be others


@pytest.mark.parametrize(
    ("pins", "kept"),
    [
        pytest.param("pins: {} # rows of the ledger\n", " # rows of the ledger", id="none yet"),
        pytest.param("pins: # of people\n  base: 8277dffd181d # the first\n\n", " # of people", id="in a block"),
        pytest.param('pins: {\n  base: "8277dffd181d",\n} # braces', " # braces", id="in braces"),
        pytest.param("pins:  \n  base: 8277dffd181d", "", id="no line end"),
    ],
)
def test_pins_take_the_place_of_pins(pins: str, kept: str) -> None:
    """The section is written anew in its place, its comment and all else stay; without pins it is empty, not gone."""
    text = HEAD + RUNS + "\n" + pins
    result = appending.edited(text, add=NEW, pins=PINNED)
    assert result.startswith(HEAD)
    assert f"pins:{kept}\n  base: " in result
    assert params.parse(result).pins == PINNED
    assert appending.edited(result, add=NEW, pins=PINNED) == result
    empty = appending.edited(result, add={}, pins={})
    assert f"pins: {{}}{kept}" in empty.splitlines()
    assert params.parse(empty).pins == {}
    assert appending.edited(HEAD + pins + "\n" + RUNS, add={}, pins=PINNED).endswith(RUNS)


def test_empty_sections_stay() -> None:
    """What says that there is nothing, and is to hold nothing, is left as it is written."""
    text = HEAD + RUNS + "\nanchors: {}  # none\npins: {}\n"
    assert appending.edited(text, add={}, anchors={}, pins={}) == text
    assert appending.edited(text, add=NEW, anchors={}, pins={}).endswith("\nanchors: {}  # none\npins: {}\n")


@pytest.mark.parametrize("anchors", [None, ANCHOR], ids=["none", "beside anchors"])
def test_the_first_pins_of_an_older_file(anchors: dict[str, Run] | None) -> None:
    """A file without the section gets one after the runs, or the anchors, in the same edit; what follows stays."""
    text = HEAD + RUNS + "\nnightly: { commit: true }\n"
    result = appending.edited(text, add=NEW, remove=ANCHOR if anchors else (), anchors=anchors, pins=PINNED)
    found = params.parse(result)
    assert (found.pins, dict(found.anchors), "guarded-3" in found.runs) == (PINNED, anchors or {}, True)
    assert result.startswith(HEAD)
    assert result.endswith("\n\nnightly: { commit: true }\n")
    assert appending.edited(text, add={}, pins={}) == text


@settings(max_examples=5)
@given(nights=st.integers(2, 3), keep=st.integers(1, 2), spaces=st.integers(1, 6), after=st.booleans())
def test_nights_without_end(nights: int, keep: int, spaces: int, *, after: bool) -> None:
    """Night after night, with old runs that leave: the head stays, each edit applied twice is one edit."""
    runs = RUNS.replace("\n  ", "\n" + " " * spaces).replace("\n" + " " * spaces + "  ", "\n" + " " * (spaces + 2))
    text = HEAD + runs + ("\nnightly: {}\n" if after else "")
    for _ in range(nights):
        before = params.parse(text)
        name, run = appending.next_run(before, "guarded")
        gone = appending.newest_first(before, "guarded")[keep:]
        anchors = {one: before.runs[one] for one in gone[:1]} or dict(before.anchors)
        result = appending.edited(text, add={name: run}, remove=gone, anchors=anchors)
        assert appending.edited(result, add={name: run}, remove=gone, anchors=anchors) == result
        assert result.startswith(HEAD)
        assert result.endswith("\nnightly: {}\n") == after
        text = result
    found = params.parse(text)
    assert len([run for run in found.runs.values() if run.arm == "guarded"]) <= keep + 1
    assert found.runs[f"guarded-{2 + nights}"].generation == 2 + nights
