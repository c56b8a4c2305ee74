"""From one shard of a source of labelled images to the ingested contract, in one pass."""

import functools
import os
from collections.abc import Iterator

from graftwork.artifacts import ingested
from graftwork.components.ingest_images.read import fit, read
from graftwork.data import imaging, sources
from graftwork.data.shards import WHOLE, Shard
from graftwork.data.streams import map_in_order
from graftwork.reporting import progress
from graftwork.reporting.metering import Meter


def ingest(
    data: str,
    fingerprint: str,
    shard: Shard,
    input_size: int,
    path: str | os.PathLike[str],
    stored_size: int = 0,
    at_least: int = 0,
) -> ingested.Ingested:
    """Read and check the images of one shard of a source.

    Args:
        data: A folder or a table, see `sources`.
        fingerprint: What the source holds, to be noted.
        shard: Which rows of it.
        input_size: Of the network that will see the images, in pixels.
        path: The ingested artifact to write.
        stored_size: Shorter side in pixels to which larger images are shrunk; 0 for what suits the input size.
        at_least: The same of another model that will be asked about these images: smaller they are not made.

    Raises:
        UserError: There is no such source.
    """
    meter = Meter()
    stored_size = stored_size or imaging.stored_size_for(input_size)
    if stored_size < at_least:
        progress.note(f"images are stored at {at_least} pixels instead of {stored_size}: so the champion sees them")
        stored_size = at_least
    rows = (row for number, row in enumerate(sources.rows(data)) if shard.deals(number))
    if shard != WHOLE:
        progress.note(f"shard {shard}")
    return ingested.write(
        path,
        _read(rows, stored_size, meter),
        source=data,
        fingerprint=fingerprint,
        shard=shard,
        stored_size=stored_size,
        profile=meter.profile,
    )


def _read(rows: Iterator[sources.Row], stored_size: int, meter: Meter) -> Iterator[tuple[ingested.Row, bytes]]:
    # Several files are waited for at a time, however few processors there are; as many images are decoded at a time as
    # there are processors, because a photograph takes much memory while it is.
    contents = meter.fed(map_in_order(read, rows))
    fitted = map_in_order(functools.partial(fit, stored_size=stored_size), contents, os.cpu_count() or 1)
    for row in progress.track(fitted, None, "images"):
        meter.images += 1
        yield row
