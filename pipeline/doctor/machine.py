"""Has the machine enough of what the pipeline uses?"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.doctor.finding import GB, Finding, ok, problem, warning

_DISK_WARNING, _DISK_PROBLEM = 5 * GB, 1 * GB
_MEMORY_WARNING, _MEMORY_PROBLEM = 3.5 * GB, 2 * GB
_OPEN_FILES = 1024
_UNLIMITED = 1 << 60  # cgroup v1 says "no limit" with a number near 2^63


def check_disk(folder: Path, free: int | None = None) -> Finding:
    """Free bytes on the disk of a folder."""
    free = shutil.disk_usage(folder).free if free is None else free
    message = f"{free / GB:.1f} GB free"
    remedy = f"Free some space on the disk of {folder.resolve()}; tools/uv run dvc gc --workspace drops old results"
    if free < _DISK_PROBLEM:
        return problem("disk", f"{message}, wanted at least 1 GB", remedy)
    if free < _DISK_WARNING:
        return warning("disk", f"{message}; under 5 GB a few nights fill it", remedy)
    return ok("disk", message)


def check_memory(available: int | None = None) -> Finding:
    """Bytes of memory that a process may still take, a container's limit included."""
    available = available_memory() if available is None else available
    message = f"{available / GB:.1f} GB available"
    remedy = "Stop other programs, raise the container's limit, or lower train.batch in params.yaml"
    if available < _MEMORY_PROBLEM:
        return problem("memory", f"{message}, wanted at least 2 GB", remedy)
    if available < _MEMORY_WARNING:
        return warning("memory", f"{message}; training and MongoDB together take 3.5 GB", remedy)
    return ok("memory", message)


def available_memory() -> int:
    """The least of what the machine has left and what the process's cgroups leave."""
    import psutil

    membership = Path("/proc/self/cgroup")
    text = membership.read_text(encoding="utf-8") if membership.is_file() else ""
    left = cgroup_memory(Path("/sys/fs/cgroup"), text)
    available = int(psutil.virtual_memory().available)
    return available if left is None else min(available, left)


def cgroup_memory(root: Path, membership: str) -> int | None:
    """Bytes left under the memory limits of cgroup v1 or v2, None where there is none.

    Args:
        root: where cgroups are mounted.
        membership: the text of /proc/self/cgroup, lines of ``id:controllers:path``; no controller means v2.
    """
    left: list[int] = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, limit, used = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mount, limit, used = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        relative = Path(path.lstrip("/"))
        for folder in (relative, *relative.parents):  # a limit binds all below it
            maximum, current = _number(mount / folder / limit), _number(mount / folder / used)
            if maximum is not None and current is not None and maximum < _UNLIMITED:
                left.append(max(0, maximum - current + _reclaimable(mount / folder / "memory.stat")))
    return min(left, default=None)


def _number(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _reclaimable(file: Path) -> int:
    """Bytes of page cache, which counts as used and is given back on demand."""
    try:
        pairs = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return 0
    return sum(int(value) for name, value in pairs if name == "inactive_file")


def check_open_files(limit: int | None = None) -> Finding:
    """How many files a process may hold open; MongoDB and the data loader need many."""
    if limit is None:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        limit = _UNLIMITED if limit == resource.RLIM_INFINITY else limit
    if limit < _OPEN_FILES:
        message = f"{limit} at most, wanted {_OPEN_FILES} or more"
        return warning("open files", message, "Type: ulimit -n 4096 (for good: nofile in /etc/security/limits.conf)")
    return ok("open files", "no limit" if limit >= _UNLIMITED else f"{limit} at most")


def check_avx(cpuinfo: str, *, machine: str) -> Finding:
    """MongoDB 5 and later stop with an illegal instruction on an x86-64 processor without AVX.

    Args:
        cpuinfo: the text of /proc/cpuinfo.
        machine: ``platform.machine()``.
    """
    flags = [line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("flags")]
    if machine != "x86_64" or not flags or "avx" in flags[0]:
        return ok("processor", machine)
    remedy = "Use another machine (or a virtual one of CPU type host), or set FIFTYONE_DATABASE_URI to a MongoDB server"
    return problem("processor", "without AVX, which MongoDB needs", remedy)
