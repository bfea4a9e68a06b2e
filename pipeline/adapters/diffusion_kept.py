"""A training that is kept while it runs, so that one that is cut off goes on as if nothing had happened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pipeline.core import files, stage
from pipeline.core.errors import UserError


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Say in words what a disk cannot take: the process that draws is not the one that knows how to.

    Raises:
        UserError: something could not be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"generator diffusion: {stage.explain(error)}") from None


class Training(Protocol):
    """What is kept: all that the next step depends on."""

    net: Any
    average: Any
    optimizer: Any
    step: int


class Kept:
    """One file, in safetensors: numbers and nothing that could be called."""

    def __init__(self, path: Path) -> None:
        """Keep a training in this file."""
        self._path = path

    def save(self, training: Training) -> None:
        """Keep it as it is now; what was kept before stays until all is written."""
        from safetensors.torch import save

        tensors = {f"net.{name}": value for name, value in training.net.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in training.average.state_dict().items()}
        for number, state in training.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        files.write_bytes(self._path, save(whole, {"step": str(training.step)}))

    def restore(self, training: Training) -> bool:
        """Bring a fresh training to where the kept one was; whether there was one that can be read."""
        from safetensors import SafetensorError, safe_open

        if not self._path.exists():
            return False
        try:
            with safe_open(self._path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
                step = int(file.metadata()["step"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            return False
        training.net.load_state_dict(_below(tensors, "net."))
        training.average.load_state_dict(_below(tensors, "average."))
        states: dict[int, dict[str, Any]] = {}
        for name, value in _below(tensors, "optimizer.").items():
            number, _, key = name.partition(".")
            states.setdefault(int(number), {})[key] = value
        groups = training.optimizer.state_dict()["param_groups"]
        training.optimizer.load_state_dict({"state": states, "param_groups": groups})
        training.step = step
        return True


def _below(tensors: dict[str, Any], start: str) -> dict[str, Any]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
