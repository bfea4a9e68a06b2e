"""Ask the public database of advisories about every package that uv.lock names: `python3 tools/audit.py`.

Exit code 0: none is known to be vulnerable; 1: one is, and a mended version exists; 3: it could not be asked. An
advisory without a mended version is shown and does not fail: there is nothing to update to.
"""  # noqa: INP001 - a command, not a package

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
UV = str(ROOT / "tools" / "uv")
CANARY = "jinja2==2.4.1\n"  # vulnerable for sure: what does not know that knows nothing
NOT_POSSIBLE = 3
_TIMEOUT = 300  # seconds


def knows(canary: list[Any]) -> bool:
    """Whether what answered has advisories at all: a mirror of packages answers, and knows of none."""
    return any(one.get("vulns") for one in canary)


def judged(canary: list[Any], found: list[Any]) -> tuple[int, str]:
    """The exit code and what to say.

    Args:
        canary: what the database said of a package that is known to be vulnerable.
        found: what it said of the project's packages; see pip-audit's JSON.
    """
    if not knows(canary) or not found:
        return NOT_POSSIBLE, "not possible here: the database of advisories does not answer, or pip-audit does not run"
    lines, mendable = [], 0
    for one in found:
        for vulnerability in one.get("vulns", []):
            mended = vulnerability.get("fix_versions") or []
            mendable += bool(mended)
            remedy = f"mended in {', '.join(mended)}" if mended else "no mended version yet"
            lines.append(f"  {one['name']} {one['version']}: {vulnerability['id']}, {remedy}")
    skipped = [one["name"] for one in found if "skip_reason" in one]
    if skipped:
        lines.append(f"  not looked up: {', '.join(skipped)}")
    lines.insert(0, f"{len(found) - len(skipped)} packages, {mendable} advisories with a mended version")
    return (1 if mendable else 0), "\n".join(lines)


def asked(requirements: str) -> list[Any]:
    """What pip-audit says of pinned requirements; nothing where it could not ask."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [UV, "tool", "run", "pip-audit", "--requirement", file.name, "--no-deps", "--disable-pip"]
        try:
            done = subprocess.run(  # noqa: S603 - written here
                [*command, "--format", "json", "--progress-spinner", "off", "--timeout", "10"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
                timeout=_TIMEOUT,
            )  # fmt: skip
            return list(json.loads(done.stdout)["dependencies"])
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
            return []


def main() -> int:
    """Ask about a package that is known to be vulnerable, then about the project's."""
    canary = asked(CANARY)
    found: list[Any] = []
    if knows(canary):
        everything = ["--all-groups", "--all-extras", "--no-emit-project", "--no-hashes", "--quiet"]
        export = [UV, "export", "--frozen", *everything]
        locked = subprocess.run(export, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
        found = asked(locked.stdout)
    code, text = judged(canary, found)
    print(f"dependency audit: {text}")  # noqa: T201 - a command line's output
    return code


if __name__ == "__main__":
    sys.exit(main())
