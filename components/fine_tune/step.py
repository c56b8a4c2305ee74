"""The step as a pipeline runs it: KFP artifacts and parameters in, metadata and metrics out."""

from typing import Any

import tensorflow as tf

from graftwork.artifacts.kfp_metadata import describe, write_metrics
from graftwork.components.fine_tune.fine_tune import CANDIDATE, fine_tune
from graftwork.components.fine_tune.training import best_epoch
from graftwork.config import FineTuneConfig, parse_point, parse_precision, validated
from graftwork.networks import devices
from graftwork.reporting.progress import step


@step("fine_tune")
def run(
    images: Any,
    head: Any,
    model: Any,
    metrics: Any,
    settings: dict[str, Any],
    point: str,
    precision: str,
    seed: int,
) -> None:
    """Fine-tune the KFP artifact `head` on `images` and write the classifier to `model`."""
    tf.config.experimental.enable_op_determinism()
    devices.warn_of_missing_gpu()
    chosen = parse_point(point)
    config = validated(FineTuneConfig, {**settings, **chosen}, "the parameter fine_tune")
    candidate = "-".join([CANDIDATE, *map(str, chosen.values())])
    written = fine_tune(images.path, head.path, model.path, config, seed, candidate, parse_precision(precision))
    trained = written.description["training"].get("fine_tune", {})
    describe(model, fine_tuned_layers=trained.get("layers", 0))
    results: dict[str, float] = {}
    if trained:
        best = best_epoch(trained["curve"])
        results = {
            "validation_accuracy": best["validation_accuracy"],
            "validation_loss": best["validation_loss"],
            "epochs": trained["epochs"],
            "training_seconds": trained["seconds"],
        }
    write_metrics(metrics, results)
