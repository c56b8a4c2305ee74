"""Files that would run code, reach out of themselves, or take all memory: refused before Keras sees them."""

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from graftwork.artifacts import model as model_artifact
from graftwork.base_models.open import open_file
from graftwork.base_models.opened import Request
from graftwork.components.load_base_model.load import load_base_model
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


def calls(kind: str, argument: str, **more: object) -> Edit:
    """Add a layer that calls what it names while Keras 2 opens the file."""

    def edit(config: dict[str, Any]) -> None:
        node = ["_CONSTANT_VALUE", -1, argument, {"contents": "x"}]
        settings = {"name": "sneaky", "trainable": True, "dtype": "float32", **more}
        layer = {"class_name": kind, "config": settings, "name": "sneaky", "inbound_nodes": [node]}
        config["config"]["layers"].append(layer)

    return edit


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
class TestNamedFunctions:
    def test_of_tensorflow_are_called_only_if_they_compute(self, tmp_path: Path, suffix: str) -> None:
        victim = tmp_path / "written"
        path = edited(saved(tmp_path, suffix), calls("TFOpLambda", str(victim), function="io.write_file"))
        assert "tf.io.write_file" in refused(path)
        assert not victim.exists()

    def test_of_tensorflow_by_another_name_of_their_layer(self, tmp_path: Path, suffix: str) -> None:
        victim = tmp_path / "written"
        edit = calls("any>TFOpLambda", str(victim), function="compat.v1.io.write_file")
        assert "write_file" in refused(edited(saved(tmp_path, suffix), edit))
        assert not victim.exists()

    def test_methods_are_not_called(self, tmp_path: Path, suffix: str) -> None:
        edit = calls("ClassMethod", "x", cls_symbol="io.gfile.GFile", method_name="__init__")
        assert "ClassMethod" in refused(edited(saved(tmp_path, suffix), edit))


class TestModules:
    @pytest.mark.parametrize("place", ["model", "layer", "initializer", "activation"])
    def test_of_others_are_not_imported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        (tmp_path / "sneaky_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
        monkeypatch.syspath_prepend(tmp_path)

        def edit(config: dict[str, Any]) -> None:
            layer = config["config"]["layers"][1]
            stranger = {"module": "sneaky_module", "registered_name": "any"}
            if place == "initializer":
                layer["config"]["kernel_initializer"] = {"class_name": "Zeros", "config": {}, **stranger}
            elif place == "activation":
                layer["config"]["activation"] = {"class_name": "function", "config": "relu", **stranger}
            else:
                (config if place == "model" else layer).update(stranger)

        message = refused(edited(saved(tmp_path, ".keras"), edit))
        assert "not here" in message or "Python code" in message
        assert "sneaky_module" not in sys.modules
        assert not (tmp_path / "ran").exists()

    def test_functions_of_keras_that_are_no_activations(self, tmp_path: Path) -> None:
        def edit(config: dict[str, Any]) -> None:
            function = {"class_name": "function", "config": "get", "module": "keras.activations"}
            config["config"]["layers"][1]["config"]["activation"] = function

        assert "keras.activations.get" in refused(edited(saved(tmp_path, ".keras", keras), edit))


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

    def test_vocabularies_are_not_read(self, tmp_path: Path) -> None:
        def edit(config: dict[str, Any]) -> None:
            settings = {"name": "words", "vocabulary": "/etc/hostname"}
            layer = {"class_name": "StringLookup", "config": settings, "name": "words", "inbound_nodes": []}
            config["config"]["layers"].append(layer)

        assert "reads other files" in refused(edited(saved(tmp_path, ".h5"), edit))


class TestMemory:
    @pytest.mark.parametrize("suffix", [".h5", ".keras"])
    def test_layers_larger_than_their_weights(self, tmp_path: Path, suffix: str) -> None:
        def edit(config: dict[str, Any]) -> None:
            config["config"]["layers"][-1]["config"]["units"] = 2_000_000_000

        assert "do not fit the weights" in refused(edited(saved(tmp_path, suffix), edit))

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


class TestPaths:
    def test_a_pipe_is_not_read(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "neither a file nor a folder" in refused(tmp_path / "pipe")

    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_the_name_of_a_file_does_not_matter(self, tmp_path: Path, suffix: str) -> None:
        path = saved(tmp_path, suffix, keras)
        path.rename(tmp_path / "model")
        assert open_file(tmp_path / "model", Request("model")).model.output_shape == (None, 3)

    @pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
    @pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras 3", "keras 2"])
    def test_a_truncated_hdf5_file_is_damaged(self, tmp_path: Path, share: float, library: Any) -> None:
        path = saved(tmp_path, ".h5", library)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        message = refused(path)
        assert "damaged" in message
        assert "copy or download it again" in message


def test_a_model_of_graftwork_is_looked_through_too(base_file: Path, tmp_path: Path) -> None:
    folder = load_base_model(str(base_file), tmp_path / "base").path

    def edit(config: dict[str, Any]) -> None:
        function = {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"}
        config["config"]["layers"][0]["config"]["activation"] = function

    edited(folder / model_artifact.KERAS_MODEL, edit)
    assert "os.system" in refused(folder)
