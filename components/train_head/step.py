"""The step as a pipeline runs it: KFP artifacts and parameters in, metadata and metrics out."""

from typing import Any

import tensorflow as tf

from graftwork.artifacts.kfp_metadata import describe, write_metrics
from graftwork.components.train_head.train import train_head
from graftwork.config import HeadConfig, validated
from graftwork.errors import UserError
from graftwork.reporting.progress import step


@step("train_head")
def run(
    features: list[Any] | None,
    base_model: Any,
    model: Any,
    metrics: Any,
    head: dict[str, Any],
    seed: int,
    whole_features: Any | None = None,
) -> None:
    """Train a head on the KFP artifacts `features`, or the only one, and write the classifier to `model`."""
    tf.config.experimental.enable_op_determinism()
    config = validated(HeadConfig, head, "the parameter head")
    paths = [shard.path for shard in (*(features or ()), whole_features) if shard]
    if not paths:
        raise UserError("there are no features", {"expected": "features, or whole_features, from extract_features"})
    written = train_head(paths, base_model.path, model.path, config, seed)
    trained = written.description["training"]["head"]
    describe(model, head=trained["kind"])
    results = {
        "validation_accuracy": trained["validation"]["accuracy"],
        "validation_loss": trained["validation"]["loss"],
        "training_seconds": trained["seconds"],
    }
    write_metrics(metrics, results)
