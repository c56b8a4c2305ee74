"""Models that somebody has changed after Keras saved them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import tf_keras

from graftwork.base_models.open import open_file
from graftwork.base_models.opened import Request
from graftwork.errors import UserError

Edit = Callable[[dict[str, Any]], None]


def saved(tmp_path: Path, suffix: str, library: Any = tf_keras) -> Path:
    pixels = library.Input((16, 16, 3), name="pixels")
    maps = library.layers.Conv2D(4, 3, name="conv")(pixels)
    flat = library.layers.GlobalAveragePooling2D(name="pool")(maps)
    path = tmp_path / f"model{suffix}"
    library.Model(pixels, library.layers.Dense(3, name="dense")(flat)).save(path)
    return path


def edited(path: Path, edit: Edit) -> Path:
    """Change the configuration inside a saved model."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            edit(config)
            file.attrs["model_config"] = json.dumps(config)
        return path
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    edit(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        open_file(path, Request(str(path)))
    return str(error.value)
