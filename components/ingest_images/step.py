"""The step as a pipeline runs it: parameters in, a KFP artifact out."""

from typing import Any

from graftwork.artifacts.kfp_metadata import describe
from graftwork.components.ingest_images.ingest import ingest
from graftwork.data.shards import Shard
from graftwork.reporting.progress import step


@step("ingest_images")
def run(
    data: str, fingerprint: str, shard: str, input_size: int, ingested: Any, stored_size: int, at_least: int
) -> None:
    """Ingest a shard of `data` into the KFP artifact `ingested`."""
    written = ingest(data, fingerprint, Shard.parse(shard), input_size, ingested.path, stored_size, at_least)
    describe(ingested, rows=written.size)
