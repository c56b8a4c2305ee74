"""Base models are opened by what they are, and what cannot be opened is said."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from graftwork.base_models.open import open_file
from graftwork.base_models.opened import Request
from graftwork.components.load_base_model.load import load_base_model
from graftwork.errors import UserError

from small_networks import network_with
from tampered_models import refused, saved

layers = keras.layers


class TestWhatCannotBeOpened:
    def test_a_path_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"the base model does not exist[\s\S]*missing\.keras"):
            load_base_model(str(tmp_path / "missing.keras"), tmp_path / "base")

    def test_a_file_of_no_known_kind(self, tmp_path: Path) -> None:
        (tmp_path / "model.keras").write_bytes(b"no model at all")
        with pytest.raises(UserError, match=r"no saved Keras model[\s\S]*a damaged \.keras file"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base")

    def test_weights_without_architecture(self, tmp_path: Path) -> None:
        network_with().save_weights(tmp_path / "model.weights.h5")
        with pytest.raises(UserError, match="holds weights only"):
            load_base_model(str(tmp_path / "model.weights.h5"), tmp_path / "base")

    def test_a_truncated_archive(self, base_file: Path, tmp_path: Path) -> None:
        (tmp_path / "model.keras").write_bytes(base_file.read_bytes()[:2000])
        with pytest.raises(UserError, match=r"no saved Keras model[\s\S]*a zip archive that ends too early"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base")

    def test_the_keras_model_inside_a_finished_folder_opens_too(self, base_file: Path, tmp_path: Path) -> None:
        finished = load_base_model(str(base_file), tmp_path / "finished")
        inside = finished.path / "assets.extra" / "model.keras"
        again = load_base_model(str(inside), tmp_path / "base")
        image = np.random.default_rng(0).uniform(0, 255, (1, 24, 24, 3)).astype(np.float32)
        np.testing.assert_allclose(again.keras_model()(image), finished.keras_model()(image), atol=1e-5)

    def test_a_lambda_layer_is_not_run(self, tmp_path: Path) -> None:
        pixels = keras.Input((16, 16, 3))
        model = keras.Model(pixels, layers.Conv2D(4, 3)(layers.Lambda(lambda x: x / 255)(pixels)))
        model.save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"contains Python code[\s\S]*lambda.* \(Lambda\)"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base")

    @pytest.mark.parametrize("shape", [(10,), (16, 16, 4), (16, 16, 16, 3)])
    def test_a_model_whose_input_is_no_image(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        values = keras.Input(shape)
        keras.Model(values, layers.Dense(2)(layers.Flatten()(values))).save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"input is not an image[\s\S]*expected +one input of shape"):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none")
        assert not (tmp_path / "base").exists()


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
