"""Try the heads a configuration asks for, keep the better on validation, and attach it to the base."""

import functools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy.special import logsumexp

from graftwork.artifacts import features, model
from graftwork.artifacts import trained_on as trained_on_artifact
from graftwork.artifacts.model import HEAD
from graftwork.artifacts.model_files import HEAD_ON_BASE
from graftwork.artifacts.trained_on import TrainedOn
from graftwork.components.train_head.linear import regularization_path
from graftwork.components.train_head.mlp import Layers, train_mlp
from graftwork.components.train_head.parallel import mapped, undivided
from graftwork.components.train_head.standardization import standardization
from graftwork.config import HeadConfig
from graftwork.data.balance import class_weights
from graftwork.errors import UserError
from graftwork.evaluation.selection import rank
from graftwork.reporting import metering, progress
from graftwork.reporting.metering import Meter


@dataclass(frozen=True)
class Trial:
    """One head that was trained.

    Attributes:
        kind: "linear", "mlp" or "kept".
        layers: Its weights.
        validation: Its accuracy and loss on validation.
        settings: What makes it differ from other trials, and how its training went.
    """

    kind: str
    layers: Layers
    validation: dict[str, float]
    settings: dict[str, Any]


def train_head(
    features_paths: Sequence[str | os.PathLike[str]],
    base_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    config: HeadConfig,
    seed: int,
) -> model.ModelFolder:
    """Train a head on cached features and attach it to the base they came from.

    Args:
        features_paths: A features artifact, or all shards of one; how many makes no difference.
        base_path: The model artifact, a base, that made the features.
        path: The model artifact to write, a classifier.
        config: Which heads to try, and how.
        seed: Of every random choice.

    Raises:
        UserError: An artifact is not what it claims to be, the features come from another base, or the head to keep is
            not there or is for other classes.
    """
    meter, started = Meter(), time.monotonic()
    cached, base = features.read(*features_paths), model.read(base_path)
    if cached.description["base"] != base.fingerprint:
        raise UserError(
            "the features come from another base",
            {"features": cached.path, "base": base_path},
            next="extract the features again with this base",
        )
    kept = kept_layers(base, cached.classes, config)
    with undivided():
        trials = try_heads(cached, config, seed, meter, kept)
    best = max(trials, key=lambda trial: rank(trial.validation["accuracy"], trial.validation["loss"]))
    progress.note(f"{_name(best)} head: validation accuracy {best.validation['accuracy']:.4f}, {len(trials)} tried")
    head = as_keras(best.layers)
    description = {
        **base.origin,
        "candidate": HEAD_ON_BASE + base.suffix,
        "classes": cached.classes,
        "stored_size": cached.description["stored_size"],
        "data": {"source": cached.description["source"], "fingerprint": cached.description["images"]},
        "training": {
            "seed": seed,
            "head": {
                "kind": best.kind,
                "validation": best.validation,
                **best.settings,
                "tried": [{"kind": trial.kind, **trial.settings, "validation": trial.validation} for trial in trials],
                "settings": config.model_dump(mode="json"),
                "seconds": time.monotonic() - started,
            },
        },
    }

    def profile() -> dict[str, metering.Profile]:
        extraction = {"extract_features": metering.merged(cached.profiles)} if cached.profiles else {}
        return {**base.description.get("profile", {}), **extraction, "train_head": meter.profile()}

    classifier = model.classifier(base.keras_model(), head)
    record = trained_on(cached, base)
    return model.write(path, classifier, "classifier", description, base.code, profile=profile, trained_on=record)


def trained_on(cached: features.Features, base: model.ModelFolder) -> TrainedOn:
    """Return which images a head has seen, those that its base has seen among them."""
    before = base.trained_on
    own = [trained_on_artifact.short(keys) for split in cached.splits.values() for keys in split.key_parts]
    return TrainedOn(
        seen=trained_on_artifact.union(*own, *([before.seen] if before else [])),
        classes=np.array(cached.classes),
        counts=np.bincount(cached.splits["train"].labels, minlength=len(cached.classes)),
    )


