"""The layers of a Keras model, whichever model inside it they are in; how they are called is in `graph`."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def leaf_layers(layer: Any) -> list[Any]:
    """Return the layers of a model, those of models inside it instead of the inner models; of any layer, itself."""
    if not isinstance(layer, keras.Model):
        return [layer]
    return [leaf for inner in layer.layers for leaf in leaf_layers(inner)]


def has_weights(layer: Any) -> bool:
    """Return whether a layer or model has any weights; operations between layers have none."""
    return bool(getattr(layer, "weights", None))


def is_of_keras(layer: Any) -> bool:
    """Return whether a layer's class is Keras's own, not a subclass that somebody else has written."""
    return type(layer).__module__.startswith("keras.")


def take_weights(model: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Set the weights of a model, of its Normalization layers too: they compute with what they derive from them."""
    model.set_weights(weights)
    for layer in leaf_layers(model):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
