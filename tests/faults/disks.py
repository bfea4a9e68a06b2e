"""Disks that are small, full or read-only, and a clock that was set back."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.world import World

ROOM = 800  # MB that a small disk has free: the preflight wants 500, for the database
_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static const long back = BACK;
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, at);
    if (!code && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec -= back;
    return code;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    int code = clock_gettime(CLOCK_REALTIME, &now);
    if (!code) { at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000; }
    return code;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@contextlib.contextmanager
def small(world: World, saved: str) -> Iterator[Path]:
    """Have project and remote on a disk of their own; gives the file that fills it once it is written to."""
    now = world.folder / "now"
    used = sum(path.lstat().st_blocks * 512 for path in (world.folder / saved).rglob("*"))
    shutil.rmtree(now)
    now.mkdir()
    with _mounted("-t", "tmpfs", "-o", f"size={used // 1_000_000 + ROOM}m", "tmpfs", str(now)):
        world.restore(saved)
        yield now / "filler"
        for process in world.processes():
            process.kill()
        world.wait(lambda: not world.processes(), seconds=20)


def fill(filler: Path) -> None:
    """Take all that is free."""
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(1 << 10))


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Have a folder that nobody can write to, not even root."""
    with _mounted("--bind", str(folder), str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield


@contextlib.contextmanager
def _mounted(*arguments: str) -> Iterator[None]:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a disk of its own needs root: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", arguments[-1]], check=True)


def clock(folder: Path, *, days: int) -> dict[str, str]:
    """The environment of commands whose clock is some days behind; the machine's own stays."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc").exists():
        pytest.skip("a clock of its own needs a C compiler, and Linux")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(_CLOCK.replace("BACK", str(days * 86_400)))
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": os.pathsep.join(filter(None, [str(library), os.environ.get("LD_PRELOAD")]))}
