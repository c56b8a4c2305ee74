"""The step as a pipeline runs it: KFP artifacts in, metadata out."""

from typing import Any

from graftwork.components.extract_features.extract import extract_features
from graftwork.progress import note, step


@step("extract_features")
def run(images: Any, base_model: Any, features: Any) -> None:
    """Extract the features of the KFP artifact `images` into `features`."""
    written = extract_features(images.path, base_model.path, features.path)
    dimensions = written.splits["train"].features.shape[1]
    features.metadata["dimensions"] = dimensions
    note(f"{sum(len(split) for split in written.splits.values()):,} images, {dimensions:,} features each")
