"""From YAML to frozen dataclasses: a key or a value that is not as declared is an error that says what was meant."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import yaml

from pipeline.core.errors import UserError

_T = TypeVar("_T")


class InvalidSection(ValueError):  # noqa: N818 - what is wrong with the section, not with the code
    """A value that a section refuses; the loader adds where."""


def require(ok: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Refuse a section's value.

    Raises:
        InvalidSection: the condition does not hold.
    """
    if not ok:
        raise InvalidSection(message)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest known word as a half sentence, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if type(value) is kind and kind is not float:
        return value
    wanted = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}[kind]
    raise UserError(f"params.yaml: {where} is {value!r}, wanted {wanted}.")


def _union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    reasons = []
    for option in options:
        try:
            return _value(option, value, where)
        except UserError as error:
            reasons.append(str(error).rsplit("wanted ", 1)[-1].rstrip("."))
    raise UserError(f"params.yaml: {where} is {value!r}, wanted {' or '.join(reasons)}.")


def _value(kind: Any, value: Any, where: str) -> Any:
    """Turn what YAML gave into the declared type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value in arguments and not isinstance(value, bool):
            return value
        raise UserError(
            f"params.yaml: {where} is {value!r}{suggestion(str(value), arguments)}, "
            f"wanted one of {', '.join(arguments)}."
        )
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, where)
    if kind is type(None):
        if value is None:
            return None
        raise UserError(f"params.yaml: {where} is {value!r}, wanted null.")
    if origin is tuple:
        return _sequence(arguments, value, where)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise UserError(f"params.yaml: {where} is {value!r}, wanted a mapping.")
        return {_scalar(str, key, where): _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return section(typing.cast("type[Any]", kind), value, where)
    return _scalar(kind, value, where)


def _sequence(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise UserError(f"params.yaml: {where} is {value!r}, wanted a list.")
    if arguments[-1] is Ellipsis:
        return tuple(_value(arguments[0], item, where) for item in value)
    if len(value) != len(arguments):
        raise UserError(f"params.yaml: {where} has {len(value)} items, wanted {len(arguments)}.")
    return tuple(_value(kind, item, where) for kind, item in zip(arguments, value, strict=True))


def section(kind: type[_T], value: Any, where: str = "") -> _T:
    """Build one dataclass, and those inside it, from what YAML gave.

    Raises:
        UserError: a key is unknown or missing, or a value is not of its type or out of range.
    """
    if not isinstance(value, dict):
        raise UserError(f"params.yaml: {where or 'the file'} is {value!r}, wanted keys and values.")
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in value:
        if key not in fields:
            place = f"{where} has no key" if where else "no section"
            raise UserError(
                f"params.yaml: {place} {key!r}{suggestion(str(key), fields)}; there are: {', '.join(fields)}."
            )
    hints = typing.get_type_hints(kind)
    given = {}
    for name, item in fields.items():
        if name in value:
            given[name] = _value(hints[name], value[name], f"{where}.{name}" if where else name)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise UserError(f"params.yaml: {where + '.' if where else ''}{name} is missing.")
    try:
        return kind(**given)
    except InvalidSection as error:
        raise UserError(f"params.yaml: {where + ': ' if where else ''}{error}.") from None


class UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that is there twice: YAML itself would let the last one win.

    It takes ``1e-3`` for a number, as DVC does (YAML 1.2); PyYAML alone (YAML 1.1) takes it for text.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read one mapping, refusing repeated keys; done here, before ``<<`` brings in keys that may be overridden."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.YAMLError(f"key {key.value!r} is there twice, near line {key.start_mark.line + 1}")
            seen.add((key.tag, str(key.value)))
        return node


UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)
