"""The step as a pipeline runs it: KFP artifacts in, metadata out."""

from typing import Any

from graftwork.artifacts.kfp_metadata import describe
from graftwork.components.extract_features.extract import extract_features
from graftwork.config import parse_precision
from graftwork.data.shards import WHOLE, Shard
from graftwork.networks import devices
from graftwork.reporting.progress import note, step


@step("extract_features")
def run(images: Any, base_model: Any, features: Any, shard: str, precision: str) -> None:
    """Extract the features of a share of the KFP artifact `images` into `features`."""
    devices.warn_of_missing_gpu()
    chosen = parse_precision(precision)
    written = extract_features(images.path, base_model.path, features.path, Shard.parse(shard), chosen)
    dimensions = written.splits["train"].row_shape[0]
    describe(features, dimensions=dimensions)
    share = "" if written.shard == WHOLE else f"shard {shard}: "
    note(f"{share}{sum(len(split) for split in written.splits.values()):,} images, {dimensions:,} features each")
