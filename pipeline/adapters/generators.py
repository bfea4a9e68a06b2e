"""Find a generator by its name: one of the project's, one of an installed package, or a function in a user's file."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from pipeline.core import bounded, files, generator_names
from pipeline.core.errors import UserError
from pipeline.core.generate_settings import Generate
from pipeline.core.synthesis import AnyFit

_DIGITS = 12  # of a file's digest, by which its version is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A generator that was found.

    Attributes:
        name: goes into the manifest and into each image's provenance.
        version: of the code, in the author's own words, or the beginning of the file's digest.
        fit: learns from examples.
        digest: SHA-256 of the file that the function stands in; empty where there is none.
        knows_parents: whether it says what each image was made from.
        takes_task: whether the fit wants a :class:`~pipeline.core.synthesis.Task`.
    """

    name: str
    version: str
    fit: AnyFit
    digest: str
    knows_parents: bool = True
    takes_task: bool = False


def find(settings: Generate) -> Generator:
    """The generator that params.yaml names.

    Raises:
        UserError: there is none of that name, or it cannot be loaded.
    """
    name = settings.generator
    if problem := generator_names.problem(name):
        raise UserError(f"params.yaml: generate: {problem}.")
    if name in generator_names.BUILT_IN:
        return _of_the_project(settings)
    if parts := generator_names.file_and_function(name):
        return _of_a_file(name, *parts)
    return _of_a_package(name)


def _generator(name: str, version: str, fit: AnyFit, *, knows_parents: bool = True) -> Generator:
    if not callable(fit):
        raise UserError(f"generator {name}: it is {type(fit).__name__}, wanted a function (docs/generators.md).")
    try:
        source = inspect.getsourcefile(inspect.unwrap(fit))
        takes_task = "task" in inspect.signature(fit).parameters
    except (TypeError, ValueError):  # an object that can be called, or a function that is not written in Python
        source, takes_task = None, False
    digest = files.sha256_file(Path(source)) if source and Path(source).exists() else ""
    return Generator(
        name=name, version=version, fit=fit, digest=digest, knows_parents=knows_parents, takes_task=takes_task
    )


def _module(name: str) -> ModuleType:
    """A module of the project, imported when it is chosen: each may need what others do not."""
    if name == "mixture":
        from pipeline.core import mixture

        return mixture
    if name == "copy_paste":
        from pipeline.core import copy_paste

        return copy_paste
    if name == "diffusion":
        from pipeline.adapters import diffusion

        return diffusion
    from pipeline.core import outside

    return outside


def _of_the_project(settings: Generate) -> Generator:
    module = _module(settings.generator)
    if settings.generator != "folder":
        return _generator(settings.generator, module.VERSION, module.fit)
    name, version = settings.folder.tool or "folder", settings.folder.version or ""
    return _generator(name, version, module.fit, knows_parents=False)


def _of_a_package(name: str) -> Generator:
    found = {entry.value: entry for entry in entry_points(group=generator_names.GROUP) if entry.name == name}
    if len(found) > 1:
        raise UserError(
            f"generator {name}: {len(found)} packages offer one of that name ({', '.join(sorted(found))}). "
            "Uninstall all but one."
        )
    entry: EntryPoint = next(iter(found.values()))
    try:
        fit = entry.load()
    except Exception as error:  # noqa: BLE001 - a package may fail in any way while it is imported
        raise UserError(
            f"generator {name} of {_package(entry)} cannot be loaded: {_in_short(error)}. "
            "Mend or reinstall the package, or choose another generate.generator."
        ) from None
    return _generator(name, entry.dist.version if entry.dist else "", fit)


def _package(entry: EntryPoint) -> str:
    return f"the package {entry.dist.name}" if entry.dist else entry.value


def _of_a_file(name: str, file: str, function: str) -> Generator:
    path = Path(file)
    folder = Path(generator_names.FOLDER)
    if path.is_absolute() or ".." in path.parts or folder not in path.parents:
        raise UserError(
            f"params.yaml: generate.generator is {name!r}, wanted a file in the project's folder {folder}/: "
            "`dvc repro` draws anew when something in there changes. Move the file there."
        )
    if not path.is_file():
        there = ", ".join(sorted(one.name for one in folder.glob("*.py"))) or "no file"
        raise UserError(f"generator {name}: {path} does not exist; in {folder}/ there is {there}.")
    module = _imported(path, name)
    fit = getattr(module, function, None)
    if fit is None:
        own = [key for key, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__]
        there = ", ".join(sorted(key for key in own if not key.startswith("_") and callable(vars(module)[key])))
        raise UserError(f"generator {name}: {path} has no function {function!r}; it has {there or 'none'}.")
    found = _generator(name, "", fit)
    digest = files.sha256_file(path)
    return Generator(
        name=name, version=digest[:_DIGITS], fit=found.fit, digest=_digest_of(folder), takes_task=found.takes_task
    )


def _digest_of(folder: Path) -> str:
    """SHA-256 over the code of a folder: a file may import its neighbours."""
    sources = sorted(folder.rglob("*.py"))
    return hashlib.sha256("".join(files.sha256_file(one) for one in sources).encode()).hexdigest()


def _imported(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"generators.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"generator {name}: {path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the file is the user's, and may fail in any way
        raise UserError(
            f"generator {name}: {path} cannot be loaded: {_in_short(error)}. Mend the file and run the command again."
        ) from None
    return module


def _in_short(error: BaseException) -> str:
    return bounded.shown(f"{type(error).__name__}: {error}", most=300).strip("'\"")
