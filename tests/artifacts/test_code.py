"""Models that need Python code: classes that the user brings, and lambdas that the user trusts."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from graftwork.artifacts import code, model
from graftwork.artifacts.code import CustomCode
from graftwork.components.load_base_model.load import load_base_model
from graftwork.errors import UserError

from foreign_models import SWIRL, saved_elsewhere

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)


class TestCustomObjects:
    def test_without_them_the_class_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        file, _ = saved_elsewhere(tmp_path, "Missing")
        with pytest.raises(UserError, match=r"classes that are not here[\s\S]*Missing[\s\S]*--custom-objects"):
            load_base_model(str(file), tmp_path / "base")

    def test_a_python_file_travels_with_the_model(self, tmp_path: Path) -> None:
        file, source = saved_elsewhere(tmp_path, "Spiral")
        base = load_base_model(str(file), tmp_path / "base", code=code.requested(str(source), trusted=False))
        source.unlink()
        program = (
            "import sys; from graftwork.artifacts import model;"
            "print(model.read(sys.argv[1]).keras_model().output_shape)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(base.path)], check=True, capture_output=True, text=True
        )
        assert "(None, 4)" in done.stdout

    def test_a_module_is_imported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file, source = saved_elsewhere(tmp_path, "Loop")
        source.rename(tmp_path / "layers_of_the_shop.py")
        monkeypatch.syspath_prepend(tmp_path)
        base = load_base_model(str(file), tmp_path / "base", code=code.requested("layers_of_the_shop", trusted=False))
        assert base.description["code"]["modules"] == ["layers_of_the_shop"]
        assert base.keras_model().output_shape == (None, 4)

    def test_a_module_that_is_not_there(self, tmp_path: Path) -> None:
        file, _ = saved_elsewhere(tmp_path, "Curl")
        with pytest.raises(UserError, match=r"cannot be imported[\s\S]*no_such_module"):
            load_base_model(str(file), tmp_path / "base", code=CustomCode(("no_such_module",)))

    def test_a_file_that_is_not_there(self) -> None:
        with pytest.raises(UserError, match="does not exist"):
            code.requested("nowhere/layers.py", trusted=False)

    def test_of_keras_2_a_class_is_needed_in_both(self, tmp_path: Path) -> None:
        source = SWIRL.format(name="Both") + SWIRL.format(name="Both").replace("keras", "tf_keras").replace(
            "register_tf_tf_keras", "register_keras"
        ).replace("register_tf_keras", "register_keras")
        (tmp_path / "both.py").write_text(source)
        given = code.requested(str(tmp_path / "both.py"), trusted=False)
        given.run()
        layer = tf_keras.saving.get_custom_objects()["shop>Both"]
        tf_keras.Sequential([tf_keras.Input((16, 16, 3)), layer(5.0), tf_keras.layers.Conv2D(2, 3)]).save(
            tmp_path / "model.h5"
        )
        base = load_base_model(str(tmp_path / "model.h5"), tmp_path / "base", "none", code=given)
        assert base.description["conversion"]["difference"] < 1e-5

    def test_a_foreign_model_folder_does_not_bring_its_own_code_in(self, tmp_path: Path) -> None:
        file, source = saved_elsewhere(tmp_path, "Whirl")
        base = load_base_model(str(file), tmp_path / "base", code=code.requested(str(source), trusted=False))
        with pytest.raises(UserError, match=r"needs code[\s\S]*--trust-code"):
            load_base_model(str(base.path), tmp_path / "next")
        again = load_base_model(str(base.path), tmp_path / "next", code=CustomCode(trusted=True))
        np.testing.assert_allclose(again.keras_model()(PIXELS), base.keras_model()(PIXELS), atol=1e-6)

    @pytest.mark.parametrize("place", ["kernel_initializer", "kernel_regularizer"])
    @pytest.mark.parametrize("name", ["Anything", "Conv2D"])
    def test_objects_of_other_modules_are_found_wherever_they_are(self, tmp_path: Path, place: str, name: str) -> None:
        stranger = {"module": "os_tools.run", "class_name": name, "config": {}, "registered_name": name}
        layer = keras.layers.Conv2D(2, 3)
        pixels = keras.Input((16, 16, 3))
        keras.Model(pixels, layer(pixels)).save(tmp_path / "model.keras")
        _change_configuration(tmp_path / "model.keras", place, stranger)
        with pytest.raises(UserError, match=r"classes that are not here[\s\S]*" + name):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none")


class TestLambdas:
    def test_of_keras_3_run_when_trusted(self, tmp_path: Path) -> None:
        pixels = keras.Input((16, 16, 3))
        scaled = keras.layers.Lambda(lambda x: x / 255.0, name="scale")(pixels)
        network = keras.Model(pixels, keras.layers.Conv2D(4, 3)(scaled))
        network.save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"scale \(Lambda\)[\s\S]*--trust-code"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none")
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none", code=CustomCode(trusted=True))
        expected = np.mean(network(PIXELS), axis=(1, 2))
        np.testing.assert_allclose(model.read(base.path).keras_model()(PIXELS), expected, rtol=1e-5)

    @pytest.mark.parametrize("format", ["h5", "keras", "saved_model"])
    def test_of_keras_2_run_when_trusted(self, tmp_path: Path, format: str) -> None:
        pixels = tf_keras.Input((16, 16, 3))
        scaled = tf_keras.layers.Lambda(lambda x: tf.sqrt(x) / 16.0, name="root")(pixels)
        network = tf_keras.Model(pixels, tf_keras.layers.Conv2D(4, 3)(scaled))
        network.save(tmp_path / f"model.{format}")
        base = load_base_model(
            str(tmp_path / f"model.{format}"), tmp_path / "base", "none", code=CustomCode(trusted=True)
        )
        assert base.description["conversion"]["difference"] < 1e-5
        expected = np.mean(network(PIXELS), axis=(1, 2))
        np.testing.assert_allclose(model.read(base.path).keras_model()(PIXELS), expected, rtol=1e-4)


def _change_configuration(file: Path, key: str, value: object) -> None:
    import json
    import zipfile

    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1]["config"][key] = value
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