def kept_layers(base: model.ModelFolder, classes: Sequence[str], config: HeadConfig) -> Layers | None:
    """Return the head that a base had as a classifier, its last layer's columns in the order of the classes.

    Returns:
        None where the configuration wants none, or "auto" finds none for these classes.

    Raises:
        UserError: The configuration wants the head kept, and there is none, or it is for other classes.
    """
    head = base.kept_head() if config.kind in ("auto", "kept") else None
    known = list(base.description.get("kept_classes", ()))
    if head is None or sorted(known) != sorted(classes):
        if config.kind == "kept":
            facts = {"base": base.description["base"]["uri"], "its head knows": ", ".join(known) or "no head"}
            facts["the images have"] = ", ".join(classes)
            next = "give a classifier that graftwork made for these classes, or  --set head.kind=auto"
            raise UserError("there is no head to keep", facts, next)
        return None
    layers = [tuple(layer.get_weights()) for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    order = [known.index(name) for name in classes]
    kernel, bias = layers[-1]
    return [*layers[:-1], (kernel[:, order], bias[order])]


def try_heads(
    cached: features.Features, config: HeadConfig, seed: int, meter: Meter, kept: Layers | None = None
) -> list[Trial]:
    """Train every head the configuration asks for, the simpler first, after the one that is there already."""
    train, validation = cached.splits["train"], cached.splits["validation"]
    classes = len(cached.classes)
    weights = class_weights(np.bincount(train.labels, minlength=classes), config.class_weight)
    scale = standardization(train)
    trials: list[Trial] = []

    def tried(trial: Trial) -> None:
        trials.append(trial)
        progress.report(len(trials), None, "heads tried", f"{_name(trial)}: {trial.validation['accuracy']:.4f}")

    if kept is not None:
        tried(Trial("kept", kept, score(validation, kept), {}))
    if config.kind in ("auto", "linear"):
        for penalty, kernel, bias in regularization_path(train, classes, config.l2, weights, scale, meter):
            layers = [(kernel, bias)]
            tried(Trial("linear", layers, score(validation, layers), {"l2": penalty}))
    if config.kind in ("auto", "mlp"):
        validate = functools.partial(score, validation)
        layers, curve = train_mlp(train, classes, config, weights, scale, validate, seed, meter)
        tried(Trial("mlp", layers, validate(layers), {"hidden_units": config.hidden_units, "curve": curve}))
    return trials


def score(split: features.Split, layers: Layers) -> dict[str, float]:
    """Return accuracy and mean cross-entropy of a head on a split."""
    parts = list(mapped(functools.partial(_right_and_loss, layers), split.chunks()))
    return {
        "accuracy": sum(right for right, _ in parts) / len(split),
        "loss": sum(loss for _, loss in parts) / len(split),
    }


def _right_and_loss(layers: Layers, rows: np.ndarray, labels: np.ndarray) -> tuple[int, float]:
    for number, (kernel, bias) in enumerate(layers):
        rows = (np.maximum(rows, 0) if number else rows) @ kernel + bias
    right = int((rows.argmax(axis=1) == labels).sum())
    return right, float((logsumexp(rows, axis=1) - rows[np.arange(len(labels)), labels]).sum())


def as_keras(layers: Layers) -> keras.Model:
    """Return a head as a Keras model, from features (n, d) to probabilities (n, k)."""
    values = keras.Input((layers[0][0].shape[0],), name="features")
    *hidden, last = [
        keras.layers.Dense(len(bias), name="logits" if number == len(layers) - 1 else "hidden")
        for number, (_, bias) in enumerate(layers)
    ]
    outputs = values
    for dense in hidden:
        outputs = keras.layers.Activation("relu", name="relu")(dense(outputs))
    outputs = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(last(outputs))
    head = keras.Model(values, outputs, name=HEAD)
    for dense, (kernel, bias) in zip([*hidden, last], layers, strict=True):
        dense.set_weights([kernel, bias])
    return head


def _name(trial: Trial) -> str:
    return f"linear (l2 {trial.settings['l2']:g})" if trial.kind == "linear" else trial.kind
