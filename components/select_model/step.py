"""The step as a pipeline runs it: KFP artifacts in, metadata and metrics out."""

from collections.abc import Mapping
from typing import Any

from graftwork.artifacts import digests
from graftwork.artifacts.kfp_metadata import describe, write_metrics
from graftwork.components.select_model.select import select_model
from graftwork.reporting import progress


@progress.step("select_model")
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
    summary = selected.summary
    test = summary["test"]
    chosen = {"selected": summary["selected"], "classes": len(summary["classes"]), "test_accuracy": test["accuracy"]}
    describe(model, **chosen)
    write_metrics(metrics, {"test_accuracy": test["accuracy"], "test_images": test["n"]}, summary)
    progress.result(lambda: _result(summary, model.path, metrics.path))


def _result(summary: Mapping[str, Any], model: str, metrics: str) -> dict[str, Any]:
    """Return what a terminal shows of the run, and by what it knows that the files it fetches are whole."""
    shown = {"validation": ("accuracy",), "test": ("accuracy", "accuracy_interval", "n")}
    return {
        "step": "select_model",
        "candidates": {
            name: {split: {entry: splits[split][entry] for entry in entries} for split, entries in shown.items()}
            for name, splits in summary["candidates"].items()
        },
        "selected": summary["selected"],
        "reason": summary["reason"],
        "files": {"model": digests.of_folder(model), "metrics": digests.of_file(metrics)},
    }
