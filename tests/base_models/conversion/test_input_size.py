"""The same weights at another size of images."""

from pathlib import Path

import keras
import numpy as np
import pytest

from graftwork.components.load_base_model.load import load_base_model
from graftwork.errors import UserError

from small_networks import network_with

layers = keras.layers


class TestInputSize:
    def test_the_same_weights_at_another_size(self, base_file: Path, tmp_path: Path) -> None:
        small = load_base_model(str(base_file), tmp_path / "small").keras_model()
        large = load_base_model(str(base_file), tmp_path / "large", input_size=48)
        assert large.input_size == (48, 48)
        assert large.stored_size == 55
        for weight, other in zip(small.get_weights(), large.keras_model().get_weights(), strict=True):
            np.testing.assert_array_equal(weight, other)

    def test_models_inside_follow(self, tmp_path: Path) -> None:
        inner = keras.applications.MobileNetV2(alpha=0.35, input_shape=(64, 64, 3), include_top=False, weights=None)
        model = keras.Sequential([keras.Input((64, 64, 3)), inner, layers.GlobalAveragePooling2D(), layers.Dense(3)])
        model.save(tmp_path / "model.keras")
        base = load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", input_size=96)
        assert base.keras_model()(np.zeros((1, 96, 96, 3), np.float32)).shape == (1, 1280)

    def test_a_base_that_ends_flat_cannot_change_its_size(self, tmp_path: Path) -> None:
        network_with(layers.Flatten(), layers.Dense(7, name="fc"), layers.Dense(4)).save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"cannot be rebuilt at 32 x 32 pixels[\s\S]*16 x 16[\s\S]*input_size"):
            load_base_model(
                str(tmp_path / "model.keras"), tmp_path / "base", "none", input_size=32, feature_layer="penultimate"
            )
        assert not (tmp_path / "base").exists()

    def test_a_base_for_images_of_any_size_needs_one(self, tmp_path: Path) -> None:
        pixels = keras.Input((None, None, 3))
        keras.Model(pixels, layers.Conv2D(4, 3)(pixels)).save(tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"takes images of any size[\s\S]*input_size="):
            load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none")
        assert load_base_model(str(tmp_path / "model.keras"), tmp_path / "base", "none", 32).input_size == (32, 32)
