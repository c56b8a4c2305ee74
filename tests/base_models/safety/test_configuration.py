"""Files that would run code: refused before Keras sees them."""

import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from graftwork.artifacts import model as model_artifact
from graftwork.components.load_base_model.load import load_base_model

from tampered_models import Edit, edited, refused, saved


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


def test_a_model_of_graftwork_is_looked_through_too(base_file: Path, tmp_path: Path) -> None:
    folder = load_base_model(str(base_file), tmp_path / "base").path

    def edit(config: dict[str, Any]) -> None:
        function = {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"}
        config["config"]["layers"][0]["config"]["activation"] = function

    edited(folder / model_artifact.KERAS_MODEL, edit)
    assert "os.system" in refused(folder)


def test_vocabularies_are_not_read(tmp_path: Path) -> None:
    def edit(config: dict[str, Any]) -> None:
        settings = {"name": "words", "vocabulary": "/etc/hostname"}
        layer = {"class_name": "StringLookup", "config": settings, "name": "words", "inbound_nodes": []}
        config["config"]["layers"].append(layer)

    assert "reads other files" in refused(edited(saved(tmp_path, ".h5"), edit))


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_layers_larger_than_their_weights(tmp_path: Path, suffix: str) -> None:
    def edit(config: dict[str, Any]) -> None:
        config["config"]["layers"][-1]["config"]["units"] = 2_000_000_000

    assert "do not fit the weights" in refused(edited(saved(tmp_path, suffix), edit))
