"""The App's plugin: what FiftyOne is told of it."""

from __future__ import annotations

from typing import Any


def register(plugin: Any) -> None:
    """Name the operators and the panel; FiftyOne calls this when it finds the plugin."""
    from pipeline.app import decisions, looking, verdicts

    for one in (*decisions.OPERATORS, *looking.OPERATORS, *verdicts.PANELS):
        plugin.register(one)
