"""Names of layers and models that TensorFlow can export; Keras allows more."""

import re
from typing import Any

import keras

from graftwork.networks.layers import take_weights

_REFUSED = re.compile(r"[^A-Za-z0-9_.>-]")
_REFUSED_FIRST = re.compile(r"^[^A-Za-z0-9.]")
_INNER = {
    "layer": "layer",
    "forward_layer": "layer",
    "backward_layer": "backward_layer",
    "cell": "cell",
    "cells": "cells",
}
"""Where layers keep others, and how their configuration calls them."""


class LayerNames:
    """Gives every name one that can be exported, and remembers which is which.

    Attributes:
        changed: The names that differ, as exportable name -> name.
    """

    def __init__(self) -> None:
        self.changed: dict[str, str] = {}

    def exportable(self, name: str) -> str:
        """Return the name itself where TensorFlow takes it, else one like it; always the same for the same name."""
        known = {old: new for new, old in self.changed.items()}
        if name in known:
            return known[name]
        new = _REFUSED.sub("_", name)
        if _REFUSED_FIRST.match(new):
            new = f"layer{new}"
        if new == name:
            return name
        while new in self.changed:
            new += "_"
        self.changed[new] = name
        return new


def with_exportable_names(model: keras.Model) -> tuple[keras.Model, dict[str, str]]:
    """Return a model whose layers all have names that TensorFlow can export, and which names were changed.

    Args:
        model: Functional or sequential.

    Returns:
        The model itself if there is nothing to change, else a copy; and exportable name -> name.
    """
    names = LayerNames()
    for layer in (model, *model._flatten_layers(include_self=False)):
        names.exportable(layer.name)
    return (_copy(model, names), names.changed) if names.changed else (model, {})


def _copy(model: keras.Model, names: LayerNames) -> keras.Model:
    copies: dict[int, Any] = {}

    def copy(layer: Any) -> Any:
        if id(layer) not in copies:
            if isinstance(layer, keras.Model):
                copies[id(layer)] = _copy(layer, names)
            elif isinstance(layer, keras.Layer):
                config = {**layer.get_config(), "name": names.exportable(layer.name)}
                for attribute, key in _INNER.items():
                    if key in config and hasattr(layer, attribute):
                        inner = keras.tree.map_structure(copy, getattr(layer, attribute))
                        config[key] = keras.saving.serialize_keras_object(inner)
                copies[id(layer)] = type(layer).from_config(config)
            else:
                copies[id(layer)] = layer  # an operation holds nothing
        return copies[id(layer)]

    name = names.exportable(model.name)
    if isinstance(model, keras.Sequential):  # its variables carry its name
        copied = keras.Sequential([keras.Input(batch_shape=model.input_shape), *map(copy, model.layers)], name=name)
    else:
        copied = keras.models.clone_model(model, clone_function=copy)
        copied.name = name
    take_weights(copied, model.get_weights())
    return copied
