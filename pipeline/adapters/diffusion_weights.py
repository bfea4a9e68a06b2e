"""The folder of a pipeline that a user has: what is refused before anything in it is read by a library."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import bounded, files
from pipeline.core.errors import UserError

_INDEX = "model_index.json"
_LARGEST_INDEX = 1 << 20  # bytes
_PICKLES = frozenset({".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"})
_OTHERS = frozenset({".h5", ".msgpack", ".onnx"})
_LIBRARIES = frozenset({"diffusers", "transformers"})
_VARIANT = re.compile(r"\.((?:fp|bf)\d+)(?:-\d+-of-\d+)?$")
_UNREAD = _PICKLES | _OTHERS | {".md", ".png", ".jpg", ".jpeg", ".webp", ".gif"}
_SHOWN = 5  # names of pipelines that are there
_DIGITS = 12  # of the digest that goes into each image's provenance
_WANTED = "wanted the folder of a diffusers pipeline, with model_index.json and its weights as .safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A folder that may be loaded.

    Attributes:
        folder: of the pipeline.
        pipeline: name of its class in diffusers.
        digest: the beginning of the SHA-256 over names and bytes of all its files but pictures and words about it.
        variant: what its files of weights are called beside, as fp16; None where there are plain ones.
    """

    folder: Path
    pipeline: str
    digest: str
    variant: str | None


def look(folder: Path) -> Weights:
    """Look at the folder that `generate.diffusion.weights` names.

    Raises:
        UserError: it is not there, no pipeline, has weights that are pickles, code of its own, or links to folders.
    """
    if not folder.exists():
        raise UserError(
            f"generate.diffusion.weights: {folder} does not exist{_others(folder.parent)}; {_WANTED}. Nothing is "
            f"fetched from a hub: where there is a network, download the pipeline, and copy its folder into "
            f"{folder.parent}."
        )
    if not folder.is_dir():
        raise UserError(f"generate.diffusion.weights: {_refused(folder)}; {_WANTED}.")
    for one in (found for found in (folder, *sorted(folder.rglob("*"))) if found.is_symlink() and found.is_dir()):
        raise UserError(
            f"generate.diffusion.weights: {one} is a link to a folder, which DVC does not look into: other weights "
            "there would draw nothing anew. Copy the folder, or let generate.diffusion.pipelines be where it lies."
        )
    for one in _foreign(folder):
        raise UserError(
            f"generate.diffusion.weights: {_refused(one)}; {_WANTED}. "
            "Save it anew with save_pretrained(…, safe_serialization=True), where you trust it."
        )
    name = _class_name(folder / _INDEX)
    return Weights(folder=folder, pipeline=name, digest=_digest(folder), variant=_variant(folder))


def _others(above: Path) -> str:
    found = sorted(index.parent.name for index in above.glob(f"*/{_INDEX}"))
    return f"; in {above} there is {', '.join(found[:_SHOWN])}" if found else ""


def _digest(folder: Path) -> str:
    """The beginning of the SHA-256 over names and bytes of all files that a library may read."""
    listed = sorted(one for one in folder.rglob("*") if one.is_file() and one.suffix.lower() not in _UNREAD)
    lines = (f"{one.relative_to(folder)} {files.sha256_file(one)}\n" for one in listed)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_DIGITS]


def _variant(folder: Path) -> str | None:
    """The variant that all weights come in, where they come in no other way."""
    names = [one.name.removesuffix(".safetensors") for one in folder.glob("*/*.safetensors")]
    found = {match[1] if (match := _VARIANT.search(name)) else None for name in names}
    return next(iter(found)) if len(found) == 1 else None


def _refused(file: Path) -> str:
    if file.suffix.lower() in _PICKLES:
        return f"{file} is a pickle, which may run any code when it is read"
    if file.suffix.lower() == ".py":
        return f"{file} is code, which is not run"
    return f"{file} is a single file" if file.suffix == ".safetensors" else f"{file} is none that is read"


def _foreign(folder: Path) -> Iterator[Path]:
    """Code, and weights of other kinds where the same folder has none in safetensors."""
    for one in sorted(folder.rglob("*")):
        if one.suffix.lower() == ".py":
            yield one
        if one.suffix.lower() in _PICKLES | _OTHERS and not any(one.parent.glob("*.safetensors")):
            yield one


def _class_name(index: Path) -> str:
    """The pipeline's class, where all of its parts are classes of libraries that are known."""
    where = f"generate.diffusion.weights: {index}"
    if not index.exists():
        raise UserError(f"{where} does not exist; {_WANTED}.")
    try:
        value = json.loads(bounded.text(index, most=_LARGEST_INDEX))
        parts = {name: part for name, part in value.items() if isinstance(part, list)}
        name = value["_class_name"]
    except (ValueError, AttributeError, KeyError, RecursionError) as error:
        raise UserError(f"{where} cannot be read ({type(error).__name__}); {_WANTED}.") from None
    if not isinstance(name, str):
        raise UserError(f"{where} names a pipeline with code of its own, {bounded.shown(name)}, which is not run.")
    for key, part in parts.items():
        if part and not key.startswith("_") and not _known(part[0]):
            raise UserError(
                f"{where}: {bounded.shown(key)} is of {bounded.shown(part[0])}, wanted a class of diffusers or "
                "transformers: code of others is not run."
            )
    return name


def _known(library: object) -> bool:
    """Whether a part is of a library that is read, or, as in older folders, of a module of diffusers' pipelines."""
    if library is None or library in _LIBRARIES:
        return True
    found = importlib.util.find_spec("diffusers")  # looked for, not imported, which takes seconds
    if found is None or found.origin is None or not isinstance(library, str) or not library.isidentifier():
        return False
    return (Path(found.origin).parent / "pipelines" / library).is_dir()
