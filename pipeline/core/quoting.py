"""Paths and other texts as systemd's units, crontabs and shells take them.

Source: systemd.syntax(7), systemd.unit(5) (specifiers), crontab(5) (percent signs).
"""

from __future__ import annotations

import re
import shlex
from urllib.parse import quote

from pipeline.core.errors import UserError

_PLAIN = re.compile(r"[\w./:=@+,-]+", re.ASCII)


def printable(text: str, *, what: str) -> str:
    """The text, where it can stand in a line of a file.

    Raises:
        UserError: it has a line end, another control character, or bytes that are no text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{what} {text!r} is not valid UTF-8, which no schedule can hold. Rename the folder.") from None
    if any(ord(character) < ord(" ") or ord(character) == 127 for character in text):  # noqa: PLR2004 - DEL
        raise UserError(f"{what} {text!r} has a line end or another control character. Rename the folder.")
    return text


def unit_text(text: str) -> str:
    """The rest of a line in a unit: only percent signs mean something, for they begin specifiers."""
    return text.replace("%", "%%")


def unit_path(path: str) -> str:
    """A path that is the rest of a line: systemd cuts off spaces at the end, and a backslash there continues it."""
    text = unit_text(path)
    return f"{text}/" if text.endswith((" ", "\\")) else text


def unit_word(text: str) -> str:
    """One word of a list or a command in a unit."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = unit_text(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unit_uri(path: str) -> str:
    """A file of this machine as a URI in a unit."""
    return unit_text(f"file://{quote(path)}")


def crontab_word(text: str) -> str:
    """One word of the shell command in a crontab, where a percent sign ends the command unless it has a backslash.

    cron takes that backslash away only where no other one stands before it: such a one gets an end of quotes behind it.
    """
    return shlex.quote(text).replace("\\%", "\\''%").replace("%", "\\%")
