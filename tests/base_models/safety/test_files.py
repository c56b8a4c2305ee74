"""Archives and HDF5 files that reach out of themselves, or take all memory: refused before Keras reads them."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from tampered_models import refused, saved


class TestOtherFiles:
    @pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras 3", "keras 2"])
    @pytest.mark.parametrize("suffix", [".h5", ".keras"])
    def test_weights_are_not_taken_out_of_them(self, tmp_path: Path, library: Any, suffix: str) -> None:
        secret = tmp_path / "secret"
        secret.write_bytes(np.arange(1000, dtype=np.float32).tobytes())
        path = saved(tmp_path, suffix, library)
        inside = tmp_path / "inside.h5" if suffix == ".keras" else path
        if suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                inside.write_bytes(archive.read("model.weights.h5"))
        with h5py.File(inside, "a") as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            name = next(name for name in names if file[name].ndim == 2)
            shape = file[name].shape
            del file[name]
            file.create_dataset(name, shape, "f4", external=[(str(secret), 0, 4 * int(np.prod(shape)))])
        if suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
            with zipfile.ZipFile(path, "w") as archive:
                for member, content in (members | {"model.weights.h5": inside.read_bytes()}).items():
                    archive.writestr(member, content)
        assert "takes data out of other files" in refused(path)

    def test_links_to_them_are_not_followed(self, tmp_path: Path) -> None:
        path = saved(tmp_path, ".h5")
        with h5py.File(path, "a") as file:
            file["model_weights"]["linked"] = h5py.ExternalLink("/etc/hostname", "/x")
        assert "takes data out of other files" in refused(path)


class TestMemory:
    def test_an_archive_whose_text_is_endless(self, tmp_path: Path) -> None:
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("config.json", "w") as file:
                for _ in range(100):
                    file.write(b" " * 2**20)
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
            archive.writestr("padding", os.urandom(2**20))
        assert "unpacks to far more" in refused(path)

    def test_an_array_that_is_mostly_holes(self, tmp_path: Path) -> None:
        path = saved(tmp_path, ".h5")
        with h5py.File(path, "a") as file:
            file["model_weights"].create_dataset("huge", (10**6, 10**4), "f4", chunks=(1000, 1000))
        assert "far more than it can" in refused(path)
