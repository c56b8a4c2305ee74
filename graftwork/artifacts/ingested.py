"""The ingested contract: the rows of one shard of a source, read and checked, their images ready to be stored.

    ingested.json   which shard of which source, how many rows
    rows.jsonl      one line per row, in the order of the source
    images.bin      the images, one behind the other

Which image is a duplicate, and of which class there are too few, is known only when all shards are together.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from graftwork.artifacts.folder import not_an_artifact, read_description, require_file, write_description
from graftwork.data.shards import Shard, incomplete
from graftwork.reporting.metering import Profile
from graftwork.storage import whole

SCHEMA = "graftwork.ingested/1"
DESCRIPTION = "ingested.json"
ROWS = "rows.jsonl"
IMAGES = "images.bin"


@dataclass(frozen=True)
class Row:
    """What became of a row of the source.

    Attributes:
        source: Where it came from.
        label: Its class, None if the source has none.
        split: The split the source asks for, None if it leaves that to us.
        group: Images of one group must stay in one split.
        reason: Why it cannot be used, "" if it can.
        key: SHA-256 of the image's original bytes, in hexadecimal; "" if it cannot be used.
        start: Where the stored image begins in its file.
        length: Of the stored image, in bytes.
        height: Of the stored image, in pixels.
        width: Of the stored image, in pixels.
    """

    source: str
    label: str | None = None
    split: str | None = None
    group: str | None = None
    reason: str = ""
    key: str = ""
    start: int = 0
    length: int = 0
    height: int = 0
    width: int = 0


@dataclass(frozen=True)
class Ingested:
    """An ingested artifact on disk.

    Attributes:
        path: The folder.
        source: Where the rows came from.
        fingerprint: What the source held.
        shard: Which rows of it these are: every `shard.total`-th.
        stored_size: Shorter side in pixels that no stored image exceeds.
        size: How many rows there are.
        profile: How the step went, None if nobody measured.
    """

    path: Path
    source: str
    fingerprint: str
    shard: Shard
    stored_size: int
    size: int
    profile: Profile | None

    @property
    def images(self) -> Path:
        """The file that holds the images."""
        return self.path / IMAGES

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order of the source."""
        with (self.path / ROWS).open(encoding="utf-8") as file:
            for line in file:
                yield Row(**json.loads(line))


def write(
    path: str | os.PathLike[str],
    rows: Iterable[tuple[Row, bytes]],
    *,
    source: str,
    fingerprint: str,
    shard: Shard,
    stored_size: int,
    profile: Callable[[], Profile] | None = None,
) -> Ingested:
    """Write an ingested artifact, row by row.

    Args:
        path: The folder to make; it appears when it is whole.
        rows: Each row with its image to be stored, b"" if it cannot be used; `start` and `length` are filled in here.
        source: Where the rows came from.
        fingerprint: What the source held.
        shard: Which rows of it these are.
        stored_size: Shorter side in pixels that no stored image exceeds.
        profile: Called when all is written; returns how the step went.
    """
    start = size = 0
    with whole.folder(path) as folder:
        with (folder / ROWS).open("w", encoding="utf-8") as lines, (folder / IMAGES).open("wb") as images:
            for row, encoded in rows:
                images.write(encoded)
                entry = {**asdict(row), "start": start, "length": len(encoded)}
                lines.write(json.dumps(entry, ensure_ascii=False) + "\n")
                start += len(encoded)
                size += 1
        description = {
            "schema": SCHEMA,
            "source": source,
            "source_fingerprint": fingerprint,
            "shard": str(shard),
            "stored_size": stored_size,
            "rows": size,
            "bytes": start,
        }
        write_description(folder / DESCRIPTION, description, profile)
    return read(path)


def read(path: str | os.PathLike[str]) -> Ingested:
    """Open an ingested artifact.

    Raises:
        UserError: It is not one, or its images are missing or cut off; names the file.
    """
    folder = Path(path)
    description = read_description(folder, DESCRIPTION, SCHEMA)
    try:
        ingested = Ingested(
            path=folder,
            source=description["source"],
            fingerprint=description["source_fingerprint"],
            shard=Shard.parse(description["shard"]),
            stored_size=int(description["stored_size"]),
            size=int(description["rows"]),
            profile=description.get("profile"),
        )
        expected = int(description["bytes"])
    except (KeyError, TypeError, ValueError) as error:
        why = f"an entry is missing or of the wrong type: {error}"
        raise not_an_artifact("ingested", folder / DESCRIPTION, why) from None
    require_file("ingested", folder / ROWS)
    require_file("ingested", ingested.images, expected)
    return ingested


def read_all(paths: Iterable[str | os.PathLike[str]]) -> list[Ingested]:
    """Open all shards of a source, and put them in order.

    Raises:
        UserError: One is damaged or missing, or they are not of the same source.
    """
    found = sorted(map(read, paths), key=lambda ingested: ingested.shard.number)
    first = found[0]
    if why := incomplete([ingested.shard for ingested in found]):
        raise not_an_artifact("ingested", first.path, why)
    for other in found:
        if (other.source, other.fingerprint, other.stored_size) != (first.source, first.fingerprint, first.stored_size):
            raise not_an_artifact("ingested", other.path, f"it is of another source than {first.path}")
    return found


def in_order(shards: list[Ingested]) -> Iterator[tuple[int, Row]]:
    """Yield the rows of all shards in the order of the source, each with the index of its shard."""
    for rows in zip_longest(*(shard.rows() for shard in shards)):
        yield from ((index, row) for index, row in enumerate(rows) if row is not None)
