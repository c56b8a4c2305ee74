"""A share of the work that several machines do at the same time.

KFP hands each item of a loop to a task as text, so a shard is the text "2/4": the second of four.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from graftwork.errors import UserError


@dataclass(frozen=True)
class Shard:
    """One of several equal shares.

    Attributes:
        number: Which one, counted from 1.
        total: How many there are.
    """

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "2/4".

        Raises:
            UserError: It is something else.
        """
        number, _, total = text.partition("/")
        if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
            raise UserError(f"{text!r} is not a shard", {"expected": "its number and how many there are, as in 2/4"})
        return cls(int(number), int(total))

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def deals(self, row: int) -> bool:
        """Return whether a row, counted from 0, is this shard's when rows are dealt out in turn."""
        return row % self.total == self.number - 1

    def block(self, size: int) -> range:
        """Return this shard's own stretch of `size` things in a row; the stretches follow one another."""
        return range(size * (self.number - 1) // self.total, size * self.number // self.total)


WHOLE = Shard(1, 1)
"""All of the work."""


def incomplete(found: Sequence[Shard]) -> str:
    """Return what is wrong with shards that should be all of some work, in order; "" if nothing is."""
    if list(found) == [Shard(number, found[0].total) for number in range(1, found[0].total + 1)]:
        return ""
    return f"shards {', '.join(str(shard.number) for shard in found)} of {found[0].total} are there"


def shards(total: int) -> list[str]:
    """Return the items of a loop over so many shards."""
    return [str(Shard(number, total)) for number in range(1, total + 1)]
