"""Every image of a source by its content: which are the same, which contradict each other, what each split gets.

Duplicates and contradicting labels are known only when all images have been seen, and the number of images may be
larger than memory: so the catalog is on disk, and the images stay where they are.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from graftwork.artifacts.images import Record
from graftwork.artifacts.ingested import Ingested, Row

_SCHEMA = """
CREATE TABLE images (key TEXT PRIMARY KEY, label TEXT, split TEXT, source TEXT, file INTEGER, start INTEGER,
                     length INTEGER, height INTEGER, width INTEGER, conflict INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE rejected (source TEXT, reason TEXT);
"""


class Catalog:
    """Collects rows, then gives back their images split by split in the order of their keys.

    Attributes:
        rows: How many rows of the source were seen.
        duplicates: How many of them were the same bytes as an earlier one, under the same label.
    """

    def __init__(self, folder: Path, shards: list[Ingested]) -> None:
        self._stack = ExitStack()
        self._files = [self._stack.enter_context(shard.images.open("rb")) for shard in shards]
        self._index = sqlite3.connect(folder / "index.sqlite", isolation_level=None)
        self._index.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _SCHEMA)
        self._index.execute("BEGIN")
        self.rows = 0
        self.duplicates = 0

    def close(self) -> None:
        """Give back what is open."""
        self._index.close()
        self._stack.close()

    def reject(self, source: str, reason: str) -> None:
        """Note a row that cannot be used."""
        self.rows += 1
        self._index.execute("INSERT INTO rejected VALUES (?, ?)", (source, reason))

    def add(self, file: int, row: Row, split: str) -> None:
        """Take in a row whose image is in the given shard, unless the same bytes are there already."""
        label = str(row.label)
        seen = self._index.execute("SELECT label, source, conflict FROM images WHERE key = ?", (row.key,)).fetchone()
        if seen is None:
            self.rows += 1
            values = (row.key, label, split, row.source, file, row.start, row.length, row.height, row.width)
            self._index.execute("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", values)
            return
        first, source, in_conflict = seen
        if first == label and not in_conflict:
            self.rows += 1
            self.duplicates += 1
            return
        if not in_conflict:
            self._index.execute("UPDATE images SET conflict = 1 WHERE key = ?", (row.key,))
            self._index.execute("INSERT INTO rejected VALUES (?, ?)", (source, _conflict(first, label)))
        self.reject(row.source, _conflict(label, first))

    def rejected(self) -> Iterator[tuple[str, str]]:
        """Yield source and reason of every row that is left out."""
        yield from self._index.execute("SELECT source, reason FROM rejected ORDER BY source, reason")

    def count_rejected(self) -> int:
        """Return how many rows are left out."""
        return int(self._index.execute("SELECT COUNT(*) FROM rejected").fetchone()[0])

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of images by split and label."""
        query = "SELECT split, label, COUNT(*) FROM images WHERE NOT conflict GROUP BY split, label"
        return {(split, label): count for split, label, count in self._index.execute(query)}

    def shape(self) -> tuple[int, int] | None:
        """Return (height, width) of the images if all have the same, in pixels."""
        found = self._index.execute("SELECT DISTINCT height, width FROM images WHERE NOT conflict LIMIT 2").fetchall()
        return found[0] if len(found) == 1 and all(found[0]) else None  # 0: ingested by a version that did not look

    def records(self, split: str, classes: list[str]) -> Iterator[Record]:
        """Yield the images of a split in the order of their keys."""
        numbers = {name: number for number, name in enumerate(classes)}
        query = """SELECT key, label, source, file, start, length FROM images
                   WHERE split = ? AND NOT conflict ORDER BY key"""
        for key, label, source, file, start, length in self._index.execute(query, (split,)):
            self._files[file].seek(start)
            yield Record(self._files[file].read(length), numbers[label], key, source)


def _conflict(label: str, other: str) -> str:
    return f"conflict: the same bytes are labelled {label!r} here and {other!r} elsewhere"
