"""dvc.lock and .dvc files, read and written as DVC itself writes them, without starting DVC."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.core import files, paths
from pipeline.core.errors import UserError
from pipeline.core.history import Out

# libyaml reads the lock of a hundred stages in a tenth of a second; in Python alone it takes seconds.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STAGE = re.compile(r"  (?P<name>[^\s#].*):$")


def stage_outs(path: Path = paths.DVC_LOCK) -> dict[str, tuple[Out, ...]]:
    """Outputs of each stage in dvc.lock that are in the cache, by the stage's name; nothing where there is no lock.

    Raises:
        UserError: it cannot be read.
    """
    found = stages(_text(path), path)
    return {name: _outs(stage.get("outs") or (), name, path) for name, stage in found.items()}


def stages(text: str, path: Path = paths.DVC_LOCK) -> dict[str, Any]:
    """What the text of a dvc.lock says of each stage, by its name, in order.

    Args:
        text: of the lock.
        path: of the lock, for messages.

    Raises:
        UserError: it cannot be read.
    """
    found = _loaded(text, path).get("stages") or {}
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise UserError(f"{path}: `stages` holds no stages. Bring it back from git.")
    return found


def without(text: str, gone: Callable[[str], bool], path: Path = paths.DVC_LOCK) -> str:
    """The text of a dvc.lock without some stages; all else stays as it is, to the byte.

    Args:
        text: of the lock.
        gone: whether the stage of a name is left out.
        path: of the lock, for messages.

    Raises:
        UserError: it cannot be read.
    """
    before = stages(text, path)
    if not any(gone(name) for name in before):
        return text
    kept: list[str] = []
    inside, drop = False, False
    for line in text.splitlines(keepends=True):
        if not line.startswith(" "):
            inside, drop = line.rstrip() == "stages:", False
        elif inside and (match := _STAGE.fullmatch(line.rstrip("\n"))):
            drop = gone(yaml.load(match["name"], _LOADER))  # noqa: S506 - a safe loader
        if not drop:
            kept.append(line)
    wanted = {name: stage for name, stage in before.items() if not gone(name)}
    after = "".join(kept)
    if not wanted:
        after = after.replace("stages:\n", "stages: {}\n")
    if stages(after, path) != wanted:
        raise UserError(f"{path} is not laid out as DVC writes it. Run `uv run dvc repro`, which writes it anew.")
    return after


def drop_stages(gone: Callable[[str], bool], path: Path = paths.DVC_LOCK) -> bool:
    """Take stages out of dvc.lock, in one rename; returns whether there were any.

    Raises:
        UserError: it cannot be read.
    """
    text = _text(path)
    after = without(text, gone, path)
    if after == text:
        return False
    files.write_text(path, after)
    return True


def write_outs(path: Path, outs: Sequence[Out], *, said: str) -> bool:
    """Write a .dvc file of these outputs, whose versions are known; returns whether it changed.

    Without any output the file is removed: DVC takes an empty one for damaged.

    Args:
        path: of the file; outputs have to lie in its folder, or below it.
        outs: by paths relative to the project's folder.
        said: comment at its top.
    """
    if not outs:
        there = path.exists()
        path.unlink(missing_ok=True)
        return there
    lines = [f"# {said}\n", "outs:\n"]
    for one in outs:
        fields: list[tuple[str, object]] = [("md5", _scalar(one.md5)), ("size", one.size)]
        fields += [("nfiles", one.nfiles)] if one.nfiles is not None else []
        fields += [("hash", "md5"), ("path", Path(one.path).relative_to(path.parent).as_posix())]
        lines += [f"{'- ' if number == 0 else '  '}{key}: {value}\n" for number, (key, value) in enumerate(fields)]
    text = "".join(lines)
    if path.exists() and path.read_text() == text:
        return False
    files.write_text(path, text)
    return True


def _scalar(md5: str) -> str:
    """An MD5 as YAML takes it for text: one of digits alone, or like 12e3, would be a number."""
    return f"'{md5}'" if set(md5) <= set("0123456789e") else md5


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _loaded(text: str, path: Path) -> Mapping[str, Any]:
    try:
        value = yaml.load(text, _LOADER) or {}  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise UserError(f"{path} cannot be read: {error}. Bring it back from git.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no keys and values. Bring it back from git.")
    return value


def _outs(listed: Sequence[Mapping[str, Any]], name: str, path: Path) -> tuple[Out, ...]:
    try:
        return tuple(
            Out(path=str(one["path"]), md5=str(one["md5"]), size=int(one.get("size", 0)), nfiles=one.get("nfiles"))
            for one in listed
            if "md5" in one
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: an output of {name} is damaged ({error}). Bring it back from git.") from None
