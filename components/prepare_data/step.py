"""The step as a pipeline runs it: KFP artifacts and parameters in, metadata, metrics and a work list out."""

from typing import Any

from graftwork.artifacts.kfp_metadata import describe, write_metrics
from graftwork.components.prepare_data.prepare import prepare
from graftwork.config import MOST_SHARDS, PrepareConfig, validated
from graftwork.data.shards import shards
from graftwork.errors import UserError
from graftwork.reporting.progress import step


@step("prepare_data")
def run(
    ingested: list[Any] | None,
    images: Any,
    metrics: Any,
    settings: dict[str, Any],
    extract_shards: int,
    whole_ingested: Any | None = None,
) -> list[str]:
    """Prepare what was ingested into the KFP artifact `images`; return the shares in which to extract features."""
    config = validated(PrepareConfig, settings, "the parameter prepare")
    paths = [shard.path for shard in (*(ingested or ()), whole_ingested) if shard]
    if not paths:
        raise UserError("nothing was ingested", {"expected": "ingested, or whole_ingested, from ingest_images"})
    written = prepare(paths, images.path, config)
    describe(images, classes=len(written.classes), fingerprint=written.fingerprint)
    results = {f"{split}_images": written.size(split) for split in written.counts}
    results |= {"rejected": written.rejected, "duplicates": written.duplicates}
    write_metrics(metrics, results)
    return shards(max(1, min(extract_shards, MOST_SHARDS, len(written.files["train"]))))
