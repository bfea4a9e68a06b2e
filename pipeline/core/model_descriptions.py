"""Descriptions of models (.yaml), which may come from anywhere: looked through before ultralytics builds a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.core import bounded, plain_yaml

_LARGEST = 1 << 16  # bytes of a description
_LARGEST_NUMBER = 10_000  # in it: channels, repetitions
_MOST_VALUES = 100_000


def check(path: Path) -> None:
    """Refuse a description of a model that would take all memory, or that asks for code to be run.

    Raises:
        ValueError: no keys and values, or a number that no detector has.
    """
    value: Any = plain_yaml.load(bounded.read(path, most=_LARGEST))
    if not isinstance(value, dict):
        raise ValueError(f"it holds {type(value).__name__}, wanted a description of a model")  # noqa: TRY004 - of a file
    ahead: list[Any] = list(value.values())
    for _ in range(_MOST_VALUES):
        if not ahead:
            return
        one = ahead.pop()
        if isinstance(one, int | float) and abs(one) > _LARGEST_NUMBER:
            raise ValueError(f"it holds the number {bounded.shown(one)}, wanted at most {_LARGEST_NUMBER:,}")
        if isinstance(one, dict | list):
            ahead += one.values() if isinstance(one, dict) else one
    raise ValueError(f"it holds more than {_MOST_VALUES:,} values")
