"""Torch without its compiler, which a training imports and does not use: most of its start.

An optimizer asks the compiler for a break in what is compiled and for functions that are left alone, and torch tells it
whether only what is deterministic may be used. Stand-ins take both. Whoever asks for more gets the compiler itself.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

_NAMES = ("torch._dynamo", "torch._inductor", "torch._inductor.config")
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _StandIn(ModuleType):
    """What is asked of a part of the compiler where nothing is compiled."""

    @staticmethod
    def graph_break(msg: str = "") -> None:
        """Do nothing: there is no graph."""

    @staticmethod
    def disable(fn: _Function, recursive: bool = True, **_: object) -> _Function:  # noqa: FBT001, FBT002, ARG004 - torch's
        """Leave a function alone, as all are."""
        return fn

    def __getattr__(self, name: str) -> Any:
        """Bring in the compiler, which somebody wants."""
        if name.startswith("__") and name != "__path__":  # of any module: asked for by whoever looks through them
            raise AttributeError(name)
        _give_way()
        return getattr(importlib.import_module(self.__name__), name)


def leave_out_compiler() -> None:
    """Import no compiler in this process, where it is not there yet; for a training that compiles nothing."""
    if any(name in sys.modules for name in _NAMES):
        return
    for name in _NAMES:
        parent, _, own = name.rpartition(".")
        sys.modules[name] = _StandIn(name)
        setattr(importlib.import_module(parent), own, sys.modules[name])


def _give_way() -> None:
    """Take the stand-ins out of the way of what they stand for."""
    for name in _NAMES:
        if isinstance(sys.modules.get(name), _StandIn):
            parent, _, own = name.rpartition(".")
            vars(sys.modules.get(parent, sys)).pop(own, None)
            del sys.modules[name]
