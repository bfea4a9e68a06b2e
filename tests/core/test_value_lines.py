"""Values of params.yaml are changed in place; comments and all else stay byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import plain_yaml, value_lines
from pipeline.core.errors import UserError

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text()
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)


def test_one_value_changes_and_its_comment_stays() -> None:
    """Only the characters of the value are others."""
    assert value_lines.changed(TEXT, {"train.batch": 7}) == TEXT.replace("  batch: 32\n", "  batch: 7\n")
    comment = " # pixels\n  steps"
    assert f"image_size: 320{comment}" in value_lines.changed(TEXT, {"train.image_size": 320})


def test_lists_and_mappings_change_whole() -> None:
    """A list or a mapping on a line becomes another on the same line."""
    found = value_lines.changed(TEXT, {"audit.rare_classes": ["a b", "c, d"], "train.augment": {"fliplr": 0.5}})
    assert "  rare_classes: [a b, 'c, d'] # further rare classes, by name\n" in found
    assert "  augment: { fliplr: 0.5 } # further settings of ultralytics\n" in found


def test_equal_values_change_nothing() -> None:
    """What is there already is left as it is spelt."""
    assert value_lines.changed(TEXT, {"train.batch": 32, "verify.splits": "source"}) == TEXT


def test_other_line_ends() -> None:
    """A file with Windows' line ends keeps them."""
    text = TEXT.replace("\n", "\r\n")
    assert value_lines.changed(text, {"train.batch": 7}) == TEXT.replace("  batch: 32\n", "  batch: 7\n").replace(
        "\n", "\r\n"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/a b/c: d # e",
        "~",
        "{x}",
        "[y]",
        "null",
        "1e3",
        "'quoted'",
        '"double"',
        "with, comma",
        "%percent",
        "@at",
        "&and",
        "*star",
        "ümläut",
        "- dash",
        "?",
    ],
)
def test_paths_of_every_spelling(path: str) -> None:
    """Whatever a folder is called, it is read back as it was."""
    found = value_lines.changed(TEXT, {"ingest.path": path})
    assert plain_yaml.load(found)["ingest"]["path"] == path
    assert " # folder of the source" in found


@given(st.one_of(PLAIN, st.integers(), st.booleans(), st.lists(PLAIN), st.dictionaries(PLAIN, PLAIN)))
def test_written_values_are_read_back(value: value_lines.Value) -> None:
    """Each value, written on a line, is the same when it is read."""
    assert plain_yaml.load(f"key: {value_lines.written(value)} # comment\n") == {"key": value}


def test_a_missing_key_is_named() -> None:
    """A line that somebody took out is asked back."""
    text = TEXT.replace("  workers: 4 # processes that load images for a GPU; a CPU loads them between its steps\n", "")
    with pytest.raises(UserError, match="workers"):
        value_lines.changed(text, {"train.workers": 2})


def test_values_on_several_lines_are_refused() -> None:
    """A value that is spread over lines, or that two keys share, is not guessed at."""
    text = TEXT.replace("  generations: 5 #", "  generations: &five 5 #").replace("last: 3 #", "last: *five #")
    with pytest.raises(UserError, match="cannot be changed in place"):
        value_lines.changed(text, {"mix.generations": 6})


def test_a_value_that_params_refuses() -> None:
    """No text comes out that params.yaml could not be."""
    with pytest.raises(UserError, match="image_size 100, wanted a multiple of 32"):
        value_lines.changed(TEXT, {"train.image_size": 100})
