"""One layer of Keras 2 as a layer of Keras 3, without its weights."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from graftwork.artifacts.activations import hard_sigmoid_of_keras_2
from graftwork.base_models.architectures.applications import LAYERS
from graftwork.base_models.formats.keras2.precision import without_half_precision

_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
}
_LEFT_OUT = ("_initializer", "batch_input_shape")
"""Ends of keys: weights come from the file, and inputs are made on their own."""

_INNER = ("layer", "backward_layer", "cell", "cells")
"""Where layers keep others."""


def has(layer: Any) -> bool:
    """Return whether Keras 3 has a layer for one of Keras 2."""
    return _kind(layer) is not None


def inner_layers(layer: Any) -> dict[str, Any]:
    """Return the layers, models and cells that a layer of Keras 2 is made of: an argument's name -> one, or a list."""
    config = layer.get_config()
    return {key: getattr(layer, key) for key in _INNER if config.get(key) is not None}


def translate(layer: Any, name: str, inner: Callable[[Any], Any]) -> keras.layers.Layer:
    """Return the layer of Keras 3 that does what a layer of Keras 2 does, in float32 where that had less precision.

    Args:
        layer: Of tf_keras, no model; `has` it.
        name: What the new layer is called.
        inner: Gives what a layer inside this one has become.
    """
    kind = _kind(layer)
    config = {key: _translated(key, value) for key, value in layer.get_config().items() if not key.endswith(_LEFT_OUT)}
    config |= {"name": name, **_SPECIAL.get(kind.__name__, _nothing)(layer, config)}
    config |= {key: tf.nest.map_structure(inner, layers) for key, layers in inner_layers(layer).items()}
    return kind(**_accepted(kind, config))


def _kind(layer: Any) -> Any:
    name = _RENAMED.get(type(layer).__name__, type(layer).__name__)
    registered = {key.rpartition(">")[2]: value for key, value in keras.saving.get_custom_objects().items()}
    return getattr(keras.layers, name, None) or LAYERS.get(name) or registered.get(name)


def _accepted(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that a class takes: Keras 3 refuses those it no longer has."""
    names = {"name", "dtype"}
    for base in kind.__mro__:
        if "__init__" not in vars(base) or base is keras.layers.Layer:
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters
        names |= set(parameters)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break  # it passes nothing on
    return {key: value for key, value in config.items() if key in names}


def _translated(key: str, value: Any) -> Any:
    if key.endswith("activation") and value == "hard_sigmoid":
        return hard_sigmoid_of_keras_2
    if key == "dtype":
        return without_half_precision(value["config"]["name"] if isinstance(value, dict) else value)
    if isinstance(value, dict) and "class_name" in value and key.endswith(("regularizer", "constraint")):
        module = keras.regularizers if key.endswith("regularizer") else keras.constraints
        return module.get({"class_name": value["class_name"], "config": value["config"]})
    return value


def _nothing(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    return {}


def _batch_normalization(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    axis = config["axis"]
    return {"axis": axis[0] if isinstance(axis, (list, tuple)) else axis}


def _leaky_relu(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    return {"negative_slope": float(config["alpha"])}


def _relu(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    return {"threshold": float(config["theta"])} if "theta" in config else {}  # of ThresholdedReLU


def _normalization(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    # What it has learnt lies in weights that Keras 3 arranges in another way.
    mean, variance = (value.numpy().reshape(-1).tolist() for value in (layer.mean, layer.variance))
    return {"mean": mean, "variance": variance} if layer.axis else {"mean": mean[0], "variance": variance[0]}


def _lambda(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    return {"function": layer.function, "arguments": layer.arguments, "output_shape": None, "mask": None}


_SPECIAL = {
    "BatchNormalization": _batch_normalization,
    "Lambda": _lambda,
    "LeakyReLU": _leaky_relu,
    "Normalization": _normalization,
    "ReLU": _relu,
}
