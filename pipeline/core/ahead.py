"""Doing something with many things on all cores, some way ahead of what is asked for, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from pipeline.core import cores

Given = TypeVar("Given")
Made = TypeVar("Made")

_AHEAD = 64  # things that are held at a time


def mapped(function: Callable[[Given], Made], things: Iterable[Given]) -> Iterator[Made]:
    """What a function makes of each thing, in threads: for what leaves Python's lock, as decoding an image does.

    Args:
        function: may raise, and the error comes when the thing's turn does.
        things: taken a few at a time.
    """
    left = iter(things)
    with ThreadPoolExecutor(cores.present()) as pool:
        waiting: deque[Future[Made]] = deque(pool.submit(function, one) for one in islice(left, _AHEAD))
        try:
            while waiting:
                made = waiting.popleft().result()
                waiting.extend(pool.submit(function, one) for one in islice(left, 1))
                yield made
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
