"""Is the Python right, and are the packages those of the lock?"""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from pipeline.doctor.finding import Finding, last_line, ok, problem, run, warning

LOCKED = ("ultralytics", "fiftyone", "dvc", "torch", "numpy")  # those whose version changes results
OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless")
_SAMPLED = ("fiftyone", "ultralytics", "dvc")  # compiled all together, or not at all
_INSTALL = "Type: make install"
_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
name = torch.cuda.get_device_name(0) if cuda else None
print(json.dumps({"version": torch.__version__, "device": name}))
"""


def check_python(found: Sequence[int] = sys.version_info[:3]) -> Finding:
    """The Python that runs this, as major, minor, patch."""
    text = ".".join(str(number) for number in found)
    if (3, 11) <= tuple(found[:2]) <= (3, 13):
        return ok("python", text)
    return problem("python", f"{text}, wanted 3.11 to 3.13", "Type: UV_PYTHON=python3.12 make install")


def installed_versions(names: Sequence[str] = LOCKED) -> dict[str, str | None]:
    """What is installed, without importing it; None where a package is not there."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def check_versions(lock: Path, installed: Mapping[str, str | None]) -> Finding:
    """Compare what is installed with uv.lock, which may hold several versions of a package, one a Python."""
    if not lock.is_file():
        return problem("packages", f"no {lock}", "Run this in the project's folder, or type: git checkout uv.lock")
    wanted: dict[str, set[str]] = {}
    for package in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]:
        wanted.setdefault(package["name"], set()).add(package["version"])
    wrong = [
        f"{name} is {found or 'missing'}, wanted {' or '.join(sorted(wanted[name]))}"
        for name, found in installed.items()
        if name in wanted and (found or "").split("+")[0] not in {each.split("+")[0] for each in wanted[name]}
    ]
    if wrong:
        return problem("packages", "; ".join(wrong), _INSTALL)
    return ok("packages", ", ".join(f"{name} {found}" for name, found in installed.items()))


def check_opencv(folders: Sequence[str] | None = None) -> Finding:
    """Exactly one build of OpenCV: each of them writes the same folder, cv2."""
    folders = sys.path if folders is None else folders
    names = {(each.metadata["Name"] or "").lower().replace("_", "-") for each in distributions(path=list(folders))}
    builds = [name for name in OPENCV if name in names]
    if len(builds) == 1:
        return ok("opencv", builds[0])
    if not builds:
        return problem("opencv", "missing", _INSTALL)
    remedy = f"Type: tools/uv pip uninstall {' '.join(builds)} && make install"
    return problem("opencv", f"{' and '.join(builds)} are installed, and write the same files", remedy)


def check_albumentations(installed: str | None) -> Finding:
    """Ultralytics uses albumentations whenever it is there, so its presence changes every training."""
    if installed is None:
        return ok("augmentation", "ultralytics' own")
    message = f"albumentations {installed} is installed: ultralytics uses it unasked, and trainings change"
    return warning("augmentation", message, "Type: make install (it removes what uv.lock does not name)")


def check_import(module: str, *, python: str = sys.executable, timeout: float = 60) -> Finding:
    """Import a module in a process of its own: one whose shared libraries clash ends the process that imports it."""
    name = f"import {module}"
    output = run([python, "-c", f"import {module}; print({module}.__version__)"], timeout=timeout)
    if output.code == 0:
        return ok(name, output.stdout.strip())
    remedy = f"Type: tools/uv sync --locked --reinstall-package {_distribution(module)}"
    if output.code is None:
        return problem(name, f"not done after {timeout:g} s", remedy)
    return problem(name, f"fails: {last_line(output.stderr)}", remedy)


def _distribution(module: str) -> str:
    return "opencv-python-headless" if module == "cv2" else module


def check_bytecode(environment: Mapping[str, str], packages: Sequence[str] = _SAMPLED) -> Finding:
    """Where Python may not write bytecode and none is there, each process compiles every module anew."""
    if not environment.get("PYTHONDONTWRITEBYTECODE"):
        return ok("bytecode", "Python may write it")
    missing = [name for name in packages if not _is_compiled(name)]
    if not missing:
        return ok("bytecode", "compiled at install")
    message = f"none for {', '.join(missing)} while PYTHONDONTWRITEBYTECODE is set: every start is some 10 s slower"
    return warning("bytecode", message, "Type: tools/uv sync --locked --compile-bytecode")


def _is_compiled(package: str) -> bool:
    spec = importlib.util.find_spec(package)  # of a top-level package: finds it without importing it
    if spec is None or spec.origin is None:
        return True  # nothing to compile; check_versions says that it is missing
    return Path(importlib.util.cache_from_source(spec.origin)).is_file()


def check_torch(*, python: str = sys.executable, nvidia: Path = Path("/dev/nvidia0"), timeout: float = 180) -> Finding:
    """Import torch in a process of its own and ask it for a GPU; ``nvidia`` is there when the machine has one."""
    output = run([python, "-c", _TORCH], timeout=timeout)
    remedy = "Type: tools/uv sync --locked --reinstall-package torch"
    if output.code is None:
        return problem("torch", f"not imported after {timeout:g} s", remedy)
    if output.code != 0:
        return problem("torch", f"fails: {last_line(output.stderr)}", remedy)
    answer = json.loads(last_line(output.stdout))
    if answer["device"]:
        return ok("torch", f"{answer['version']} on {answer['device']}")
    if nvidia.exists():
        message = f"{answer['version']} cannot use this machine's NVIDIA GPU: {last_line(output.stderr)}"
        return warning("torch", message, "Update the NVIDIA driver (nvidia-smi names it); until then the CPU trains")
    return ok("torch", f"{answer['version']} on the CPU")
