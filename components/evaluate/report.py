"""The report: everything a reviewer needs to decide whether to trust the model, in one HTML file."""

import base64
import io
import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from graftwork.artifacts.evaluation import Evaluation
from graftwork.artifacts.images import Images
from graftwork.artifacts.model import ModelFolder
from graftwork.components.evaluate import charts
from graftwork.components.evaluate.evaluate import Mistake

_THUMBNAIL = 112
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
    fine_tuning = next((t["fine_tune"] for t in evaluation.training.values() if "fine_tune" in t), None)
    worst_first = sorted(test["per_class"].items(), key=lambda item: (item[1]["f1"], item[0]))
    environment = Environment(
        loader=PackageLoader("graftwork.components.evaluate", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
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
        reliability=Markup(charts.reliability(test["calibration"])),
        mistakes=[(mistake, _thumbnail(mistake.encoded)) for mistake in mistakes],
        settings=json.dumps(training, indent=2, ensure_ascii=False),
    )


def _most_confused(matrix: list[list[int]], classes: list[str]) -> list[tuple[str, str, int, int]]:
    """Return true class, predicted class, how often, and of how many; the most frequent first."""
    pairs = [
        (classes[row], classes[column], count, sum(counts))
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:_MOST_CONFUSED]


def _thumbnail(encoded: bytes) -> str:
    with Image.open(io.BytesIO(encoded)) as image:
        picture: Any = image.convert("RGB")
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
        file = io.BytesIO()
        picture.save(file, format="PNG" if max(image.size) <= _THUMBNAIL // 2 else "JPEG", quality=80)
    kind = "png" if file.getvalue().startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
