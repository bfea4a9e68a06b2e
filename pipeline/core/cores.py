"""How many cores a process may compute on, and what threads do there while they wait."""

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


def let_threads_sleep() -> None:
    """Have OpenMP's threads sleep after they waited for a while; to be called before torch is imported.

    They wait for one another in a busy loop, which makes a net crawl beside another busy process. Most waits of a small
    net end before they have looked so many times. Who sets ``OMP_WAIT_POLICY`` decides.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
