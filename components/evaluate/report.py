"""The report: everything a reviewer needs to decide whether to trust the model, in one HTML file."""

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from graftwork.artifacts.evaluation import Evaluation
from graftwork.artifacts.images import Images
from graftwork.artifacts.model import ModelFolder
from graftwork.components.evaluate import charts
from graftwork.components.evaluate.evaluate import Mistake
from graftwork.evaluation.selection import rank
from graftwork.reporting import pages
from graftwork.reporting.metering import Profile

_MOST_CLASSES = 60
_MOST_CONFUSED = 10


def render(
    evaluation: Evaluation, mistakes: list[Mistake], data: Images, model: ModelFolder, selected: str, reason: str
) -> str:
    """Return the report as HTML that needs no other file.

    Args:
        evaluation: Of every candidate.
        mistakes: The selected candidate's worst ones on test images, worst first.
        data: What it was trained and tested on.
        model: The selected candidate.
        selected: Its name.
        reason: Why it was selected.
    """
    test = evaluation.candidates[selected]["test"]
    training = model.description["training"]
    points = _points(evaluation, selected)
    # Of a sweep, the best way of fine-tuning is told of, be it selected or not.
    fine_tuning = evaluation.training[points[0]["name"]]["fine_tune"] if points else None
    untuned = [name for name in evaluation.candidates if "fine_tune" not in evaluation.training[name]]
    head_accuracy = evaluation.candidates[untuned[0]]["validation"]["accuracy"] if untuned else None
    worst_first = sorted(test["per_class"].items(), key=lambda item: (item[1]["f1"], item[0]))
    return pages.render(
        "graftwork.components.evaluate",
        "report.html.j2",
        evaluation=evaluation,
        selected=selected,
        reason=reason,
        test=test,
        data=data,
        model=model.description,
        seed=training["seed"],
        head=training["head"],
        fine_tuning=fine_tuning,
        classes=worst_first[:_MOST_CLASSES],
        classes_left_out=max(0, len(worst_first) - _MOST_CLASSES),
        confused=_most_confused(test["confusion"], evaluation.classes),
        confusion_is_wide=charts.is_wide(evaluation.classes),
        confusion=Markup(charts.confusion(test["confusion"], evaluation.classes)),
        curves=Markup(charts.curves(fine_tuning["curve"])) if fine_tuning else None,
        points=points,
        sweep=Markup(charts.sweep(points, head_accuracy)) if len(points) > 1 else None,
        reliability=Markup(charts.reliability(test["calibration"])),
        mistakes=mistakes,
        steps=_steps(evaluation.profile),
        settings=json.dumps(training, indent=2, ensure_ascii=False),
    )


def _points(evaluation: Evaluation, selected: str) -> list[dict[str, Any]]:
    """Return the candidates that were fine-tuned and how, the best on validation first."""
    points = [
        {
            "name": name,
            "layers": training["fine_tune"]["layers"],
            "learning_rate": training["fine_tune"]["settings"]["learning_rate"],
            "epochs": training["fine_tune"]["epochs"],
            "seconds": training["fine_tune"]["seconds"],
            "accuracy": evaluation.candidates[name]["validation"]["accuracy"],
            "loss": evaluation.candidates[name]["validation"]["loss"],
            "selected": name == selected,
        }
        for name, training in ((name, evaluation.training[name]) for name in evaluation.candidates)
        if "fine_tune" in training
    ]
    return sorted(points, key=lambda point: rank(point["accuracy"], point["loss"]), reverse=True)


def _steps(profile: Mapping[str, Profile]) -> list[dict[str, Any]]:
    """Return how fast each step went, with its name and how much of the longest step it worked and waited."""
    longest = max((measured["seconds"] for measured in profile.values()), default=0.0)
    steps = []
    for name, measured in profile.items():
        width = 100 * measured["seconds"] / longest if longest else 0.0
        waited = width * measured["waiting_for_input"]
        steps.append({"name": name, "worked": width - waited, "waited": waited, **measured})
    return steps


def _most_confused(matrix: list[list[int]], classes: list[str]) -> list[tuple[str, str, int, int]]:
    """Return true class, predicted class, how often, and of how many; the most frequent first."""
    pairs = [
        (classes[row], classes[column], count, sum(counts))
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:_MOST_CONFUSED]
