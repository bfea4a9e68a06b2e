"""Runs in and out of params.yaml: only those lines change, all else stays byte for byte.

A YAML library that writes the file anew would move comments and change spelling. So the text is only read as YAML, to
know where each run stands, and lines are put in or taken out; the new text is then read again and compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.core import params, paths, plain_yaml
from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.core.plain_yaml import UniqueKeys
from pipeline.core.sections import Run

_ANCHORS = "anchors"
_PINS = "pins"
_COMMENT = " # retired runs that a run above descends from; written by the night"
_PINNED = " # rows of the ledger as of which finished runs keep their real images; written by the night"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Where a key and its value stand: whole lines, the first one and the one after the last."""

    first: int
    after: int


def next_run(settings: Params, arm: str) -> tuple[str, Run]:
    """The run that continues an arm, by name: one generation more, of the same seed.

    Raises:
        UserError: the name is taken by a run that is not it.
    """
    chain = newest_first(settings, arm)
    newest = settings.runs[chain[0]] if chain else Run(arm=arm, generation=0, previous="")
    name = f"{arm}-{newest.generation + 1}"
    if name in settings.runs or name in settings.anchors:
        raise UserError(
            f"params.yaml: the next run of arm {arm} would be {name}, and there is one of that name already. "
            f"Rename that run; names of the form ARM-N belong to generation N of the arm."
        )
    previous = chain[0] if chain else paths.BASE
    return name, Run(arm=arm, generation=newest.generation + 1, previous=previous, seed=newest.seed)


def newest_first(settings: Params, arm: str) -> list[str]:
    """The runs of an arm that are in `runs`, the newest generation first; of equals, the one that stands last."""
    own = [(run.generation, place, name) for place, (name, run) in enumerate(settings.runs.items()) if run.arm == arm]
    return [name for _, _, name in sorted(own, reverse=True)]


def edited(
    text: str,
    *,
    add: Mapping[str, Run],
    remove: Collection[str] = (),
    anchors: Mapping[str, Run] | None = None,
    pins: Mapping[str, str] | None = None,
) -> str:
    """The text of params.yaml with other runs; applied twice, it gives the same.

    Args:
        text: of params.yaml, of any line ends.
        add: runs by name; one that is there as it is wanted is left alone.
        remove: names of runs that leave; one that is not there is left out.
        anchors: all that the section `anchors` is to hold; None leaves it as it is.
        pins: all that the section `pins` is to hold; None leaves it as it is.

    Raises:
        UserError: the text is not a params.yaml, the new one would not be, or `runs` is written in a way that cannot be
            edited line by line.
    """
    before = params.parse(text)
    kept = {name: run for name, run in before.runs.items() if name not in remove}
    added = {name: run for name, run in add.items() if kept.get(name) != run}
    if taken := [name for name in added if name in kept]:
        raise UserError(f"params.yaml: run {taken[0]} is there already, and is another than the one to be added.")
    moved = None if anchors is None or dict(anchors) == before.anchors else anchors
    pinned = None if pins is None or dict(pins) == before.pins else pins
    fewer = len(kept) < len(before.runs)
    if not (added or fewer) and moved is None and pinned is None:
        return text
    wanted = _expected(text, kept | added, moved, pinned)
    result = text
    try:
        if added or fewer:
            result = _with_runs(result, before, kept, added)
        if moved is not None:
            result = _with_anchors(result, moved, there=_ANCHORS in _read(text))
        if pinned is not None:
            result = _with_pins(result, pinned, there=_PINS in _read(text))
        same = _read(result) == wanted
    except (ValueError, yaml.YAMLError):
        same = False
    if not same:
        raise UserError(
            "params.yaml: `runs` or `pins` is written in a way that cannot be edited line by line. Write each run as "
            "`  NAME: { arm: ARM, generation: N, previous: NAME }`, without YAML's & and *."
        )
    params.parse(result)
    return result


def _expected(
    text: str, runs: Mapping[str, Run], anchors: Mapping[str, Run] | None, pins: Mapping[str, str] | None
) -> dict[str, Any]:
    """What the new text is to be read as; runs that stay are compared as they are written."""
    value = _read(text)
    old = value.get("runs") or {}
    value["runs"] = {name: old.get(name, _plain({name: run})[name]) for name, run in runs.items()}
    if anchors is not None:
        value.pop(_ANCHORS, None)
        if anchors:
            value[_ANCHORS] = _plain(anchors)
    if pins is not None:
        value[_PINS] = dict(pins)
    return value


