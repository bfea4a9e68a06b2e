"""Freed memory that stays with the process, for what takes and frees the same megabytes again and again.

A net does, step after step. The C library of Linux gives large pieces back to the system as soon as they are freed, and
the system hands them out anew page by page, cleared: a tenth to a fifth of the time of a net on two cores.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # as glibc's malloc.h numbers them


@cache
def keep_freed() -> bool:
    """Keep freed memory in this process until it ends: its peak grows by less than a tenth in a training.

    Returns:
        Whether the C library can be told so: glibc can, others are left as they are.

    Source: mallopt(3): no trimming, and no piece that is mapped by itself.
    """
    tell = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return tell is not None and all([tell(_TRIM_THRESHOLD, -1), tell(_MMAP_MAX, 0)])
