"""Open a whole model that Keras 1 saved.

The configuration is put into Keras 2's words, the weights into its layouts; tf_keras builds the model.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from graftwork.base_models.formats.hdf5 import is_hdf5, text
from graftwork.base_models.formats.keras1.configuration import leaves, refuse, translation
from graftwork.base_models.formats.keras1.weights import (
    arranged,
    built_layers,
    differs,
    give_weights,
    is_theano,
    read_weights,
)

_ONLY_KERAS_1 = {"border_mode", "dim_ordering", "input_dtype", "nb_filter", "W_regularizer"}


def is_keras1(path: Path) -> bool:
    """Return whether a file is a whole model that Keras 1 saved, by its version or, without one, by its configuration.

    Args:
        path: Any file or folder.
    """
    if not is_hdf5(path):
        return False
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            return False
        version = text(file.attrs.get("keras_version", ""))
        return version.startswith("1.") if version else _is_spelt_so(json.loads(text(file.attrs["model_config"])))


def translated(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's configuration of Keras 1 as one of Keras 2, channels-last.

    Args:
        config: From the file's `model_config`.

    Raises:
        UserError: It has layers that cannot be translated; names all of them and says why.
    """
    return translation(config)[0].entry


def open_keras1(path: Path) -> Any:
    """Open a whole model that Keras 1 saved.

    Nothing in the file is run: a layer made of code is refused.

    Returns:
        A model of tf_keras that answers the same. It takes and gives maps channels-last, whatever the file says.

    Raises:
        UserError: It has layers that cannot be translated (names all of them and says why), or weights that do not fit.
    """
    import tf_keras

    with h5py.File(path) as file:
        root, network = translation(json.loads(text(file.attrs["model_config"])))
        theano = is_theano(file)
        read_weights(file["model_weights"], root)
    for layer in leaves(root):
        layer.weights = arranged(layer, network.channels_first, theano)
        if layer.kind == "PReLU":  # which axes share a slope is told by the slopes alone
            slopes = layer.weights[0].shape
            layer.entry["config"]["shared_axes"] = [axis for axis, size in enumerate(slopes, 1) if size == 1]
    model: Any = tf_keras.models.model_from_config(root.entry)
    pairs = list(built_layers(root, model))
    refuse({layer.label: why for layer, _, built in pairs if (why := differs(layer, built, network, theano))})
    for layer, parent, built in pairs:
        give_weights(layer, parent, built)
    return model


def _is_spelt_so(config: Any) -> bool:
    if isinstance(config, dict):
        return bool(_ONLY_KERAS_1 & config.keys()) or any(map(_is_spelt_so, config.values()))
    return isinstance(config, list) and any(map(_is_spelt_so, config))
