"""Let the graft grow: train the last layers of the base together with the trained head."""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from graftwork.artifacts import images, model
from graftwork.artifacts.model import BACKBONE
from graftwork.components.fine_tune.caching import compute, plan
from graftwork.components.fine_tune.feeding import CachedFeed, Feed, ImagesFeed
from graftwork.components.fine_tune.layers import trainable_layers, unfreeze_last
from graftwork.components.fine_tune.parts import Parts, parts
from graftwork.components.fine_tune.training import Trained, best_epoch, fit
from graftwork.config import FineTuneConfig, Precision
from graftwork.data.balance import class_weights
from graftwork.errors import UserError
from graftwork.networks import devices
from graftwork.networks.graph import distinct_names
from graftwork.reporting import progress
from graftwork.reporting.metering import Meter, Profile
from graftwork.storage import whole

CANDIDATE = "fine-tuned"


def fine_tune(
    images_path: str | os.PathLike[str],
    head_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    config: FineTuneConfig,
    seed: int,
    candidate: str = CANDIDATE,
    precision: Precision = "auto",
) -> model.ModelFolder:
    """Train the last layers of a classifier's base, and its head.

    Args:
        images_path: An images artifact.
        head_path: The model artifact to start from, a classifier with a trained head.
        path: The model artifact to write. With no layers it is a copy of the one to start from.
        config: How many layers, and how. Of a base that cannot be trained, a share of its layers is none.
        seed: Of every random choice.
        candidate: What to call the result.
        precision: What the network computes in while it is trained; the result is float32.

    Raises:
        UserError: An artifact is not what it claims to be, the classes differ, there are not so many layers, or the
            base cannot be trained at all.
    """
    data, start = images.read(images_path), model.read(head_path)
    frozen = start.description.get("frozen", "")
    if frozen and isinstance(config.layers, int) and config.layers:
        facts = {"base": start.description["base"]["uri"], "why": frozen}
        raise UserError("the base model cannot be fine-tuned", facts, "--set fine_tune.layers=0")
    if config.layers == 0 or frozen:
        progress.note(f"skipped: {f'the base cannot be fine-tuned: {frozen}' if frozen else 'fine_tune.layers is 0'}")
        with whole.folder(path) as folder:
            shutil.copytree(start.path, folder, dirs_exist_ok=True)
        return model.read(path)
    if start.description["classes"] != data.classes:
        facts = {"model": ", ".join(start.description["classes"]), "images": ", ".join(data.classes)}
        raise UserError("the model to fine-tune knows other classes than the images have", facts)
    meter, started = Meter(), time.monotonic()
    with ExitStack() as names, devices.strategy().scope():
        classifier = start.keras_model()
        backbone = classifier.get_layer(BACKBONE)
        layers = unfreeze_last(backbone, config.layers)
        total = len(trainable_layers(backbone))
        names.enter_context(distinct_names(classifier))
        network = parts(classifier, precision)
        progress.note(f"training the last {layers} of {total} layers of the base, and the head, in {network.precision}")
        counts = np.array(list(data.counts["train"].values()))
        weights = class_weights(counts, config.class_weight)
        chosen, trained = train(data, network, config, weights, seed, Path(path).parent, meter)
    curve = trained.curve
    accuracy = best_epoch(curve)["validation_accuracy"]
    progress.note(f"best validation accuracy {accuracy:.4f} of {len(curve)} epoch{'s' if len(curve) > 1 else ''}")
    described = {entry: value for entry, value in start.description.items() if entry not in ("schema", "versions")}
    training = {
        **described["training"],
        "fine_tune": {
            "layers": layers,
            "epochs": len(curve),
            "curve": curve,
            "settings": config.model_dump(mode="json"),
            "trained_parameters": int(sum(np.prod(variable.shape) for variable in classifier.trainable_variables)),
            "precision": network.precision,
            "cache": chosen,
            "seconds": time.monotonic() - started,
        },
    }
    description = {**described, "candidate": candidate + start.suffix, "training": training}

    def profile() -> dict[str, Profile]:
        return {**start.description.get("profile", {}), "fine_tune": meter.profile(trained.floor)}

    return model.write(
        path, classifier, "classifier", description, start.code, profile=profile, trained_on=start.trained_on
    )


def train(
    data: images.Images,
    network: Parts,
    config: FineTuneConfig,
    class_weights: np.ndarray,
    seed: int,
    folder: Path,
    meter: Meter,
) -> tuple[dict[str, Any], Trained]:
    """Train a network's suffix, on what its trunk said once if that pays.

    Args:
        data: Training and validation images.
        network: Changed in place.
        config: How.
        class_weights: float (k,), how much an image of each class counts.
        seed: Of every random choice.
        folder: A cache lies in it while training runs.
        meter: Of the step.

    Returns:
        What was chosen about caching and why, and how training went.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = -(-data.size("train") // config.batch_size)
    size = network.split.trunk.input_shape[1:3]
    with tempfile.TemporaryDirectory(prefix=".trunk-", dir=folder) as scratch:
        chosen = plan(data, network, config, Path(scratch))
        progress.note(chosen.why)
        feed: Feed = ImagesFeed(data, size, config, seed)
        floor = 0.0
        if chosen.cached:
            started = time.monotonic()
            cache = compute(data, network, chosen, config, seed, Path(scratch) / "features")
            floor = time.monotonic() - started
            feed = CachedFeed(data, cache, network.split.shapes, chosen.views, config, seed)
        trained = fit(network, feed, steps, chosen.cached, config, class_weights, seed, meter)
    trained.floor += floor
    return chosen.description(network), trained
