"""Can a night run now? Asked in seconds, before hours are spent; everything that is wrong is said at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import doctor as examiner
from pipeline import ledgers
from pipeline.adapters import dvc_places, dvc_probe, git_state
from pipeline.core import manifest, night_space, paths, processes, splits
from pipeline.core.errors import UserError
from pipeline.core.params import Params
from pipeline.doctor import machine, night
from pipeline.doctor.finding import GB, Finding, last_line, ok, problem, warning

# What nights write themselves: without nightly.commit it is hardly ever committed when the next one begins.
_OF_NIGHTS = tuple(str(path) for path in (paths.PARAMS, paths.DVC_LOCK, paths.HISTORY, paths.ANCHORS, paths.CURRENT))
_TORCH = 120  # seconds in which torch has to say how many GPUs there are


def examine(settings: Params, *, last: int | None, runs: int) -> list[Finding]:
    """Check all that a night needs.

    Args:
        settings: params.yaml.
        last: bytes that the last night took; None where that is not known.
        runs: how many runs the night makes.
    """
    checks: dict[str, Callable[[], Finding | list[Finding]]] = {
        "night": lambda: night.check_settings(settings, Path()),
        "disk": lambda: check_disk(settings, last=last, runs=runs),
        "memory": machine.check_memory,
        "database": lambda: examiner.check_database(os.environ, paths.DATABASE, quick=False),
        "remote": lambda: check_remote(settings),
        "git": lambda: check_git(settings),
        "ledger": check_ledger,
        "test split": check_test_split,
        "gpu": lambda: check_gpu(settings.train.device),
    }
    return [finding for name, check in checks.items() for finding in _guarded(name, check)]


def _guarded(name: str, check: Callable[[], Finding | list[Finding]]) -> list[Finding]:
    try:
        found = check()
    except UserError as error:
        return [problem(name, str(error).rstrip("."), "See `uv run tailwatch doctor`")]
    except OSError as error:
        return [problem(name, f"could not be checked: {error}", "See `uv run tailwatch doctor`")]
    return found if isinstance(found, list) else [found]


def check_disk(settings: Params, *, last: int | None, runs: int) -> Finding:
    """There is room for what the last night took, times ``nightly.disk_margin``, on each disk that is written to."""
    wanted = settings.nightly.disk_margin * night_space.needed(settings, last=last, runs=runs)
    folders = night_space.places(dvc_places.read(Path()).cache)
    free = {folder: shutil.disk_usage(folder).free for folder in folders}
    short = [folder for folder in folders if free[folder] < wanted]
    if short:
        message = (
            f"{free[short[0]] / GB:.2f} GB free at {short[0].absolute()}, wanted {wanted / GB:.2f} GB: what a night "
            f"takes, {settings.nightly.disk_margin:g} times"
        )
        return problem("disk", message, "Free some space; `uv run tailwatch prune` removes what the remote has")
    return ok("disk", f"{min(free.values()) / GB:.1f} GB free, wanted {wanted / GB:.2f} GB")


def check_remote(settings: Params) -> Finding:
    """What is to be pushed in the morning can be written to the DVC remote."""
    places = dvc_places.read(Path())
    name = settings.nightly.remote or places.default
    if name is None or name not in places.remotes:  # the configuration's own check says the latter
        return ok("remote", "none")
    if reason := dvc_probe.refusal(name):
        remedy = "See whether it can be reached and has room, and whether its credentials hold: uv run dvc push"
        return problem("remote", f"{name} cannot be written: {reason}", remedy)
    return ok("remote", f"{name} can be written")


def check_git(settings: Params) -> list[Finding]:
    """Nothing is half done in the repository; what people changed and did not commit is said."""
    state = git_state.look(commits=settings.nightly.commit, watched=[paths.PARAMS, paths.DVC_LOCK, paths.LEDGER])
    found = [problem("git", text, "Mend it by hand; a night does not touch it") for text in state.problems]
    changed = [name for name in state.changed if not name.startswith(_OF_NIGHTS)]
    if changed and not found:
        some = ", ".join(changed[:3]) + (" …" if len(changed) > 3 else "")  # noqa: PLR2004
        return [warning("git", f"not committed: {some}", "git commit")]
    return found or [ok("git", "clean")]


def check_ledger() -> Finding:
    """The chain of decisions is whole."""
    answer = ledgers.check()
    lines = answer.text.splitlines()
    if not answer.good:
        return problem("ledger", lines[0], "See `uv run tailwatch ledger check`, and docs/ledger.md for the way back")
    return ok("ledger", lines[0])


def check_test_split() -> Finding:
    """The test split is the one that was frozen."""
    if not paths.TEST_LOCK.exists() or not paths.VERIFIED_MANIFEST.exists():
        return ok("test split", "not there yet: the night makes it")
    frozen = splits.parse_lock(paths.TEST_LOCK.read_text(), str(paths.TEST_LOCK))
    test = [row for row in manifest.read(paths.VERIFIED_MANIFEST) if row.split == "test"]
    splits.check_frozen(frozen, test, str(paths.TEST_LOCK))
    return ok("test split", f"{len(test)} images, as they were frozen")


def check_gpu(device: str | int) -> Finding:
    """The GPUs that ``train.device`` names are there."""
    asked = [part for part in str(device).split(",") if part.strip().isdigit()]
    if not asked:
        return ok("gpu", f"train.device is {device}")
    code = "import torch; print(torch.cuda.device_count())"
    remedy = "See nvidia-smi; or set train.device to auto or cpu"
    try:
        done = subprocess.run(  # noqa: S603 - this Python
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_TORCH, check=False,
            stdin=subprocess.DEVNULL, preexec_fn=processes.ending_with_us(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return problem("gpu", f"torch does not say within {_TORCH} s which GPUs there are", remedy)
    if done.returncode:
        return problem("gpu", f"torch cannot be asked: {last_line(done.stderr)}", remedy)
    present = int(last_line(done.stdout))
    if max(int(part) for part in asked) >= present:
        return problem("gpu", f"train.device is {device}, and torch sees {present} GPUs", remedy)
    return ok("gpu", f"train.device is {device}, of {present}")
