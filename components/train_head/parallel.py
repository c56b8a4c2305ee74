"""Work on chunks of features, on several processor cores."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from graftwork.data.streams import map_in_order

_MOST_THREADS = 8
_PIECES = 4
"""Of a chunk; the fewer, the more chunks are in memory at the same time."""

R = TypeVar("R")


def undivided() -> AbstractContextManager[Any]:
    """Return a context in which NumPy's linear algebra computes every single product on one core.

    Where it divides a product, its threads wait for one another at the end of each, and where another process keeps a
    core busy that is most of the time. Several chunks at once, as `mapped` computes them, keep the cores as busy.
    """
    return _libraries().limit(limits=1, user_api="blas")


def mapped(
    function: Callable[[np.ndarray, np.ndarray], R], chunks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Iterator[R]:
    """Return what a function makes of pieces of chunks, in their order, computed by a few threads.

    The results do not depend on the number of threads.

    Args:
        function: Of some rows of a chunk and their labels. The rows are a view of the chunk.
        chunks: Features (m, d) and labels (m,).
    """
    threads = min(_MOST_THREADS, _cores())
    return map_in_order(lambda piece: function(*piece), _pieces(chunks), threads, ahead=threads)


def _pieces(chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for rows, labels in chunks:
        size = -(-len(rows) // _PIECES)
        for start in range(0, len(rows), size):
            yield rows[start : start + size], labels[start : start + size]
        del rows, labels  # not to hold them while the next chunk is read


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all libraries of the process: once is enough


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
