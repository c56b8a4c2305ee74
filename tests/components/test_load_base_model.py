"""A saved model becomes a base."""

from pathlib import Path

import keras
import numpy as np
import pytest

from graftwork.components.load_base_model.load import load_base_model

from small_networks import network_with

layers = keras.layers


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_saved_file_becomes_a_base_with_its_weights(tmp_path: Path, suffix: str) -> None:
    model = network_with(layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax"))
    file = tmp_path / f"model.{suffix}"
    model.save(file)
    base = load_base_model(str(file), tmp_path / "base", preprocessing="none")
    image = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    expected = keras.Model(model.inputs[0], model.get_layer("join").output)(image)
    np.testing.assert_allclose(base.keras_model()(image), np.mean(expected, axis=(1, 2)), rtol=1e-5)
    assert base.description["base"]["uri"] == str(file)
    assert len(base.description["base"]["sha256"]) == 64
