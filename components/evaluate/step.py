"""The step as a pipeline runs it: KFP artifacts in, metrics and the report out."""

import re
from pathlib import Path
from typing import Any

from graftwork.artifacts import digests
from graftwork.artifacts import images as images_artifact
from graftwork.artifacts import model as model_artifact
from graftwork.artifacts.folder import write_json
from graftwork.artifacts.kfp_metadata import write_metrics
from graftwork.components.evaluate.evaluate import evaluate
from graftwork.components.evaluate.report import render
from graftwork.evaluation.selection import select
from graftwork.reporting.progress import note, result, step

_MOST_SHOWN = 200
"""Classes in the matrix that KFP shows: it goes into its metadata store, whose messages hold no more than 4 MiB."""


@step("evaluate")
def run(
    images: Any,
    head: Any | None,
    heads: list[Any] | None,
    fine_tuned: Any | None,
    sweep: list[Any] | None,
    evaluation: Any,
    metrics: Any,
    classification_metrics: Any,
    report: Any,
    seed: int,
) -> None:
    """Evaluate the KFP artifacts that are given as candidates on `images`."""
    models = [artifact.path for artifact in (head, *(heads or ()), fine_tuned, *(sweep or ())) if artifact]
    evaluated = evaluate(images.path, models, evaluation.path, seed)
    reached = evaluated.evaluation.candidates
    selected, reason = select({name: splits["validation"] for name, splits in reached.items()})
    test = reached[selected]["test"]
    results = {
        "test_accuracy": test["accuracy"],
        "test_accuracy_low": test["accuracy_interval"][0],
        "test_accuracy_high": test["accuracy_interval"][1],
        "test_loss": test["loss"],
        "test_top_3_accuracy": test["top_3_accuracy"],
        "test_macro_f1": test["macro_f1"],
        "test_expected_calibration_error": test["expected_calibration_error"],
    }
    for name, splits in reached.items():
        results[f"validation_accuracy_{re.sub('[^a-z0-9]+', '_', name)}"] = splits["validation"]["accuracy"]
    write_metrics(metrics, results)
    classes = evaluated.evaluation.classes
    if len(classes) <= _MOST_SHOWN:
        classification_metrics.log_confusion_matrix(classes, test["confusion"])
    # KFP keeps the matrix as metadata alone; a file makes its local cache believe in the artifact.
    write_json(classification_metrics.path, {"classes": classes, "confusion": test["confusion"]})
    folders = map(model_artifact.read, models)
    page = render(
        evaluated.evaluation,
        evaluated.mistakes[selected],
        images_artifact.read(images.path),
        next(folder for folder in folders if folder.description["candidate"] == selected),
        selected,
        reason,
    )
    Path(report.path).write_text(page, encoding="utf-8")
    result(lambda: {"step": "evaluate", "files": {"report": digests.of_file(report.path)}})
    for name, splits in reached.items():
        low, high = splits["test"]["accuracy_interval"]
        note(f"{name}: test accuracy {splits['test']['accuracy']:.4f} (95 % between {low:.4f} and {high:.4f})")
