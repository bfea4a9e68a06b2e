"""From YAML to frozen dataclasses: a key or a value that is not as declared is an error that says what was meant."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Literal, TypeVar

from pipeline.core.bounded import shown
from pipeline.core.errors import UserError

_T = TypeVar("_T")
SECRET: Mapping[str, bool] = types.MappingProxyType({"secret": True})  # metadata of a field that no message may show


class InvalidSection(ValueError):  # noqa: N818 - what is wrong with the section, not with the code
    """A value that a section refuses; the loader adds where."""


def require(ok: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Refuse a section's value.

    Raises:
        InvalidSection: the condition does not hold.
    """
    if not ok:
        raise InvalidSection(message)


def suggestion(word: object, known: Iterable[str]) -> str:
    """The nearest known word as a half sentence, or nothing."""
    close = difflib.get_close_matches(word[:80], list(known), n=1) if isinstance(word, str) else []
    return f"; did you mean {close[0]!r}?" if close else ""


def _scalar(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if type(value) is kind and kind is not float:
        return value
    wanted = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}[kind]
    raise UserError(f"params.yaml: {where} is {shown(value)}, wanted {wanted}.")


def _date(value: Any, where: str) -> date:
    """A day; YAML gives one for 2027-01-31, and text where it is quoted."""
    try:
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise UserError(f"params.yaml: {where} is {shown(value)}, wanted a day such as 2027-01-31.") from None


def _union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    reasons = []
    for option in options:
        try:
            return _value(option, value, where)
        except UserError as error:
            reasons.append(str(error).rsplit("wanted ", 1)[-1].rstrip("."))
    raise UserError(f"params.yaml: {where} is {shown(value)}, wanted {' or '.join(reasons)}.")


def _value(kind: Any, value: Any, where: str) -> Any:
    """Turn what YAML gave into the declared type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:  # settings of somebody else's code, which knows what they may be
        return value
    if origin is Literal:
        if value in arguments and not isinstance(value, bool):
            return value
        raise UserError(
            f"params.yaml: {where} is {shown(value)}{suggestion(value, arguments)}, "
            f"wanted one of {', '.join(arguments)}."
        )
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, where)
    if kind is type(None):
        if value is None:
            return None
        raise UserError(f"params.yaml: {where} is {shown(value)}, wanted null.")
    if origin is tuple:
        return _sequence(arguments, value, where)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise UserError(f"params.yaml: {where} is {shown(value)}, wanted a mapping.")
        return {_scalar(str, key, where): _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return section(typing.cast("type[Any]", kind), value, where)
    return _date(value, where) if kind is date else _scalar(kind, value, where)


def _unshown(kind: Any, value: Any, where: str) -> Any:
    """As :func:`_value`, for a value that no message may show."""
    try:
        return _value(kind, value, where)
    except UserError as error:
        wanted = str(error).rsplit("wanted ", 1)[-1]
        raise UserError(
            f"params.yaml: {where} is not as it should be (what it is stays hidden), wanted {wanted}"
        ) from None


def _sequence(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise UserError(f"params.yaml: {where} is {shown(value)}, wanted a list.")
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
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not isinstance(value, dict):
        told = "" if any(item.metadata.get("secret") for item in fields.values()) else f" {shown(value)}"
        raise UserError(f"params.yaml: {where or 'the file'} is{told or ' something else'}, wanted keys and values.")
    for key in value:
        if key not in fields:
            place = f"{where} has no key" if where else "no section"
            raise UserError(
                f"params.yaml: {place} {shown(key)}{suggestion(key, fields)}; there are: {', '.join(fields)}."
            )
    hints = typing.get_type_hints(kind)
    given = {}
    for name, item in fields.items():
        if name in value:
            read = _unshown if item.metadata.get("secret") else _value
            given[name] = read(hints[name], value[name], f"{where}.{name}" if where else name)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise UserError(f"params.yaml: {where + '.' if where else ''}{name} is missing.")
    try:
        return kind(**given)
    except InvalidSection as error:
        raise UserError(f"params.yaml: {where + ': ' if where else ''}{error}.") from None
