"""The step as a pipeline runs it: KFP artifacts in, metadata and metrics out."""

from typing import Any

from graftwork.artifacts.folder import write_json
from graftwork.components.select_model.select import select_model
from graftwork.reporting.progress import step


@step("select_model")
def run(
    evaluation: Any,
    head: Any | None,
    heads: list[Any] | None,
    fine_tuned: Any | None,
    sweep: list[Any] | None,
    model: Any,
    metrics: Any,
) -> None:
    """Write the best of the KFP artifacts that are given as candidates to the KFP artifact `model`."""
    models = [artifact.path for artifact in (head, *(heads or ()), fine_tuned, *(sweep or ())) if artifact]
    selected = select_model(evaluation.path, models, model.path)
    test = selected.summary["test"]
    model.metadata["selected"] = selected.summary["selected"]
    model.metadata["classes"] = len(selected.summary["classes"])
    model.metadata["test_accuracy"] = test["accuracy"]
    metrics.log_metric("test_accuracy", test["accuracy"])
    metrics.log_metric("test_images", test["n"])
    write_json(metrics.path, selected.summary)
