"""HDF5 files in which Keras keeps a whole model (`.h5`), of any version of Keras."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graftwork.base_models.formats.hdf5 import attribute, is_hdf5
from graftwork.base_models.formats.keras1.open import is_keras1, translated
from graftwork.base_models.formats.keras3 import hdf5 as keras3_hdf5
from graftwork.base_models.formats.keras3.open import open_keras
from graftwork.base_models.formats.kind import Kind
from graftwork.base_models.formats.weights.layouts import is_weights_file
from graftwork.base_models.safety.files import check_hdf5
from graftwork.errors import UserError


def is_whole_model(path: Path) -> bool:
    """Return whether a path is an HDF5 file with more than weights inside."""
    return is_hdf5(path) and (bool(attribute(path, "model_config")) or not is_weights_file(path))


def version(path: Path) -> str:
    """Return what saved a file, as in "Keras 2.15.0"."""
    return f"Keras {attribute(path, 'keras_version')}".strip()


def _configurations(path: Path) -> Iterator[Any]:
    text = attribute(path, "model_config")
    if not text:
        raise UserError("the HDF5 file holds neither a model nor weights of Keras")
    config = json.loads(text)
    if version(path).startswith("Keras 3"):
        keras3_hdf5.complete(config)
    yield translated(config) if is_keras1(path) else config


KIND = Kind("HDF5", is_whole_model, open_keras, ".h5", version, check_hdf5, _configurations)
