"""The step as a pipeline runs it: KFP artifacts and parameters in, metadata and metrics out."""

from typing import Any

import tensorflow as tf

from graftwork.artifacts.kfp_metadata import describe, write_metrics
from graftwork.components.train_head.train import train_head
from graftwork.config import HeadConfig, validated
from graftwork.reporting.progress import step


@step("train_head")
def run(features: list[Any], base_model: Any, model: Any, metrics: Any, head: dict[str, Any], seed: int) -> None:
    """Train a head on the KFP artifacts `features` and write the classifier to `model`."""
    tf.config.experimental.enable_op_determinism()
    config = validated(HeadConfig, head, "the parameter head")
    written = train_head([shard.path for shard in features], base_model.path, model.path, config, seed)
    trained = written.description["training"]["head"]
    describe(model, head=trained["kind"])
    results = {
        "validation_accuracy": trained["validation"]["accuracy"],
        "validation_loss": trained["validation"]["loss"],
        "training_seconds": trained["seconds"],
    }
    write_metrics(metrics, results)
