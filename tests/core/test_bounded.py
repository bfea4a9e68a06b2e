"""No more of a file is read than is there, nor than is wanted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.core import bounded


def test_a_bound_that_no_memory_has(tmp_path: Path) -> None:
    """A small file is read however large the bound is: what the system is asked for is the file's own size."""
    path = tmp_path / "small"
    path.write_bytes(b"abc")
    assert bounded.read(path, most=1 << 46) == b"abc"
    assert bounded.read(path, most=3) == b"abc"
    with pytest.raises(ValueError, match="has 3 bytes, wanted at most 2"):
        bounded.read(path, most=2)


@pytest.mark.skipif(sys.platform != "linux", reason="asks for Linux's /proc")
def test_a_file_whose_size_nobody_knows() -> None:
    """Of a file that has more than its size says, all is read, up to the bound."""
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    assert bounded.read(path, most=1 << 20).startswith(b"Name:")
    with pytest.raises(ValueError, match="has more than 10 bytes"):
        bounded.read(path, most=10)
