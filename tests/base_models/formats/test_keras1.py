"""Whole models of Keras 1 answer in tf_keras, and in Keras 3, as they did in Keras 1; what cannot is refused."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from graftwork.base_models.conversion.layer_names import LayerNames
from graftwork.base_models.formats.keras1.open import is_keras1, open_keras1, translated
from graftwork.base_models.formats.keras2.convert import convert
from graftwork.base_models.formats.keras2.open import classes_of_keras2
from graftwork.base_models.safety.configuration import layers as configured_layers
from graftwork.errors import UserError

from keras1.write_models import SIZE, pixels

ARCHIVE = Path(__file__).parents[2] / "keras1" / "models.zip"
with zipfile.ZipFile(ARCHIVE) as archive:
    MODELS = sorted(name.removesuffix(".h5") for name in archive.namelist() if name.endswith(".h5"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every model that Keras 1 wrote, see keras1/write_models.py."""
    folder = tmp_path_factory.mktemp("keras1")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def changed(saved: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy a model with another configuration."""

    def change(name: str, edit: Callable[[dict[str, Any]], None]) -> Path:
        path = tmp_path / f"{name}.h5"
        path.write_bytes((saved / f"{name}.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            edit(config)
            file.attrs["model_config"] = json.dumps(config).encode()
        return path

    return change


def configuration(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        found: dict[str, Any] = json.loads(file.attrs["model_config"])
    return found


def layer(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the first layer of a kind."""
    layers = config["config"] if isinstance(config["config"], list) else config["config"]["layers"]
    found: dict[str, Any] = next(layer for layer in layers if layer["class_name"] == kind)
    return found


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    def test_it_answers_as_it_did(self, saved: Path, name: str) -> None:
        opened = open_keras1(saved / f"{name}.h5")
        rebuilt = convert(opened, LayerNames())
        before = np.load(saved / f"{name}.npz")
        for model in (opened, rebuilt):
            outputs = tf.nest.flatten(model(pixels(), training=False))
            assert len(outputs) == len(before.files)
            for number, output in enumerate(outputs):
                expected = before[f"output{number}"]
                if expected.ndim == 4 and name.endswith("_th"):
                    expected = expected.transpose(0, 2, 3, 1)
                np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * np.abs(expected).max())

    def test_its_configuration_is_one_of_keras_2(self, saved: Path, name: str) -> None:
        assert is_keras1(saved / f"{name}.h5")
        config = translated(configuration(saved / f"{name}.h5"))
        assert {kind for kind, _ in configured_layers(config)} <= classes_of_keras2()
        model = tf_keras.models.model_from_config(config)
        assert model.input_shape == (None, *SIZE, 3)


def test_words_that_keras_3_gave_another_meaning_or_form(saved: Path, changed: Callable[..., Path]) -> None:
    def edit(config: dict[str, Any]) -> None:
        layer(config, "GaussianDropout")["class_name"] = "SpatialDropout2D"
        layer(config, "Dense")["config"]["activation"] = "hard_sigmoid"

    sigmoid = np.load(saved / "functional_theano_th.npz")["output1"]
    logits = np.log(sigmoid) - np.log1p(-sigmoid)
    model = open_keras1(changed("functional_theano_th", edit))
    found = model(pixels(), training=False)[1]
    np.testing.assert_allclose(found, np.clip(0.2 * logits + 0.5, 0, 1), atol=1e-4)


