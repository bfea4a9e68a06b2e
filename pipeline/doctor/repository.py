"""Are git and DVC set up as the pipeline needs them?"""

from __future__ import annotations

import configparser
import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.doctor.finding import Finding, ok, problem, run, warning

_LINKS = ("hardlink", "symlink")


def check_git(folder: Path, executable: str | None = None) -> Finding:
    """Git is there and takes the folder for a repository."""
    executable = shutil.which("git") if executable is None else executable
    if executable is None:
        return problem("git", "not on the PATH", "Type: sudo apt-get install git")
    output = run([executable, "-C", str(folder), "rev-parse", "--is-inside-work-tree"], timeout=20)
    if output.code == 0:
        return ok("git", executable)
    if "dubious ownership" in output.stderr:
        message = f"{folder.resolve()} belongs to another user"
        return problem("git", message, f"Type: git config --global --add safe.directory {folder.resolve()}")
    reason = output.stderr.partition("\n")[0].removeprefix("fatal: ") or "git gives no answer"
    return problem("git", f"{folder.resolve()}: {reason}", "Get the project with git clone, or type: git init")


def check_dvc(folder: Path) -> list[Finding]:
    """The repository is initialised, its cache does not link, and no lock of it is stale."""
    dvc = folder / ".dvc"
    if not (dvc / "config").is_file():
        message = f"no .dvc/config in {folder.resolve()}"
        return [problem("dvc", message, "Run this in the project's folder, or type: git checkout .dvc")]
    return [check_cache(dvc), check_locks(dvc / "tmp")]


def check_cache(dvc: Path) -> Finding:
    """Cached files must not be linked into the workspace: a tool that writes in place would change the cache too."""
    types, level = _cache_types(dvc)
    linked = [each for each in types if each in _LINKS]
    if not linked:
        return ok("dvc cache", f"cache.type {','.join(types)}")
    message = f"cache.type {','.join(types)}: a file changed in place changes the cache, too; wanted reflink,copy"
    command = f"tools/uv run dvc config{level} cache.type reflink,copy && tools/uv run dvc checkout --relink"
    return problem("dvc cache", message, f"Type: {command}")


def _cache_types(dvc: Path) -> tuple[list[str], str]:
    """The link types in force and the option of ``dvc config`` that names the file they stand in; DVC's own if none."""
    for name, level in (("config.local", " --local"), ("config", "")):
        file = dvc / name
        if not file.is_file():
            continue
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string("\n".join(line.strip() for line in file.read_text(encoding="utf-8").splitlines()))
        value = parser.get("cache", "type", fallback="").strip("\"'[] ")
        if value:
            return [each.strip("\"' ") for each in value.split(",")], level
    return ["reflink", "copy"], ""


def check_locks(folder: Path) -> Finding:
    """DVC's locks: of the repository (held by a process, hence never stale) and of single files (a JSON list)."""
    if _is_held(folder / "lock"):
        return warning("dvc lock", "another DVC command is at work", "Wait for it to end, or find it: pgrep -af dvc")
    file = folder / "rwlock"
    remedy = f"When no DVC command runs, type: rm {file}"
    try:
        holders = list(_holders(json.loads(file.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return ok("dvc lock", "none")
    except (ValueError, KeyError, TypeError, AttributeError):
        return problem("dvc lock", f"{file} is damaged, and every DVC command will refuse it", remedy)
    written = file.stat().st_mtime
    for pid, command in holders:
        process = _process(pid)
        if process is None:
            continue  # DVC itself removes the lock of a process that is gone
        if process.started > written:
            message = f"held for '{command}' by process {pid}, which ended; that number is now another program's"
            return problem("dvc lock", f"{file} is {message}: {process.command}", remedy)
        message = f"held for '{command}' by process {pid}: {process.command}"
        return warning("dvc lock", message, f"Wait for it to end; if it is no DVC command, type: rm {file}")
    return ok("dvc lock", "none that is held")


def _holders(content: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for mode in ("write", "read"):
        for infos in content.get(mode, {}).values():
            for info in infos if isinstance(infos, list) else [infos]:
                yield int(info["pid"]), str(info["cmd"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    command: str
    started: float  # seconds since 1970


def _process(pid: int) -> _Process | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return _Process(command=" ".join(process.cmdline()), started=process.create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return _Process(command="another user's", started=0)


def _is_held(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with file.open("r+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # not ours to open; DVC will say so
    return False
