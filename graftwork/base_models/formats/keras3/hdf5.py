"""HDF5 files of Keras 3: their configuration does not say which module a class is of.

Keras 3 cannot open some that it wrote itself: operations between layers (`maps / 2`, which is saved as "TrueDivide", or
`maps + 3.0`, as "Add", which is a layer too), and the layers that keras.applications has for itself.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import h5py
import keras
from keras.src.saving.serialization_lib import SafeModeScope

from graftwork.base_models.architectures.applications import LAYERS

_OPERATIONS = ("core", "image", "linalg", "math", "nn", "numpy")
_MODELS = ("Functional", "InputLayer", "Model", "Sequential")


def complete(config: dict[str, Any]) -> bool:
    """Add their module to the operations and layers of a model that Keras would look for in vain.

    Args:
        config: Of a model, with its class; changed in place.

    Returns:
        Whether anything was added.
    """
    found = False
    for entry in config["config"].get("layers", []):
        module = None if "module" in entry else _module(entry)
        if module is not None:
            entry |= {"module": module, "registered_name": entry["class_name"]}
            found = True
        found |= "layers" in entry["config"] and complete(entry)
    return found


def load(path: Path, code_is_trusted: bool) -> keras.Model:
    """Open a file; the counterpart of keras.saving.load_model."""
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
    if not complete(config):
        return keras.saving.load_model(path, compile=False, safe_mode=not code_is_trusted)
    kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    with SafeModeScope(not code_is_trusted):
        model = kind.from_config(config["config"])
    model.load_weights(path)
    return model


def _module(entry: dict[str, Any]) -> str | None:
    kind = entry["class_name"]
    if kind in LAYERS:
        return str(LAYERS[kind].__module__)
    if "trainable" in entry["config"] or kind in _MODELS:
        return None
    for name in _OPERATIONS:
        module = importlib.import_module(f"keras.src.ops.{name}")
        if isinstance(getattr(module, kind, None), type):
            return module.__name__
    return None
