"""Work on chunks of features, on several processor cores."""

import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

_MOST_THREADS = 8
"""Each holds a chunk of features in memory."""

T = TypeVar("T")
R = TypeVar("R")


def undivided() -> AbstractContextManager[Any]:
    """Return a context in which NumPy's linear algebra computes every single product on one core.

    Where it divides a product, its threads wait for one another at the end of each, and where another process keeps a
    core busy that is most of the time. Several chunks at once, as `mapped` computes them, keep the cores as busy.
    """
    return _libraries().limit(limits=1, user_api="blas")


def mapped(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield the function of each item, in their order, computed by a few threads that are a few items ahead.

    What is yielded does not depend on the number of threads.
    """
    threads = min(_MOST_THREADS, _cores())
    ahead: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all libraries of the process: once is enough


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
