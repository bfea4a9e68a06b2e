"""Texts in units and crontabs."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.core import quoting
from pipeline.core.errors import UserError

TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


def as_cron_does(command: str) -> str:
    """What Debian's cron hands to the shell of a command line: up to the first percent sign without a backslash.

    Source: do_command.c of cron 3.0pl1, the loop over ``e->cmd``.
    """
    out: list[str] = []
    escaped = False
    for character in command:
        if escaped:
            escaped = False
            if character == "%":
                out[-1] = "%"
                continue
        elif character == "\\":
            escaped = True
        elif character == "%":
            break
        out.append(character)
    return "".join(out)


@given(TEXTS)
@example("50%")
@example("back\\%slash")
@example("back\\\\%slash")
@example("it's 5% \\")
def test_crontab_words(text: str) -> None:
    """What cron and then the shell make of a word is the text that went in."""
    assert shlex.split(as_cron_does(quoting.crontab_word(text))) == [text]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/srv/project", "/srv/project"),
        ("/srv/my project", '"/srv/my project"'),
        ("/srv/50%", '"/srv/50%%"'),
        ('/srv/"a"', '"/srv/\\"a\\""'),
        ("/srv/a\\b", '"/srv/a\\\\b"'),
        ("/srv/$HOME", '"/srv/$HOME"'),
        ("/srv/ümlaut", '"/srv/ümlaut"'),
    ],
)
def test_unit_words(text: str, word: str) -> None:
    """Words are quoted where they need it; percent signs are doubled everywhere."""
    assert quoting.unit_word(text) == word


def test_ends_of_paths() -> None:
    """Systemd would cut off a space at the end of a line, and take a backslash there for its continuation."""
    assert quoting.unit_path("/srv/a ") == "/srv/a /"
    assert quoting.unit_path("/srv/a\\") == "/srv/a\\/"
    assert quoting.unit_path("/srv/a b%") == "/srv/a b%%"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\tb", "a\x00b", "a\x7fb", "a\udcffb"], ids=ascii)
def test_what_no_line_can_hold(text: str) -> None:
    """A line end or bytes that are no text in a path would make another unit of it: refused by name."""
    with pytest.raises(UserError, match=r"the folder .*Rename"):
        quoting.printable(text, what="the folder")


def test_printable_gives_the_text() -> None:
    """Everything else may stay as it is."""
    assert quoting.printable("/srv/ü 5% $x", what="the folder") == "/srv/ü 5% $x"