def _plain(runs: Mapping[str, Run]) -> dict[str, dict[str, Any]]:
    """Runs as YAML gives them; a seed of 0 is not written."""
    return {
        name: {key: value for key, value in dataclasses.asdict(run).items() if key != "seed" or value}
        for name, run in runs.items()
    }


def _read(text: str) -> dict[str, Any]:
    return dict(plain_yaml.load(text))


def _line(name: str, run: Run, *, indent: str = "  ") -> str:
    fields = ", ".join(f"{key}: {value}" for key, value in _plain({name: run})[name].items())
    return f"{indent}{name}: {{ {fields} }}"


def _lines(text: str) -> tuple[list[str], str]:
    """Lines without their ends, and the end that the file uses."""
    end = "\r\n" if "\r\n" in text else "\n"
    return text.split(end), end


def _with_runs(text: str, before: Params, kept: Mapping[str, Run], added: Mapping[str, Run]) -> str:
    key, value = _section(text, "runs")
    lines, end = _lines(text)
    where = _entry(key, value)
    if value.flow_style or not kept:  # {…} on a line, or nothing that stays to write beside
        fresh = [f"{lines[where.first].split(':')[0]}:", *(_line(*each) for each in (dict(kept) | dict(added)).items())]
        fresh = fresh if kept or added else [f"{fresh[0]} {{}}"]
        return end.join([*lines[: where.first], *fresh, *lines[where.after :]])
    entries = {one.value: _entry(one, other) for one, other in value.value}
    gone = {number for name in before.runs if name not in kept
            for number in range(entries[name].first, entries[name].after)}  # fmt: skip
    indent = " " * value.value[0][0].start_mark.column
    fresh = [_line(*each, indent=indent) for each in added.items()]
    last = max(entries[name].after for name in kept)
    head = [line for number, line in enumerate(lines[:last]) if number not in gone]
    tail = [line for number, line in enumerate(lines[last:], start=last) if number not in gone]
    return end.join([*head, *fresh, *tail] if tail else [*head, *fresh, ""])


def _with_anchors(text: str, anchors: Mapping[str, Run], *, there: bool) -> str:
    lines, end = _lines(text)
    fresh = [f"{_ANCHORS}:{_COMMENT}", *(_line(*each) for each in anchors.items())] if anchors else []
    if there:
        where = _entry(*_section(text, _ANCHORS))
        head, tail = lines[: where.first], lines[where.after :]
        while not fresh and head and not head[-1] and tail and not tail[0]:
            head.pop()  # the blank line that stood before it
        return end.join([*head, *fresh, *tail])
    where = _entry(*_section(text, "runs"))
    tail = lines[where.after :] or [""]
    return end.join([*lines[: where.after], "", *fresh, *tail])


def _with_pins(text: str, pins: Mapping[str, str], *, there: bool) -> str:
    # In quotes: a hash of digits alone, or one that begins with 0b, would be a number.
    lines, end = _lines(text)
    fresh = [f'  {run}: "{row}"' for run, row in pins.items()]
    if there:
        key, value = _section(text, _PINS)
        where = _entry(key, value)
        said = (
            _comment(lines[where.after - 1], value)
            if value.flow_style
            else lines[where.first].split(":", 1)[1].rstrip()
        )
        fresh = [f"{_PINS}:{said}", *fresh] if fresh else [f"{_PINS}: {{}}{said}"]
        return end.join([*lines[: where.first], *fresh, *lines[where.after :]])
    where = _entry(*_section(text, _ANCHORS if _ANCHORS in _read(text) else "runs"))
    return end.join([*lines[: where.after], "", f"{_PINS}:{_PINNED}", *fresh, *(lines[where.after :] or [""])])


def _comment(line: str, value: yaml.Node) -> str:
    """What stands behind a value on its last line."""
    return line[value.end_mark.column :].rstrip()


def _section(text: str, name: str) -> tuple[yaml.Node, Any]:
    """The nodes of a section's key and value."""
    root: Any = yaml.compose(text, UniqueKeys)
    return next((key, value) for key, value in root.value if key.value == name)


def _entry(key: yaml.Node, value: yaml.Node) -> _Entry:
    return _Entry(first=key.start_mark.line, after=_last_line(value) + 1)


def _last_line(node: Any) -> int:
    """The line on which a value ends; YAML itself says of a block that it ends where the next thing begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        children = [each for item in node.value for each in (item if isinstance(item, tuple) else (item,))]
        return max(_last_line(each) for each in children)
    if node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line:
        return int(node.end_mark.line) - 1
    return int(node.end_mark.line)
