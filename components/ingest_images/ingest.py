"""From one shard of a source of labelled images to the ingested contract, in one pass."""

import functools
import os
from collections.abc import Iterator

from graftwork import imaging, progress, sources, storage
from graftwork.artifacts import ingested
from graftwork.components.ingest_images.read import read
from graftwork.shards import WHOLE, Shard


def ingest(
    data: str,
    fingerprint: str,
    shard: Shard,
    input_size: int,
    path: str | os.PathLike[str],
    stored_size: int = 0,
) -> ingested.Ingested:
    """Read and check the images of one shard of a source.

    Args:
        data: A folder or a table, see `sources`.
        fingerprint: What the source holds, to be noted.
        shard: Which rows of it.
        input_size: Of the network that will see the images, in pixels.
        path: The ingested artifact to write.
        stored_size: Shorter side in pixels to which larger images are shrunk; 0 for what suits the input size.

    Raises:
        UserError: There is no such source.
    """
    stored_size = stored_size or imaging.stored_size_for(input_size)
    rows = (row for number, row in enumerate(sources.rows(data)) if shard.deals(number))
    if shard != WHOLE:
        progress.note(f"shard {shard}")
    return ingested.write(
        path,
        _read(rows, stored_size),
        source=data,
        fingerprint=fingerprint,
        shard=shard,
        stored_size=stored_size,
    )


def _read(rows: Iterator[sources.Row], stored_size: int) -> Iterator[tuple[ingested.Row, bytes]]:
    images = storage.map_in_order(functools.partial(read, stored_size=stored_size), rows)
    yield from progress.track(images, None, "images")
