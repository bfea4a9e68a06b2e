"""Freed memory stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGES = """
import resource, sys
from pipeline.core import heap
if sys.argv[1] == "kept":
    print(heap.keep_freed())
def go():
    for megabytes in (1, 3, 40, 90):  # the largest piece that glibc would keep by itself has 32
        bytearray(megabytes << 20)[::4096] = bytes(megabytes << 8)
go()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    go()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc is left as it is")
def test_what_is_freed_is_taken_again_without_asking_the_system() -> None:
    """Pieces of all sizes, over and over: the system is asked for pages once."""
    kept, usual = (
        subprocess.run([sys.executable, "-c", PAGES, way], capture_output=True, text=True, check=True).stdout.split()
        for way in ("kept", "usual")
    )
    assert kept[0] == "True"
    assert int(kept[1]) < 1_000
    assert int(usual[0]) > 100_000
