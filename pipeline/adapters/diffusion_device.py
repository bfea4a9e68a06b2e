"""Where diffusion computes: its libraries kept off the network, the device, and what to do when memory is short."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from pipeline.core import cores, heap, paths, stage
from pipeline.core.errors import UserError

_T = TypeVar("_T")
_LIBRARIES = ("diffusers", "torch", "transformers")


def versions() -> dict[str, str]:
    """The versions that what is drawn depends on; without those of packages that are not installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def libraries() -> Any:
    """Import diffusers, kept to this project's folder and off the network.

    Raises:
        UserError: the optional packages are not installed.
    """
    os.environ.update(
        HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1",
        HF_HOME=str(paths.STATE.absolute() / "huggingface"), HF_HUB_DISABLE_PROGRESS_BARS="1",
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
    )  # fmt: skip
    cores.let_threads_sleep()
    try:
        import diffusers
        import safetensors.torch  # noqa: F401 - asked for here, where its absence has its words
    except ImportError as error:
        raise UserError(
            f"generator diffusion needs packages that are not installed ({error.name or error}). "
            "Type: uv sync --extra diffusion"
        ) from None
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    return diffusers


def chosen(device: str | int) -> str:
    """The device in torch's words: of several GPUs, the first; on the CPU, as many cores as a training may use.

    Args:
        device: as ``train.device`` has it.

    Raises:
        UserError: a GPU is wanted that is not there.
    """
    import torch

    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        torch.set_num_threads(cores.available())
        heap.keep_freed()
        return "cpu"
    torch.use_deterministic_algorithms(True, warn_only=True)  # on a CPU they are, and asking costs seconds
    first = "0" if device == "auto" else str(device).split(",")[0].strip()
    if not first.isdigit():
        return first
    if int(first) >= torch.cuda.device_count():
        raise UserError(
            f"params.yaml: train.device is {device!r}, and torch sees {torch.cuda.device_count()} GPUs; "
            "wanted cpu, auto, or the number of a GPU."
        )
    return f"cuda:{first}"


class Parts:
    """Computes many images in parts, which are halved for good when the GPU has no memory for them.

    Each image has noise of its own, so that the size of a part changes no image but in the last bits.
    """

    def __init__(self, most: int) -> None:
        """Begin with parts of so many images."""
        self.most = most

    def each(self, count: int, call: Callable[[slice], list[_T]]) -> list[_T]:
        """Call for one part after the other, and join what it gives.

        Args:
            count: images in all.
            call: takes the positions of a part.

        Raises:
            UserError: there is no memory for a single image.
        """
        import torch

        done: list[_T] = []
        while len(done) < count:
            size = min(self.most, count - len(done))
            try:
                done += call(slice(len(done), len(done) + size))
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                if size == 1:
                    raise UserError(
                        "generator diffusion: the GPU has no memory for a single image. Lower generate.diffusion.side, "
                        "choose generate.diffusion.precision: float16, stop other programs, or train.device: cpu."
                    ) from None
                self.most = max(size // 2, 1)
                stage.report(f"  diffusion: the GPU is short of memory; from here on {self.most} images at a time")
        return done
