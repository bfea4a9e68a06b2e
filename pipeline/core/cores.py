"""How many cores a process may compute on."""

from __future__ import annotations

import os

THREADS_VARIABLE = "TAILWATCH_THREADS"  # cores of a training, where several run side by side


def present() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available() -> int:
    """Cores that a training in this process may use: trainings side by side share what there is.

    Not ``OMP_NUM_THREADS``: ultralytics sets that to 1 when it is imported, and a training alone wants all.
    """
    found = present()
    limit = os.environ.get(THREADS_VARIABLE, "")
    return max(min(found, int(limit)), 1) if limit.isdigit() else found
