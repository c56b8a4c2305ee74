"""Streams of items: taken in groups, or worked on a few at the same time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield the items in groups of a size, the last one perhaps smaller; as itertools does from Python 3.12 on."""
    remaining = iter(items)
    while group := tuple(islice(remaining, size)):
        yield group


def map_in_order(
    function: Callable[[T], R], items: Iterable[T], workers: int = 8, ahead: int | None = None
) -> Iterator[R]:
    """Apply a function in several threads; results come in the order of the items, a bounded number at a time.

    Args:
        function: Waits for files, or computes in native code: Python itself runs in one thread at a time.
        items: Taken from this thread, as far ahead as allowed.
        workers: How many threads there are.
        ahead: How many items may be begun before the first of their results is taken; four for each thread.
    """
    most = 4 * workers if ahead is None else ahead
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
