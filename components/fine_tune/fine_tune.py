"""Let the graft grow: train the last layers of the base together with the trained head."""

import os
import shutil
import time

import numpy as np

from graftwork import progress
from graftwork.artifacts import images, model
from graftwork.artifacts.folder import written_whole
from graftwork.artifacts.model import BACKBONE
from graftwork.balance import class_weights
from graftwork.components.fine_tune.layers import trainable_layers, unfreeze_last
from graftwork.components.fine_tune.training import fit
from graftwork.config import FineTuneConfig
from graftwork.errors import UserError

CANDIDATE = "fine-tuned"


def fine_tune(
    images_path: str | os.PathLike[str],
    head_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    config: FineTuneConfig,
    seed: int,
    candidate: str = CANDIDATE,
) -> model.ModelFolder:
    """Train the last layers of a classifier's base, and its head.

    Args:
        images_path: An images artifact.
        head_path: The model artifact to start from, a classifier with a trained head.
        path: The model artifact to write. With no layers it is a copy of the one to start from.
        config: How many layers, and how. Of a base that cannot be trained, the default third is no layers.
        seed: Of every random choice.
        candidate: What to call the result.

    Raises:
        UserError: An artifact is not what it claims to be, the classes differ, there are not so many layers, or the
            base cannot be trained at all.
    """
    data, start = images.read(images_path), model.read(head_path)
    frozen = start.description.get("frozen", "")
    if frozen and config.layers not in (0, "third"):
        facts = {"base": start.description["base"]["uri"], "why": frozen}
        raise UserError("the base model cannot be fine-tuned", facts, "--set fine_tune.layers=0")
    if config.layers == 0 or frozen:
        progress.note(f"skipped: {f'the base cannot be fine-tuned: {frozen}' if frozen else 'fine_tune.layers is 0'}")
        with written_whole(path) as folder:
            shutil.copytree(start.path, folder, dirs_exist_ok=True)
        return model.read(path)
    if start.description["classes"] != data.classes:
        facts = {"model": ", ".join(start.description["classes"]), "images": ", ".join(data.classes)}
        raise UserError("the model to fine-tune knows other classes than the images have", facts)
    started = time.monotonic()
    classifier = start.keras_model()
    backbone = classifier.get_layer(BACKBONE)
    layers = unfreeze_last(backbone, config.layers)
    progress.note(f"training the last {layers} of {len(trainable_layers(backbone))} layers of the base, and the head")
    counts = np.array(list(data.counts["train"].values()))
    weights = dict(enumerate(class_weights(counts))) if config.class_weight == "balanced" else None
    curve = fit(classifier, data, config, weights, seed)
    best = max(epoch["validation_accuracy"] for epoch in curve)
    progress.note(f"best validation accuracy {best:.4f} of {len(curve)} epoch{'s' if len(curve) > 1 else ''}")
    described = {entry: value for entry, value in start.description.items() if entry not in ("schema", "versions")}
    training = {
        **described["training"],
        "fine_tune": {
            "layers": layers,
            "epochs": len(curve),
            "curve": curve,
            "settings": config.model_dump(mode="json"),
            "trained_parameters": int(sum(np.prod(variable.shape) for variable in classifier.trainable_variables)),
            "seconds": time.monotonic() - started,
        },
    }
    description = {**described, "candidate": candidate, "training": training}
    return model.write(path, classifier, "classifier", description, start.code)
