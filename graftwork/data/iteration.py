"""Small helpers for iterators."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield the items in groups of a size, the last one perhaps smaller; as itertools does from Python 3.12 on."""
    remaining = iter(items)
    while group := tuple(islice(remaining, size)):
        yield group
