"""Other values in params.yaml: only those change, every comment and all else stays byte for byte."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.core import params, plain_yaml
from pipeline.core.errors import UserError
from pipeline.core.plain_yaml import UniqueKeys

Value = bool | int | float | str | list["Value"] | dict[str, "Value"] | None


def changed(text: str, values: Mapping[str, Value]) -> str:
    """The text of params.yaml with other values; applied twice, it gives the same.

    Args:
        text: of params.yaml, of any line ends.
        values: by key, with the sections before it: ``train.steps``. A list or a mapping takes the place of the whole.

    Raises:
        UserError: the text is not a params.yaml, the new one would not be, it has no such key, or its value is written
            in a way that cannot be changed in place.
    """
    params.parse(text)
    before: dict[str, Any] = dict(plain_yaml.load(text))
    wanted = copy.deepcopy(before)
    for key, value in values.items():
        inside, name = _place(wanted, key)
        inside[name] = value
    if wanted == before:
        return text
    result = text
    root: Any = yaml.compose(text, UniqueKeys)
    nodes = {key: _node(root, key) for key in values}
    for key, node in sorted(nodes.items(), key=lambda one: -one[1].start_mark.index):
        before_it, after_it = result[: node.start_mark.index], result[node.end_mark.index :]
        space = "" if before_it.endswith((" ", "\t")) else " "
        result = f"{before_it}{space}{written(values[key])}{after_it}"
    try:
        same = plain_yaml.load(result) == wanted
    except ValueError:
        same = False
    if not same:
        raise UserError(
            f"params.yaml: {_several_lines(nodes) or ', '.join(values)} is written in a way that cannot be changed in "
            "place. Write each value on the line of its key, without YAML's & and *."
        )
    params.parse(result)
    return result


def written(value: Value) -> str:
    """A value as it stands on the line of its key.

    >>> written({"train": 0.7, "names": ["a, b", "no"]})
    "{ train: 0.7, names: ['a, b', 'no'] }"
    """
    if isinstance(value, dict):
        inside = ", ".join(f"{written(key)}: {written(one)}" for key, one in value.items())
        return f"{{ {inside} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    # As the only item of a list: there YAML also quotes what would end an item.
    text = _flow(value)
    # The project's reader takes more for a number than PyYAML's writer expects: 1e3.
    return text if not isinstance(value, str) or plain_yaml.load(f"[{text}]") == [value] else _flow(value, quotes='"')


def _flow(value: Value, *, quotes: str | None = None) -> str:
    text = yaml.safe_dump([value], default_flow_style=True, default_style=quotes, allow_unicode=True, width=1 << 20)
    return str(text).strip()[1:-1]


def _place(value: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """The mapping that holds a key, and its name there."""
    *sections, name = key.split(".")
    for one in sections:
        value = value.get(one, {})
    if not isinstance(value, dict) or name not in value:
        raise UserError(f"params.yaml has no line {key}; take it back from git: git checkout -- params.yaml")
    return value, name


def _node(node: Any, key: str) -> Any:
    for name in key.split("."):
        node = next(value for one, value in node.value if one.value == name)
    return node


def _several_lines(nodes: Mapping[str, Any]) -> str:
    """The keys whose values stand on several lines."""
    return ", ".join(key for key, node in nodes.items() if node.start_mark.line != node.end_mark.line)
