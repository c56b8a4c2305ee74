"""Try the heads a configuration asks for, keep the better on validation, and attach it to the base."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy.special import logsumexp

from graftwork import progress
from graftwork.artifacts import features, model
from graftwork.artifacts.model import HEAD
from graftwork.balance import class_weights
from graftwork.components.train_head.linear import regularization_path, standardization
from graftwork.components.train_head.mlp import train_mlp
from graftwork.config import HeadConfig
from graftwork.errors import UserError
from graftwork.selection import rank

CANDIDATE = "head"


@dataclass(frozen=True)
class Trial:
    """One head that was trained.

    Attributes:
        kind: "linear" or "mlp".
        layers: (kernel, bias) of each dense layer, first to last.
        validation: Its accuracy and loss on validation.
        settings: What makes it differ from other trials, and how its training went.
    """

    kind: str
    layers: list[tuple[np.ndarray, np.ndarray]]
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
        UserError: An artifact is not what it claims to be, or the features come from another base.
    """
    cached, base = features.read(*features_paths), model.read(base_path)
    if cached.description["base"] != base.fingerprint:
        raise UserError(
            "the features come from another base",
            {"features": cached.path, "base": base_path},
            next="extract the features again with this base",
        )
    started = time.monotonic()
    trials = try_heads(cached, config, seed)
    best = max(trials, key=lambda trial: rank(trial.validation["accuracy"], trial.validation["loss"]))
    seconds = time.monotonic() - started
    progress.note(f"{_name(best)} head: validation accuracy {best.validation['accuracy']:.4f}, {len(trials)} tried")
    head = as_keras(best.layers)
    description = {
        **{entry: base.description[entry] for entry in ("preprocessing", "feature_layer", "base")},
        "candidate": CANDIDATE,
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
                "seconds": seconds,
            },
        },
    }
    return model.write(path, model.classifier(base.keras_model(), head), "classifier", description)


def try_heads(cached: features.Features, config: HeadConfig, seed: int) -> list[Trial]:
    """Train every head the configuration asks for, the simpler first."""
    train, validation = cached.splits["train"], cached.splits["validation"]
    classes = len(cached.classes)
    balanced = class_weights(np.bincount(train.labels, minlength=classes))
    weights = balanced if config.class_weight == "balanced" else np.ones(classes)
    scale = standardization(train)
    trials: list[Trial] = []

    def tried(trial: Trial) -> None:
        trials.append(trial)
        progress.report(len(trials), None, "heads tried", f"{_name(trial)}: {trial.validation['accuracy']:.4f}")

    if config.kind in ("auto", "linear"):
        for penalty, kernel, bias in regularization_path(train, classes, config.l2, weights, scale):
            layers = [(kernel, bias)]
            tried(Trial("linear", layers, score(validation, layers), {"l2": penalty}))
    if config.kind in ("auto", "mlp"):
        trained, curve = train_mlp(
            train, classes, config, weights, scale, lambda parts: score(validation, _pairs(parts)), seed
        )
        settings = {"hidden_units": config.hidden_units, "curve": curve}
        tried(Trial("mlp", _pairs(trained), score(validation, _pairs(trained)), settings))
    return trials


def score(split: features.Split, layers: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Return accuracy and mean cross-entropy of a head on a split."""
    right, loss = 0, 0.0
    for rows, labels in split.chunks():
        for number, (kernel, bias) in enumerate(layers):
            rows = (np.maximum(rows, 0) if number else rows) @ kernel + bias
        right += int((rows.argmax(axis=1) == labels).sum())
        loss += float((logsumexp(rows, axis=1) - rows[np.arange(len(labels)), labels]).sum())
    return {"accuracy": right / len(split), "loss": loss / len(split)}


def as_keras(layers: list[tuple[np.ndarray, np.ndarray]]) -> keras.Model:
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


def _pairs(parts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(parts[0], parts[1]), (parts[2], parts[3])]


def _name(trial: Trial) -> str:
    return f"linear (l2 {trial.settings['l2']:g})" if trial.kind == "linear" else trial.kind
