"""Can the DVC remote be written? A process of its own asks, so that one that never answers is cut off.

Run as ``python -m pipeline.adapters.dvc_probe [NAME]``: a small object is written, found and removed. Exit code 0, or 1
with the reason as the last line.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

from pipeline.core import processes
from pipeline.core.masking import masked

_TIMEOUT = 60.0  # seconds


def refusal(remote: str | None, *, timeout: float = _TIMEOUT) -> str:
    """Why the remote cannot be written, without its address; nothing where it can.

    Args:
        remote: its name; None for the default one.
        timeout: seconds after which it counts as not answering.
    """
    command = [sys.executable, "-m", "pipeline.adapters.dvc_probe", *([remote] if remote else [])]
    try:
        asked = subprocess.run(  # noqa: S603 - this very module
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout,
            check=False, preexec_fn=processes.ending_with_us(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer for {timeout:g} s"
    if not asked.returncode:
        return ""
    lines = (asked.stderr.strip() or asked.stdout.strip()).splitlines()
    return masked(lines[-1][:300]) if lines else f"exit code {asked.returncode}"


def main() -> None:
    """Write, find and remove a small object."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    from dvc.repo import Repo

    place = Repo(".").cloud.get_remote_odb(sys.argv[1] if len(sys.argv) > 1 else None)
    path = place.fs.join(place.path, f".tailwatch-probe-{secrets.token_hex(8)}")
    place.fs.makedirs(place.path, exist_ok=True)
    with place.fs.open(path, "wb") as file:
        file.write(b"tailwatch asks whether this remote can be written, and removes this at once\n")
    try:
        if not place.fs.exists(path):
            raise OSError("what was written is not there")
    finally:
        place.fs.remove(path)


if __name__ == "__main__":
    main()
