"""Copy the candidate that is best on validation, with what is known about it written inside."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graftwork.artifacts import evaluation, model
from graftwork.artifacts.folder import write_json
from graftwork.errors import UserError
from graftwork.evaluation.selection import select
from graftwork.reporting import progress
from graftwork.storage import whole


@dataclass(frozen=True)
class Selected:
    """The model that was kept, and the summary of why: the content of metrics.json."""

    model: model.ModelFolder
    summary: dict[str, Any]


def select_model(
    evaluation_path: str | os.PathLike[str],
    model_paths: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
) -> Selected:
    """Keep the best candidate; test numbers have no say.

    Args:
        evaluation_path: An evaluation artifact of all candidates.
        model_paths: The candidates' model artifacts, in any order.
        path: The model artifact to write.

    Raises:
        UserError: An artifact is not what it claims to be, or the evaluation is of other candidates.
    """
    evaluated = evaluation.read(evaluation_path)
    folders = model.candidates(model_paths)
    trained = {name: folder.description["training"] for name, folder in folders.items()}
    # Compared as text: training that diverged holds NaN, which is not equal to itself.
    if json.dumps(trained, sort_keys=True) != json.dumps(evaluated.training, sort_keys=True):
        facts = {"evaluated": ", ".join(evaluated.candidates), "given": ", ".join(folders)}
        raise UserError("the evaluation is not of these models", facts, next="evaluate them again")
    name, reason = select({name: splits["validation"] for name, splits in evaluated.candidates.items()})
    test = evaluated.candidates[name]["test"]
    summary = {
        "selected": name,
        "reason": reason,
        "test": {entry: test[entry] for entry in ("accuracy", "accuracy_interval", "n")},
        "candidates": evaluated.candidates,
        "classes": evaluated.classes,
        "profile": evaluated.profile,
    }
    with whole.folder(path) as folder:
        shutil.copytree(folders[name].path, folder, dirs_exist_ok=True)
        found = {split: _headline(metrics) for split, metrics in evaluated.candidates[name].items()}
        selection = {"selected": name, "reason": reason}
        described = {**folders[name].description, "selection": selection, "metrics": found}
        write_json(folder / model.DESCRIPTION, described)
    progress.note(f"{name}: {reason}")
    return Selected(model.read(path), summary)


def _headline(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics that are one number or an interval; tables over all classes stay in metrics.json."""
    return {name: value for name, value in metrics.items() if name not in ("per_class", "confusion", "calibration")}