class TestRecognition:
    def test_without_a_version(self, saved: Path, tmp_path: Path) -> None:
        path = tmp_path / "model.h5"
        path.write_bytes((saved / "stacked_tensorflow_tf.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            del file.attrs["keras_version"]
        assert is_keras1(path)

    @pytest.mark.parametrize("version", [True, False])
    def test_keras_2_is_another(self, tmp_path: Path, version: bool) -> None:
        path = tmp_path / "model.h5"
        tf_keras.Sequential([tf_keras.layers.Conv2D(2, 3, input_shape=(8, 8, 3))]).save(path)
        if not version:
            with h5py.File(path, "r+") as file:
                del file.attrs["keras_version"]
        assert not is_keras1(path)

    def test_weights_alone_are_no_model(self, saved: Path, tmp_path: Path) -> None:
        with h5py.File(saved / "stacked_tensorflow_tf.h5") as whole, h5py.File(tmp_path / "weights.h5", "w") as file:
            whole.copy("model_weights", file)
        assert not is_keras1(tmp_path / "weights.h5")

    def test_other_files_and_folders(self, tmp_path: Path) -> None:
        (tmp_path / "text.h5").write_text("{}")
        assert not is_keras1(tmp_path / "text.h5")
        assert not is_keras1(tmp_path)


class TestTraining:
    """What matters when the model is trained on."""

    def test_frozen_layers_stay_frozen(self, saved: Path) -> None:
        model = open_keras1(saved / "functional_theano_th.h5")
        frozen = [layer.name for layer in model._flatten_layers() if not layer.trainable]
        assert len(frozen) == 3
        assert model.get_layer("top").layers[-1].name in frozen

    def test_penalties_and_constraints_stay(self, saved: Path) -> None:
        model = open_keras1(saved / "sequential_tensorflow_th.h5")
        assert float(model.get_layer("conv1_1").kernel_regularizer.l2) == pytest.approx(0.001)
        dense = next(layer for layer in model.layers if isinstance(layer, tf_keras.layers.Dense))
        assert dense.kernel_constraint.max_value == 2

    def test_a_constraint_keeps_its_axis_of_the_kernel(self, saved: Path) -> None:
        config = configuration(saved / "sequential_tensorflow_th.h5")
        layer(config, "Convolution2D")["config"]["W_constraint"] = {"name": "MaxNorm", "m": 3, "axis": [1, 2, 3]}
        found = layer(translated(config), "Conv2D")["config"]["kernel_constraint"]
        assert found == {"class_name": "MaxNorm", "config": {"max_value": 3, "axis": [2, 0, 1]}}


class TestRefusals:
    def test_names_every_layer_and_why(self, saved: Path) -> None:
        config = configuration(saved / "sequential_theano_tf.h5")
        layer(config, "Dropout")["class_name"] = "Lambda"
        layer(config, "ELU")["class_name"] = "SReLU"
        layer(config, "ZeroPadding2D")["class_name"] = "LRN"
        layer(config, "Activation")["config"]["activation"] = "relu6"
        layer(config, "BatchNormalization")["config"]["mode"] = 2
        layer(config, "Convolution2D")["config"]["border_mode"] = "full"
        with pytest.raises(UserError, match="cannot be translated") as error:
            translated(config)
        kinds = {label.split("(")[1]: why for label, why in error.value.facts.items()}
        assert kinds.keys() == {"Lambda)", "SReLU)", "LRN)", "Activation)", "BatchNormalization)", "Convolution2D)"}
        assert kinds["Lambda)"] == "Python code, which is not run"
        assert "'relu6'" in kinds["Activation)"]

    def test_code_in_a_merge(self, saved: Path) -> None:
        config = configuration(saved / "functional_tensorflow_tf.h5")
        layer(config, "Merge")["config"] |= {"mode": "sum", "mode_type": "function"}
        with pytest.raises(UserError) as error:
            translated(config)
        assert list(error.value.facts.values()) == ["Python code, which is not run"]

    def test_both_orderings_in_one(self, saved: Path) -> None:
        config = configuration(saved / "sequential_tensorflow_tf.h5")
        layer(config, "MaxPooling2D")["config"]["dim_ordering"] = "th"
        with pytest.raises(UserError, match="channels first and layers with channels last"):
            translated(config)

    def test_flattened_maps_that_leave_a_channels_first_model(self, saved: Path) -> None:
        for ordering in ("tf", "th"):
            config = configuration(saved / f"sequential_tensorflow_{ordering}.h5")
            kinds = [layer["class_name"] for layer in config["config"]]
            del config["config"][kinds.index("Dense") :]
            if ordering == "tf":
                translated(config)
                continue
            with pytest.raises(UserError) as error:
                translated(config)
            assert [label.split("(")[1] for label in error.value.facts] == ["Flatten)"]

    def test_channels_first_maps_that_are_reshaped(self, saved: Path) -> None:
        config = configuration(saved / "sequential_tensorflow_th.h5")
        flatten = layer(config, "Flatten")
        flatten |= {"class_name": "Reshape", "config": {**flatten["config"], "target_shape": [-1]}}
        with pytest.raises(UserError) as error:
            translated(config)
        assert [label.split("(")[1] for label in error.value.facts] == ["Reshape)"]

    def test_borders_that_theano_laid_in_another_way(self, changed: Callable[..., Path]) -> None:
        def edit(config: dict[str, Any]) -> None:
            layer(config, "AveragePooling2D")["config"]["pool_size"] = [5, 5]

        open_keras1(changed("sequential_tensorflow_th", edit))
        with pytest.raises(UserError) as error:
            open_keras1(changed("sequential_theano_th", edit))
        assert [label.split("(")[1] for label in error.value.facts] == ["AveragePooling2D)"]

    def test_an_upconvolution_of_another_size(self, changed: Callable[..., Path]) -> None:
        def edit(config: dict[str, Any]) -> None:
            layer(config, "Deconvolution2D")["config"]["output_shape"] = [None, 22, 20, 2]

        with pytest.raises(UserError) as error:
            open_keras1(changed("decoder_tensorflow_tf", edit))
        assert "[22, 20]" in next(iter(error.value.facts.values()))


class TestDamage:
    def test_a_missing_weight(self, changed: Callable[..., Path]) -> None:
        path = changed("stacked_tensorflow_th", lambda config: None)
        with h5py.File(path, "r+") as file:
            group = next(group for group in file["model_weights"].values() if len(group))
            del group[next(iter(group))]
        with pytest.raises(UserError, match="lacks weights"):
            open_keras1(path)

    def test_weights_of_another_size(self, changed: Callable[..., Path]) -> None:
        def edit(config: dict[str, Any]) -> None:
            layer(config, "Dense")["config"]["output_dim"] = 6

        with pytest.raises(UserError, match="do not fit") as error:
            open_keras1(changed("sequential_tensorflow_tf", edit))
        assert "(Dense)" in error.value.facts["layer"]
