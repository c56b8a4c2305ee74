"""Files of Keras 3 that Keras itself does not open."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from graftwork.base_models.open import open_file
from graftwork.base_models.opened import Request

layers = keras.layers


class TestHdf5OfKeras3:
    """Keras does not open every HDF5 file that it writes."""

    def test_operations_between_layers(self, tmp_path: Path) -> None:
        pixels = keras.Input((16, 16, 3))
        maps = layers.Conv2D(4, 3)(pixels / 127.5 - 1.0)
        model = keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(maps + 3.0)))
        model.save(tmp_path / "model.h5")
        found = open_file(tmp_path / "model.h5", Request("model.h5")).model
        image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
        np.testing.assert_allclose(found(image), model(image), atol=1e-6)

    @pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras 3", "keras 2"])
    def test_layers_that_keras_applications_has_for_itself(self, tmp_path: Path, library: Any) -> None:
        model = library.applications.ConvNeXtTiny(input_shape=(32, 32, 3), include_top=False, weights=None)
        model.save(tmp_path / "model.h5")
        found = open_file(tmp_path / "model.h5", Request("model.h5")).model
        image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
        expected = np.asarray(model(image, training=False))
        np.testing.assert_allclose(found(image, training=False), expected, atol=1e-5 * np.abs(expected).max())
