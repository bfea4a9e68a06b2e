"""All that can be wrong with an installation: ``examine`` looks, ``render`` shows.

Nothing heavy is imported: neither FiftyOne nor Ultralytics nor torch, which a broken installation may not even survive.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.core.paths import DATABASE
from pipeline.doctor import database, machine, night, packages, repository
from pipeline.doctor.finding import Finding, render, warning

__all__ = ["Finding", "examine", "render"]

_Check = Callable[[], Finding | list[Finding]]


def examine(*, quick: bool = False) -> list[Finding]:
    """Check the installation in the working directory, which is the project's folder.

    Args:
        quick: leave out what takes seconds, which is importing torch and starting MongoDB.
    """
    project = Path()
    checks: dict[str, _Check] = {
        "python": packages.check_python,
        "packages": lambda: packages.check_versions(project / "uv.lock", packages.installed_versions()),
        "opencv": packages.check_opencv,
        "import cv2": lambda: packages.check_import("cv2"),
        "augmentation": lambda: packages.check_albumentations(
            packages.installed_versions(["albumentations"])["albumentations"]
        ),
        "bytecode": lambda: packages.check_bytecode(os.environ),
        "memory": machine.check_memory,
        "disk": lambda: machine.check_disk(project),
        "open files": machine.check_open_files,
        "git": lambda: repository.check_git(project),
        "dvc": lambda: repository.check_dvc(project),
        "night": lambda: night.check_night(project),
        "database": lambda: check_database(os.environ, project / DATABASE, quick=quick),
    }
    if not quick:
        checks["torch"] = packages.check_torch
    return [finding for name, check in checks.items() for finding in _guarded(name, check)]


def check_database(environment: Mapping[str, str], folder: Path, *, quick: bool) -> list[Finding]:
    """The server that FIFTYONE_DATABASE_URI names, else all that FiftyOne's own one needs."""
    uri = environment.get("FIFTYONE_DATABASE_URI")
    if uri:
        return [database.check_server(uri)]
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.is_file() else ""
    findings = [machine.check_avx(text, machine=platform.machine()), database.check_folder(folder)]
    executable = database.find_mongod()
    findings.append(database.check_mongod(executable))
    if not quick and executable is not None and findings[-1].status == "ok":
        findings.append(database.check_start(executable))
    return findings


def _guarded(name: str, check: _Check) -> list[Finding]:
    try:
        found = check()
    except Exception as error:  # noqa: BLE001 - a check that breaks must not hide the others
        remedy = "Type: make install; if this line comes again, report it"
        return [warning(name, f"could not be checked: {type(error).__name__}: {error}", remedy)]
    return found if isinstance(found, list) else [found]
